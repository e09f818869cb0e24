"""`modelex simulate --sweep`: many runs, side by side."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from p2p_modelex.cli.common import print_table
from p2p_modelex.errors import BadInput, SimulationError

if TYPE_CHECKING:
    from p2p_modelex.simulation.results.points import Point
    from p2p_modelex.simulation.results.sweep import Planned, Swept
    from p2p_modelex.simulation.scenario.recipe import Recipe


def sweep(
    recipe: "Recipe",
    sweeps: Sequence[str],
    seeds: int,
    show: tuple[str, ...],
    out: Path | None,
    command: str,
    *,
    workers: int,
    dask: str | None,
) -> None:
    """Run a scenario for each combination of values and seeds, and show the points side by side.

    SimulationError if a run broke; KeyboardInterrupt goes on when those that ended are shown.
    """
    from p2p_modelex.simulation.results.sweep import parse_axis, plan_sweep, run_sweep

    planned = plan_sweep(recipe, [parse_axis(one) for one in sweeps], seeds=seeds)
    _validate_columns(show, planned)
    columns = show or tuple(dict.fromkeys(one.measure for one in planned[0].recipe.build().hold))
    found: dict[str, Swept] = {}
    try:
        for swept in run_sweep(planned, lambda left: _carry_out(left, workers, dask), folder=out):
            found[swept.key] = swept
            said = f"{len(found)} of {len(planned)}: {_label(swept)}: {swept.broke or 'done'}"
            click.echo(said, err=True)
    finally:
        # In the order of the command, whichever ended first.
        ended = [found[one.key] for one in planned if one.key in found]
        if ended:
            _tell(ended, columns, recipe, out, command)
    broken = [one for one in ended if one.broke]
    if broken:
        first = f"{_label(broken[0])}: {broken[0].broke}"
        said = f"{len(broken)} of {len(ended)} runs broke, the first at {first}"
        raise SimulationError(said, hint="--set and --seed repeat one, and --shrink makes it small")


def _validate_columns(show: Sequence[str], planned: "Sequence[Planned]") -> None:
    """What no run measures is known before hours of them; BadInput."""
    from p2p_modelex.simulation.scenario.measures import list_measures, suggest_measure

    for name in show:
        if not any(name in list_measures(one.recipe.build()) for one in planned):
            hint = suggest_measure(name, planned[0].recipe.build())
            raise BadInput(f"no run has a measure {name!r}", hint=hint)


def _label(swept: "Swept") -> str:
    return ", ".join(f"{key}={value}" for key, value in swept.at.items())


def _carry_out(planned: "Sequence[Planned]", workers: int, dask: str | None) -> "Iterator[Swept]":
    if dask is not None:
        from p2p_modelex.simulation.results.on_dask import run_on_dask

        return run_on_dask(planned, dask)
    from p2p_modelex.simulation.results.workers import run_here

    return run_here(planned, workers)


def _tell(
    ended: "Sequence[Swept]",
    columns: tuple[str, ...],
    recipe: "Recipe",
    out: Path | None,
    command: str,
) -> None:
    from p2p_modelex.cli.simulate_again import find_code, writing
    from p2p_modelex.simulation.results.files import write_sweep
    from p2p_modelex.simulation.results.points import gather
    from p2p_modelex.simulation.results.report import Origin

    points = gather(ended)
    _show(points, columns)
    if out is not None:
        with writing(out):
            written = write_sweep(points, columns, out, Origin(recipe, command, find_code()))
        for path in written:
            click.echo(f"wrote {path}")


def _show(points: "Sequence[Point]", columns: tuple[str, ...]) -> None:
    from p2p_modelex.simulation.results.points import build_table

    header, rows = build_table(points, columns)
    print_table(header, rows)
