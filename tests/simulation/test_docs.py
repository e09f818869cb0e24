"""What docs/simulation.md shows works as it stands."""

import re
from pathlib import Path

import pytest

from p2p_modelex.simulation.actors.behaviours import BEHAVIOURS
from p2p_modelex.simulation.scenario.reading import parse_scenario

PAGE = (Path(__file__).parents[2] / "docs" / "simulation.md").read_text(encoding="utf-8")


def block(language: str) -> str:
    found = re.search(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)
    assert found is not None
    return found[1]


def test_the_scenario_is_read() -> None:
    assert parse_scenario(block("toml")).nodes == 25


@pytest.mark.slow
def test_the_program_runs(
    capsys: pytest.CaptureFixture[str],
) -> None:
    before = dict(BEHAVIOURS)
    whole = 'behaviour=hoarder"]'
    smaller = block("python").replace(whole, 'behaviour=hoarder", "population.1.count=10"]')
    try:
        exec(compile(smaller, "docs/simulation.md", "exec"), {})
    finally:
        BEHAVIOURS.clear()
        BEHAVIOURS.update(before)
    assert 0.0 < float(capsys.readouterr().out) <= 1.0
