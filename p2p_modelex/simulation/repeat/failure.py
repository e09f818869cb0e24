"""How a run fails, apart from its numbers: what two failures have in common."""

import re

import msgspec

from p2p_modelex.errors import SimulationError
from p2p_modelex.simulation.opening import open_run
from p2p_modelex.simulation.scenario.tables import Scenario

SLICES = 100
"""How often a run is looked at while it goes on."""
_NUMBER = re.compile(r"0x[0-9a-f]+|\b[0-9a-f]{8,}\b|-?\d+(\.\d+)?(e[-+]?\d+)?")


class Failure(msgspec.Struct, frozen=True):
    """said: the message. at_us: when it came. events: how many there had been."""

    said: str
    at_us: int
    events: int

    @property
    def kind(self) -> str:
        """The message without its nodes, times and amounts."""
        return _NUMBER.sub("#", self.said)


def find_failure(scenario: Scenario, *, events_max: int | None = None) -> Failure | None:
    """Run a scenario and return what it fails by: a breach, or the first of what it asks in vain.

    None if it holds, or has not failed after about `events_max`.
    """
    with open_run(scenario) as run:
        said = ""
        try:
            for number in range(1, SLICES + 1):
                run.advance(scenario.duration * number // SLICES)
                if events_max is not None and run.kernel.events > events_max:
                    return None
            said = next(iter(run.finish().unmet), "")
        except SimulationError as error:
            said = str(error)
        return Failure(said, run.kernel.now, run.kernel.events) if said else None
