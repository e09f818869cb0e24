"""Consistent hashing with bounded loads (Mirrokni, Thorup, Zadimoghaddam 2018).

A conversation goes to the peer that has its prefix in the cache, unless that one is overloaded.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil
from typing import ClassVar

from p2p_modelex.core.routing.candidate import Candidate, Want
from p2p_modelex.core.routing.filters import Sight
from p2p_modelex.core.routing.picking import Draw, Reach, Rng, Scored
from p2p_modelex.core.routing.ring import distance

EXCESS = 1.25
"""c of the paper: nobody takes more than so many times its share."""


@dataclass(frozen=True, slots=True)
class PrefixAffinity:
    """RTE-21: the first on the ring, after the conversation's point, that is within its bound."""

    choices: int = 4
    rule = "RTE-21"
    name = "affinity"
    reach: ClassVar[Reach] = "near"

    def draw(self, candidates: Sequence[Candidate], want: Want, sight: Sight, rng: Rng) -> Draw:
        """Take the first on the ring; wait for their load."""
        ring = sorted(candidates, key=lambda one: distance(one.peer, want.prefix))
        drawn = tuple(ring[: self.choices])
        return Draw(drawn, drawn, waits=True)

    def order(
        self, shortlist: Sequence[Scored], want: Want, sight: Sight, rng: Rng
    ) -> list[Scored]:
        """Those within their bound in the ring's order, then the others in it."""
        bounds = _compute_bounds(shortlist, sight)
        return sorted(
            shortlist,
            key=lambda one: (
                not _is_within(one, bounds, sight),
                distance(one.candidate.peer, want.prefix),
            ),
        )

    def explain(self, order: Sequence[Scored], want: Want, sight: Sight) -> str:
        """Say how many were passed over, and for what."""
        first = order[0].candidate.peer
        mine = distance(first, want.prefix)
        before = sum(distance(one.candidate.peer, want.prefix) < mine for one in order)
        if not _is_within(order[0], _compute_bounds(order, sight), sight):
            return "the conversation's own, though neither it nor those after it have room"
        if not before:
            return "the conversation belongs to it, and it has room"
        return f"it has room; {before} before it, to whom the conversation belongs, have none"


def _compute_bounds(shortlist: Sequence[Scored], sight: Sight) -> dict[bytes, float]:
    """Return the most that each may hold, this request included; a free slot is always room."""
    loads = {
        one.candidate.peer: load
        for one in shortlist
        if (load := sight.loads.get(one.candidate.peer, sight.now)) is not None
    }
    slots = max(sum(load.slots for load in loads.values()), 1)
    held = sum(load.running + load.waiting for load in loads.values())
    return {
        peer: max(load.slots, ceil(EXCESS * (held + 1) / slots * load.slots))
        for peer, load in loads.items()
    }


def _is_within(one: Scored, bounds: dict[bytes, float], sight: Sight) -> bool:
    load = sight.loads.get(one.candidate.peer, sight.now)
    return load is not None and load.running + load.waiting < bounds[one.candidate.peer]
