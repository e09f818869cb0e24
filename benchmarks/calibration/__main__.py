"""Prints a table for each comparison; ends with 1 if a model is off by more than WITHIN."""

import os
import sys
from collections.abc import Mapping, Sequence
from statistics import fmean

from benchmarks.calibration import directories
from benchmarks.calibration.directories import BY_CHANCE, measure_connection, meet_simulated
from benchmarks.calibration.in_memory import spread_in_memory
from benchmarks.calibration.modelled import spread_simulated
from benchmarks.calibration.on_sockets import spread_on_sockets
from benchmarks.calibration.run_loop import StepCosts, average
from benchmarks.calibration.work import Plan, Work, tally
from benchmarks.measuring import begin
from p2p_modelex.node.configuration import LogSettings
from p2p_modelex.node.log import configure_log
from p2p_modelex.simulation.models.links import CONNECTION_BYTES
from p2p_modelex.simulation.scenario.settings import Gossip

NODES = int(os.environ.get("MODELEX_CALIBRATION_NODES", "100"))
SEEDS = (1, 2, 3, 4, 5)
JOINS_S = (10.0, 0.0)
HOSTS = 20
HOST_SEEDS = (1, 2, 3, 4, 5)
SOCKET_PLAN = Plan(HOSTS, 8, 120, 5.0, settle_s=12.0, period_s=0.13, drain_s=2.0, is_near=True)
"""Messages begin after the tenth heartbeat, at which meshes look for better neighbours; and their
period goes into a heartbeat's at no whole point, so that they meet everywhere.
"""
DIRECTORY_SEEDS = range(1, 21)
WITHIN = 0.10
"""How far a model may be off."""


def main() -> int:
    """Hold each model to the real thing."""
    begin()
    configure_log(LogSettings(level="warning"))
    worst = [_compare_in_memory(join_s) for join_s in JOINS_S]
    worst += [_compare_on_sockets(), _compare_directories()]
    return int(max(worst) > WITHIN)


def _compare_in_memory(join_s: float) -> float:
    plan = Plan(NODES, 16, 60, join_s, settle_s=30.0, period_s=0.5, drain_s=8.0)
    works = [Work(plan, seed) for seed in SEEDS]
    return _show(
        f"{NODES} nodes in memory, connected within {join_s:g} s",
        tally([spread_in_memory(work) for work in works], NODES),
        tally([spread_simulated(work, Gossip()) for work in works], NODES),
    )


def _compare_on_sockets() -> float:
    works = [Work(SOCKET_PLAN, seed) for seed in HOST_SEEDS]
    measured = [spread_on_sockets(work) for work in works]
    modelled = [
        spread_simulated(work, Gossip(), costs)
        for work, (_, costs) in zip(works, measured, strict=True)
    ]
    off = _show(
        f"{HOSTS} hosts on TCP in one process, delays in its CPU time",
        tally([log for log, _ in measured], HOSTS),
        tally(modelled, HOSTS),
    )
    _show_costs([costs for _, costs in measured])
    return off


def _show_costs(runs: Sequence[Sequence[StepCosts]]) -> None:
    names = {
        "write": "writing a frame",
        "read": "reading what a socket has",
        "first": "taking a new message",
        "known": "one known before",
        "control": "a frame without",
        "publish": "publishing",
        "heartbeat": "a heartbeat",
    }
    told = ", ".join(f"{names[kind]} {cost:.0f}" for kind, cost in average(runs).items())
    sys.stdout.write(f"\nMeasured there, and charged to the model, us of CPU: {told}.\n")


def _compare_directories() -> float:
    bytes_each = "bytes of a new connection"
    real = {**directories.meet_on_sockets(), bytes_each: measure_connection()}
    runs = [meet_simulated(seed) for seed in DIRECTORY_SEEDS]
    simulated = {name: fmean(run[name] for run in runs) for name in runs[0]}
    title = f"directories of {directories.NODES} whole nodes on TCP"
    off = _show(title, real, {**simulated, bytes_each: CONNECTION_BYTES})
    for name in BY_CHANCE:
        told = sorted(run[name] for run in runs)
        sys.stdout.write(f"\nSimulated, {name}: {told[0]:.3g} to {told[-1]:.3g}, by the seed.\n")
    return off


def _show(title: str, real: Mapping[str, float], simulated: Mapping[str, float]) -> float:
    """Print one table; returns by how much the model is off at most.

    Its own CPU does not count, nor what a few real runs do not tell from chance.
    """
    sys.stdout.write(f"\n| {title} | real | simulated | off by |\n|---|---|---|---|\n")
    worst = 0.0
    for name, measured in real.items():
        told = simulated[name]
        cells = f"| {name} | {measured:,.4g} | {told:,.4g} |"
        if name.startswith("CPU"):
            sys.stdout.write(f"{cells} |\n")
            continue
        off = told / measured - 1
        sys.stdout.write(f"{cells} {off:+.1%} |\n")
        worst = worst if name in BY_CHANCE else max(worst, abs(off))
    sys.stdout.flush()
    return worst


if __name__ == "__main__":
    sys.exit(main())
