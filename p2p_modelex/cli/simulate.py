"""`modelex simulate`."""

import os
import shlex
from pathlib import Path
from typing import TYPE_CHECKING

import click

from p2p_modelex.cli import simulate_again as again
from p2p_modelex.cli.common import print_table
from p2p_modelex.errors import BadInput

if TYPE_CHECKING:
    from p2p_modelex.simulation.repeat.recorder import Wanted
    from p2p_modelex.simulation.scenario.recipe import Recipe
    from p2p_modelex.simulation.scenario.tables import Scenario

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
        _check_writable(folder, "--out")
    return folder


def _check_trace(_: click.Context, __: click.Parameter, path: Path | None) -> Path | None:
    if path is not None:
        _check_writable(path.parent, "--trace")
    return path


def _check_writable(folder: Path, option: str) -> None:
    if not folder.is_dir():
        raise BadInput(f"there is no folder {folder}", hint=f"make it, or give another {option}")
    if not os.access(folder, os.W_OK | os.X_OK):
        raise BadInput(f"cannot write into {folder}", hint=f"give another {option}")


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
    "--measures", is_flag=True, help="List what the scenario's runs measure, and run nothing."
)
@click.option(
    "--compare",
    nargs=2,
    metavar="A B",
    help="Put two results of --out side by side; or, with a scenario, two commits, each run by its "
    "own code.",
)
@click.option(
    "--trace",
    type=click.Path(dir_okay=False, path_type=Path),
    callback=_check_trace,
    help="Write a trace of the run, to be replayed; with --out there is one in its directory.",
)
@click.option(
    "--replay",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Run a trace again, in place of a scenario, and say where it takes another course.",
)
@click.option(
    "--events",
    metavar="FROM..TO",
    help="Keep the events of these seconds in the trace; with --replay show them.",
)
@click.option("--node", type=click.IntRange(-2), help="Likewise, of this node alone.")
@click.option(
    "--shrink",
    type=click.FloatRange(min=0.0, min_open=True),
    is_flag=False,
    flag_value=600.0,
    metavar="[SECONDS]",
    help="Write the smallest scenario that fails alike, found within 600 seconds, or so many.",
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
    measures: bool,
    compare: tuple[str, str] | None,
    trace: Path | None,
    replay: Path | None,
    events: str | None,
    node: int | None,
    shrink: float | None,
    quiet: bool,
) -> None:
    """Run a scenario of many nodes under virtual time: see docs/simulation.md.

    SCENARIO is a file, or the name of one of `simulations/`.
    """
    _refuse_two(sweep=sweeps or seeds > 1, compare=compare, replay=replay, shrink=shrink)
    if not sweeps and seeds == 1 and (dask is not None or show):
        raise click.UsageError("--dask and --show are for a sweep: give --sweep or --seeds.")
    many = workers or os.cpu_count() or 1
    wanted = again.parse_wanted(events, node)
    if (sweeps or seeds > 1 or shrink) and (trace is not None or wanted is not None):
        raise click.UsageError("--trace, --events and --node are of one run.")
    if wanted is not None and trace is None and replay is None and out is None:
        raise click.UsageError("--events and --node go with --trace, --out or --replay.")
    if scenario is None:
        _do_without(compare, replay, wanted, trace, is_shown=not quiet)
        return
    if replay is not None:
        raise click.UsageError("--replay has its scenario in the trace: give no other.")
    changed = (*settings, *(() if seed is None else (f"seed={seed}",)))
    recipe = _read(scenario, changed, nodes, plugins)
    if measures:
        _show_measures(recipe.build())
        return
    if compare is not None:
        from p2p_modelex.cli.simulate_compare import compare_commits

        compare_commits(recipe, *compare, seeds=seeds, workers=many)
        return
    if shrink is not None:
        again.shrink_scenario(recipe.build(), out or Path(), shrink)
        return
    origin = _repeat(scenario, settings, seed, nodes, plugins)
    if sweeps or seeds > 1:
        from p2p_modelex.cli.simulate_sweep import sweep

        repeated = "".join(f" --sweep {shlex.quote(one)}" for one in sweeps)
        repeated += f" --seeds {seeds}" if seeds > 1 else ""
        sweep(recipe, sweeps, seeds, show, out, origin + repeated, workers=many, dask=dask)
        return
    from p2p_modelex.cli.simulate_run import run

    if trace is None and out is not None:
        trace = out / again.TRACE
    run(recipe, out, origin, trace, wanted, is_shown=not quiet)


def _refuse_two(**asked: object) -> None:
    """A sweep, a comparison, a replay and a shrinking are each a run of their own."""
    given = [f"--{name}" for name, value in asked.items() if value]
    if len(given) > 1 and given != ["--sweep", "--compare"]:
        raise click.UsageError(f"{' and '.join(given)} do not go together.")


def _do_without(
    compare: tuple[str, str] | None,
    replay: Path | None,
    wanted: "Wanted | None",
    trace: Path | None,
    *,
    is_shown: bool,
) -> None:
    """What needs no scenario: two results side by side, or a trace run again."""
    if replay is not None:
        again.replay_trace(replay, wanted, trace, is_shown=is_shown)
    elif compare is not None:
        from p2p_modelex.cli.simulate_compare import compare_results

        compare_results(*compare)
    else:
        raise click.UsageError("Give a scenario; or --replay and a trace.")


def _read(
    name: str, settings: tuple[str, ...], nodes: int | None, plugins: tuple[str, ...]
) -> "Recipe":
    from p2p_modelex.simulation.scenario.reading import list_scenarios
    from p2p_modelex.simulation.scenario.recipe import read_recipe

    path = list_scenarios().get(name, Path(name))
    return read_recipe(path, settings, nodes=nodes, plugins=plugins)


def _show_measures(scenario: "Scenario") -> None:
    from p2p_modelex.simulation.scenario.measures import list_declared, list_families

    declared = list_declared(scenario)
    print_table(("measure", "unit", "meaning"), [list(one) for one in declared])
    for family, names in list_families(scenario).items():
        if any(f"{{{family}}}" in one.name for one in declared):
            click.echo(f"{{{family}}}: {', '.join(names)}")


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
