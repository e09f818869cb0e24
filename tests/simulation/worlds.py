"""Small worlds for the tests of the simulator."""

from collections.abc import Callable

from p2p_modelex.simulation.run import Result, Simulation
from p2p_modelex.simulation.scenario.measures import list_measures
from p2p_modelex.simulation.scenario.reading import parse_scenario
from p2p_modelex.simulation.scenario.tables import Scenario

MESH = """
name = "mesh"
duration = "100 s"
settle = "70 s"

[[population]]
name = "bootstraps"
role = "bootstrap"
count = 1
join_over = "0 s"

[[population]]
name = "providers"
count = 7
join_over = "5 s"
engine = {}
"""

MARKET = """
name = "market"
duration = "260 s"
settle = "200 s"

[chain]

[[population]]
name = "bootstraps"
role = "bootstrap"
count = 1
join_over = "0 s"

[[population]]
name = "sellers"
count = 3
join_over = "2 s"
engine = {}

[[population]]
name = "buyers"
role = "requester"
count = 2
join_over = "2 s"

[[workload]]
population = "buyers"
every = "5 s"
starts = "10 s"
"""

FARM = MARKET.replace("engine = {}", 'engine = {}\nfarm = "harvest"') + 'farm = "harvest"\n'


def build(text: str, *settings: str) -> Scenario:
    return parse_scenario(text, settings=settings)


def play(text: str, *settings: str, meddle: Callable[[Simulation], None] | None = None) -> Result:
    """Run a world to its end; `meddle` may change it before anything happens."""
    with Simulation(build(text, *settings)) as run:
        if meddle is not None:
            meddle(run)
        result = run.finish()
    assert result.measures.keys() <= set(list_measures(run.scenario))
    return result
