"""Two results side by side."""

import subprocess
import time
from pathlib import Path

import msgspec
import pytest
from click.testing import CliRunner

from p2p_modelex.cli import simulate_compare
from p2p_modelex.cli.simulate import simulate
from p2p_modelex.errors import BadInput, SimulationError
from p2p_modelex.simulation.results import ranks
from p2p_modelex.simulation.results.comparing import (
    build_side,
    compare,
    find_parting,
    read_side,
)
from p2p_modelex.simulation.results.files import Summary
from p2p_modelex.simulation.results.ranks import compute_chance
from p2p_modelex.simulation.scenario.recipe import Recipe
from tests.simulation.worlds import MESH


def write_run(folder: Path, seed: int, known: float, samples: list[dict[str, object]]) -> Path:
    folder.mkdir()
    summary = Summary("mesh", seed, f"{seed:064}", {"known": known, "events": 5.0}, ())
    (folder / "summary.json").write_bytes(msgspec.json.encode(summary))
    lines = b"".join(msgspec.json.encode(one) + b"\n" for one in samples)
    (folder / "samples.jsonl").write_bytes(lines)
    return folder


@pytest.mark.parametrize(
    ("one", "other", "chance"),
    [
        # The tables of Mann and Whitney: U = 0 of 3 and 3, and of 5 and 5; U = 2 of 4 and 4.
        ((1, 2, 3), (4, 5, 6), 2 / 20),
        ((1, 2, 3, 4, 5), (6, 7, 8, 9, 10), 2 / 252),
        ((1, 2, 3, 6), (4, 5, 7, 8), 8 / 70),
        ((1, 1, 1), (1, 1, 1), 1.0),
        ((1, 2), (3, 4, 5), None),
    ],
)
def test_ranks_tell_chance(
    one: tuple[float, ...], other: tuple[float, ...], chance: float | None
) -> None:
    assert compute_chance(one, other) == (None if chance is None else pytest.approx(chance))
    assert compute_chance(other, one) == compute_chance(one, other)


def test_many_runs_are_told_by_the_normal_distribution(monkeypatch: pytest.MonkeyPatch) -> None:
    one, other = list(range(8)), [value + 3.5 for value in range(8)]
    exact = compute_chance(one, other)
    monkeypatch.setattr(ranks, "EXACT_MAX", 0)
    assert compute_chance(one, other) == pytest.approx(exact, abs=0.005)
    assert compute_chance([1.0] * 12, [1.0] * 12) == 1.0
    assert compute_chance(one, one) == 1.0


def test_two_runs_part_at_a_sample(tmp_path: Path) -> None:
    samples: list[dict[str, object]] = [
        {"at_s": at, "known": 0.5, "is_complete": False} for at in (1, 2, 3)
    ]
    one = read_side(write_run(tmp_path / "one", 1, 0.5, samples))
    changed = [samples[0], {**samples[1], "known": 0.75}]
    other = read_side(write_run(tmp_path / "other", 2, 1.0, changed))
    known, events = compare(one, other)
    assert (known.one, known.other, known.change, known.chance) == (0.5, 1.0, 1.0, None)
    assert events.change == 0.0
    assert find_parting(one, other) == "at 2 s: known 0.5 and 0.75"
    shorter = read_side(write_run(tmp_path / "shorter", 1, 0.5, samples[:2]))
    assert find_parting(one, shorter) == "at 3 s, where one of them ends"
    # A version that measures more is not another course.
    more = [{**one, "more": 1} for one in samples]
    assert find_parting(one, read_side(write_run(tmp_path / "more", 1, 0.5, more))) == ""
    assert find_parting(one, build_side("without", [Summary("m", 1, "", {}, ())])) == ""


def test_sweeps_are_compared_at_their_points(tmp_path: Path) -> None:
    for name, more in (("one", 0), ("other", 10)):
        (tmp_path / name).mkdir()
        lines = [
            {
                "at": {"x": x, "seed": str(seed)},
                "key": "",
                "digest": "d",
                "measures": {"m": seed + more * (x == "b")},
                "unmet": [],
            }
            for x in ("a", "b")
            for seed in range(4)
        ]
        content = b"".join(msgspec.json.encode(line) + b"\n" for line in lines)
        (tmp_path / name / "sweep.jsonl").write_bytes(content)
    found = compare(read_side(tmp_path / "one"), read_side(tmp_path / "other" / "sweep.jsonl"))
    assert [(one.point, one.one, one.other) for one in found] == [
        ("x=a", 1.5, 1.5),
        ("x=b", 1.5, 11.5),
    ]
    assert [one.chance for one in found] == [1.0, pytest.approx(2 / 70)]
    folders = [str(tmp_path / name) for name in ("one", "other")]
    done = CliRunner().invoke(simulate, ["--compare", *folders])
    assert done.exit_code == 0, done.output
    assert "0.029 *" in done.output
    assert "1 of 2 measures are equal" in done.output


def test_what_cannot_be_compared(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="cannot read"):
        read_side(tmp_path)
    (tmp_path / "summary.json").write_text("{}")
    with pytest.raises(BadInput, match="is no summary"):
        read_side(tmp_path)
    run = write_run(tmp_path / "run", 1, 0.5, [{"at_s": 1, "known": 0.5}])
    other = write_run(tmp_path / "other", 1, 0.5, [])
    (other / "samples.jsonl").write_bytes(b"x\n")
    with pytest.raises(BadInput, match="is damaged"):
        find_parting(read_side(run), read_side(other))
    (other / "sweep.jsonl").write_bytes(b"")
    with pytest.raises(BadInput, match="has no run"):
        read_side(other)


@pytest.mark.slow
def test_two_commits_run_by_their_own_code(tmp_path: Path) -> None:
    file = tmp_path / "mesh.toml"
    file.write_text(MESH, encoding="utf-8")
    words = [str(file), "--set", "population.1.count=3", "--compare", "HEAD"]
    done = CliRunner().invoke(simulate, [*words, "HEAD"])
    assert done.exit_code == 0, done.output + repr(done.exception)
    lines = [line for line in done.output.splitlines() if line.startswith("digests of")]
    assert len(lines) == 2
    assert lines[0] == lines[1]
    assert "they part" not in done.output
    for wrong in ("no-such-commit", "--output=here"):
        missing = CliRunner().invoke(simulate, [*words, wrong])
        assert isinstance(missing.exception, BadInput)
        assert f"no commit '{wrong}'" in str(missing.exception)


@pytest.mark.slow
def test_a_run_that_breaks_says_what_broke(tmp_path: Path) -> None:
    file = tmp_path / "mesh.toml"
    file.write_text(MESH + '[plugin]\nfiles = ["fussy.py"]\n', encoding="utf-8")
    text = "from p2p_modelex.simulation.plugin import checker\n"
    text += '@checker("fussy")\ndef check(run): return "too quiet"\n'
    (tmp_path / "fussy.py").write_text(text, encoding="utf-8")
    done = CliRunner().invoke(simulate, [str(file), "--compare", "HEAD", "HEAD", "--seed", "7"])
    assert isinstance(done.exception, SimulationError)
    assert str(done.exception).startswith("HEAD, seed 7 broke: at 1.000000 s: fussy")
    assert "--seed 7 repeats it" in done.exception.hint


@pytest.mark.parametrize(
    ("code", "said", "message", "hint"),
    [
        (2, "error: line 3: unknown key `x`\n  try: y\n", "does not run it: line 3: un", "later"),
        (0, "", "does not run it: it wrote no summary", "later"),
        (-9, "", "HEAD, seed 1: signal 9 ended it", "memory"),
    ],
)
def test_why_a_commit_gave_no_result(code: int, said: str, message: str, hint: str) -> None:
    done = subprocess.CompletedProcess([], code, stdout="", stderr=said)
    error = simulate_compare._explain("HEAD, seed 1", done, 1)
    assert message in str(error)
    assert hint in error.hint


def test_after_an_interruption_no_further_run_is_begun(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun: list[int] = []

    def run(commit: str, folder: Path, words: object, seed: int) -> Path:
        begun.append(seed)
        time.sleep(0.02)
        raise KeyboardInterrupt

    def export(commit: str, folder: Path) -> None:
        folder.mkdir()

    monkeypatch.setattr(simulate_compare, "_run", run)
    monkeypatch.setattr(simulate_compare, "_export", export)
    with pytest.raises(KeyboardInterrupt):
        simulate_compare.compare_commits(Recipe(MESH), "a", "b", seeds=50, workers=1)
    assert len(begun) < 50
