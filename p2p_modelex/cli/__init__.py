"""The `modelex` command: parse, call, print. Each command's module is imported when it is used."""

import errno
import importlib
import os
import sys
from collections.abc import Sequence
from typing import NoReturn

import click

from p2p_modelex import __version__
from p2p_modelex.cli.text import printable
from p2p_modelex.errors import BadInput, ModelexError

INTERRUPTED = 130
"""By Ctrl-C: 128 and the number of SIGINT, as shells have it."""
BROKEN_PIPE = 141
"""128 and the number of SIGPIPE."""
VERBOSE = "MODELEX_TRACEBACK"

# One line for each command: name -> (module of p2p_modelex.cli, what `modelex --help` says).
COMMANDS: dict[str, tuple[str, str]] = {
    "init": ("setup", "Create a home: keys and a configuration with every option explained."),
    "up": ("serve", "Run the node."),
    "bootstrap": ("serve", "Run a node in the bootstrap role: peers meet here."),
    "gateway": ("gateway", "Serve an OpenAI-style API in front of the mesh."),
    "keys": ("keys", "Add, list and remove the gateway's API keys."),
    "nodes": ("nodes", "List the nodes of the mesh with models and prices."),
    "run": ("run", "Run a prompt on the mesh and pay for it as it streams."),
    "map": ("map", "Run a template over thousands of inputs, on all who can."),
    "route": ("route", "Say which node a prompt would go to, and why."),
    "verify": ("verify", "Verify a receipt file, offline."),
    "channels": ("money", "List payment channels and what is owed on them."),
    "settle": ("money", "Redeem the vouchers held, in one transaction."),
    "close": ("money", "Close a channel: its payer takes back what is not spent."),
    "balance": ("money", "Show the account's $AI, gas and channels."),
    "token": ("token", "Show, send and approve $AI; its splits and its owner."),
    "registry": ("registry", "Register a node; admit to the whitelisted section, suspend."),
    "ratings": ("ratings", "Rate nodes, and read the ratings of those whom you believe."),
    "farm": ("farm", "Virtual farms: members, and the account that splits their income."),
    "templates": ("templates", "Publish prompt templates and pay for their use."),
    "blocks": ("blocks", "Offer and lease data; sign off models made from it."),
    "releases": ("releases", "Publish, find and verify releases of models."),
    "oracle": ("oracle", "Ask on chain, answer with signed reports, verify them."),
    "feed": ("feed", "Deploy, read and update score feeds."),
    "models": ("models", "Add, list and remove models."),
    "chain": ("chain", "Run a development chain; deploy contracts; fund accounts."),
    "doctor": ("doctor", "Say what is wrong with this set-up and what to do."),
    "simulate": ("simulate", "Run thousands of nodes under virtual time, from a scenario."),
    "demo": ("demo", "Run a whole mesh on this machine: nodes, models, chain, payments."),
}


class _LazyGroup(click.Group):
    """Knows its commands by name and imports the module of the one that is called."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        module = importlib.import_module(f"p2p_modelex.cli.{COMMANDS[cmd_name][0]}")
        command: click.Command = getattr(module, cmd_name)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in COMMANDS.items()])


@click.group(cls=_LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__)
def modelex() -> None:
    """A peer-to-peer exchange for language models: signed completions, paid as they stream."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line; whatever fails ends with a message, a hint and a documented code."""
    try:
        modelex.main(arguments, standalone_mode=False)
    except click.exceptions.Exit as leave:
        sys.exit(leave.exit_code)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except BaseException as error:  # the last border: nothing foreign reaches the user
        _leave(error)


def _leave(error: BaseException) -> NoReturn:
    if isinstance(error, SystemExit):
        raise error
    failure: BaseException | None = error
    if isinstance(error, BaseExceptionGroup):
        from p2p_modelex.node.failures import main_failure

        failure = main_failure(error)
    if isinstance(failure, click.Abort | KeyboardInterrupt):
        click.echo("interrupted", err=True)
        sys.exit(INTERRUPTED)
    if isinstance(failure, ModelexError):
        fail(failure)
    if isinstance(failure, BrokenPipeError):
        _drop_output()
        sys.exit(BROKEN_PIPE)
    if isinstance(failure, OSError) and failure.errno == errno.ENOSPC:
        what = failure.filename
        if what is None:
            _drop_output()
            what = "the output"
        fail(BadInput(f"cannot write {what}: {failure.strerror}", hint="free space there"))
    if VERBOSE in os.environ:
        raise error
    click.echo(f"error: this is a bug of Modelex: {printable(repr(failure or error))}", err=True)
    click.echo(f"  try: report it, with what {VERBOSE}=1 adds", err=True)
    sys.exit(ModelexError.exit_code)


def _drop_output() -> None:
    """Nobody takes what is still to be written: the interpreter must not try again as it ends."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def fail(error: ModelexError) -> NoReturn:
    """Print an error of ours and exit with its code."""
    click.echo(f"error: {printable(str(error))}", err=True)
    if error.hint:
        click.echo(f"  try: {printable(error.hint)}", err=True)
    sys.exit(error.exit_code)
