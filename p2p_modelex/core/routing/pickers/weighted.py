"""Anybody, but the better the likelier."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from p2p_modelex.core.routing.candidate import Candidate, Want
from p2p_modelex.core.routing.filters import Sight
from p2p_modelex.core.routing.picking import Draw, Reach, Rng, Scored

LEAST = 1e-6
"""The weight of who scores nothing: last, but still there for failover."""


@dataclass(frozen=True, slots=True)
class Weighted:
    """RTE-19: a candidate's chance is in proportion to its score; nobody is asked."""

    rule = "RTE-19"
    name = "weighted"
    reach: ClassVar[Reach] = "any"

    def draw(self, candidates: Sequence[Candidate], want: Want, sight: Sight, rng: Rng) -> Draw:
        """Take all."""
        return Draw(tuple(candidates))

    def order(
        self, shortlist: Sequence[Scored], want: Want, sight: Sight, rng: Rng
    ) -> list[Scored]:
        """Draw one after the other, by weight (Efraimidis and Spirakis 2006)."""
        keys = [
            (-(rng.random() ** (1 / max(one.total, LEAST))), at) for at, one in enumerate(shortlist)
        ]
        return [shortlist[at] for _, at in sorted(keys)]

    def explain(self, order: Sequence[Scored], want: Want, sight: Sight) -> str:
        """Say which share of the chances it had."""
        share = max(order[0].total, LEAST) / sum(max(one.total, LEAST) for one in order)
        return f"drawn by score among {len(order)}; its chance was {share:.0%}"
