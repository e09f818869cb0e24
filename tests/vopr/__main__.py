"""`make vopr`: worlds drawn from one seed after another, everything checked, for so many seconds.

A failure prints its seed, the commit and how to repeat it, and the run goes on; it ends with 1.
"""

import argparse
import subprocess
import sys
import time

import click

from p2p_modelex.errors import SimulationError
from p2p_modelex.simulation.run import Simulation
from p2p_modelex.simulation.scenario.chance import draw_scenario

FAILURES_SHOWN = 20


def find_commit() -> str:
    """The commit that is checked out; `unknown` outside of git."""
    command = ["git", "rev-parse", "--short", "HEAD"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return done.stdout.strip() or "unknown"


def play(seed: int) -> tuple[int, str]:
    """Run the world of a seed; returns its events, and what broke."""
    with Simulation(draw_scenario(seed)) as run:
        try:
            run.finish()
        except SimulationError as error:
            return run.kernel.events, str(error)
        return run.kernel.events, ""


def main() -> int:
    """Play until the time is over."""
    parser = argparse.ArgumentParser(prog="python -m tests.vopr")
    parser.add_argument("--seconds", type=float, default=60.0, help="how long to go on")
    parser.add_argument("--seed", type=int, default=1, help="the first seed")
    parser.add_argument("--one", action="store_true", help="play this seed alone")
    options = parser.parse_args()
    until = time.monotonic() + options.seconds
    seed, events, failures = options.seed, 0, 0
    while True:
        more, broken = play(seed)
        events += more
        if broken:
            failures += 1
            click.echo(f"seed {seed} at commit {find_commit()}: {broken}")
            click.echo(f"  repeat: python -m tests.vopr --one --seed {seed}")
        seed += 1
        if options.one or time.monotonic() > until or failures >= FAILURES_SHOWN:
            break
    worlds = seed - options.seed
    click.echo(f"{worlds} worlds, {events:,} events, {failures} failed; seeds from {options.seed}")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
