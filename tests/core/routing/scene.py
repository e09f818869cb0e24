"""Candidates, and a router with all that it looks at."""

import random
from typing import Any

import msgspec

from p2p_modelex.core.routing.candidate import Candidate, Want, build_candidates
from p2p_modelex.core.routing.circuits import Circuits
from p2p_modelex.core.routing.decision import Decision
from p2p_modelex.core.routing.filters import Sight
from p2p_modelex.core.routing.history import History
from p2p_modelex.core.routing.loads import ProbeBook
from p2p_modelex.core.routing.profile import PROFILES, Profile
from p2p_modelex.core.routing.rating_book import RatingBook
from p2p_modelex.core.routing.router import Router, Selection
from p2p_modelex.ids import JobId, PeerId, PublicKey, peer_id_of
from p2p_modelex.records.advertisement import Advertisement, Offer, Section
from p2p_modelex.records.job import Load
from p2p_modelex.records.registry import Standing
from p2p_modelex.units import Epoch, UnixMs, Wei


def load(running: int, slots: int = 4, latency_ms: int = 100) -> Load:
    return Load(0, running, 0, slots, latency_ms, 0)


NOW = UnixMs(1_800_000_000_000)


def peer(number: int) -> PeerId:
    return peer_id_of(PublicKey(bytes([number]) * 32))


def offer(model: str = "m", price: int = 1, **changes: Any) -> Offer:
    plain = Offer(model, b"w" * 32, ("chat",), 2048, 512, (), Wei(price), Wei(price), 0, 64, 0)
    return msgspec.structs.replace(plain, **changes)


def candidate(
    number: int, one: Offer | None = None, standing: Standing = Standing.UNREGISTERED
) -> Candidate:
    """A candidate that claims to be whitelisted, whatever its standing is."""
    one, claim = one or offer(), Section.WHITELISTED
    said = Advertisement(NOW, 60_000, "t", ("/memory/1",), (one,), (), claim, (), bytes(32))
    expires_at = UnixMs(NOW + 60_000)
    return next(iter(build_candidates(peer(number), said, expires_at, Epoch(0), standing)))


WANT = Want("chat", max_tokens=10)


class Scene:
    def __init__(self, profile: str | Profile = "default", seed: int = 1) -> None:
        self.circuits = Circuits()
        self.loads = ProbeBook()
        rng = random.Random(seed)
        self.history = History()
        self.ratings = RatingBook()
        self.funded: set[PeerId] = set()
        """Who can be paid without a deposit."""
        chosen = PROFILES[profile] if isinstance(profile, str) else profile
        self.router = Router(
            rng, self.circuits, self.loads, self.history, chosen, self.ratings, self.can_pay
        )

    def can_pay(self, one: Candidate, _: Want) -> bool:
        return one.peer in self.funded

    def serve(self, number: int, *ends: bool) -> None:
        """Have jobs end well or badly there."""
        for is_good in ends:
            self.router.on_order(JobId(bytes(16)), peer(number), NOW)
            self.router.on_end(JobId(bytes(16)), peer(number), is_good=is_good)

    def select(self, *candidates: Candidate, **want: Any) -> Selection:
        wanted = Want(**({"kind": "chat"} | want))
        return self.router.select(candidates, wanted, NOW)

    def shortlist(self, kept: list[Candidate]) -> tuple[Candidate, ...]:
        return self.router.draw(kept, WANT, NOW).shortlist

    def sight(self) -> Sight:
        return Sight(self.circuits, self.loads, self.history, NOW, can_pay=self.can_pay)

    def explain(self, kept: list[Candidate], want: Want = WANT) -> Decision:
        selection = self.router.select(kept, want, NOW)
        draw = self.router.draw(selection.kept, want, NOW)
        return self.router.explain(selection, draw.shortlist, want, NOW)

    def first(self, kept: list[Candidate], want: Want = WANT) -> PeerId:
        return self.explain(kept, want).ranked[0].candidate.peer
