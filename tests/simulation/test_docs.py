"""What docs/simulation.md shows works as it stands."""

import re
import shlex
from pathlib import Path

import pytest
from click.testing import CliRunner

from p2p_modelex.cli.simulate import simulate
from p2p_modelex.simulation.scenario.reading import parse_scenario

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
