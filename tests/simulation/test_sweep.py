"""Sweeps: each value a run, a file that says which are done, and what is wrong with either."""

from pathlib import Path

import pytest
from click.testing import CliRunner

from p2p_modelex.cli.simulate import simulate
from p2p_modelex.errors import BadInput
from p2p_modelex.simulation.results.sweep import FILE, VALUES_MAX, parse_sweep, run_one, run_sweep
from p2p_modelex.simulation.scenario.tables import Scenario
from tests.simulation.worlds import MESH, build, play


def scenarios(*seeds: int) -> dict[str, Scenario]:
    return {str(seed): build(MESH, f"seed={seed}") for seed in seeds}


def test_a_sweep_is_a_key_and_values() -> None:
    assert parse_sweep("links.loss=0, 0.1,0.1") == ("links.loss", ("0", "0.1"))
    for wrong in (
        "links.loss",
        "=1,2",
        "seed=",
        "seed=" + ",".join(map(str, range(VALUES_MAX + 1))),
    ):
        with pytest.raises(BadInput):
            parse_sweep(wrong)


def test_an_interrupted_sweep_goes_on_behind_what_is_done(tmp_path: Path) -> None:
    file = tmp_path / FILE
    (first,) = run_sweep(scenarios(1), workers=1, folder=tmp_path)
    assert first.digest == play(MESH, "seed=1").digest
    done = file.read_bytes()
    # What was being written as it was interrupted, and a mark that shows it is not run again.
    file.write_bytes(done.replace(first.digest.encode(), b"kept") + b'{"value":"2","key"')
    swept = {one.value: one for one in run_sweep(scenarios(1, 2), workers=1, folder=tmp_path)}
    assert swept["1"].digest == "kept"
    assert swept["2"].digest == play(MESH, "seed=2").digest
    assert [one.value for one in run_sweep(scenarios(2, 1), workers=1, folder=tmp_path)] == [
        "2",
        "1",
    ]
    assert file.read_bytes().count(b"\n") == 2


def test_a_file_of_something_else_is_refused(tmp_path: Path) -> None:
    (tmp_path / FILE).write_text("{}\n")
    with pytest.raises(BadInput, match="is no sweep"):
        list(run_sweep(scenarios(1), workers=1, folder=tmp_path))


def test_a_run_that_breaks_is_told_and_not_raised() -> None:
    (scenario,) = scenarios(1).values()
    # Nobody can know everybody so soon.
    swept = run_one("1", "key", build(MESH, "duration=8 s", "settle=1 s"))
    assert "does not know" in swept.broke
    assert not swept.measures
    assert not run_one("1", "key", scenario).broke


def test_the_command_compares_the_runs(tmp_path: Path) -> None:
    file = tmp_path / "mesh.toml"
    hold = '[[hold]]\nmeasure = "events"\nat_most = 1.0\n'
    file.write_text(MESH + hold, encoding="utf-8")
    swept = ["--sweep", "population.1.count=3,5", "--workers", "1", "--show", "nodes"]
    done = CliRunner().invoke(simulate, [str(file), *swept])
    assert done.exit_code == 0, done.output
    rows = [line for line in done.output.splitlines() if "events is" in line]
    assert [[cell.strip() for cell in row.split("│")[1:3]] for row in rows] == [
        ["3", "4"],
        ["5", "6"],
    ]
