"""Anybody: what every other picker is measured against."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from p2p_modelex.core.routing.candidate import Candidate, Want
from p2p_modelex.core.routing.filters import Sight
from p2p_modelex.core.routing.picking import Draw, Reach, Rng, Scored


@dataclass(frozen=True, slots=True)
class AtRandom:
    """RTE-18: each candidate has the same chance; nobody is asked."""

    rule = "RTE-18"
    name = "random"
    reach: ClassVar[Reach] = "any"

    def draw(self, candidates: Sequence[Candidate], want: Want, sight: Sight, rng: Rng) -> Draw:
        """Take all."""
        return Draw(tuple(candidates))

    def order(
        self, shortlist: Sequence[Scored], want: Want, sight: Sight, rng: Rng
    ) -> list[Scored]:
        """Shuffle."""
        keys = sorted((rng.random(), at) for at in range(len(shortlist)))
        return [shortlist[at] for _, at in keys]

    def explain(self, order: Sequence[Scored], want: Want, sight: Sight) -> str:
        """Say that it was luck."""
        return f"drawn at random among {len(order)}"
