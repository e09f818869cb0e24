"""Sweeps: each combination a run, a file of those that are done, and what is wrong with either."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from p2p_modelex.cli.simulate import simulate
from p2p_modelex.errors import BadInput, SimulationError
from p2p_modelex.simulation.results import sweep
from p2p_modelex.simulation.results.points import build_table, gather
from p2p_modelex.simulation.results.sweep import (
    FILE,
    Axis,
    Planned,
    Swept,
    parse_axis,
    plan_sweep,
    run_one,
    run_sweep,
)
from p2p_modelex.simulation.results.workers import DEATHS_MAX, run_here
from p2p_modelex.simulation.scenario.plugins import PluginFile
from p2p_modelex.simulation.scenario.recipe import Recipe
from tests.simulation.test_report import Page
from tests.simulation.worlds import MESH, play

DEADLY = """
import os
from p2p_modelex.simulation.plugin import behaviour

@behaviour("deadly")
def die(life, effect):
    os._exit(9)
"""


def plan(*seeds: int) -> list[Planned]:
    return plan_sweep(Recipe(MESH), [Axis("seed", tuple(map(str, seeds)))])


def play_all(planned: list[Planned], folder: Path) -> dict[str, Swept]:
    runs = run_sweep(planned, lambda left: map(run_one, left), folder=folder)
    return {one.at["seed"]: one for one in runs}


def test_an_axis_is_a_key_and_values() -> None:
    assert parse_axis("links.loss=0, 0.1,0.1") == Axis("links.loss", ("0", "0.1"))
    assert parse_axis('links.regions={london=1,tokyo=2},{},"a,b"').values == (
        "{london=1,tokyo=2}",
        "{}",
        '"a,b"',
    )
    for wrong in ("links.loss", "=1,2", "seed=", "seed=,"):
        with pytest.raises(BadInput, match="not a sweep"):
            parse_axis(wrong)


def test_a_grid_has_each_combination_with_each_seed() -> None:
    axes = [Axis("links.loss", ("0", "0.1")), Axis("population.1.count", ("3", "4", "5"))]
    planned = plan_sweep(Recipe(MESH, settings=("seed=7",)), axes, seeds=2)
    assert len({one.key for one in planned}) == 12
    assert planned[1].label == "links.loss=0, population.1.count=3, seed=8"
    assert planned[1].recipe.build().seed == 8


@pytest.mark.parametrize(
    ("axes", "seeds", "message"),
    [
        ([Axis("seed", ("1",)), Axis("seed", ("2",))], 1, "swept twice: seed, seed"),
        ([Axis("seed", ("1", "2"))], 2, "both --seeds and"),
        ([Axis("links.loss", tuple(f"0.{at}" for at in range(300)))], 20, "6000 runs, 2048"),
        ([Axis("links.loss", ("0", "2"))], 1, "links.loss"),
    ],
)
def test_what_cannot_be_swept(axes: list[Axis], seeds: int, message: str) -> None:
    with pytest.raises(BadInput, match=message):
        plan_sweep(Recipe(MESH), axes, seeds=seeds)


def test_an_interrupted_sweep_goes_on_behind_what_is_done(tmp_path: Path) -> None:
    file = tmp_path / FILE
    first = play_all(plan(1), tmp_path)["1"]
    assert first.digest == play(MESH, "seed=1").digest
    done = file.read_bytes()
    # What was being written as it was interrupted, and a mark that shows it is not run again.
    file.write_bytes(done.replace(first.digest.encode(), b"kept") + b'{"at":{"seed":"2"},"key"')
    swept = play_all(plan(1, 2), tmp_path)
    assert swept["1"].digest == "kept"
    assert swept["2"].digest == play(MESH, "seed=2").digest
    assert list(play_all(plan(2, 1), tmp_path)) == ["2", "1"]
    assert file.read_bytes().count(b"\n") == 2


def test_runs_of_other_code_are_not_taken_for_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    (planned,) = plan(1)
    monkeypatch.setattr(sweep, "compute_code", lambda: "other")
    assert plan(1)[0].key != planned.key
    assert "the code of the package changed" in run_one(planned).broke


def test_a_file_of_something_else_is_refused(tmp_path: Path) -> None:
    (tmp_path / FILE).write_text("{}\n")
    with pytest.raises(BadInput, match="is no sweep"):
        play_all(plan(1), tmp_path)


def test_a_run_that_breaks_is_told_and_not_raised() -> None:
    # Nobody can know everybody so soon.
    soon = Recipe(MESH, settings=("duration=8 s", "settle=1 s"))
    swept = run_one(plan_sweep(soon, [Axis("seed", ("1",))])[0])
    assert "does not know" in swept.broke
    assert not swept.measures
    assert not run_one(plan(1)[0]).broke


def test_a_point_has_the_mean_and_the_range_of_its_seeds() -> None:
    runs = [
        Swept({"x": x, "seed": seed}, "", seed * 12, {"m": float(value)}, unmet)
        for x, seed, value, unmet in (
            ("a", "1", 2, ()),
            ("b", "1", 5, ("m is 5",)),
            ("a", "2", 4, ("m is 4",)),
        )
    ]
    header, rows = build_table(gather(runs), ["m", "n"])
    assert header == ["x", "m", "n", "does not hold", "digest"]
    assert rows == [
        ["a", "3 (2 to 4)", "", "1 of 2 seeds: m is 4", "1" * 12],
        ["b", "5", "", "m is 5", "1" * 12],
    ]


@pytest.mark.slow
def test_a_process_that_dies_is_begun_again_and_then_told() -> None:
    plugins = (PluginFile("deadly.py", DEADLY),)
    deadly = Recipe(MESH, settings=("population.1.behaviour=deadly",), plugins=plugins)
    planned = [*plan_sweep(deadly, [Axis("seed", ("1",))]), *plan(2)]
    swept = {one.at["seed"]: one for one in run_here(planned, 2)}
    assert swept["1"].broke == f"its process died {DEATHS_MAX + 1} times, at last with 9"
    assert swept["2"].digest == play(MESH, "seed=2").digest


ORPHANED = """
import os, time
from p2p_modelex.simulation.plugin import behaviour

@behaviour("waiting")
def wait(life, effect):
    with open("told", "w") as told:
        told.write("begun ")
        told.flush()
        time.sleep(60)
        told.write("and not ended")
    os._exit(0)
"""


@pytest.mark.slow
def test_processes_end_with_whoever_began_them(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "told")
    (tmp_path / "waiting.py").write_text(ORPHANED)
    (tmp_path / "mesh.toml").write_text(MESH)
    words = ["mesh.toml", "--plugin", "waiting.py", "--set", "population.1.behaviour=waiting"]
    command = [sys.executable, "-m", "p2p_modelex", "simulate", *words, "--seeds", "2"]
    with (
        subprocess.Popen([*command, "--workers", "1"], cwd=tmp_path) as parent,
        (tmp_path / "told").open(encoding="utf-8") as told,
    ):
        assert told.read(1) == "b"
        parent.kill()
        assert told.read() == "egun "


@pytest.mark.slow
def test_the_command_tells_why_a_run_broke_though_the_first_did_not(tmp_path: Path) -> None:
    (tmp_path / "mesh.toml").write_text(MESH, encoding="utf-8")
    (tmp_path / "doom.py").write_text(
        "from p2p_modelex.simulation.plugin import behaviour\n"
        '@behaviour("doom")\ndef act(life, effect):\n    return 1 / 0\n'
    )
    words = [str(tmp_path / "mesh.toml"), "--plugin", str(tmp_path / "doom.py"), "--workers", "1"]
    sweep = ["--sweep", "population.1.behaviour=honest,doom", "--show", "nodes"]
    done = CliRunner().invoke(simulate, [*words, *sweep])
    assert isinstance(done.exception, SimulationError)
    where = "the first at population.1.behaviour=doom: at [0-9.]+ s plug-in .*doom.py, line 4, act"
    assert re.match(f"1 of 2 runs broke, {where} broke: Zero", str(done.exception))
    assert "--shrink" in str(done.exception.hint)


@pytest.mark.slow
def test_the_command_compares_the_runs(tmp_path: Path) -> None:
    file = tmp_path / "mesh.toml"
    hold = '[[hold]]\nmeasure = "events"\nat_most = 1.0\n'
    file.write_text(MESH + hold, encoding="utf-8")
    swept = ["--sweep", "population.1.count=3,5", "--workers", "2", "--show", "nodes"]
    done = CliRunner().invoke(simulate, [str(file), *swept, "--out", str(tmp_path / "out")])
    assert done.exit_code == 0, done.output
    rows = [line for line in done.output.splitlines() if "events is" in line]
    assert [row.split()[:2] for row in rows] == [["3", "4"], ["5", "6"]]
    written = {path.name for path in (tmp_path / "out").iterdir()}
    assert {"sweep.jsonl", "runs.jsonl", "report.html"} <= written
    page = Page((tmp_path / "out" / "report.html").read_text(encoding="utf-8"))
    assert not page.open
    assert all(link.startswith(("#", "data:")) for link in page.links)
    assert len(page.labels) == 1  # the curve of what --show names
    again = CliRunner().invoke(simulate, [str(file), *swept, "--show", "evnts"])
    assert isinstance(again.exception, BadInput)
    assert "did you mean `events`?" in str(again.exception.hint)
    assert "measure" not in again.output  # it was known before a run
    alone = CliRunner().invoke(simulate, [str(file), "--show", "nodes"])
    assert "are for a sweep" in alone.output
    kept = CliRunner().invoke(simulate, [str(file), "--events", "1..2"])
    assert "go with --trace" in kept.output
