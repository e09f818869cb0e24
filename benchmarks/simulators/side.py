"""`python -m benchmarks.simulators.side NAME NODES`: run one side, print its outcome as JSON.

A process of its own for each, so that its CPU and its memory are its own.
"""

import resource
import sys
from collections.abc import Callable, Mapping

import msgspec

from benchmarks.calibration.work import PAYLOAD_BYTES, TOPIC, Plan, Work
from benchmarks.simulators.outcome import Outcome, sum_up

SEED = 1
MISSING = 3
"""The exit status of a side that is not installed here; why is on stderr."""
JS_SETTLE_S, JS_DRAIN_S = 5.0, 4.0
JS_TIMEOUT_S = 600.0
CPU_MAX_S = 70
"""Whoever takes more is ended; js-libp2p's process has as much again."""


def _plan(nodes: int) -> Plan:
    return Plan(nodes, 16, 60, 10.0, settle_s=30.0, period_s=0.5, drain_s=8.0)


def _run_routers(nodes: int) -> Outcome:
    from benchmarks.calibration.modelled import spread_simulated
    from p2p_modelex.simulation.scenario.settings import Gossip

    return sum_up(spread_simulated(Work(_plan(nodes), SEED), Gossip()), nodes)


def _run_whole_nodes(nodes: int) -> Outcome:
    from benchmarks.simulators.whole_nodes import spread_by_whole_nodes

    return spread_by_whole_nodes(_plan(nodes), SEED)


def _run_simpy(nodes: int) -> Outcome:
    try:
        from benchmarks.simulators.by_simpy import SimpyMesh
    except ImportError:
        sys.stderr.write("SimPy is not installed (pip install 'p2p-modelex[bench]')\n")
        sys.exit(MISSING)
    return sum_up(SimpyMesh(Work(_plan(nodes), SEED)).run(), nodes)


def _run_py_libp2p(nodes: int) -> Outcome:
    from benchmarks.calibration.in_memory import spread_in_memory

    return sum_up(spread_in_memory(Work(_plan(nodes), SEED)), nodes)


def _run_js_libp2p(nodes: int) -> Outcome:
    from benchmarks.gossip import run_js

    work, plan = Work(_plan(nodes), SEED), _plan(nodes)
    spread = run_js(
        {
            "nodes": nodes,
            "links": [(one, other) for _, one, other in work.links],
            "messages": plan.messages,
            "period_ms": plan.period_s * 1000,
            "bytes": PAYLOAD_BYTES,
            # Its time is the machine's: as long as its meshes take to settle, and no longer.
            "settle_ms": JS_SETTLE_S * 1000,
            "drain_ms": JS_DRAIN_S * 1000,
            "topic": TOPIC,
        },
        JS_TIMEOUT_S,
    )
    if spread is None:
        sys.exit(MISSING)
    due = plan.messages * (nodes - 1)
    return Outcome(spread.delivered / due, spread.delivered, spread.cpu_s)


SIDES: Mapping[str, Callable[[int], Outcome]] = {
    "routers": _run_routers,
    "whole nodes": _run_whole_nodes,
    "SimPy": _run_simpy,
    "py-libp2p": _run_py_libp2p,
    "js-libp2p": _run_js_libp2p,
}


def main(name: str, nodes: str) -> None:
    """Print what a side came to; exits with MISSING if it is not there."""
    resource.setrlimit(resource.RLIMIT_CPU, (CPU_MAX_S, CPU_MAX_S))
    outcome = SIDES[name](int(nodes))
    # js-libp2p's hosts are in a child; Linux tells the most a process held, in KiB.
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    own = resource.getrusage(resource.RUSAGE_SELF)
    is_child = name == "js-libp2p"
    spent = children if is_child else own
    outcome = msgspec.structs.replace(
        outcome,
        whole_cpu_s=spent.ru_utime + spent.ru_stime,
        resident_mib=spent.ru_maxrss / 1024,
    )
    sys.stdout.write(msgspec.json.encode(outcome).decode() + "\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
