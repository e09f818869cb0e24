"""The lowest price that still answers soon."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from p2p_modelex.core.routing.candidate import Candidate, Want, compute_cost
from p2p_modelex.core.routing.filters import Sight
from p2p_modelex.core.routing.picking import Draw, Reach, Rng, Scored, draw_by_cost
from p2p_modelex.core.routing.scorers import expect_latency
from p2p_modelex.units import format_ai


@dataclass(frozen=True, slots=True)
class Cheapest:
    """RTE-22: the cheapest that has room and is expected to begin within `bound_ms`."""

    choices: int = 4
    bound_ms: int = 5_000
    rule = "RTE-22"
    name = "cheapest"
    reach: ClassVar[Reach] = "cheap"

    def draw(self, candidates: Sequence[Candidate], want: Want, sight: Sight, rng: Rng) -> Draw:
        """Take the cheapest, equals at random, and as many of the others, where all of those may be
        busy; wait for them.
        """
        keys = [
            (compute_cost(one.offer, want), rng.random(), at) for at, one in enumerate(candidates)
        ]
        ranked = [candidates[at] for _, _, at in sorted(keys)]
        cheap, others = ranked[: self.choices], ranked[self.choices :]
        drawn = (*cheap, *draw_by_cost(others, want, rng, self.choices))
        return Draw(drawn, drawn, waits=True)

    def order(
        self, shortlist: Sequence[Scored], want: Want, sight: Sight, rng: Rng
    ) -> list[Scored]:
        """Within the bound by cost, then the others by score; equals by score."""
        keys = []
        for at, one in enumerate(shortlist):
            is_late = not self._is_soon(one, sight)
            cost = 0 if is_late else compute_cost(one.candidate.offer, want)
            keys.append((is_late, cost, -one.total, rng.random(), at))
        return [shortlist[at] for *_, at in sorted(keys)]

    def explain(self, order: Sequence[Scored], want: Want, sight: Sight) -> str:
        """Say whether the bound holds, and what it costs."""
        cost = format_ai(compute_cost(order[0].candidate.offer, want))
        if self._is_soon(order[0], sight):
            return f"the cheapest, {cost}, that is expected to begin within {self.bound_ms} ms"
        return f"none of {len(order)} is sure to begin within {self.bound_ms} ms; best score"

    def _is_soon(self, one: Scored, sight: Sight) -> bool:
        load = sight.loads.get(one.candidate.peer, sight.now)
        expected = expect_latency(one.candidate.peer, sight)
        has_room = load is not None and load.running + load.waiting < load.slots
        return has_room and expected is not None and expected <= self.bound_ms
