"""`modelex models`."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext

import click

from p2p_modelex.cli.common import check_home, home_option, print_table, run_trio
from p2p_modelex.node.home import Home

MIB = 1024 * 1024


@click.group()
def models() -> None:
    """Add, list and remove the models of a home."""


@models.command()
@home_option
@click.argument("source")
@click.option("--name", default="", help="Name to offer it by. [default: from the source]")
@click.option("--sha256", default="", help="Digest the file must have; required with a URL.")
def add(home: Home, source: str, name: str, sha256: str) -> None:
    """Add a model.

    SOURCE is news-sentiment, smollm2-135m-instruct, a GGUF file, a URL, or hf:OWNER/REPO/FILE.gguf.
    """
    from p2p_modelex.engine.catalogue import Catalogue
    from p2p_modelex.engine.sources import add_model

    check_home(home)

    async def run() -> None:
        with _progress() as on_progress:
            model = await add_model(
                Catalogue(home.models), source, name=name, sha256=sha256, on_progress=on_progress
            )
        click.echo(f"{model.name}: {model.size / MIB:.1f} MiB, sha256 {model.sha256}")
        click.echo(f"  licence {model.licence} · from {model.source}")
        click.echo(f"  serves {', '.join(model.kinds)} · runs in {', '.join(model.engines)}")

    run_trio(run)


@contextmanager
def _progress() -> Iterator[Callable[[int, int], None]]:
    """A bar on standard error while bytes come; nothing where nobody watches."""
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TransferSpeedColumn

    console = Console(stderr=True)
    bar = Progress(BarColumn(), DownloadColumn(), TransferSpeedColumn(), console=console)
    with bar if console.is_terminal else nullcontext():
        task = bar.add_task("", total=None, visible=False)

        def show(here: int, total: int) -> None:
            bar.update(task, completed=here, total=total or None, visible=True)

        yield show


@models.command("list")
@home_option
def list_models(home: Home) -> None:
    """List the models of a home."""
    from p2p_modelex.engine.catalogue import Catalogue

    check_home(home)
    print_table(
        ("name", "serves", "context", "MiB", "engines", "licence", "sha256"),
        [
            (
                model.name,
                ",".join(model.kinds),
                str(model.context_length),
                f"{model.size / MIB:.1f}",
                ",".join(model.engines),
                model.licence,
                model.sha256[:16],
            )
            for model in Catalogue(home.models).list()
        ],
    )


@models.command()
@home_option
@click.argument("name")
def remove(home: Home, name: str) -> None:
    """Delete a model's file."""
    from p2p_modelex.engine.catalogue import Catalogue

    check_home(home)
    Catalogue(home.models).remove(name)
    click.echo(f"{name} is gone")
