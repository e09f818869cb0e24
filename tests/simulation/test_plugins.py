"""Plug-ins: the examples run, and what is wrong with one says where."""

import inspect
from pathlib import Path

import pytest

from p2p_modelex.errors import BadInput, SimulationError
from p2p_modelex.simulation import plugin
from p2p_modelex.simulation.repeat.recorder import Recorder
from p2p_modelex.simulation.repeat.replay import replay
from p2p_modelex.simulation.run import Result, Simulation
from p2p_modelex.simulation.scenario import plugins
from p2p_modelex.simulation.scenario.plugins import PluginFile, load_plugin
from p2p_modelex.simulation.scenario.reading import list_scenarios, parse_scenario, read_scenario
from p2p_modelex.simulation.scenario.recipe import Recipe, read_recipe
from tests.simulation.worlds import MARKET, MESH

HEAD = "from p2p_modelex.simulation.plugin import *\n"


def load(text: str, name: str = "mine.py") -> None:
    load_plugin(PluginFile(name, HEAD + text))


def play(text: str, *settings: str, scenario: str = MARKET) -> Result:
    recipe = Recipe(scenario, "s", settings, plugins=(PluginFile("mine.py", HEAD + text),))
    with Simulation(recipe.build()) as run:
        return run.finish()


@pytest.mark.slow
def test_the_examples_run_as_their_scenario_names_them() -> None:
    small = ["duration=220 s", "settle=70 s"]
    small += [f"population.{at}.count={many}" for at, many in ((1, 3), (2, 1), (3, 2))]
    path = list_scenarios()["sleepers"]
    found = {}
    for routing in ("default", "loyal"):
        scenario = read_scenario(path, [*small, f"population.3.routing={routing}"])
        with Simulation(scenario) as run:
            found[routing] = run.finish()
    assert found["loyal"].measures["ai_for_1000_tokens"] > 0
    assert found["loyal"].digest != found["default"].digest


def test_plugins_of_the_command_stand_beside_those_of_the_scenario(tmp_path: Path) -> None:
    (tmp_path / "own.py").write_text(HEAD + "@measure('own')\ndef count(run): return 1\n")
    (tmp_path / "more.py").write_text(HEAD + "@measure('more')\ndef count(run): return 2\n")
    file = tmp_path / "mesh.toml"
    file.write_text(MESH + '[plugin]\nfiles = ["own.py"]\n')
    recipe = read_recipe(file, plugins=[str(tmp_path / "more.py")])
    with Simulation(recipe.build()) as run:
        measures = run.finish().measures
    assert (measures["own"], measures["more"]) == (1, 2)
    # A scenario that does not name them is not measured by them.
    with Simulation(parse_scenario(MESH)) as run:
        assert "own" not in run.finish().measures


def test_the_text_of_a_plugin_tells_runs_apart() -> None:
    one, other = (
        Recipe(MESH, plugins=(PluginFile("mine.py", f"X = {number}\n"),)) for number in (1, 2)
    )
    assert one.compute_key() != other.compute_key()
    assert one.compute_key() == Recipe(MESH, plugins=one.plugins).compute_key()


def test_a_trace_has_the_plugins_it_was_run_with() -> None:
    text = HEAD + '@behaviour("mute")\ndef hush(life, effect): return None\n'
    mute = PluginFile("mute.py", text)
    recipe = Recipe(MESH, settings=("population.1.behaviour=mute",), plugins=(mute,))
    recorder = Recorder()
    with Simulation(recipe.build()) as run:
        recorder.attach(run)
        result = run.finish()
        trace = recorder.conclude(run, "code", unmet=result.unmet)
    assert trace.head.plugins == (mute,)
    plugins._LOADED.clear()  # as in another process
    replayed = replay(trace, "code")
    assert replayed.differs is None
    assert replayed.trace.end.digest == trace.end.digest


def test_a_policy_is_a_function_that_scores() -> None:
    policy = '@scorer("first", picker="random")\n'
    policy += "def score(candidates, want, sight):\n    return [1] + [0] * (len(candidates) - 1)\n"
    assert play(policy, "population.2.routing=first").measures["finished"] > 0


def test_a_policy_may_be_given_whole() -> None:
    policy = "from p2p_modelex.core.routing.profile import build_profile\n"
    policy += '@profile("whole")\ndef build():\n'
    policy += '    return build_profile("whole", "random", {"price": 1})\n'
    assert play(policy, "population.2.routing=whole").measures["finished"] > 0


def test_prices_are_asked_of_the_plugin() -> None:
    policy = '@pricing("dear")\ndef ask(life, engine, pricing):\n'
    policy += "    return 2 * engine.completion_price\n"
    settings = 'population.1.pricing={policy="dear", cost="0 AI", every="1 s"}'
    measure = "@measure('asked')\ndef ask_machines(run):\n"
    measure += "    machine = run.world.machines[1]\n"
    measure += (
        "    return machine.asking.completion_price / machine.population.engine.completion_price\n"
    )
    assert play(policy + measure, settings).measures["asked"] == 2
    with pytest.raises(SimulationError, match=r"mine.py, line 2, ask broke: .*it asks 0.5"):
        play(policy.replace("2 * engine.completion_price", "0.5"), settings)
    with pytest.raises(BadInput, match="no pricing policy 'deer'"):
        play(policy, settings.replace("dear", "deer"))
    with pytest.raises(BadInput, match="is a pricing of the package"):
        load(policy.replace("dear", "surge"))


def test_a_file_that_changed_replaces_what_it_registered() -> None:
    load('@measure("it")\ndef one(run): return 1\n')
    load('@measure("it")\ndef two(run): return 2\n')
    assert [one.function.__name__ for one in plugin._find("measure", ["mine.py"])] == ["two"]


@pytest.mark.parametrize(
    ("text", "message", "hint"),
    [
        ("def (:\n", r"mine.py, line 2: invalid syntax", "Python"),
        ("raise SystemExit(3)\n", r"mine.py, line 2: it does not load: SystemExit\(3\)", "Python"),
        ("\0\n", r"mine.py, line \d: source code", "Python"),
        ("1 / 0\n", r"mine.py, line 2: it does not load: ZeroDivisionError", "Python"),
        (
            '@behaviour("b")\ndef b(life): ...\n',
            r"mine.py, line 2, b\(life\) does not fit a behaviour: too many",
            r"def b\(life, effect\)",
        ),
        (
            '@scorer("s")\ndef s(candidates, want): ...\n',
            "does not fit a scorer",
            r"def s\(candidates, want, sight\)",
        ),
        ('@measure("m")\nasync def m(run): ...\n', "no plain function", r"def m\(run\)"),
        ('@measure("m")\nclass M: ...\n', "no plain function", ""),
        ("@checker(check)\ndef c(run): ...\n", "NameError", ""),
        ('@checker("")\ndef c(run): ...\n', "is no name", "@checker"),
        ("@measure\ndef m(run): ...\n", "is no name", "@measure"),
        ('@behaviour("honest")\ndef b(life, effect): ...\n', "is a behaviour of the package", ""),
        ('@scorer("s", picker="best")\ndef s(c, w, x): ...\n', "no picker 'best'", "power_of_d"),
        ('@scorer("s", weight=0)\ndef s(c, w, x): ...\n', "a weight of 0", "1 to 1000"),
        ('@scorer("s", beside={"prize": 1})\ndef s(c, w, x): ...\n', "no scorer 'prize'", "price"),
        ('@profile("p")\ndef p(): return 3\n', "it returned no Profile", "build_profile"),
    ],
)
def test_what_does_not_fit_is_refused_as_it_is_loaded(text: str, message: str, hint: str) -> None:
    with pytest.raises(BadInput, match=message) as caught:
        load(text)
    assert inspect.cleandoc(hint).replace("\\", "") in caught.value.hint


def test_two_files_cannot_take_one_name() -> None:
    load('@measure("it")\ndef one(run): return 1\n')
    with pytest.raises(BadInput, match=r"'it' is a measure of plug-in mine.py, line 2, one"):
        load('@measure("it")\ndef one(run): return 1\n', "yours.py")


def test_a_measure_of_a_plugin_is_known_before_the_run() -> None:
    own = '@measure("beauty")\ndef m(run): return 1\n'
    hold = '[[hold]]\nmeasure = "beuty"\nat_least = 2.0\n'
    with pytest.raises(BadInput, match="line 18: no run of it has a measure 'beuty'") as caught:
        play(own, scenario=MESH + hold)
    assert caught.value.hint == "did you mean `beauty`?"
    assert play(own, scenario=MESH + hold.replace("beuty", "beauty")).unmet == (
        "beauty is 1, under 2",
    )
    with pytest.raises(BadInput, match="a run has a measure 'events' of its own"):
        play(own.replace("beauty", "events"), scenario=MESH)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            '@behaviour("b")\ndef b(life, effect):\n    return 1 / 0\n',
            r"at \d+\.\d+ s plug-in mine.py, line 4, b broke: ZeroDivisionError",
        ),
        (
            '@behaviour("b")\ndef b(life, effect):\n    return True\n',
            r"at \d+\.\d+ s plug-in mine.py, line 2, b broke: .*True, which is no effect",
        ),
        (
            '@checker("fussy")\ndef check(run):\n    return "too quiet"\n',
            r"at 1\.0+ s: fussy \(plug-in mine.py, line 2, check\): too quiet",
        ),
        (
            '@measure("m")\ndef m(run):\n    return run.nothing\n',
            r"at 100\.0+ s plug-in mine.py, line 4, m broke: AttributeError",
        ),
        ('@measure("m")\ndef m(run):\n    return "x"\n', "it measured 'x', which is no finite"),
        (
            '@measure("m")\ndef m(run):\n    raise SystemExit(5)\n',
            r"mine.py, line 4, m broke: SystemExit\(5\)",
        ),
    ],
)
def test_what_breaks_in_a_run_names_file_line_function_and_time(text: str, message: str) -> None:
    settings = ["population.1.behaviour=b"] if "behaviour" in text else []
    with pytest.raises(SimulationError, match=message):
        play(text, *settings, scenario=MESH)


def test_scores_are_one_for_each_candidate() -> None:
    policy = '@scorer("s")\ndef score(candidates, want, sight):\n    return [2.0]\n'
    with pytest.raises(SimulationError, match=r"mine.py, line 2, score broke.*not 0 to 1 each"):
        play(policy, "population.2.routing=s")


def test_a_plugin_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"line 18: plug-in 'x.py' is not here"):
        parse_scenario(MESH + '[plugin]\nfiles = ["x.py"]\n')
    file = tmp_path / "mesh.toml"
    file.write_text(MESH + '[plugin]\nfiles = ["x.py"]\n')
    with pytest.raises(BadInput, match=r"cannot read plug-in \S+x.py: No such file"):
        read_scenario(file)
    for content, message in ((b"\xff", "is not UTF-8"), (b"#" * 300_000, "is over")):
        (tmp_path / "x.py").write_bytes(content)
        with pytest.raises(BadInput, match=message):
            read_scenario(file)
    with pytest.raises(BadInput, match="no routing policy 'defalt'"):
        parse_scenario(MESH, settings=["population.1.routing=defalt"])
