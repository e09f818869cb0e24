"""A scenario that is written reads back as the same one."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from p2p_modelex.errors import BadInput
from p2p_modelex.simulation.scenario.chance import draw_scenario
from p2p_modelex.simulation.scenario.plugins import list_loaded
from p2p_modelex.simulation.scenario.quantities import (
    ByteRate,
    Duration,
    Money,
    read_quantity,
    write_quantity,
)
from p2p_modelex.simulation.scenario.reading import list_scenarios, parse_scenario, read_scenario
from p2p_modelex.simulation.scenario.tables import Expectation
from p2p_modelex.simulation.scenario.writing import write_scenario
from tests.simulation.worlds import MESH, build


@pytest.mark.parametrize("name", sorted(list_scenarios()))
def test_scenarios_of_the_project(name: str) -> None:
    scenario = read_scenario(list_scenarios()[name])
    plugins = list_loaded(scenario.plugin.files)
    assert parse_scenario(write_scenario(scenario), plugins=plugins) == scenario


@given(st.integers(0, 10**6))
def test_scenarios_of_chance(seed: int) -> None:
    scenario = draw_scenario(seed)
    assert parse_scenario(write_scenario(scenario)) == scenario


def test_texts_and_tables_of_every_kind() -> None:
    scenario = build(MESH, "links.regions={}")
    scenario = msgspec.structs.replace(
        scenario,
        about='a "quoted"\n\ttext \\ \x7f é 🙂',
        links=msgspec.structs.replace(scenario.links, regions={"tokyo": 1.5, "oregon": 1e-05}),
        hold=(Expectation(measure="known", at_least=1.0, at_most=float("inf")),),
    )
    text = write_scenario(scenario)
    found = msgspec.toml.decode(text)
    assert found["about"] == scenario.about
    assert found["links"] == {"regions": {"tokyo": 1.5, "oregon": 1e-05}}
    assert found["hold"] == [{"measure": "known", "at_least": 1.0, "at_most": float("inf")}]


@given(st.integers(0, 2_592_000_000_000), st.integers(0, 10**12), st.integers(0, 10**20))
def test_quantities(time_us: int, rate: int, money_gwei: int) -> None:
    for value in (Duration(time_us), ByteRate(rate), Money(money_gwei * 10**9)):
        text = write_quantity(value)
        assert read_quantity(type(value), text) == value


def test_quantities_have_the_largest_unit_that_fits() -> None:
    assert write_quantity(Duration(90_000_000)) == "90 s"
    assert write_quantity(Duration(120_000_000)) == "2 min"
    assert write_quantity(Duration(1)) == "1 us"
    assert write_quantity(ByteRate(1)) == "0.008 kbit/s"
    assert write_quantity(Money(25 * 10**16)) == "0.25 AI"
    assert write_quantity(7) is None


def test_what_no_text_stands_for_is_refused() -> None:
    with pytest.raises(BadInput, match="has no text"):
        write_quantity(Money(1))
