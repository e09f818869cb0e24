"""What `modelex map` shows on the way, and at the end."""

import time
from collections import deque
from typing import TYPE_CHECKING

import click
import trio

from p2p_modelex.units import Epoch, format_ai

if TYPE_CHECKING:
    from p2p_modelex.node.mapping.maps import Map
    from p2p_modelex.node.mapping.notes import Tally

REFRESH_S = 0.25
SPAN = 40
"""Refreshes over which the rate is told: ten seconds."""


async def watch(results: "Map", count: int | None) -> None:
    """Show a bar on standard error until cancelled; nothing where nobody watches."""
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn

    console = Console(stderr=True)
    if not console.is_terminal:
        return
    columns = (BarColumn(), TextColumn("{task.completed}/{task.total} {task.fields[said]}"))
    with Progress(*columns, console=console, auto_refresh=False, transient=True) as bar:
        task = bar.add_task("", total=count, said="")
        seen: deque[tuple[float, int]] = deque(maxlen=SPAN)
        while True:
            done = results.progress.done
            seen.append((time.monotonic(), done))
            bar.update(task, completed=done, said=describe(results, count, seen), refresh=True)
            await trio.sleep(REFRESH_S)


def describe(results: "Map", count: int | None, seen: "deque[tuple[float, int]]") -> str:
    """Say in a line where a map is. seen: seconds and how many were done then, the oldest first."""
    now = results.progress
    rate = (seen[-1][1] - seen[0][1]) / max(seen[-1][0] - seen[0][0], REFRESH_S)
    parts = [f"{now.in_hand} in hand at {now.members}", f"{rate:.1f}/s"]
    if now.failed:
        parts.insert(0, f"{now.failed} failed")
    parts.append(format_ai(now.paid, now.epoch))
    if count is not None and rate:
        left = int((count - now.done) / rate)
        parts.append(f"{left // 60}:{left % 60:02} left")
    return " · ".join(parts)


def print_summary(tally: "Tally", epoch: Epoch) -> None:
    """Say on standard error what was done and paid; earlier runs of the map are counted in."""
    click.echo(
        f"{tally.results} answered, {tally.failures} not · {tally.jobs} jobs, {tally.receipts} "
        f"receipts kept · {format_ai(tally.paid_kept, epoch)}",
        err=True,
    )
    if tally.extras or tally.paid_failed:
        click.echo(
            f"{tally.extras} begun again as they were late, {format_ai(tally.paid_extra, epoch)} · "
            f"for what broke off, {format_ai(tally.paid_failed, epoch)}",
            err=True,
        )


def show_summary(tally: "Tally", taken: int, epoch: Epoch) -> dict[str, object]:
    """Return the same for programs, and how many results were written."""

    def amount(wei: int) -> dict[str, object]:
        return {"wei": str(int(wei)), "epoch": epoch}

    return {
        "answered": tally.results,
        "failed": tally.failures,
        "written": taken,
        "jobs": tally.jobs,
        "receipts": tally.receipts,
        "begun_again": tally.extras,
        "paid": amount(tally.paid),
        "paid_for_results": amount(tally.paid_kept),
        "paid_for_begun_again": amount(tally.paid_extra),
        "paid_for_broken_off": amount(tally.paid_failed),
    }
