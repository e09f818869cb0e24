"""Scorers: how good a candidate is, 0 to 1; weights are the profile's. Rules RTE-9 to RTE-49."""

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Protocol

from p2p_modelex.core.routing.candidate import Candidate, Want, compute_cost
from p2p_modelex.core.routing.filters import Sight
from p2p_modelex.core.routing.rating_book import RATING_MAX
from p2p_modelex.core.routing.ring import distance
from p2p_modelex.ids import PeerId

LATENCY_GRAIN_MS = 10
"""Times to the first token that differ by less say little: added to both that are compared."""
TRIP_GRAIN_MS = 5
"""The same of round trips: below, it is a matter of who had its turn."""
CACHE_WHOLE = 10_000
"""All of what came again was still there, in basis points."""
FUNDED = 3
"""Providers that can be paid at once and are always compared. Until there are as many a deposit
counts for nothing: of three one may be busy and one away, and a chain that is away is outlasted.
"""
UNKNOWN = 0.25
"""The score of a load nobody told us: below a free peer's, above a full one's."""


class Scorer(Protocol):
    """One quality."""

    rule: str
    name: str

    def scores(self, candidates: Sequence[Candidate], want: Want, sight: Sight) -> list[float]:
        """Return a score in [0, 1] for each candidate, in their order."""
        ...


class Price:
    """RTE-9: the cheapest among these over the candidate's cost."""

    rule = "RTE-9"
    name = "price"

    def scores(self, candidates: Sequence[Candidate], want: Want, sight: Sight) -> list[float]:
        """Return cheapest / cost; what is free scores 1."""
        costs = [compute_cost(candidate.offer, want) for candidate in candidates]
        cheapest = min(costs, default=0)
        return [cheapest / cost if cost else 1.0 for cost in costs]


def expect_latency(peer: PeerId, sight: Sight) -> float | None:
    """Return the ms to the first token to expect: what the peer says, or what we saw if it is more.

    So who says less than it does is found out. None where neither is known.
    """
    load, past = sight.loads.get(peer, sight.now), sight.history.get(peer)
    told = None if load is None else float(load.latency_ms)
    seen = None if past is None else past.first_ms
    return max((one for one in (told, seen) if one is not None), default=None)


class Latency:
    """RTE-10: the shortest expected time to the first token among these over the candidate's, with
    that of a deposit where one is wanted and three of the others need none.
    """

    rule = "RTE-10"
    name = "latency"

    def scores(self, candidates: Sequence[Candidate], want: Want, sight: Sight) -> list[float]:
        """Return shortest / expected: who is three times slower scores a third, at any size."""
        expected = [expect_latency(candidate.peer, sight) for candidate in candidates]
        deposit_ms = sight.history.deposit_ms
        funded = [bool(deposit_ms) and sight.can_pay(one, want) for one in candidates]
        wait = deposit_ms if sum(funded) >= FUNDED else 0.0
        waited = [
            one if one is None or is_funded else one + wait
            for one, is_funded in zip(expected, funded, strict=True)
        ]
        return _compare(waited, LATENCY_GRAIN_MS)


class FreeSlots:
    """RTE-11: slots / (slots + requests running and waiting), by the last probe."""

    rule = "RTE-11"
    name = "load"

    def scores(self, candidates: Sequence[Candidate], want: Want, sight: Sight) -> list[float]:
        """Return 1 for an idle peer, a half for one whose slots are all taken, 0 for no slots."""
        loads = [sight.loads.get(candidate.peer, sight.now) for candidate in candidates]
        return [
            UNKNOWN
            if load is None
            else load.slots / max(load.slots + load.running + load.waiting, 1)
            for load in loads
        ]


class Affinity:
    """RTE-15: 1 / (1 + place after the conversation's point on the ring), among these."""

    rule = "RTE-15"
    name = "affinity"

    def scores(self, candidates: Sequence[Candidate], want: Want, sight: Sight) -> list[float]:
        """Return 1 for the peer that a conversation belongs to; all score 1 if it has no point."""
        if not want.prefix:
            return [1.0] * len(candidates)
        ring = sorted((distance(one.peer, want.prefix), at) for at, one in enumerate(candidates))
        scores = [0.0] * len(candidates)
        for after, (_, at) in enumerate(ring):
            scores[at] = 1 / (1 + after)
        return scores


def score_record(peer: PeerId, sight: Sight) -> float:
    """Return (good + 1) / (good + bad + 2), so a half for strangers."""
    past = sight.history.get(peer)
    return 0.5 if past is None else (past.good + 1) / (past.good + past.bad + 2)


def score_rating(peer: PeerId, sight: Sight) -> float:
    """Return the rating as a share of the highest there can be."""
    rating = sight.ratings.get(peer)
    return UNKNOWN if rating is None else rating / RATING_MAX


class Record:
    """RTE-16: of our own jobs there, the share that ended well (Laplace's rule of succession)."""

    rule = "RTE-16"
    name = "record"

    def scores(self, candidates: Sequence[Candidate], want: Want, sight: Sight) -> list[float]:
        """Return the share for each."""
        return [score_record(candidate.peer, sight) for candidate in candidates]


class Distance:
    """RTE-46: the shortest round trip among these over the candidate's."""

    rule = "RTE-46"
    name = "distance"

    def scores(self, candidates: Sequence[Candidate], want: Want, sight: Sight) -> list[float]:
        """Return nearest / distance, by how long probes took."""
        return _compare([sight.loads.get_trip(one.peer) for one in candidates], TRIP_GRAIN_MS)


class Rating:
    """RTE-49: the rating on chain by those whom the operator believes."""

    rule = "RTE-49"
    name = "rating"

    def scores(self, candidates: Sequence[Candidate], want: Want, sight: Sight) -> list[float]:
        """Return the share for each."""
        return [score_rating(candidate.peer, sight) for candidate in candidates]


class Cached:
    """RTE-50: the share of the prompt that the peer has read, times what it says it keeps."""

    rule = "RTE-50"
    name = "cache"

    def scores(self, candidates: Sequence[Candidate], want: Want, sight: Sight) -> list[float]:
        """Return 0 but for the peer that read the most of the prompt last."""
        reader, share = sight.history.readers.find(want.turns) or (None, 0.0)
        scores = [0.0] * len(candidates)
        for at, candidate in enumerate(candidates):
            if candidate.peer == reader:
                load = sight.loads.get(candidate.peer, sight.now)
                kept = UNKNOWN if load is None else load.cached / CACHE_WHOLE
                scores[at] = share * kept
        return scores


def _compare(costs: Sequence[float | None], grain: float) -> list[float]:
    """Return lowest / cost for each, a grain added to both; UNKNOWN where there is none."""
    lowest = min((one for one in costs if one is not None), default=0.0) + grain
    return [UNKNOWN if one is None else lowest / (one + grain) for one in costs]


_ALL: tuple[Scorer, ...] = (
    Price(),
    Latency(),
    FreeSlots(),
    Affinity(),
    Record(),
    Distance(),
    Rating(),
    Cached(),
)
SCORERS: Mapping[str, Scorer] = MappingProxyType({one.name: one for one in _ALL})
"""By the name that a profile gives them."""
