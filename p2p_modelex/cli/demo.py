"""`modelex demo`."""

import signal
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path

import click
import platformdirs
import trio

from p2p_modelex.cli.common import quiet_log, run_trio


@click.command()
@click.option("--stay", is_flag=True, help="Leave the mesh running until Ctrl-C.")
def demo(*, stay: bool) -> None:
    """Run a mesh of seven processes on this machine and use it: see README.md."""
    quiet_log()
    models = Path(platformdirs.user_cache_dir("modelex", appauthor=False)) / "models"
    models.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="modelex-demo-") as folder:
        run_trio(_play, Path(folder), models, stay)


async def _play(folder: Path, models: Path, stay: bool) -> None:
    """Play until the end or SIGTERM; either way everything that was started is stopped."""
    from rich.console import Console

    from p2p_modelex.demo.play import play

    with trio.open_signal_receiver(signal.SIGTERM) as signals:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_cancel_at, signals, nursery.cancel_scope)
            await play(folder, models, Console(), stay=stay)
            nursery.cancel_scope.cancel()


async def _cancel_at(signals: AsyncIterator[int], scope: trio.CancelScope) -> None:
    async for _ in signals:
        scope.cancel()
