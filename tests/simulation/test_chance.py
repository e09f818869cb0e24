"""Random worlds: every one makes sense, and whatever a scenario can say is drawn now and then."""

from typing import Any, get_args

import msgspec
import pytest

from p2p_modelex.simulation.actors.behaviours import BEHAVIOURS
from p2p_modelex.simulation.actors.gossipers import GOSSIPERS
from p2p_modelex.simulation.repeat.failure import find_failure
from p2p_modelex.simulation.scenario.chance import draw_scenario
from p2p_modelex.simulation.scenario.options import OPTIONS, TIGHT
from p2p_modelex.simulation.scenario.reading import parse_scenario
from p2p_modelex.simulation.scenario.settings import Score
from p2p_modelex.simulation.scenario.tables import FAULT_KINDS, Scenario
from p2p_modelex.simulation.scenario.writing import find_changed, write_scenario

NOT_DRAWN = {
    "Scenario": {
        "name": "says which world it is",
        "about": "changes nothing",
        "seed": "says which world it is",
        "hold": "random worlds have no wishes of their own",
        "measure_every": "is alike in all, as looking costs time",
        "plugin": "a plug-in may do anything",
        "entries_max": "whom there is no room for is missing in the end, which is checked",
    },
    "Plugins": {"files": "as plugin"},
    "Workload": {"trace": "a file of another's requests"},
    "Score": {
        name: "as published; the scenarios of meshes vary it"
        for name in Score.__struct_fields__
        if name not in OPTIONS[Score]
    },
    "Costs": dict.fromkeys(
        ("peer_sign_us", "account_sign_us"), "whoever signs much also verifies much"
    ),
}
"""What no world says, and why not."""
WORLDS = 400


def walk(kind: Any) -> dict[str, Any]:
    """The tables of a scenario by their names, each with its fields."""
    found = {}
    if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
        found[kind.__name__] = kind
        for field in msgspec.structs.fields(kind):
            found |= walk(field.type)
    for inner in get_args(kind):
        found |= walk(inner)
    return found


def note(table: msgspec.Struct, seen: set[tuple[str, str]]) -> None:
    for name, value in find_changed(table):
        seen.add((type(table).__name__, name))
        for inner in value if isinstance(value, tuple) else (value,):
            if isinstance(inner, msgspec.Struct):
                note(inner, seen)


@pytest.fixture(scope="module")
def worlds() -> list[Scenario]:
    return [draw_scenario(seed) for seed in range(WORLDS)]


def test_every_world_makes_sense(worlds: list[Scenario]) -> None:
    for world in worlds:
        assert parse_scenario(write_scenario(world)) == world


def test_a_seed_draws_one_world(worlds: list[Scenario]) -> None:
    assert [draw_scenario(seed) for seed in range(9)] == worlds[:9]


def test_few_of_what_keeps_buyers_from_buying_is_in_a_world(worlds: list[Scenario]) -> None:
    tight = {(kind.__name__, name) for kind, names in TIGHT.items() for name in names}
    assert all(name in OPTIONS[kind] for kind, names in TIGHT.items() for name in names)
    drawn = 0
    for world in worlds:
        seen: set[tuple[str, str]] = set()
        note(world, seen)
        drawn += len(seen & tight)
    assert len(worlds) / 4 < drawn < len(worlds)


def test_whatever_a_scenario_can_say_is_drawn(worlds: list[Scenario]) -> None:
    seen: set[tuple[str, str]] = set()
    for world in worlds:
        note(world, seen)
    missing = [
        f"{table}.{field}"
        for table, kind in walk(Scenario).items()
        for field in kind.__struct_fields__
        if (table, field) not in seen and field not in NOT_DRAWN.get(table, {})
    ]
    missing = [one for one in missing if not one.startswith("Expectation.")]
    assert not missing, "add it to chance.py, or say here why no world has it"


def test_every_option_is_a_field() -> None:
    for table, options in OPTIONS.items():
        assert set(options) <= set(table.__struct_fields__)
        assert all(options.values())


def test_every_kind_of_fault_and_liar_is_drawn(worlds: list[Scenario]) -> None:
    kinds = {fault.kind for world in worlds for fault in world.fault}
    assert kinds == set(FAULT_KINDS)
    behaviours = {one.behaviour for world in worlds for one in world.population}
    assert behaviours == {*BEHAVIOURS, *GOSSIPERS}


def test_half_of_the_options_are_left_out_of_each_world(worlds: list[Scenario]) -> None:
    """Swarm testing: something that one world is full of is nowhere in another."""
    with_loss = sum(world.links.loss > 0 for world in worlds)
    assert WORLDS / 4 < with_loss < WORLDS * 3 / 4
    assert any(not world.fault for world in worlds)
    assert any(world.chain is None for world in worlds)


@pytest.mark.slow
@pytest.mark.parametrize("seed", [3, 14])
def test_worlds_drawn_by_chance_hold(seed: int) -> None:
    assert find_failure(draw_scenario(seed)) is None
