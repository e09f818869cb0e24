"""The mesh of a router: whom whole messages go to, and how it is mended at each heartbeat."""

import random
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from statistics import median

from p2p_modelex.ids import PeerId
from p2p_modelex.simulation.models.gossip.scores import NoScores
from p2p_modelex.simulation.scenario.settings import Gossip

GRAFT_FLOOD_US = 10_000_000
"""Who asks back this soon after it was pruned misbehaves twice (GossipSubGraftFloodThreshold)."""


@dataclass(slots=True)
class Neighbour:
    """Whom a router is connected to. backoff_until: until when neither grafts the other."""

    is_outbound: bool
    backoff_until: int = 0


@dataclass(slots=True)
class Mesh:
    """The members, in the order they came. `tell(peer, grafts)` sends a GRAFT or a PRUNE."""

    settings: Gossip
    rng: random.Random
    scores: NoScores
    neighbours: dict[PeerId, Neighbour]
    tell: Callable[[PeerId, bool], None]
    members: dict[PeerId, None] = field(default_factory=dict)
    _beats: int = 0

    def graft(self, peer: PeerId, now: int) -> None:
        """Take a neighbour in, and tell it."""
        self._take(peer, now)
        self.tell(peer, True)

    def _take(self, peer: PeerId, now: int) -> None:
        self.members[peer] = None
        self.scores.join(peer, now)

    def drop(self, peer: PeerId) -> None:
        """A neighbour is out: it is gone, or wants to be."""
        if peer in self.members:
            del self.members[peer]
            self.scores.leave(peer)

    def prune(self, peers: Iterable[PeerId], now: int) -> None:
        """Put neighbours out, and tell them."""
        for peer in peers:
            self.drop(peer)
            if self.settings.shuns_pruned:
                self._back_off(peer, now)
            self.tell(peer, False)

    def _back_off(self, peer: PeerId, now: int) -> None:
        self.neighbours[peer].backoff_until = now + self.settings.prune_backoff

    def on_graft(self, peer: PeerId, now: int) -> None:
        """A neighbour wants in."""
        if peer in self.members:
            return  # both asked at once
        settings, known = self.settings, self.neighbours[peer]
        if known.backoff_until > now:
            self.scores.on_misbehaviour(peer)
            if now < known.backoff_until - settings.prune_backoff + GRAFT_FLOOD_US:
                self.scores.on_misbehaviour(peer)
            self._refuse(peer, now)
            return
        has_room = len(self.members) < settings.d_hi or known.is_outbound
        is_full = settings.refuses_when_full and not has_room
        if is_full or self.scores.get(peer) < 0:
            self._refuse(peer, now)
            return
        self._take(peer, now)

    def _refuse(self, peer: PeerId, now: int) -> None:
        self._back_off(peer, now)
        self.tell(peer, False)

    def on_prune(self, peer: PeerId, now: int) -> None:
        """A neighbour wants out."""
        self.drop(peer)
        self._back_off(peer, now)

    def mend(self, now: int) -> None:
        """Keep the degrees. Once each heartbeat."""
        settings = self.settings
        if settings.scores:
            self.prune([one for one in self.members if self.scores.get(one) < 0], now)
        if len(self.members) < settings.d_lo:
            self._graft_some(settings.d - len(self.members), now)
        elif len(self.members) > settings.d_hi:
            self._shrink(now)
        if settings.d_out:
            outbound = sum(self.neighbours[peer].is_outbound for peer in self.members)
            if outbound < settings.d_out:
                self._graft_some(settings.d_out - outbound, now, outbound=True)
        self._beats += 1
        if settings.scores and self._beats % settings.score.opportunistic_graft_ticks == 0:
            self._graft_better(now)

    def _list_able(self, now: int) -> list[PeerId]:
        return [
            peer
            for peer, known in self.neighbours.items()
            if peer not in self.members
            and known.backoff_until <= now
            and self.scores.get(peer) >= 0
        ]

    def _graft_some(self, many: int, now: int, *, outbound: bool = False) -> None:
        """Take neighbours in at random; those we dialled alone, where `outbound`."""
        able = [
            peer
            for peer in self._list_able(now)
            if self.neighbours[peer].is_outbound or not outbound
        ]
        for peer in self.rng.sample(able, min(many, len(able))):
            self.graft(peer, now)

    def _graft_better(self, now: int) -> None:
        """Opportunistic grafting: a mesh that brings little gets some who brought more."""
        if len(self.members) <= 1:
            return
        half = median(self.scores.get(peer) for peer in self.members)
        if half >= self.scores.median_wanted:
            return
        better = [peer for peer in self._list_able(now) if self.scores.get(peer) > half]
        many = self.settings.score.opportunistic_graft_peers
        for peer in self.rng.sample(better, min(many, len(better))):
            self.graft(peer, now)

    def _shrink(self, now: int) -> None:
        """Keep the best d_score, and of the others at random, enough outbound ones among them."""
        settings, mesh = self.settings, list(self.members)
        self.rng.shuffle(mesh)
        mesh.sort(key=lambda peer: -self.scores.get(peer))
        best, rest = mesh[: settings.d_score], mesh[settings.d_score :]
        self.rng.shuffle(rest)
        wanted = settings.d_out - sum(self.neighbours[peer].is_outbound for peer in best)
        outbound = [peer for peer in rest if self.neighbours[peer].is_outbound][: max(0, wanted)]
        kept = dict.fromkeys([*best, *outbound, *rest])
        self.prune(list(kept)[settings.d :], now)
