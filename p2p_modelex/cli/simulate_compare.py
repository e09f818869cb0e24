"""`modelex simulate --compare A B`: two results, or two commits, side by side."""

import io
import subprocess
import sys
import tarfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import click

from p2p_modelex.cli.common import print_table
from p2p_modelex.errors import BadInput, SimulationError

if TYPE_CHECKING:
    from p2p_modelex.simulation.results.comparing import Difference, Side
    from p2p_modelex.simulation.scenario.recipe import Recipe

BEYOND_CHANCE = 0.05
"""Differences that are less likely by chance are marked."""
_ROOT = Path(__file__).parents[2]


def compare_results(one: str, other: str) -> None:
    """Compare two results of --out; BadInput."""
    from p2p_modelex.simulation.results.comparing import read_side

    _show(read_side(Path(one)), read_side(Path(other)))


def compare_commits(recipe: "Recipe", one: str, other: str, *, seeds: int, workers: int) -> None:
    """Run a scenario by the code of two commits with the same seeds, and compare.

    BadInput for what is no commit; SimulationError if one cannot run it.
    """
    from p2p_modelex.simulation.results.comparing import build_side, read_summary
    from p2p_modelex.simulation.results.files import SAMPLES, SUMMARY

    first = recipe.build().seed
    with (
        TemporaryDirectory(prefix="modelex-compare-") as temporary,
        ThreadPoolExecutor(workers) as pool,
    ):
        folders = [Path(temporary) / str(number) for number in range(2)]
        for commit, folder in zip((one, other), folders, strict=True):
            _export(commit, folder)
        asked = []
        for commit, folder in zip((one, other), folders, strict=True):
            words = _write_recipe(recipe, folder)
            drawn = range(first, first + seeds)
            asked.append([pool.submit(_run, commit, folder, words, seed) for seed in drawn])
        sides = []
        try:
            for commit, runs in zip((one, other), asked, strict=True):
                results = [run.result() for run in runs]
                summaries = [read_summary(result / SUMMARY) for result in results]
                samples = (results[0] / SAMPLES).read_bytes().splitlines() if seeds == 1 else ()
                sides.append(build_side(commit, summaries, samples))
        finally:
            pool.shutdown(cancel_futures=True)  # after Ctrl-C, or a run that broke
    _show(*sides)


def _export(commit: str, folder: Path) -> None:
    """Write the package as it was at a commit."""
    git = ["git", "-C", str(_ROOT)]
    verify = [*git, "rev-parse", "--verify", "--quiet", "--end-of-options", f"{commit}^{{commit}}"]
    try:
        done = subprocess.run(verify, capture_output=True, check=False, timeout=60)
        if not done.returncode:
            archive = [*git, "archive", "--format=tar", done.stdout.decode().strip(), "p2p_modelex"]
            done = subprocess.run(archive, capture_output=True, check=False, timeout=60)
    except OSError as error:
        raise BadInput(
            "commits are compared with git, which is not here", hint=str(error)
        ) from error
    if done.returncode:
        hint = "two commits of this project, or without a scenario two results of --out"
        raise BadInput(f"no commit {commit!r} of {_ROOT}", hint=hint)
    with tarfile.open(fileobj=io.BytesIO(done.stdout)) as packed:
        packed.extractall(folder, filter="data")


def _write_recipe(recipe: "Recipe", folder: Path) -> list[str]:
    """Write what is to be run; returns the words that run it."""
    file = folder / "compared.toml"
    file.write_text(recipe.text, encoding="utf-8")
    words = [str(file)]
    words += [word for setting in recipe.settings for word in ("--set", setting)]
    for number, workload in enumerate(recipe.build().workload):
        if workload.trace is not None:
            words += ["--set", f"workload.{number}.trace={workload.trace}"]
    words += [] if recipe.nodes is None else ["--nodes", str(recipe.nodes)]
    names = []
    for number, plugin in enumerate(recipe.plugins):
        names.append(f"plugin_{number}.py")
        (folder / names[-1]).write_text(plugin.text, encoding="utf-8")
    return [*words, "--set", f"plugin.files={names!r}"] if names else words


def _run(commit: str, folder: Path, words: Sequence[str], seed: int) -> Path:
    """Run with one seed by the code in a folder; returns where the results are."""
    out = folder / f"seed-{seed}"
    command = [sys.executable, "-m", "p2p_modelex", "simulate", *words]
    command += ["--seed", str(seed), "--quiet", "--out", str(out)]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    if not (out / "summary.json").exists():  # what does not hold ends with an error as well
        raise _explain(f"{commit}, seed {seed}", done, seed)
    return out


def _explain(run: str, done: "subprocess.CompletedProcess[str]", seed: int) -> SimulationError:
    """Say whether a commit's code refused the scenario, or broke as it ran it."""
    said = done.stderr.strip().partition("\n  try: ")[0].removeprefix("error: ")
    if done.returncode == SimulationError.exit_code:
        hint = f"at that commit, --seed {seed} repeats it and --shrink makes it small"
        return SimulationError(f"{run} broke: {said}", hint=hint)
    if done.returncode < 0:
        hint = "fewer --workers, or --nodes, if it had too little memory"
        return SimulationError(f"{run}: signal {-done.returncode} ended it", hint=hint)
    said = said or "it wrote no summary"
    return SimulationError(f"{run} does not run it: {said}", hint="a later commit")


def _show(one: "Side", other: "Side") -> None:
    from p2p_modelex.simulation.results.comparing import compare, find_parting

    differences = compare(one, other)
    if not differences:
        raise BadInput("the two have no point in common", hint="results of the same sweep")
    shown = [line for line in differences if line.one != line.other]
    header = ("at", "measure", one.name, other.name, "difference", "chance")
    print_table(header, [_describe(line) for line in shown])
    same = sum(line.one == line.other for line in differences)
    click.echo(f"{same} of {len(differences)} measures are equal")
    for side in (one, other):
        digests = [run.digest[:12] for point in side.points for run in point.runs]
        click.echo(f"digests of {side.name}: {', '.join(digests)}")
    parting = find_parting(one, other)
    if parting:
        click.echo(f"they part {parting}")


def _describe(line: "Difference") -> list[str]:
    from p2p_modelex.simulation.results.points import format_number

    change = "" if line.change is None else f" ({line.change:+.1%})"
    mark = " *" if line.chance is not None and line.chance < BEYOND_CHANCE else ""
    return [
        line.point,
        line.measure,
        format_number(line.one),
        format_number(line.other),
        f"{'+' if line.other > line.one else ''}{format_number(line.other - line.one)}{change}",
        "" if line.chance is None else f"{line.chance:.3f}{mark}",
    ]
