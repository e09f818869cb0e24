"""The page of all scenarios: each is on it, with what it asks, what it measured, and a plot."""

import re
from pathlib import Path

import pytest

from benchmarks.results.page import (
    PAGE,
    PICTURES,
    PLOTS,
    ROOT,
    find_outcome,
    read_questions,
    write_page,
)
from benchmarks.results.running import plan, run_all
from p2p_modelex.simulation.scenario.reading import list_scenarios
from tests.simulation.worlds import MESH

RESULTS = ROOT / "simulations" / "results"
PLOT_BYTES = 60_000
WRONG = """
from p2p_modelex.simulation.plugin import checker

@checker("doom")
def find(run):
    return "all is lost"
"""
HOLDS = '[[hold]]\nmeasure = "events"\nat_most = 1.0\n[[hold]]\nmeasure = "known"\nat_least = 0.5\n'


def test_every_scenario_has_a_question_and_a_plot() -> None:
    assert set(read_questions()) == set(list_scenarios()), "simulations/README.md lists them"
    assert set(PICTURES) == set(list_scenarios())


def test_every_scenario_is_on_the_page() -> None:
    text = (RESULTS / PAGE).read_text(encoding="utf-8")
    _, *sections = re.split(r"^## ", text, flags=re.MULTILINE)
    assert {section.partition("\n")[0] for section in sections} == set(list_scenarios()), (
        "make results"
    )
    measured = [section for section in sections if "digest `" in section]
    plots = [name for one in measured for name in re.findall(rf"\({PLOTS}/(.+)\)", one)]
    assert len(plots) == len(measured)
    assert sorted(plots) == sorted(path.name for path in (RESULTS / PLOTS).iterdir())
    assert all((RESULTS / PLOTS / name).stat().st_size < PLOT_BYTES for name in plots)


def test_what_was_learned_of_each_is_told() -> None:
    text = (ROOT / "simulations" / "RESULTS.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| \[`(\w+)`\]\((.+?)\) \| (.+) \|$", text, re.MULTILINE)
    assert [name for name, *_ in rows] == list(read_questions())
    assert all(link == f"results/{PAGE}#{name}" for name, link, _ in rows)


def test_what_a_run_came_to_is_written_and_kept(tmp_path: Path) -> None:
    scenario = tmp_path / "convergence.toml"
    scenario.write_text(MESH + HOLDS, encoding="utf-8")
    entries = plan({"convergence": scenario}, tmp_path / "kept")
    page = write_page(entries, tmp_path)
    assert "not run with this code" in page.read_text(encoding="utf-8")

    ((entry, ended),) = run_all(entries, workers=1, limit_s=300.0)
    assert (entry.name, ended.said) == ("convergence", "")
    outcome = find_outcome(entry)
    assert outcome.summary is not None
    assert not outcome.is_good
    text = write_page(entries, tmp_path).read_text(encoding="utf-8")
    assert "| 1 of 2 |" in text
    assert f"digest `{outcome.summary.digest[:12]}`" in text
    assert re.search(r"\| events at most 1 \| [\d,]+ \| NO \|\n\| known .* \| yes \|", text)
    plot = tmp_path / PLOTS / "convergence.png"
    assert plot.read_bytes().startswith(b"\x89PNG")

    assert not list(run_all(entries, workers=1, limit_s=300.0))
    scenario.write_text(MESH, encoding="utf-8")
    (changed,) = plan({"convergence": scenario}, tmp_path / "kept")
    assert not changed.is_done(300.0)
    write_page([changed], tmp_path)
    assert not plot.exists()


def test_what_took_too_long_is_tried_again_with_more_time(tmp_path: Path) -> None:
    entries = plan({"jobs": list_scenarios()["jobs"]}, tmp_path)
    ((entry, ended),) = run_all(entries, workers=1, limit_s=0.1)
    assert ended.said == find_outcome(entry).said == "not finished within 0.1 s"
    assert entry.is_done(0.1)
    assert not entry.is_done(0.2)


@pytest.mark.parametrize(
    ("tail", "said", "is_done"),
    [
        ("nonsense = 1\n", "ended with code 2: .*nonsense", False),
        ('[plugin]\nfiles = ["wrong.py"]\n', "^at 1.000000 s: .*all is lost", True),
    ],
)
def test_what_has_no_result_says_why(
    tmp_path: Path, *, tail: str, said: str, is_done: bool
) -> None:
    scenario = tmp_path / "jobs.toml"
    scenario.write_text(MESH, encoding="utf-8")
    entries = plan({"jobs": scenario}, tmp_path)
    # Changed behind its back, so that no plug-in is loaded into the process of the tests.
    (tmp_path / "wrong.py").write_text(WRONG, encoding="utf-8")
    scenario.write_text(MESH + tail, encoding="utf-8")
    ((entry, ended),) = run_all(entries, workers=1, limit_s=300.0)
    assert re.search(said, ended.said), ended.said
    assert find_outcome(entry).summary is None
    assert entry.is_done(300.0) == is_done
