"""`modelex demo`."""

import tempfile
from pathlib import Path

import click
import platformdirs

from p2p_modelex.cli.common import quiet_log, run_trio


@click.command()
@click.option("--stay", is_flag=True, help="Leave the mesh running until Ctrl-C.")
def demo(*, stay: bool) -> None:
    """Run a mesh of seven processes on this machine and use it: see README.md."""
    from rich.console import Console

    from p2p_modelex.demo.play import play

    quiet_log()
    models = Path(platformdirs.user_cache_dir("modelex", appauthor=False)) / "models"
    models.mkdir(parents=True, exist_ok=True)

    async def run(folder: Path) -> None:
        await play(folder, models, Console(), stay=stay)

    with tempfile.TemporaryDirectory(prefix="modelex-demo-") as folder:
        run_trio(run, Path(folder))
