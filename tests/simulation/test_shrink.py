"""Shrinking: what is left fails alike, is small, is the same each time, and ends in bounds."""

from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest
from click.testing import CliRunner

from p2p_modelex.cli.simulate import simulate
from p2p_modelex.errors import SimulationError
from p2p_modelex.simulation.repeat import shrink as shrinking
from p2p_modelex.simulation.repeat.failure import Failure, find_failure
from p2p_modelex.simulation.repeat.shrink import Shrunk, shrink
from p2p_modelex.simulation.repeat.simpler import list_numbers, list_settings, reset
from p2p_modelex.simulation.scenario.chance import draw_scenario
from p2p_modelex.simulation.scenario.reading import read_scenario
from p2p_modelex.simulation.scenario.settings import Engine
from p2p_modelex.simulation.scenario.tables import Scenario
from p2p_modelex.simulation.scenario.writing import write_scenario
from tests.simulation.worlds import MARKET, MESH, build

CLOG = '[[fault]]\nkind = "clog"\nat = "6 s"\nlasts = "2 s"\n'
TALK = '[[hold]]\nmeasure = "frames"\nat_most = 0.0\n'
KNOWN = '[[hold]]\nmeasure = "known"\nat_least = 0.1\n'


def of_two(scenario: Scenario) -> str:
    """A failure that takes a buyer and a crash, in place of a run."""
    buyers = [one for one in scenario.population if one.role == "requester"]
    crashes = [fault for fault in scenario.fault if fault.kind == "crash"]
    return f"node {scenario.nodes} at 7.5 s: it breaks" if buyers and crashes else ""


@pytest.fixture
def tell(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[Scenario], str]], None]:
    """Let a function of the scenario say what it fails by."""

    def patch(says: Callable[[Scenario], str]) -> None:
        def find(scenario: Scenario, *, events_max: int | None = None) -> Failure | None:
            said = says(scenario)
            return Failure(said, min(7_500_000, scenario.duration), 1000) if said else None

        monkeypatch.setattr(shrinking, "find_failure", find)

    return patch


def build_crowd() -> Scenario:
    faults = CLOG + CLOG.replace("clog", "crash") + CLOG.replace("6 s", "40 s")
    settings = ("links.loss=0.1", "cpu.disk=1 ms", "gossip.d=5", "population.1.engine.slots=2")
    return build(MARKET + faults, *settings)


def test_what_a_failure_does_not_take_is_left_out(
    tell: Callable[[Callable[[Scenario], str]], None],
) -> None:
    tell(of_two)
    shrunk = shrink(build_crowd())
    text = write_scenario(shrunk.scenario)
    assert shrunk.is_whole
    assert [one.name for one in shrunk.scenario.population] == ["buyers"]
    assert shrunk.scenario.nodes == 1
    assert [fault.kind for fault in shrunk.scenario.fault] == ["crash"]
    assert shrunk.scenario.workload == ()
    for word in ("links", "gossip", "cpu", "chain", "settle"):
        assert word not in text
    assert shrunk.scenario.duration <= 8_000_000
    assert shrunk.failure.said == "node 1 at 7.5 s: it breaks"


def test_the_same_scenario_shrinks_the_same_way(
    tell: Callable[[Callable[[Scenario], str]], None],
) -> None:
    tell(of_two)
    told: list[tuple[int, Scenario, Failure]] = []

    def play() -> Shrunk:
        return shrink(build_crowd(), progress=lambda *of: told.append(of))

    first, second = play(), play()
    assert first == second
    assert told[: len(told) // 2] == told[len(told) // 2 :]
    assert [tries for tries, *_ in told[: len(told) // 2]] == sorted(
        tries for tries, *_ in told[: len(told) // 2]
    )


def test_another_failure_is_not_taken_for_it(
    tell: Callable[[Callable[[Scenario], str]], None],
) -> None:
    tell(lambda scenario: of_two(scenario) or "node 3 at 1 s: something else")
    names = [one.name for one in shrink(build_crowd()).scenario.population]
    assert names == ["buyers"]


def test_what_is_asked_in_vain_is_missed_by_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without sellers, and without time to settle, nobody is served: that was not the question."""

    def find(scenario: Scenario, *, events_max: int | None = None) -> Failure:
        names = {one.name for one in scenario.population}
        served = 0.9 if "sellers" in names and scenario.settle >= 200_000_000 else 0.0
        said = f"finished_share is {served}, under 0.95"
        return Failure(said, scenario.duration, 1000, 0.95 - served)

    monkeypatch.setattr(shrinking, "find_failure", find)
    shrunk = shrink(build_crowd()).scenario
    assert [one.name for one in shrunk.population] == ["sellers"]
    assert shrunk.settle == 200_000_000


def test_how_far_a_run_is_from_what_it_asks() -> None:
    hold = '[[hold]]\nmeasure = "nodes"\nat_least = 8.0\n'
    assert find_failure(build(MESH + hold)) is None
    for bounds, short in (("at_least = 10.0", 2.0), ("at_most = 5.0", 3.0)):
        asked = hold + f'[[hold]]\nmeasure = "nodes"\n{bounds}\n'
        failure = find_failure(build(MESH + asked, "duration=80 s"))
        assert failure is not None
        assert failure.short == short
    hold = '[[hold]]\nmeasure = "offence_flood"\nat_least = 1.0\n'
    failure = find_failure(build(MESH + hold, "duration=80 s"))
    assert failure is not None
    assert (failure.said, failure.short) == ("offence_flood was not measured", 0.0)


def test_tries_and_time_are_bounded(tell: Callable[[Callable[[Scenario], str]], None]) -> None:
    tell(of_two)
    few = shrink(build_crowd(), tries_max=7)
    assert (few.tries, few.is_whole) == (7, False)
    late = shrink(build_crowd(), is_late=lambda: True)
    assert (late.tries, late.is_whole, late.scenario) == (0, False, build_crowd())


def test_a_failure_is_known_by_its_words() -> None:
    one = Failure("node 4 at 1.5 s: it keeps 0x1f2e of deadbeefdeadbeef", 1, 1)
    other = Failure("node 17 at 60.25 s: it keeps 0xab of 0123456789abcdef", 2, 2)
    assert one.kind == other.kind
    assert one.kind != Failure("node 4 at 1.5 s: it loses 0x1f2e of deadbeefdeadbeef", 1, 1).kind


def test_a_scenario_that_holds_is_not_shrunk() -> None:
    with pytest.raises(SimulationError, match="does not fail"):
        shrink(build(MESH, "population.1.count=1"))


def test_a_run_that_goes_on_for_too_long_has_not_failed() -> None:
    scenario = build(MESH + TALK)
    assert find_failure(scenario) is not None
    assert find_failure(scenario, events_max=100) is None


@pytest.mark.slow
def test_the_command_writes_what_fails_by_itself(tmp_path: Path) -> None:
    file = tmp_path / "mesh.toml"
    file.write_text(MESH + CLOG + TALK + KNOWN, encoding="utf-8")
    done = CliRunner().invoke(simulate, [str(file), "--shrink", "600", "--out", str(tmp_path)])
    assert done.exit_code == 0, done.output
    small = tmp_path / "mesh.shrunk.toml"
    assert f"wrote {small}" in done.output
    assert small.read_text(encoding="utf-8").startswith("# frames is ")
    shrunk = read_scenario(small)
    assert (shrunk.nodes, shrunk.fault) == (2, ())
    assert [one.measure for one in shrunk.hold] == ["frames"]
    failure = find_failure(shrunk)
    assert failure is not None
    assert failure.said in done.output


def test_what_is_shrunk_has_its_plugins_beside_it(tmp_path: Path) -> None:
    text = (
        "from p2p_modelex.simulation.plugin import behaviour\n\n\n"
        '@behaviour("breaks-when-shrunk")\ndef broken(_, __):\n    raise KeyError("broken")\n'
    )
    (tmp_path / "plugins").mkdir()
    (tmp_path / "plugins" / "broken.py").write_text(text, encoding="utf-8")
    mesh = MESH.replace(
        'name = "mesh"', 'name = "mesh"\nplugin = { files = ["plugins/broken.py"] }'
    )
    file, out = tmp_path / "mesh.toml", tmp_path / "out"
    file.write_text(mesh, encoding="utf-8")
    liars = ("--set", "population.1.behaviour=breaks-when-shrunk")
    done = CliRunner().invoke(simulate, [str(file), *liars, "--shrink", "--out", str(out)])
    assert done.exit_code == 0, done.output
    shrunk = read_scenario(out / "mesh.shrunk.toml")
    assert shrunk.plugin.files == ("plugins/broken.py",)
    assert shrunk.nodes == 1
    assert find_failure(shrunk) is not None


def test_settings_of_what_went_before_them_are_passed_over() -> None:
    """A seller's second engine, and what is said of it, are put back together."""
    second = Engine(model="other", slots=2, waiting=3, decode=7.0)
    crowd = build_crowd()
    sellers = msgspec.structs.replace(crowd.population[1], also=(second, second))
    population = (crowd.population[0], sellers, *crowd.population[2:])
    crowd = msgspec.structs.replace(crowd, population=population)
    paths = list_settings(crowd)
    assert ("population", 1, "also", 1, "decode") in paths
    assert reset(crowd, paths).population[1].also == ()


def test_a_world_keeps_the_time_it_has_to_come_to_rest() -> None:
    """With less of it, whatever is not known yet would be a failure alike."""
    world = draw_scenario(3)
    assert world.settle > 0
    assert ("duration",) in list_numbers(world)
    assert ("settle",) not in list_numbers(world)
