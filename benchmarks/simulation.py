"""What an event of the simulator costs as the world grows, against the heap and digest alone."""

import msgspec

from benchmarks.measuring import Result, Stopwatch, begin, report, resident_mib
from p2p_modelex.simulation.kernel import Kernel
from p2p_modelex.simulation.run import Simulation
from p2p_modelex.simulation.scenario.reading import list_scenarios, read_scenario, scale
from p2p_modelex.simulation.scenario.tables import Scenario

SIZES = {"market": (50, 200, 1000), "convergence": (50, 200, 500)}
BARE_EVENTS = 200_000
TARGET = 50_000


class Tick(msgspec.Struct, frozen=True, gc=False):
    """An event that does nothing."""

    number: int


class Idle:
    """Asks for its next event, and no more."""

    number = 1

    def __init__(self, kernel: Kernel) -> None:
        self._kernel = kernel

    def receive(self, event: Tick) -> None:
        """Take an event."""
        self._kernel.at(self._kernel.now + 1000, self, event)


def main() -> None:
    """Measure both kinds of world at each size."""
    begin()
    bare = _measure_kernel()
    market = ["duration=100 s", "settle=10 s", "workload.0.every=20 s"]
    mesh = ["duration=60 s", "settle=0 s"]
    for name, settings in (("market", market), ("convergence", mesh)):
        scenario = read_scenario(list_scenarios()[name], settings)
        smallest: float | None = None
        for nodes in SIZES[name]:
            rate = _measure(scale(scenario, nodes), name, nodes, bare, smallest)
            smallest = smallest or rate


def _measure_kernel() -> float:
    kernel = Kernel()
    for number in range(1000):
        kernel.at(number, Idle(kernel), Tick(number))
    stop = Stopwatch()
    while kernel.events < BARE_EVENTS:
        kernel.run(kernel.now + 10_000)
    rate = kernel.events / stop.read().cpu_s
    report(Result("events of the heap and the digest alone, 1,000 targets", rate, "1/s CPU"))
    return rate


def _measure(
    scenario: Scenario, name: str, nodes: int, bare: float, smallest: float | None
) -> float:
    """Return the events a second. smallest: that of the same scenario with the fewest nodes."""
    before = resident_mib()
    with Simulation(scenario) as run:
        stop = Stopwatch()
        run.advance(scenario.duration)
        rate = run.kernel.events / stop.read().cpu_s
        times = 1.0 if smallest is None else smallest / rate
        note = (
            f"{1e6 / rate:.1f} us an event, {times:.2f} of that of the smallest; "
            f"{run.kernel.events:,} events, {resident_mib() - before:.0f} MiB more"
        )
    report(
        Result(
            f"events of the scenario {name}, {nodes} nodes",
            rate,
            "1/s CPU",
            against="heap and digest alone",
            limit=bare,
            ratio=rate / bare,
            target=f">= {TARGET:,} 1/s",
            is_met=rate >= TARGET,
            note=note,
        )
    )
    return rate


if __name__ == "__main__":
    main()
