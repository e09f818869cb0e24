"""What the commands share that are about one request."""

from collections.abc import Callable
from typing import Any

import click
from click.core import ParameterSource

from p2p_modelex import limits
from p2p_modelex.errors import BadInput

_OPTIONS = (
    click.option("--model", required=True, help="The model's name; `modelex nodes` lists them."),
    click.option(
        "--kind",
        type=click.Choice(["chat", "completion", "score", "embedding"]),
        default="chat",
        show_default=True,
        help="How to ask: as a chat message, as text to go on with, for a score, or for a vector.",
    ),
    click.option(
        "--max-tokens",
        type=click.IntRange(1, limits.COMPLETION_TOKENS_MAX),
        default=128,
        show_default=True,
        help="Longest completion.",
    ),
)


def _validate_farm(context: click.Context, parameter: click.Parameter, farm: str) -> str:
    """A variable of the shell that is not set must not buy from anybody."""
    is_said = context.get_parameter_source(str(parameter.name)) is ParameterSource.COMMANDLINE
    if is_said and not farm:
        raise BadInput(
            "--farm names no farm", hint="name one, or leave --farm out to buy from anybody"
        )
    return farm


farm_option = click.option(
    "--farm",
    default="",
    callback=_validate_farm,
    metavar="FARM",
    help="Buy from members of this farm: its name or id, with or without `farm:`. "
    "[default: farm in the routing profile, or anybody]",
)


def request_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add `--model`, `--kind` and `--max-tokens`."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command
