"""`modelex nodes` and `modelex run`."""

import sys
import time
from dataclasses import dataclass
from pathlib import Path

import click

from p2p_modelex.cli.common import home_option, print_json, print_table, quiet_log, run_trio
from p2p_modelex.core.directory.directory import Entry
from p2p_modelex.core.effects import RunRestarted
from p2p_modelex.core.exchange.receipt_file import encode_receipt_file
from p2p_modelex.errors import BadInput
from p2p_modelex.ids import PeerId, format_peer_id, parse_peer_id
from p2p_modelex.node.home import Home
from p2p_modelex.records.advertisement import Kind, Section
from p2p_modelex.records.job import Request
from p2p_modelex.units import Wei, format_ai, parse_ai

THOUSAND = 1000


@click.command()
@home_option
@click.option("--model", help="Only nodes that sell this model.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def nodes(home: Home, model: str | None, *, as_json: bool) -> None:
    """Join the mesh and list who sells what; prices are AI for 1,000 tokens."""
    quiet_log()
    run_trio(_list_nodes, home, model, as_json)


async def _list_nodes(home: Home, model: str | None, as_json: bool) -> None:
    from p2p_modelex.node.exchange import connect

    async with connect(home.path) as exchange:
        entries = [
            (entry, await exchange.measure(entry))
            for entry in exchange.nodes()
            if model is None or any(o.model == model for o in entry.advertisement.offers)
        ]
    rows = [row for entry, latency_ms in entries for row in _rows_of(entry, latency_ms)]
    if as_json:
        print_json([dict(zip(COLUMNS, row, strict=True)) for row in rows])
    else:
        print_table(COLUMNS, rows)


COLUMNS = ("peer", "model", "kinds", "prompt", "completion", "context", "section", "latency")


def _rows_of(entry: Entry, latency_ms: float | None) -> list[tuple[str, ...]]:
    section = Section(entry.advertisement.section).name.lower()
    latency = "no answer" if latency_ms is None else f"{latency_ms:.0f} ms"
    return [
        (
            format_peer_id(entry.peer),
            offer.model,
            ",".join(offer.kinds),
            format_ai(offer.prompt_price * THOUSAND),
            format_ai(offer.completion_price * THOUSAND),
            str(offer.context_length),
            section,
            latency,
        )
        for offer in entry.advertisement.offers
    ]


@dataclass(frozen=True)
class _Asked:
    request: Request
    max_cost: Wei | None
    only: tuple[PeerId, ...]
    address: str | None
    save: Path | None
    is_fast: bool


@click.command()
@home_option
@click.argument("prompt")
@click.option("--model", required=True, help="The model's name; `modelex nodes` lists them.")
@click.option(
    "--kind",
    type=click.Choice(["chat", "completion", "score"]),
    default="chat",
    show_default=True,
    help="How to ask: as a chat message, as text to go on with, or for a score.",
)
@click.option("--max-tokens", default=128, show_default=True)
@click.option("--temperature", default=0.0, show_default=True)
@click.option("--seed", default=0, show_default=True)
@click.option("--max-price", help="Most to pay for the whole job, in AI.")
@click.option("--peer", help="Buy from this peer: a multiaddr ending in /p2p/PEER, or a peer id.")
@click.option("--quote", is_flag=True, help="Ask for a signed quote before ordering.")
@click.option(
    "--receipt",
    "save",
    type=click.Path(dir_okay=False, path_type=Path),
    help=("Write the receipt file here. [default: receipts/ in the home]"),
)
def run(
    home: Home,
    prompt: str,
    model: str,
    kind: Kind,
    max_tokens: int,
    temperature: float,
    seed: int,
    max_price: str | None,
    peer: str | None,
    save: Path | None,
    *,
    quote: bool,
) -> None:
    """Run PROMPT ("-" reads standard input) on the mesh; the completion goes to standard output.

    One line about provider, tokens, price and receipt goes to standard error.
    """
    from p2p_modelex.node.exchange import build_request

    text = sys.stdin.read() if prompt == "-" else prompt
    if not text.strip():
        raise BadInput("the prompt is empty")
    request = build_request(
        text, model=model, kind=kind, max_tokens=max_tokens, temperature=temperature, seed=seed
    )
    only, address = _parse_peer(peer)
    max_cost = parse_ai(max_price) if max_price else None
    quiet_log()
    run_trio(_run, home, _Asked(request, max_cost, only, address, save, not quote))


def _parse_peer(text: str | None) -> tuple[tuple[PeerId, ...], str | None]:
    """Split MULTIADDR/p2p/PEER, or a bare peer id, into the peer allowed and its address."""
    if text is None:
        return (), None
    address, mark, peer = text.rpartition("/p2p/")
    return (parse_peer_id(peer),), (address if mark else None)


async def _run(home: Home, asked: _Asked) -> None:
    from p2p_modelex.node.exchange import Terms, connect

    async with connect(home.path) as exchange:
        if asked.address is not None:
            await exchange.meet(asked.only[0], asked.address)
        terms = Terms(max_cost=asked.max_cost, only=asked.only, is_fast=asked.is_fast)
        completion = exchange.request(asked.request, terms)
        began, first = time.monotonic(), None
        async for piece in completion:
            if isinstance(piece, RunRestarted):
                click.echo(f"\n[{piece.why.code}: {piece.why.reason}; begins again]", err=True)
                continue
            first = first or time.monotonic()
            click.echo(piece.text, nl=False)
        click.echo()
        ended = time.monotonic()
    row = completion.row
    assert row is not None
    receipt = row.receipt.receipt
    path = asked.save or home.receipts / f"{receipt.job.hex()}.json"
    path.write_bytes(encode_receipt_file(row))
    rate = receipt.completion_tokens / max(ended - (first or began), 1e-3)
    click.echo(
        f"{format_peer_id(row.peer)} · {receipt.prompt_tokens}+{receipt.completion_tokens} tokens, "
        f"{rate:.1f}/s, first after {((first or ended) - began) * 1000:.0f} ms · "
        f"{format_ai(completion.paid)} · receipt verified: {path}",
        err=True,
    )
