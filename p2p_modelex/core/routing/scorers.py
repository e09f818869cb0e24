"""Scorers: how good a candidate is, 0 to 1. Rules RTE-9 to RTE-11; weights are the profile's."""

from collections.abc import Sequence
from typing import Protocol

from p2p_modelex.core.routing.candidate import Candidate, Want, compute_cost
from p2p_modelex.core.routing.filters import Sight

LATENCY_HALF_MS = 500
"""A median time to the first token that scores one half."""
UNKNOWN = 0.25
"""The score of a load nobody told us: below a free peer's, above a full one's."""


class Scorer(Protocol):
    """One quality."""

    rule: str

    def scores(self, candidates: Sequence[Candidate], want: Want, sight: Sight) -> list[float]:
        """Return a score in [0, 1] for each candidate, in their order."""
        ...


class Price:
    """RTE-9: the cheapest among these over the candidate's cost."""

    rule = "RTE-9"

    def scores(self, candidates: Sequence[Candidate], want: Want, sight: Sight) -> list[float]:
        """Return cheapest / cost; what is free scores 1."""
        costs = [compute_cost(candidate.offer, want) for candidate in candidates]
        cheapest = min(costs, default=0)
        return [cheapest / cost if cost else 1.0 for cost in costs]


class Latency:
    """RTE-10: half / (half + median time to the first token), by the last probe."""

    rule = "RTE-10"

    def scores(self, candidates: Sequence[Candidate], want: Want, sight: Sight) -> list[float]:
        """Return a score that falls with latency."""
        loads = [sight.loads.get(candidate.peer, sight.now) for candidate in candidates]
        return [
            UNKNOWN if load is None else LATENCY_HALF_MS / (LATENCY_HALF_MS + load.latency_ms)
            for load in loads
        ]


class FreeSlots:
    """RTE-11: slots / (slots + requests running and waiting), by the last probe."""

    rule = "RTE-11"

    def scores(self, candidates: Sequence[Candidate], want: Want, sight: Sight) -> list[float]:
        """Return 1 for an idle peer, a half for one whose slots are all taken, 0 for no slots."""
        loads = [sight.loads.get(candidate.peer, sight.now) for candidate in candidates]
        return [
            UNKNOWN
            if load is None
            else load.slots / max(load.slots + load.running + load.waiting, 1)
            for load in loads
        ]
