"""Answers of the commands about contracts, and how they are shown to people and programs."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import click

from p2p_modelex.cli.common import print_json, print_table
from p2p_modelex.cli.text import local_time, printable
from p2p_modelex.core.ledger.amount import Amount
from p2p_modelex.errors import BadInput
from p2p_modelex.limits import PAGE_ROWS_MAX
from p2p_modelex.units import Wei, format_ai

if TYPE_CHECKING:  # imported where it is used: it brings the codecs of the chain
    from p2p_modelex.chain.contracts.contract import Sent

Fields = Mapping[str, Any]
"""Values: see `_show` and `_plain`."""


@dataclass(frozen=True, slots=True)
class Page:
    """Some of a list. number: from 1. total: how many rows there are in all."""

    rows: Sequence[Fields]
    number: int
    total: int


Answer = Fields | Sequence[Fields] | Page
"""One thing with its fields, several of a kind, or some of many."""


class Moment(int):
    """Unix seconds; 0 for never."""


class Percent(int):
    """Hundredths of a per cent."""


page_option = click.option(
    "--page",
    type=click.IntRange(1, 2**32),
    default=1,
    show_default=True,
    help=f"Of {PAGE_ROWS_MAX} each.",
)


async def fetch_page(
    number: int,
    total: int,
    fetch: Callable[[int, int], Awaitable[Sequence[Any]]],
    describe: Callable[[Any], Fields],
) -> Page:
    """Return page `number`, from 1, of a list; BadInput for one after the last. fetch: given offset
    and limit.
    """
    pages = _count_pages(total)
    if number > pages:
        raise BadInput(f"there is no page {number}", hint=f"the last one is --page {pages}")
    rows = await fetch((number - 1) * PAGE_ROWS_MAX, PAGE_ROWS_MAX)
    return Page([describe(row) for row in rows], number, total)


def _count_pages(total: int) -> int:
    """An empty list has one, of no rows."""
    return max(1, -(-total // PAGE_ROWS_MAX))


def tell_sent(sent: "Sent", **more: Any) -> Fields:
    """Return what a command that sent a transaction has to say."""
    return {
        **more,
        "transaction": sent.transaction,
        "block": sent.block,
        "gas_used": sent.gas_used,
    }


def print_answer(answer: Answer, *, as_json: bool) -> None:
    """Print an answer for programs, or for people: a line a field, or a table."""
    if as_json:
        print_json(_plain(answer))
    elif isinstance(answer, Page):
        print_answer(answer.rows, as_json=False)
        if answer.total > len(answer.rows):
            pages = _count_pages(answer.total)
            click.echo(f"page {answer.number} of {pages}, {answer.total} in all", err=True)
    elif isinstance(answer, Mapping):
        width = max(map(len, answer))
        for name, value in answer.items():
            click.echo(printable(f"{name.replace('_', ' '):<{width}}  {_show(value)}"))
    elif answer:
        columns = list(answer[0])
        rows = [[_show(row[column]) for column in columns] for row in answer]
        print_table([column.replace("_", " ") for column in columns], rows)
    else:
        click.echo("there are none", err=True)


def _show(value: Any) -> str:
    """A value for people."""
    match value:
        case None:
            return "-"
        case bool():
            return "yes" if value else "no"
        case bytes():
            return "0x" + value.hex()
        case Moment():
            return local_time(value) if value else "never"
        case Wei():
            return format_ai(value).removesuffix(" AI")
        case Percent():
            return f"{value / 100:g}%"
        case list() | tuple():
            return ", ".join(map(_show, value)) or "-"
        case _:
            return str(value)


def _plain(value: Any) -> Any:
    """A value for programs; amounts are text, since JSON's numbers are inexact."""
    match value:
        case Amount():
            return {"wei": str(int(value.wei)), "epoch": value.epoch}
        case Wei():
            return str(int(value))
        case bytes():
            return "0x" + value.hex()
        case Page():
            return {"page": value.number, "total": value.total, "rows": _plain(value.rows)}
        case Mapping():
            return {name: _plain(inner) for name, inner in value.items()}
        case list() | tuple():
            return [_plain(inner) for inner in value]
        case _:
            return value
