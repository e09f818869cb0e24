"""`modelex simulate SCENARIO`: one run, its progress, and what came of it."""

import time
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import click

from p2p_modelex.cli import simulate_again as again
from p2p_modelex.errors import SimulationError

if TYPE_CHECKING:
    from p2p_modelex.simulation.opening import Run
    from p2p_modelex.simulation.repeat.recorder import Wanted
    from p2p_modelex.simulation.run import Result
    from p2p_modelex.simulation.scenario.recipe import Recipe

SLICES = 200
"""Progress is shown so often in a run."""


def run(
    recipe: "Recipe",
    out: Path | None,
    command: str,
    trace: Path | None,
    wanted: "Wanted | None",
    *,
    is_shown: bool,
) -> None:
    """Run a scenario, show what was measured and write it. SimulationError if something does not
    hold; KeyboardInterrupt goes on when what was measured until then is shown and written.

    trace: where the run's trace goes, if anywhere; wanted: the events that it keeps.
    """
    from p2p_modelex.simulation.opening import open_run

    began = time.monotonic()
    with open_run(recipe.build()) as world:
        try:
            play = partial(_play, world, is_shown=is_shown)
            result = play() if trace is None else again.run_traced(world, play, trace, wanted)
        except KeyboardInterrupt:
            click.echo(f"interrupted at {world.kernel.now / 1e6:.3f} s of virtual time", err=True)
            _tell(world.sum_up(), time.monotonic() - began, recipe, out, command)
            raise
    _tell(result, time.monotonic() - began, recipe, out, command)
    if result.unmet:
        hint = f"--seed {result.seed} repeats it, and --shrink makes it small"
        raise SimulationError("; ".join(result.unmet), hint=hint)


def _tell(
    result: "Result", took_s: float, recipe: "Recipe", out: Path | None, command: str
) -> None:
    _show(result, took_s)
    if out is not None:
        from p2p_modelex.simulation.results.files import write_result
        from p2p_modelex.simulation.results.report import Origin

        with again.writing(out):
            written = write_result(result, out, Origin(recipe, command, again.find_code()))
        for path in written:
            click.echo(f"wrote {path}")


def _play(world: "Run", *, is_shown: bool) -> "Result":
    """Run to the end, showing virtual time, events a second and about how long it will take."""
    from rich.progress import (
        BarColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    duration = world.scenario.duration
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, disable=not is_shown, transient=True) as progress:
        task = progress.add_task("", total=duration)
        last, events = time.monotonic(), 0
        for number in range(1, SLICES + 1):
            world.advance(duration * number // SLICES)
            now = time.monotonic()
            rate = (world.kernel.events - events) / max(now - last, 1e-9)
            last, events = now, world.kernel.events
            said = f"{world.kernel.now / 1e6:.0f} of {duration / 1e6:.0f} s, {rate:,.0f} events/s"
            progress.update(task, completed=world.kernel.now, description=said)
    return world.finish()


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
