"""How a run fails, apart from its numbers: what two failures have in common."""

import re
from collections.abc import Mapping

import msgspec

from p2p_modelex.errors import SimulationError
from p2p_modelex.simulation.opening import open_run
from p2p_modelex.simulation.run import find_unmet
from p2p_modelex.simulation.scenario.tables import Expectation, Scenario

SLICES = 100
"""How often a run is looked at while it goes on."""
_NUMBER = re.compile(r"0x[0-9a-f]+|\b[0-9a-f]{8,}\b|-?\d+(\.\d+)?(e[-+]?\d+)?")


class Failure(msgspec.Struct, frozen=True):
    """said: the message. at_us: when it came. events: how many there had been. short: of what
    is asked in vain, how far its measure is from it, 0 if it was not measured; None of a breach.
    """

    said: str
    at_us: int
    events: int
    short: float | None = None

    @property
    def kind(self) -> str:
        """The message without its nodes, times and amounts."""
        return _NUMBER.sub("#", self.said)

    def is_like(self, other: "Failure") -> bool:
        """Whether it is the same failure as another, and no worse."""
        return self.kind == other.kind and (self.short or 0.0) <= (other.short or 0.0)


def find_failure(scenario: Scenario, *, events_max: int | None = None) -> Failure | None:
    """Run a scenario and return what it fails by: a breach, or the first of what it asks in vain.

    None if it holds, or has not failed after about `events_max`.
    """
    with open_run(scenario) as run:
        said, short = "", None
        try:
            for number in range(1, SLICES + 1):
                run.advance(scenario.duration * number // SLICES)
                if events_max is not None and run.kernel.events > events_max:
                    return None
            measures = run.finish().measures
            for wanted in scenario.hold:
                said = find_unmet(wanted, measures) or ""
                if said:
                    short = _compute_short(wanted, measures)
                    break
        except SimulationError as error:
            said = str(error)
        return Failure(said, run.kernel.now, run.kernel.events, short) if said else None


def _compute_short(wanted: Expectation, measures: Mapping[str, float]) -> float:
    value = measures.get(wanted.measure)
    if value is None:
        return 0.0
    least = value if wanted.at_least is None else wanted.at_least
    most = value if wanted.at_most is None else wanted.at_most
    return max(least - value, value - most)
