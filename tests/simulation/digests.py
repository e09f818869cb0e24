"""Digests of every scenario of the project, cut short, and of some random worlds.

Prints them as JSON; test_repeat.py runs it in processes of their own.
"""

import sys

import msgspec

from p2p_modelex.simulation.opening import open_run
from p2p_modelex.simulation.scenario.chance import draw_scenario
from p2p_modelex.simulation.scenario.reading import list_scenarios, read_scenario, scale
from p2p_modelex.simulation.scenario.tables import Scenario

NODES = 8
UNTIL_US = 35_000_000
"""Long enough for the first requests."""
CHANCE = range(3)


def digest(scenario: Scenario) -> str:
    with open_run(scenario) as run:
        run.advance(UNTIL_US)
        return run.kernel.trace.compute_digest()


def list_small(seed: int) -> dict[str, Scenario]:
    """The scenarios, each with so few nodes that all take seconds."""
    found = {}
    for name, path in list_scenarios().items():
        scenario = read_scenario(path, [f"seed={seed}"])
        found[name] = scale(scenario, NODES) if scenario.nodes > NODES else scenario
    return found | {f"chance-{at}": draw_scenario(seed * 100 + at) for at in CHANCE}


def digest_all(seed: int) -> dict[str, str]:
    return {name: digest(scenario) for name, scenario in list_small(seed).items()}


def main() -> None:
    sys.stdout.buffer.write(msgspec.json.encode(digest_all(int(sys.argv[1]))))


if __name__ == "__main__":
    main()
