"""Peer scores of GossipSub v1.1: what a router makes of its neighbours, by what it saw itself.

Names are the specification's. Score(p) = cap(t * (w1 P1 + w2 P2 + w3 P3 + w3b P3b + w4 P4))
+ w5 P5 + w6 P6 + w7 P7, for our one topic. P5, what the application says, is its own reputation.
"""

from collections.abc import Callable
from dataclasses import dataclass

from p2p_modelex.ids import PeerId
from p2p_modelex.simulation.scenario.settings import Score

RETAINED_MAX = 4096
"""Neighbours that left with a score below 0 and are remembered; the longest gone go first."""


@dataclass(slots=True)
class Standing:
    """Counters of one neighbour. grafted_at, mesh_time: microseconds; address: its IP address."""

    address: str = ""
    grafted_at: int | None = None
    mesh_time: int = 0
    first_message_deliveries: float = 0.0
    mesh_message_deliveries: float = 0.0
    mesh_failure_penalty: float = 0.0
    invalid_message_deliveries: float = 0.0
    behaviour_penalty: float = 0.0


def compute_score(
    score: Score, standing: Standing, *, colocated: int = 1, application: float = 0.0
) -> float:
    """Return a neighbour's score. colocated: neighbours at its address, itself one of them."""
    p1 = 0.0
    if standing.grafted_at is not None:
        p1 = min(float(standing.mesh_time // score.time_in_mesh_quantum), score.time_in_mesh_cap)
    topic = score.topic_weight * (
        score.time_in_mesh_weight * p1
        + score.first_message_deliveries_weight * standing.first_message_deliveries
        + score.mesh_message_deliveries_weight * compute_deficit(score, standing) ** 2
        + score.mesh_failure_penalty_weight * standing.mesh_failure_penalty
        + score.invalid_message_deliveries_weight * standing.invalid_message_deliveries**2
    )
    if score.topic_score_cap:
        topic = min(topic, score.topic_score_cap)
    surplus = max(0, colocated - score.ip_colocation_factor_threshold)
    excess = max(0.0, standing.behaviour_penalty - score.behaviour_penalty_threshold)
    return (
        topic
        + score.app_specific_weight * application
        + score.ip_colocation_factor_weight * surplus**2
        + score.behaviour_penalty_weight * excess**2
    )


def compute_deficit(score: Score, standing: Standing) -> float:
    """Return by how many deliveries a neighbour in the mesh is behind; 0 in its first while."""
    is_active = standing.grafted_at is not None and (
        standing.mesh_time > score.mesh_message_deliveries_activation
    )
    behind = score.mesh_message_deliveries_threshold - standing.mesh_message_deliveries
    return max(0.0, behind) if is_active else 0.0


class NoScores:
    """Nobody is better or worse: what nodes ship with."""

    __slots__ = ()
    median_wanted = 0.0

    def get(self, _: PeerId) -> float:
        """A neighbour's score."""
        return 0.0

    def may_gossip(self, _: PeerId) -> bool:
        """Whether it gets IHAVE, and its own is looked at."""
        return True

    def may_publish(self, _: PeerId) -> bool:
        """Whether what we publish goes to it."""
        return True

    def is_graylisted(self, _: PeerId) -> bool:
        """Whether nothing that it says is looked at."""
        return False

    def meet(self, peer: PeerId, address: str, now: int) -> None:
        """A neighbour is connected."""

    def part(self, peer: PeerId, now: int) -> None:
        """A neighbour is gone."""

    def join(self, peer: PeerId, now: int) -> None:
        """A neighbour is in the mesh from now on."""

    def leave(self, peer: PeerId) -> None:
        """A neighbour is out of the mesh."""

    def on_first(self, peer: PeerId) -> None:
        """It brought a good message first."""

    def on_duplicate(self, peer: PeerId, age: int) -> None:
        """It brought one that had first come so long ago (microseconds)."""

    def on_invalid(self, peer: PeerId) -> None:
        """It brought an invalid one."""

    def on_misbehaviour(self, peer: PeerId) -> None:
        """It broke a promise, or asked back into the mesh too soon."""

    def decay(self, now: int) -> None:
        """A heartbeat has passed."""


class Scores(NoScores):
    """The scores of a router's neighbours. application: P5."""

    __slots__ = ("_application", "_at", "_decayed_at", "_retained", "_score", "_standings")

    def __init__(self, score: Score, application: Callable[[PeerId], float]) -> None:
        self._score = score
        self._application = application
        self._standings: dict[PeerId, Standing] = {}
        self._at: dict[str, int] = {}
        self._retained: dict[PeerId, tuple[int, Standing]] = {}
        self._decayed_at = 0

    @property
    def median_wanted(self) -> float:  # type: ignore[override]
        """Below which median of the mesh better neighbours are grafted."""
        return self._score.opportunistic_graft_threshold

    def get(self, peer: PeerId) -> float:
        """See NoScores."""
        standing = self._standings.get(peer)
        if standing is None:
            return 0.0
        colocated = self._at.get(standing.address, 1)
        application = self._application(peer)
        return compute_score(self._score, standing, colocated=colocated, application=application)

    def may_gossip(self, peer: PeerId) -> bool:
        """See NoScores."""
        return self.get(peer) >= self._score.gossip_threshold

    def may_publish(self, peer: PeerId) -> bool:
        """See NoScores."""
        return self.get(peer) >= self._score.publish_threshold

    def is_graylisted(self, peer: PeerId) -> bool:
        """See NoScores."""
        return self.get(peer) < self._score.graylist_threshold

    def meet(self, peer: PeerId, address: str, now: int) -> None:
        """See NoScores. Who comes back within `retain_score` has what it left with."""
        until, standing = self._retained.pop(peer, (0, Standing()))
        if until < now:
            standing = Standing()
        standing.address = address
        self._standings[peer] = standing
        if address:
            self._at[address] = self._at.get(address, 0) + 1

    def part(self, peer: PeerId, now: int) -> None:
        """See NoScores."""
        score = self.get(peer)
        self.leave(peer)
        standing = self._standings.pop(peer, None)
        if standing is None:
            return
        if standing.address:
            self._at[standing.address] -= 1
            if not self._at[standing.address]:
                del self._at[standing.address]
        if score < 0:
            self._retained[peer] = now + self._score.retain_score, standing
            if len(self._retained) > RETAINED_MAX:
                del self._retained[next(iter(self._retained))]

    def join(self, peer: PeerId, now: int) -> None:
        """See NoScores."""
        standing = self._standings[peer]
        standing.grafted_at, standing.mesh_time = now, 0

    def leave(self, peer: PeerId) -> None:
        """See NoScores. What was missing then sticks to it."""
        standing = self._standings.get(peer)
        if standing is not None:
            standing.mesh_failure_penalty += compute_deficit(self._score, standing) ** 2
            standing.grafted_at = None

    def on_first(self, peer: PeerId) -> None:
        """See NoScores."""
        standing, score = self._standings[peer], self._score
        more = standing.first_message_deliveries + 1
        standing.first_message_deliveries = min(more, score.first_message_deliveries_cap)
        self.on_duplicate(peer, 0)

    def on_duplicate(self, peer: PeerId, age: int) -> None:
        """See NoScores. It counts for who is in the mesh, and near the first."""
        standing, score = self._standings[peer], self._score
        if standing.grafted_at is not None and age <= score.mesh_message_deliveries_window:
            more = standing.mesh_message_deliveries + 1
            standing.mesh_message_deliveries = min(more, score.mesh_message_deliveries_cap)

    def on_invalid(self, peer: PeerId) -> None:
        """See NoScores."""
        self._standings[peer].invalid_message_deliveries += 1

    def on_misbehaviour(self, peer: PeerId) -> None:
        """See NoScores."""
        standing = self._standings.get(peer)
        if standing is not None:
            standing.behaviour_penalty += 1

    def decay(self, now: int) -> None:
        """See NoScores. Counters shrink at each `decay_interval`."""
        score = self._score
        if now - self._decayed_at < score.decay_interval:
            return
        self._decayed_at = now
        for standing in self._standings.values():
            if standing.grafted_at is not None:
                standing.mesh_time = now - standing.grafted_at
            _decay(standing, score)


def _decay(standing: Standing, score: Score) -> None:
    for name, factor in (
        ("first_message_deliveries", score.first_message_deliveries_decay),
        ("mesh_message_deliveries", score.mesh_message_deliveries_decay),
        ("mesh_failure_penalty", score.mesh_failure_penalty_decay),
        ("invalid_message_deliveries", score.invalid_message_deliveries_decay),
        ("behaviour_penalty", score.behaviour_penalty_decay),
    ):
        left = getattr(standing, name) * factor
        setattr(standing, name, left if left >= score.decay_to_zero else 0.0)
