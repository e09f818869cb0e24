"""`modelex simulate`."""

import os
import time
from pathlib import Path
from typing import TYPE_CHECKING

import click

from p2p_modelex.errors import BadInput, SimulationError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from p2p_modelex.simulation.opening import Run
    from p2p_modelex.simulation.results.sweep import Swept
    from p2p_modelex.simulation.run import Result
    from p2p_modelex.simulation.scenario.tables import Scenario

SLICES = 200
"""Progress is shown so often in a run."""


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
@click.argument("scenario")
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
    "--out",
    type=click.Path(file_okay=False, path_type=Path),
    callback=_make_folder,
    help="Write samples and summary into this directory, as JSON lines and as Parquet if pyarrow "
    "is installed (extra `simulate`).",
)
@click.option(
    "--sweep",
    metavar="KEY=A,B,C",
    help="Run once for each value, and compare. With --out it goes on where it was interrupted.",
)
@click.option(
    "--workers", type=click.IntRange(1, 1024), help="Runs of a sweep at once; one for each core."
)
@click.option(
    "--show",
    multiple=True,
    metavar="MEASURE",
    help="A column of a sweep's table, instead of those the scenario holds to. Repeatable.",
)
@click.option("--quiet", is_flag=True, help="Show no progress.")
def simulate(
    scenario: str,
    *,
    seed: int | None,
    nodes: int | None,
    settings: tuple[str, ...],
    out: Path | None,
    sweep: str | None,
    workers: int | None,
    show: tuple[str, ...],
    quiet: bool,
) -> None:
    """Run a scenario of many nodes under virtual time: see docs/simulation.md.

    SCENARIO is a file, or the name of one of `simulations/`.
    """
    if sweep is not None:
        read_value = lambda setting: _read(scenario, seed, nodes, (*settings, setting))  # noqa: E731
        _sweep(sweep, read_value, workers, out, show)
        return
    from p2p_modelex.simulation.opening import open_run

    read = _read(scenario, seed, nodes, settings)
    began = time.monotonic()
    with open_run(read) as run:
        _advance(run, is_shown=not quiet)
        result = run.finish()
    _show(result, time.monotonic() - began)
    if out is not None:
        from p2p_modelex.simulation.results.files import write_result

        for path in write_result(result, out):
            click.echo(f"wrote {path}")
    if result.unmet:
        raise SimulationError("; ".join(result.unmet), hint=f"it is seed {result.seed}")


def _sweep(
    asked: str,
    read_value: "Callable[[str], Scenario]",
    workers: int | None,
    out: Path | None,
    show: tuple[str, ...],
) -> None:
    """Run a scenario for each value of a setting, and show the runs side by side."""
    from p2p_modelex.simulation.results.sweep import parse_sweep, run_sweep

    key, values = parse_sweep(asked)
    scenarios = {value: read_value(f"{key}={value}") for value in values}
    found = {}
    for swept in run_sweep(scenarios, workers=workers or os.cpu_count() or 1, folder=out):
        found[swept.value] = swept
        click.echo(f"{key}={swept.value}: {swept.broke or 'done'}", err=True)
    first = scenarios[values[0]]
    columns = show or tuple(dict.fromkeys(wanted.measure for wanted in first.hold))
    _show_sweep(key, columns, [found[value] for value in values])
    broken = [swept.value for swept in found.values() if swept.broke]
    if broken:
        raise SimulationError(f"broke at {key}={', '.join(broken)}", hint=f"seed {first.seed}")


def _show_sweep(key: str, columns: tuple[str, ...], runs: "Iterable[Swept]") -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(key, *columns, "does not hold", "digest")
    for one in runs:
        cells = (f"{one.measures[name]:,.6g}" if name in one.measures else "" for name in columns)
        table.add_row(one.value, *cells, one.broke or "; ".join(one.unmet), one.digest[:12])
    Console().print(table)


def _read(name: str, seed: int | None, nodes: int | None, settings: tuple[str, ...]) -> "Scenario":
    from p2p_modelex.simulation.scenario.reading import list_scenarios, read_scenario, scale

    path = list_scenarios().get(name, Path(name))
    if seed is not None:
        settings = (*settings, f"seed={seed}")
    read = read_scenario(path, settings)
    return read if nodes is None else scale(read, nodes)


def _advance(run: "Run", *, is_shown: bool) -> None:
    """Run to the end, showing virtual time and events a second."""
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    duration = run.scenario.duration
    columns = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
    with Progress(*columns, disable=not is_shown, transient=True) as progress:
        task = progress.add_task("", total=duration)
        last, events = time.monotonic(), 0
        for number in range(1, SLICES + 1):
            run.advance(duration * number // SLICES)
            now = time.monotonic()
            rate = (run.kernel.events - events) / max(now - last, 1e-9)
            last, events = now, run.kernel.events
            said = f"{run.kernel.now / 1e6:.0f} of {duration / 1e6:.0f} s, {rate:,.0f} events/s"
            progress.update(task, completed=run.kernel.now, description=said)


def _show(result: "Result", took_s: float) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table("measure", "value", title=f"{result.scenario}, seed {result.seed}")
    table.columns[1].justify = "right"
    for name, value in result.measures.items():
        table.add_row(name, f"{value:,.0f}" if value == int(value) else f"{value:,.3f}")
    Console().print(table)
    click.echo(f"digest {result.digest}")
    click.echo(f"{took_s:.1f} s, {result.measures['events'] / max(took_s, 1e-9):,.0f} events/s")
