"""What an event of the simulator costs as the world grows, against the heap and digest alone.

`python -m benchmarks.simulation --plot FILE.png` takes more sizes and draws them
(needs matplotlib).
"""

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from benchmarks.measuring import Result, Stopwatch, begin, report, resident_mib
from p2p_modelex.simulation.kernel import Kernel
from p2p_modelex.simulation.results.drawing import (
    Plot,
    draw_legend,
    draw_line,
    open_axes,
    render_png,
)
from p2p_modelex.simulation.run import Simulation
from p2p_modelex.simulation.scenario.reading import list_scenarios, read_scenario, scale
from p2p_modelex.simulation.scenario.tables import Scenario

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SIZES = {"market": (50, 200, 1000), "convergence": (50, 200, 500)}
SIZES_DRAWN = {
    "market": (50, 100, 200, 400, 700, 1000),
    "convergence": (50, 100, 200, 400, 700, 1000),
}
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


Costs = Mapping[str, Mapping[int, float]]
"""Microseconds of CPU an event, by the scenario and its nodes."""


def main() -> None:
    """Measure both kinds of world at each size."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--plot", type=Path, help="draw microseconds an event against nodes here")
    plot: Path | None = parser.parse_args().plot
    begin()
    costs = _measure_all(SIZES_DRAWN if plot else SIZES, _measure_kernel())
    if plot:
        plot.write_bytes(render_png(_build_plot(costs)))


def _measure_all(sizes: Mapping[str, tuple[int, ...]], bare: float) -> Costs:
    market = ["duration=100 s", "settle=10 s", "workload.0.every=20 s"]
    mesh = ["duration=60 s", "settle=0 s"]
    costs: dict[str, dict[int, float]] = {}
    for name, settings in (("market", market), ("convergence", mesh)):
        scenario = read_scenario(list_scenarios()[name], settings)
        smallest: float | None = None
        costs[name] = {}
        for nodes in sizes[name]:
            rate = _measure(scale(scenario, nodes), name, nodes, bare, smallest)
            smallest = smallest or rate
            costs[name][nodes] = 1e6 / rate
    return costs


def _build_plot(costs: Costs) -> Plot:
    def draw(figure: "Figure") -> None:
        axes = open_axes(figure, "nodes", "us of CPU an event")
        for at, (name, found) in enumerate(costs.items()):
            draw_line(axes, list(found), list(found.values()), name, at)
        axes.axhline(1e6 / TARGET, color="grey", linewidth=0.8, label="target")
        axes.set_ylim(bottom=0)
        draw_legend(axes)

    said = "; ".join(
        f"{name}: " + ", ".join(f"{cost:.1f} us with {nodes}" for nodes, cost in found.items())
        for name, found in costs.items()
    )
    return Plot("events", "What an event costs", said, draw)


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
