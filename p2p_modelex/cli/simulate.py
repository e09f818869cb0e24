"""`modelex simulate`."""

import os
import shlex
from pathlib import Path
from typing import TYPE_CHECKING

import click

from p2p_modelex.errors import BadInput

if TYPE_CHECKING:
    from p2p_modelex.simulation.scenario.recipe import Recipe

SEEDS_MAX = 256


def _make_folder(_: click.Context, __: click.Parameter, folder: Path | None) -> Path | None:
    """Where results cannot go is known before hours of a run."""
    if folder is not None:
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise BadInput(
                f"cannot make {folder}: {error.strerror}", hint="give another --out"
            ) from error
    return folder


@click.command()
@click.argument("scenario", required=False)
@click.option("--seed", type=click.IntRange(0, 2**63 - 1), help="Another seed than the scenario's.")
@click.option("--nodes", type=click.IntRange(1), help="Scale the populations to so many nodes.")
@click.option(
    "--set",
    "settings",
    multiple=True,
    metavar="KEY=VALUE",
    help="Change the scenario, such as links.loss=0.02 or population.1.count=50. Repeatable.",
)
@click.option(
    "--plugin",
    "plugins",
    multiple=True,
    metavar="FILE",
    help="Run a file of Python that adds behaviours, routing policies, measures or checkers. "
    "Repeatable.",
)
@click.option(
    "--out",
    type=click.Path(file_okay=False, path_type=Path),
    callback=_make_folder,
    help="Write summary, samples and a report into this directory; with the extra `simulate` also "
    "plots and Parquet.",
)
@click.option(
    "--sweep",
    "sweeps",
    multiple=True,
    metavar="KEY=A,B,C",
    help="Run once for each value, and compare. Repeatable: each combination is run. With --out "
    "it goes on where it was interrupted.",
)
@click.option(
    "--seeds",
    type=click.IntRange(1, SEEDS_MAX),
    default=1,
    help="Run with so many seeds, the scenario's first: means, and the least and the most.",
)
@click.option(
    "--workers", type=click.IntRange(1, 1024), help="Runs of a sweep at once; one for each core."
)
@click.option("--dask", metavar="ADDRESS", help="Run a sweep on this dask cluster (extra `dask`).")
@click.option(
    "--show",
    multiple=True,
    metavar="MEASURE",
    help="A column of a sweep's table, instead of those the scenario holds to. Repeatable.",
)
@click.option(
    "--compare",
    nargs=2,
    metavar="A B",
    help="Put two results of --out side by side; or, with a scenario, two commits, each run by its "
    "own code.",
)
@click.option("--quiet", is_flag=True, help="Show no progress.")
def simulate(
    scenario: str | None,
    *,
    seed: int | None,
    nodes: int | None,
    settings: tuple[str, ...],
    plugins: tuple[str, ...],
    out: Path | None,
    sweeps: tuple[str, ...],
    seeds: int,
    workers: int | None,
    dask: str | None,
    show: tuple[str, ...],
    compare: tuple[str, str] | None,
    quiet: bool,
) -> None:
    """Run a scenario of many nodes under virtual time: see docs/simulation.md.

    SCENARIO is a file, or the name of one of `simulations/`.
    """
    many = workers or os.cpu_count() or 1
    if scenario is None:
        from p2p_modelex.cli.simulate_compare import compare_results

        if compare is None:
            raise click.UsageError("Missing argument 'SCENARIO'.")
        compare_results(*compare)
        return
    changed = (*settings, *(() if seed is None else (f"seed={seed}",)))
    recipe = _read(scenario, changed, nodes, plugins)
    if compare is not None:
        from p2p_modelex.cli.simulate_compare import compare_commits

        compare_commits(recipe, *compare, seeds=seeds, workers=many)
        return
    origin = _repeat(scenario, settings, seed, nodes, plugins)
    if sweeps or seeds > 1:
        from p2p_modelex.cli.simulate_sweep import sweep

        again = "".join(f" --sweep {shlex.quote(one)}" for one in sweeps)
        again += f" --seeds {seeds}" if seeds > 1 else ""
        sweep(recipe, sweeps, seeds, show, out, origin + again, workers=many, dask=dask)
        return
    from p2p_modelex.cli.simulate_run import run

    run(recipe, out, origin, is_shown=not quiet)


def _read(
    name: str, settings: tuple[str, ...], nodes: int | None, plugins: tuple[str, ...]
) -> "Recipe":
    from p2p_modelex.simulation.scenario.reading import list_scenarios
    from p2p_modelex.simulation.scenario.recipe import read_recipe

    path = list_scenarios().get(name, Path(name))
    return read_recipe(path, settings, nodes=nodes, plugins=plugins)


def _repeat(
    scenario: str,
    settings: tuple[str, ...],
    seed: int | None,
    nodes: int | None,
    plugins: tuple[str, ...],
) -> str:
    """Return the command that runs it again."""
    words = ["modelex", "simulate", scenario]
    words += [word for one in settings for word in ("--set", one)]
    words += [word for one in plugins for word in ("--plugin", one)]
    words += [] if seed is None else ["--seed", str(seed)]
    words += [] if nodes is None else ["--nodes", str(nodes)]
    return shlex.join(words)
