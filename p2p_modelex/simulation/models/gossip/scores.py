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


_NOBODY = Standing()


class NoScores:
    """Nobody is better or worse."""

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

    __slots__ = (
        "_active",
        "_application",
        "_at",
        "_can_fall",
        "_decayed_at",
        "_retained",
        "_score",
        "_standings",
    )

    def __init__(self, score: Score, application: Callable[[PeerId], float]) -> None:
        self._score = score
        self._application = application
        self._can_fall = can_fall(score)
        self._standings: dict[PeerId, Standing] = {}
        """Of those of whom there is something to say."""
        self._active: dict[PeerId, Standing] = {}
        """Of those in the mesh, or with a counter that is not 0."""
        self._at: dict[str, int] = {}
        self._retained: dict[PeerId, tuple[int, Standing]] = {}
        self._decayed_at = 0

    @property
    def median_wanted(self) -> float:  # type: ignore[override]
        """Below which median of the mesh better neighbours are grafted."""
        return self._score.opportunistic_graft_threshold

    def get(self, peer: PeerId) -> float:
        """See NoScores."""
        standing = self._standings.get(peer, _NOBODY)
        colocated = self._at.get(standing.address, 1)
        application = self._application(peer) if self._score.app_specific_weight else 0.0
        return compute_score(self._score, standing, colocated=colocated, application=application)

    def may_gossip(self, peer: PeerId) -> bool:
        """See NoScores."""
        return not self._can_fall or self.get(peer) >= self._score.gossip_threshold

    def may_publish(self, peer: PeerId) -> bool:
        """See NoScores."""
        return not self._can_fall or self.get(peer) >= self._score.publish_threshold

    def is_graylisted(self, peer: PeerId) -> bool:
        """See NoScores."""
        return self._can_fall and self.get(peer) < self._score.graylist_threshold

    def _touch(self, peer: PeerId) -> Standing:
        standing = self._standings.get(peer)
        if standing is None:
            standing = self._standings[peer] = Standing()
        self._active[peer] = standing
        return standing

    def meet(self, peer: PeerId, address: str, now: int) -> None:
        """See NoScores. Who comes back within `retain_score` has what it left with."""
        until, left = self._retained.pop(peer, (0, _NOBODY))
        if until > now:
            self._standings[peer] = self._active[peer] = left
        if address:
            self._touch(peer).address = address
            self._at[address] = self._at.get(address, 0) + 1

    def part(self, peer: PeerId, now: int) -> None:
        """See NoScores."""
        score = self.get(peer)
        self.leave(peer)
        self._active.pop(peer, None)
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
        standing = self._touch(peer)
        standing.grafted_at, standing.mesh_time = now, 0

    def leave(self, peer: PeerId) -> None:
        """See NoScores. What was missing then sticks to it."""
        standing = self._standings.get(peer)
        if standing is not None:
            standing.mesh_failure_penalty += compute_deficit(self._score, standing) ** 2
            standing.grafted_at = None

    def on_first(self, peer: PeerId) -> None:
        """See NoScores."""
        standing, score = self._touch(peer), self._score
        more = standing.first_message_deliveries + 1
        standing.first_message_deliveries = min(more, score.first_message_deliveries_cap)
        self.on_duplicate(peer, 0)

    def on_duplicate(self, peer: PeerId, age: int) -> None:
        """See NoScores. It counts for who is in the mesh, and near the first."""
        score = self._score
        standing = self._standings.get(peer, _NOBODY)
        if standing.grafted_at is not None and age <= score.mesh_message_deliveries_window:
            more = standing.mesh_message_deliveries + 1
            standing.mesh_message_deliveries = min(more, score.mesh_message_deliveries_cap)

    def on_invalid(self, peer: PeerId) -> None:
        """See NoScores."""
        self._touch(peer).invalid_message_deliveries += 1

    def on_misbehaviour(self, peer: PeerId) -> None:
        """See NoScores."""
        self._touch(peer).behaviour_penalty += 1

    def decay(self, now: int) -> None:
        """See NoScores. Counters shrink at each `decay_interval`."""
        score = self._score
        if now - self._decayed_at < score.decay_interval:
            return
        self._decayed_at = now
        idle = []
        for peer, standing in self._active.items():
            if _decay(standing, score) and standing.grafted_at is None:
                idle.append(peer)
            elif standing.grafted_at is not None:
                standing.mesh_time = now - standing.grafted_at
        for peer in idle:
            del self._active[peer]


def can_fall(score: Score) -> bool:
    """Whether anything that a neighbour does takes its score below 0."""
    return any(
        (
            score.mesh_message_deliveries_weight,
            score.mesh_failure_penalty_weight,
            score.invalid_message_deliveries_weight,
            score.app_specific_weight,
            score.ip_colocation_factor_weight,
            score.behaviour_penalty_weight,
        )
    )


def _decay(standing: Standing, score: Score) -> bool:
    """Shrink every counter; returns whether all are 0."""
    least = score.decay_to_zero
    standing.first_message_deliveries = first = _shrink(
        standing.first_message_deliveries, score.first_message_deliveries_decay, least
    )
    standing.mesh_message_deliveries = mesh = _shrink(
        standing.mesh_message_deliveries, score.mesh_message_deliveries_decay, least
    )
    standing.mesh_failure_penalty = failed = _shrink(
        standing.mesh_failure_penalty, score.mesh_failure_penalty_decay, least
    )
    standing.invalid_message_deliveries = invalid = _shrink(
        standing.invalid_message_deliveries, score.invalid_message_deliveries_decay, least
    )
    standing.behaviour_penalty = behaviour = _shrink(
        standing.behaviour_penalty, score.behaviour_penalty_decay, least
    )
    return not (first or mesh or failed or invalid or behaviour)


def _shrink(counter: float, factor: float, least: float) -> float:
    counter *= factor
    return counter if counter >= least else 0.0
