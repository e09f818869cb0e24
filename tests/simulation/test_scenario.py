from pathlib import Path

import pytest

from p2p_modelex.errors import BadInput
from p2p_modelex.simulation.scenario.reading import (
    list_scenarios,
    parse_scenario,
    read_scenario,
    scale,
)
from tests.simulation.worlds import MARKET, MESH

_HEAD = 'name = "x"\nduration = "60 s"\n[[population]]\nname = "a"\ncount = 2\njoin_over = "1 s"\n'


@pytest.mark.parametrize("path", list_scenarios().values(), ids=lambda path: path.stem)
def test_the_scenarios_that_come_with_the_project_are_good(path: object) -> None:
    scenario = read_scenario(path)  # type: ignore[arg-type]
    assert scenario.hold
    assert scenario.about


@pytest.mark.parametrize(
    ("text", "message", "hint"),
    [
        (_HEAD + "hiden = 0.5\n", "line 7: unknown key `hiden`", "did you mean `hidden`?"),
        (_HEAD + "[links]\njiter = 1.0\n", "line 8: unknown key `jiter`", "`jitter`"),
        (_HEAD + '[links]\nlatency = "5 MB"\n', 'line 8: `links.latency`: "MB" is no unit', ""),
        (_HEAD + '[links]\nlatency = "5 AI"\n', '"AI" is an amount of money; expected a time', ""),
        (_HEAD + "[[links]]\nloss = 0.1\n", "line 7: `links`", "[links], in one pair of brackets"),
        (_HEAD + "[links]\nlatency = 5\n", 'expected a time with its unit, such as "30 s"', ""),
        (_HEAD + "[links]\nloss = 0.9\n", "line 8: `links.loss`", ""),
        (_HEAD.replace("count = 2", "count = 0"), "line 5: `population.0.count`", ""),
        (_HEAD.replace("count = 2\n", ""), "line 3: `count` is missing", "add it"),
        (_HEAD.replace('"60 s"', '"1 s"'), "line 3: its last node joins at 1 s", "longer"),
        (_HEAD.replace('"60 s"', '"31 d"'), "line 2: a run takes over 0 and at most 30", "shorten"),
        (_HEAD + 'settle = "1 s"\n', "line 7: unknown key `settle`", ""),
        (_HEAD + "engine = {}\nrole = 'requester'\n", "line 7: a requester sells nothing", ""),
        (_HEAD + 'behaviour = "honst"\n', "line 7: no behaviour 'honst'", "`honest`"),
        (_HEAD + 'farm = "a"\n', "line 7: its members sell nothing", "an engine"),
        (
            MARKET + 'farm = "havest"\n',
            "line 30: no farm 'havest'",
            "known",
        ),
        (_HEAD + 'engine = { device = "h100" }\n', "line 7: a device needs a size", "both"),
        (
            _HEAD + 'engine = { device = "h10", size = "llama-3-8b" }\n',
            "no 'h10' in devices.toml",
            "`h100`",
        ),
        (
            _HEAD + 'engine = { device = "l4", size = "llama-3-8b", context = 131072 }\n',
            "llama-3-8b does not fit l4 with a context of 131072",
            "",
        ),
        (_HEAD + 'also = [{ model = "b" }]\n', "line 7: there is no engine beside it", "`engine`"),
        (_HEAD + "engine = {}\nalso = [{}]\n", "two engines of one model", "rename"),
        (
            _HEAD + '[[policy]]\nname = "p"\npicker = "rnd"\nweights = { load = 1 }\n',
            "line 9: no picker 'rnd'",
            "`random`",
        ),
        (
            _HEAD + '[[policy]]\nname = "p"\npicker = "random"\nweights = { lod = 1 }\n',
            "line 10: no scorer 'lod'",
            "`load`",
        ),
        (
            _HEAD + '[[policy]]\nname = "p"\npicker = "random"\nweights = { load = 0 }\n',
            "line 10: they weigh nothing",
            "",
        ),
        (_HEAD + "[links.regions]\nlondn = 1.0\n", "no region londn", "`london`"),
        (_HEAD + "[gossip]\nd = 3\n", "line 8: the degrees must hold", ""),
        (
            _HEAD + '[[workload]]\npopulation = "b"\nevery = "1 s"\n',
            "line 8: no population 'b'",
            "known: a",
        ),
        (
            _HEAD + '[[workload]]\npopulation = "a"\nevery = "1 s"\n',
            "requests are paid on a chain",
            "[chain]",
        ),
        (
            _HEAD + '[[fault]]\nkind = "crash"\nat = "50 s"\nlasts = "20 s"\n',
            "line 9: it is not over before the run settles",
            "earlier",
        ),
        (
            _HEAD + '[[fault]]\nkind = "outage"\nat = "5 s"\nlasts = "20 s"\n',
            "line 8: there is no chain",
            "",
        ),
        (_HEAD + '[[hold]]\nmeasure = "known"\n', "line 8: no number", "at_least or at_most"),
        (
            _HEAD + '[[hold]]\nmeasure = "honest_knwon"\nat_least = 1.0\n',
            "line 8: no run of it has a measure 'honest_knwon'",
            "did you mean `honest_known`?",
        ),
        (
            _HEAD + '[[hold]]\nmeasure = "failed_busy"\nat_most = 1.0\n',
            "line 8: no run of it has a measure 'failed_busy'",
            "a workload would have it",
        ),
        (
            _HEAD + '[[hold]]\nmeasure = "xyzzy"\nat_least = 1.0\n',
            "line 8: no run of it has a measure 'xyzzy'",
            "--measures lists them",
        ),
        ("name = ", "is not TOML", ""),
        # Found by trying odd ones: each of these hung, or ran, or broke without its line.
        (
            _HEAD.replace("count = 2", "count = 60000"),
            "line 5: 60000 nodes that know 50000 take some 86 GiB",
            "under 64 GiB",
        ),
        ('measure_every = "0 s"\n' + _HEAD, "line 1: 0 s, and 0.001 s at least", ""),
        ('measure_every = "1 ms"\n' + _HEAD.replace("60", "200"), "over 100000 samples", "longer"),
        (_HEAD + 'measure_every = "1 s"\n', "line 7: unknown key", "belongs at the top"),
        (_HEAD + '[gossip]\nheartbeat = "0 s"\n', "line 8: 0 s, and 0.01 s at least", ""),
        (_HEAD + '[chain]\nblock = "0 s"\n', "line 8: 0 s, and 0.001 s at least", ""),
        (_HEAD + 'session = "1 us"\n', "line 7: 1e-06 s, and 0.1 s at least", ""),
        (_HEAD + 'up = "0 kbit/s"\n', "line 7: 0 bytes a second carry nothing", "1 kbit/s"),
        (_HEAD + '[links]\nlatency = "61 s"\n', "line 8: over 60 s, no connection stands", ""),
        (_HEAD + '[links]\nlatency = "99999999999 d"\n', "line 8: `links.latency`: over ten", ""),
        (_HEAD + "[links.regions]\nlondon = 0.0\n", "nobody lives anywhere", "above 0"),
        (
            _HEAD + '[[fault]]\nkind = "crash"\nat = "5 s"\nlasts = "0 s"\n',
            "line 10: 0 s, and 1e-06 s at least",
            "",
        ),
        (
            _HEAD + '[[fault]]\nkind = "crahs"\nat = "5 s"\nlasts = "1 s"\n',
            "line 8: `fault.0.kind`: Invalid enum value 'crahs'",
            "did you mean `crash`?",
        ),
        (
            _HEAD + '[[hold]]\nmeasure = "known"\nat_least = 2.0\nat_most = 1.0\n',
            "line 9: nothing is 2 and 1",
            "",
        ),
        (_HEAD + '[[hold]]\nmeasure = "known"\nat_most = nan\n', "line 9: every number", ""),
        (_HEAD.replace('"x"', '"../x"'), "line 1: it names files", "letters"),
        (_HEAD + '[[populations]]\nname = "b"\n', "line 7: unknown key", "`population`"),
        (_HEAD.replace("[[population]]", "[population]"), "line 3: `population`", "[[population]]"),
        (_HEAD + "engine = { slots = 0 }\n", "line 7: `population.0.engine.slots`", ""),
        (_HEAD + "engine = { solts = 2 }\n", "line 7: unknown key `solts`", "`slots`"),
    ],
)
def test_what_is_wrong_is_refused_with_its_line(text: str, message: str, hint: str) -> None:
    with pytest.raises(BadInput) as caught:
        parse_scenario(text)
    assert message in str(caught.value)
    assert hint in caught.value.hint


def test_two_populations_need_two_names() -> None:
    with pytest.raises(BadInput, match="two populations 'a'"):
        parse_scenario(_HEAD + _HEAD[_HEAD.index("[[") :])


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("links", "not a setting"),
        ("links.loss=x", "`links.loss`"),
        ("population.9.count=1", "there is no '9' in it"),
        ("links..loss=1", "not a setting"),
        ("name.first=1", "there is no such table"),
    ],
)
def test_a_wrong_setting_is_refused(setting: str, message: str) -> None:
    with pytest.raises(BadInput, match=message):
        parse_scenario(MESH, settings=[setting])


def test_a_scenario_that_is_not_there_names_the_nearest() -> None:
    with pytest.raises(BadInput, match="cannot read convergance") as caught:
        read_scenario(Path("convergance"))
    assert caught.value.hint == "did you mean `convergence`?"


def test_settings_change_what_the_file_says() -> None:
    settings = ["links.loss=0.25", "population.1.count=3", 'duration="90 s"', "settle=80 s"]
    scenario = parse_scenario(MESH, settings=settings)
    assert scenario.links.loss == 0.25
    assert scenario.nodes == 4
    assert (scenario.duration, scenario.settle) == (90_000_000, 80_000_000)


def test_scaling_keeps_bootstrap_peers_and_proportions() -> None:
    scenario = scale(parse_scenario(MARKET), 101)
    assert [one.count for one in scenario.population] == [1, 60, 40]
    with pytest.raises(BadInput, match="too few"):
        scale(scenario, 2)
