"""Power of d choices (M. Mitzenmacher 2001): draw a few, ask them, take the best."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from p2p_modelex.core.routing.candidate import Candidate, Want
from p2p_modelex.core.routing.filters import Sight
from p2p_modelex.core.routing.picking import (
    Draw,
    Reach,
    Rng,
    Scored,
    draw_by_cost,
    draw_by_trust,
    order_by_total,
)


@dataclass(frozen=True, slots=True)
class PowerOfD:
    """RTE-12: the best score of `choices` drawn and probed.

    choices: 2 gives most of the gain; more costs probes and herds towards the momentarily best.
    """

    choices: int = 4
    rule = "RTE-12"
    name = "power_of_d"
    reach: ClassVar[Reach] = "any"

    def draw(self, candidates: Sequence[Candidate], want: Want, sight: Sight, rng: Rng) -> Draw:
        """Draw half of them by cost and half by trust; wait for them."""
        drawn = draw_by_cost(candidates, want, rng, (self.choices + 1) // 2)
        others = [one for one in candidates if one not in drawn]
        drawn += draw_by_trust(others, sight, rng, self.choices - len(drawn))
        return Draw(drawn, drawn, waits=True)

    def order(
        self, shortlist: Sequence[Scored], want: Want, sight: Sight, rng: Rng
    ) -> list[Scored]:
        """Order by score."""
        return order_by_total(shortlist, rng)

    def explain(self, order: Sequence[Scored], want: Want, sight: Sight) -> str:
        """Say what it won against."""
        return f"the highest score, {order[0].total:.3f}, of {len(order)} drawn"
