"""What commands share: the home option, unlocking, Trio, tables and amounts."""

import getpass
import json
from collections.abc import Awaitable, Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import click

from p2p_modelex.cli.text import printable
from p2p_modelex.errors import ConfigurationError, KeystoreError
from p2p_modelex.node.configuration import Configuration
from p2p_modelex.node.home import Home, default_home


def home_option(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add `--home DIR`, given to the command as a Home."""
    return click.option(
        "--home",
        "home",
        type=click.Path(file_okay=False, path_type=Path),
        callback=lambda _context, _parameter, path: Home(path) if path else default_home(),
        help="Data directory of the node. [default: $MODELEX_HOME, or the user's data directory]",
    )(command)


def check_home(home: Home) -> None:
    """Raise ConfigurationError unless `modelex init` has been here."""
    if not home.exists:
        raise ConfigurationError(f"{home.path} is not a home of Modelex", hint="modelex init")


def read_home(home: Home) -> Configuration:
    """Return the configuration of an initialised home; ConfigurationError if it is not one."""
    from p2p_modelex.node.configuration_file import read_configuration

    check_home(home)
    return read_configuration(home.configuration)


def unlock(home: Home, configuration: Configuration) -> Any:
    """Return the KeyRing of a home, asking for the passphrase if need be."""
    from p2p_modelex.keys.keystore import unlock_keystore
    from p2p_modelex.keys.passphrase import read_passphrase

    file = configuration.keys.passphrase_file
    return unlock_keystore(home.keys, read_passphrase(home.path / file if file else None))


def read_key_file(path: Path) -> bytes:
    """Return the EVM key in a file, asking for the passphrase if it is an encrypted keystore."""
    from p2p_modelex.keys.files import read_secret
    from p2p_modelex.keys.keystore import read_account_key

    if not read_secret(path).lstrip().startswith(b"{"):
        return read_account_key(path)
    try:
        passphrase = getpass.getpass(f"Passphrase of {path}: ")
    except EOFError as error:
        raise KeystoreError(
            f"nobody is here to give the passphrase of {path}",
            hint="run it on a terminal, or give a file with the key as 64 hexadecimal digits",
        ) from error
    return read_account_key(path, passphrase)


def quiet_log() -> None:
    """Show warnings only: what a command has to say goes to its output."""
    from p2p_modelex.node.configuration import LogSettings
    from p2p_modelex.node.log import configure_log

    configure_log(LogSettings(level="warning"))


def run_trio(function: Callable[..., Awaitable[Any]], *arguments: Any) -> Any:
    """Run an async function to its end."""
    import trio

    return trio.run(function, *arguments)


def print_table(
    columns: Sequence[str], rows: Iterable[Sequence[str]], indent: str = "", *, err: bool = False
) -> None:
    """Print rows in aligned columns, nothing cut: what is shown can be copied."""
    lines = [tuple(map(printable, line)) for line in (columns, *rows)]
    widths = [max(len(line[at]) for line in lines) for at in range(len(columns))]
    for line in lines:
        cells = (cell.ljust(width) for cell, width in zip(line, widths, strict=True))
        click.echo((indent + "  ".join(cells)).rstrip(), err=err)


def print_json(value: object) -> None:
    """Print a value for programs."""
    click.echo(json.dumps(value, indent=2))
