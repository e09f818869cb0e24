"""What `--help` calls the values that commands take."""

import re
from collections.abc import Iterator

import click
import pytest

from p2p_modelex.cli import modelex

_FUNCTION = re.compile(r"\W*_*(PARSE|READ)_")


def walk(command: click.Command, context: click.Context) -> Iterator[click.Context]:
    """Yield the context of every command that is no group."""
    if not isinstance(command, click.Group):
        yield context
        return
    for name in command.list_commands(context):
        inner = command.get_command(context, name)
        assert inner is not None
        yield from walk(inner, click.Context(inner, info_name=name, parent=context))


ALL = list(walk(modelex, click.Context(modelex, info_name="modelex")))


@pytest.mark.parametrize("context", ALL, ids=lambda context: context.command_path)
def test_values_are_named_for_people(context: click.Context) -> None:
    shown = [parameter.make_metavar(context) for parameter in context.command.params]
    assert not [metavar for metavar in shown if _FUNCTION.match(metavar)]
