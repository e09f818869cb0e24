"""What is said of measures is what runs measure: every name is declared, and none in vain."""

import pytest
from click.testing import CliRunner

from p2p_modelex.cli.simulate import simulate
from p2p_modelex.simulation.opening import open_run
from p2p_modelex.simulation.scenario.measures import FAMILIES, GROUPS, list_declared, list_measures
from p2p_modelex.simulation.scenario.reading import list_scenarios, read_scenario
from tests.simulation.test_routers import ROUTERS, SYBILS, TARGET
from tests.simulation.worlds import FARM, MARKET, build

CENSOR = SYBILS.replace('"drop"', '"censor"\nvictims = "target"')
CRASH = '[[fault]]\nkind = "crash"\nat = "20 s"\nlasts = "5 s"\nshare = 0.5\n'
LIARS = '[[population]]\nname = "liars"\nbehaviour = "garbler"\ncount = 2\nengine = {}\n'
WORLDS = {
    "routers": (ROUTERS + CENSOR + TARGET, ()),
    "farm": (
        FARM + CRASH,
        (
            "population.2.deposit=0.05 AI",
            "chain.reorgs=0.2",
            "chain.reorg_depth=3",
            "chain.dropped=1.0",
            "population.2.session=40 s",
        ),
    ),
    "market": (
        MARKET + LIARS,
        (
            "workload.0.hourly=0.01 AI",
            "workload.0.every=2 s",
            "workload.0.deadline=3 s",
            'population.1.pricing={policy="surge", cost="0.01 AI"}',
        ),
    ),
}


@pytest.mark.slow
def test_each_measure_is_declared_and_each_declared_one_is_measured() -> None:
    found: dict[str, None] = {}
    for text, settings in WORLDS.values():
        scenario = build(text, *settings)
        with open_run(scenario) as run:
            measures = run.finish().measures
        assert [name for name in measures if name not in list_measures(scenario)] == []
        found |= dict.fromkeys(measures)
    declared = [one.name for group in GROUPS for one in group.measures]
    starts = [name.partition("{")[0] for name in declared]
    assert [one for one in starts if not any(name.startswith(one) for name in found)] == []


def test_a_name_has_one_meaning() -> None:
    for name in list_scenarios():
        names = list_measures(read_scenario(list_scenarios()[name]))
        assert len(names) == len(set(names))
    assert all(one.meaning for group in GROUPS for one in group.measures)
    assert all(FAMILIES.values())


def test_the_command_lists_the_measures_of_a_scenario() -> None:
    done = CliRunner().invoke(simulate, ["sleepers", "--measures"])
    assert done.exit_code == 0, done.output
    scenario = read_scenario(list_scenarios()["sleepers"])
    rows = [line.split()[0] for line in done.output.splitlines()]
    assert [one.name for one in list_declared(scenario)] == rows[
        1 : 1 + len(list_declared(scenario))
    ]
    assert "ai_for_1000_tokens" in rows
    assert "delivered_share" not in rows
    assert any(line.startswith("{population}: bootstraps") for line in done.output.splitlines())
