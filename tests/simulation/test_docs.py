"""What docs/simulation.md shows works as it stands."""

import re
import shlex
from collections.abc import Sequence
from operator import attrgetter
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from p2p_modelex.cli.simulate import simulate
from p2p_modelex.core import effects as fx
from p2p_modelex.core.routing.candidate import Candidate, Want
from p2p_modelex.core.routing.filters import Sight
from p2p_modelex.simulation.nodes.life import Life
from p2p_modelex.simulation.plugin import behaviour, scorer
from p2p_modelex.simulation.run import Simulation
from p2p_modelex.simulation.scenario.reading import parse_scenario
from tests.simulation.worlds import MARKET, build

PAGE = (Path(__file__).parents[2] / "docs" / "simulation.md").read_text(encoding="utf-8")


def block(language: str) -> str:
    found = re.search(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)
    assert found is not None
    return found[1]


def test_the_scenario_is_read() -> None:
    assert parse_scenario(block("toml")).nodes == 25


@pytest.mark.slow
def test_the_scenario_holds(tmp_path: Path) -> None:
    scenario = tmp_path / "flash.toml"
    scenario.write_text(block("toml"), encoding="utf-8")
    done = CliRunner().invoke(simulate, [str(scenario), "--quiet"])
    assert done.exit_code == 0, done.output + repr(done.exception)


def test_the_program_runs(capsys: pytest.CaptureFixture[str]) -> None:
    exec(compile(block("python"), "docs/simulation.md", "exec"), {})
    assert 0.0 < float(capsys.readouterr().out) <= 1.0


@pytest.mark.slow
def test_what_plugins_are_handed_has_what_is_said_of_it() -> None:
    seen: dict[str, Any] = {}

    def score(candidates: Sequence[Candidate], want: Want, sight: Sight) -> list[float]:
        seen.update(candidate=candidates[0], want=want, sight=sight)
        return [1.0] * len(candidates)

    def act(life: Life, effect: fx.Effect) -> fx.Effect:
        seen["life"] = life
        return effect

    scorer("sees-all")(score)
    behaviour("sees-all")(act)
    settings = ("population.2.routing=sees-all", "population.1.behaviour=sees-all")
    with Simulation(build(MARKET, *settings)) as run:
        run.advance(40_000_000)
    seen["run"] = run
    told = PAGE[PAGE.index("What these functions are handed") : PAGE.index("Effects are in `core")]
    paths = re.findall(rf"`((?:{'|'.join(seen)})\.[\w.]+)", told)
    assert {path.partition(".")[0] for path in paths} == set(seen)
    for path in paths:
        first, _, rest = path.partition(".")
        attrgetter(rest)(seen[first])  # it raises where there is no such thing


@pytest.mark.slow
def test_the_walk_is_followed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its files, saved under their names, and its commands, in a smaller world."""
    monkeypatch.chdir(tmp_path)
    for name, text in re.findall(r"```\w+ (\S+)\n(.*?)```", PAGE, re.DOTALL):
        (tmp_path / name).write_text(text, encoding="utf-8")
    walk = PAGE[PAGE.index("## A policy and an adversary") : PAGE.index("## From a program")]
    commands = re.findall(r"^    modelex simulate (.*)$", walk, re.MULTILINE)
    assert len(commands) == 2
    less = {
        "priceliars": [
            "duration=200 s",
            "settle=80 s",
            *(f"population.{at}.count=2" for at in (1, 2, 3)),
        ],
        "hoarders.toml": ["population.2.count=4"],
    }
    for command in commands:
        words = shlex.split(command.replace("5,40,160", "2,4"))
        words += [word for one in less[words[0]] for word in ("--set", one)]
        done = CliRunner().invoke(simulate, [*words, "--workers", "1"])
        assert done.exit_code == 0, done.output + repr(done.exception)
        assert "broke" not in done.output
    assert "ai_for_1000_tokens" in (tmp_path / "loyal.py").read_text()
    assert (tmp_path / "hoarders" / "report.html").exists()
