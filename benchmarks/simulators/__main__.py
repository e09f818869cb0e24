"""The same gossip in our simulator and in what one would take instead, and how far each goes.

Each run is a process of its own. A side that is not installed is named on stderr and left out.
"""

import subprocess
import sys

import msgspec

from benchmarks.measuring import Result, begin, report
from benchmarks.simulators.outcome import Outcome
from benchmarks.simulators.side import MISSING, SIDES

COMMON = 50
"""Nodes at which all sides are compared."""
NODES_MAX = 25_600
MINUTE_S = 60.0
"""CPU that a run may take, and memory, to count as one that a researcher would wait for."""
MEMORY_MIB = 2048.0
TIMEOUT_S = 900.0

TITLES = {
    "routers": "our simulator, gossip alone",
    "whole nodes": "our simulator, whole nodes, each message fetched and judged too",
    "SimPy": "SimPy with our routers",
    "py-libp2p": "py-libp2p's pubsub in memory, Trio's MockClock",
    "js-libp2p": "js-libp2p hosts on TCP in one process",
}


def main() -> None:
    """Report each side at COMMON nodes, then the most nodes that it takes."""
    begin()
    outcomes = {name: run_side(name, COMMON) for name in SIDES}
    real = outcomes["py-libp2p"]
    for name, outcome in outcomes.items():
        if outcome is not None:
            _report_cost(name, outcome, real)
    for name, outcome in outcomes.items():
        if outcome is not None:
            _report_largest(name, outcome)


def run_side(name: str, nodes: int) -> Outcome | None:
    """Run one side; None, and why on stderr, if it is missing or takes too long."""
    command = [sys.executable, "-m", "benchmarks.simulators.side", name, str(nodes)]
    try:
        done = subprocess.run(
            command, stdout=subprocess.PIPE, text=True, timeout=TIMEOUT_S, check=True
        )
    except subprocess.TimeoutExpired:
        sys.stderr.write(f"{name} with {nodes} nodes took over {TIMEOUT_S:.0f} s\n")
        return None
    except subprocess.CalledProcessError as error:
        if error.returncode != MISSING:
            sys.stderr.write(f"{name} with {nodes} nodes ended with {error.returncode}\n")
        return None
    return msgspec.json.decode(done.stdout, type=Outcome)


def _report_cost(name: str, outcome: Outcome, real: Outcome | None) -> None:
    rate = outcome.deliveries / outcome.cpu_s
    limit = None if real is None or real is outcome else real.deliveries / real.cpu_s
    report(
        Result(
            f"{TITLES[name]}, {COMMON} nodes",
            rate,
            "deliveries/s CPU",
            "" if limit is None else "py-libp2p in memory",
            limit,
            None if limit is None else rate / limit,
            "delivered 1.00",
            outcome.delivered == 1.0,
            note=_describe(outcome),
        )
    )


def _describe(outcome: Outcome) -> str:
    told = [f"delivered {outcome.delivered:.2f}"]
    if outcome.hops is not None:
        told.append(f"{outcome.hops:.2f} hops")
    if outcome.duplicates is not None:
        told.append(f"{outcome.duplicates:.2f} duplicates")
    if outcome.delay_p50_ms is not None:
        told.append(f"p50 {outcome.delay_p50_ms:.0f} ms")
    if outcome.events is not None:
        told.append(f"{outcome.events / outcome.cpu_s:,.0f} events/s")
    told.append(f"{outcome.resident_mib:.0f} MiB, {outcome.whole_cpu_s:.1f} s CPU in all")
    return ", ".join(told)


def _report_largest(name: str, outcome: Outcome) -> None:
    nodes, largest = COMMON, outcome
    while 2 * nodes <= NODES_MAX:
        following = run_side(name, 2 * nodes)
        if following is None or not _is_within(following):
            break
        nodes, largest = 2 * nodes, following
    report(
        Result(
            f"  {TITLES[name]}, the most in a minute of CPU and 2 GiB, by doubling",
            nodes,
            "nodes",
            note=_describe(largest),
        )
    )


def _is_within(outcome: Outcome) -> bool:
    return outcome.whole_cpu_s <= MINUTE_S and outcome.resident_mib <= MEMORY_MIB


if __name__ == "__main__":
    main()
