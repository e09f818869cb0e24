"""`make vopr`: worlds drawn from one seed after another, everything checked, for so many seconds.

A failure prints its seed, the commit, and the smallest scenario that fails alike, and the run goes
on; it ends with 1. What the worlds reached of the cores, and what they never do, comes at the end.
"""

import argparse
import sys
import time
from pathlib import Path

import click

from p2p_modelex.cli.simulate_again import find_code, write_shrunk
from p2p_modelex.errors import SimulationError
from p2p_modelex.simulation.opening import open_run
from p2p_modelex.simulation.repeat.shrink import shrink
from p2p_modelex.simulation.scenario.chance import draw_scenario
from tests.vopr.reach import Reach

FAILURES_SHOWN = 20


def play(seed: int, reach: Reach) -> tuple[int, str]:
    """Run the world of a seed; returns its events, and what broke."""
    scenario = draw_scenario(seed)
    reach.note_scenario(scenario)
    with open_run(scenario) as run, reach.watching(run):
        try:
            run.finish()
        except SimulationError as error:
            return run.kernel.events, str(error)
        return run.kernel.events, ""


def show_failure(seed: int, broken: str, shrinks_s: float) -> None:
    """Print what broke, and what is left of its world."""
    click.echo(f"seed {seed} with {find_code()}: {broken}")
    click.echo(f"  repeat: python -m tests.vopr --one --seed {seed}")
    until = time.monotonic() + shrinks_s
    shrunk = shrink(draw_scenario(seed), is_late=lambda: time.monotonic() > until)
    rest = "" if shrunk.is_whole else ", and there was no time for more"
    click.echo(f"  shrunk in {shrunk.tries} tries{rest}: a file for tests/simulation/regressions")
    click.echo(write_shrunk(shrunk.scenario, shrunk.failure, Path(f"chance-{seed}.toml")))


def main() -> int:
    """Play until the time is over."""
    parser = argparse.ArgumentParser(prog="python -m tests.vopr")
    parser.add_argument("--seconds", type=float, default=60.0, help="how long to go on")
    parser.add_argument("--seed", type=int, default=1, help="the first seed")
    parser.add_argument("--one", action="store_true", help="play this seed alone")
    parser.add_argument("--shrink", type=float, default=120.0, help="seconds for each failure")
    options = parser.parse_args()
    until = time.monotonic() + options.seconds
    seed, events, failures, reach = options.seed, 0, 0, Reach()
    while True:
        more, broken = play(seed, reach)
        events += more
        if broken:
            failures += 1
            show_failure(seed, broken, options.shrink)
        seed += 1
        if options.one or time.monotonic() > until or failures >= FAILURES_SHOWN:
            break
    for line in reach.tell():
        click.echo(line)
    worlds = seed - options.seed
    click.echo(
        f"{worlds} worlds, {events:,} events, {failures} failed; seeds from {options.seed}, "
        f"{find_code()}"
    )
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
