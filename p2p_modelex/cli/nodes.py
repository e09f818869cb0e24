"""`modelex nodes`."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import click
import trio

from p2p_modelex.cli.common import home_option, print_json, print_table, quiet_log, run_trio
from p2p_modelex.core.anchoring.marks import Freshness, Mark
from p2p_modelex.core.directory.entry import Entry
from p2p_modelex.ids import Address, PeerId, format_address, format_peer_id
from p2p_modelex.node.home import Home
from p2p_modelex.records.advertisement import Offer, Section, move_offer
from p2p_modelex.records.farm import names_of, open_certificate, parse_farm
from p2p_modelex.units import Epoch, Wei, format_ai

if TYPE_CHECKING:
    from p2p_modelex.node.exchange import Exchange

THOUSAND = 1000
MEASURED_MAX = 64
AT_ONCE = 16


@click.command()
@home_option
@click.option("--model", help="Only nodes that sell this model.")
@click.option("--farm", default="", help="Only nodes that show a certificate of this farm.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def nodes(home: Home, model: str | None, farm: str, *, as_json: bool) -> None:
    """Join the mesh and list who sells what; prices are AI for 1,000 tokens.

    A node's section is the registry's word on it and on an account that it proves to have, read
    from the chain; what it claims of itself is only in the JSON. An anchor is current if the entry
    is of what the node advertises now; an entry that was made without one has none. Latency is a
    round trip from here, for the first 64 nodes.
    """
    quiet_log()
    run_trio(_list_nodes, home, model, parse_farm(farm) if farm else "", as_json)


async def _list_nodes(home: Home, model: str | None, farm: str, as_json: bool) -> None:
    from p2p_modelex.node.exchange import connect

    async with connect(home.path) as exchange:
        entries = [
            entry
            for entry in exchange.nodes()
            if (model is None or any(o.model == model for o in entry.advertisement.offers))
            and (not farm or any(farm in names for names in _get_farms(entry)))
        ]
        latencies = await _measure(exchange, entries[:MEASURED_MAX])
        marks = {entry.peer: exchange.mark(entry) for entry in entries}
        epoch = exchange.node.epoch
    if as_json:
        print_json([_show_node(e, marks[e.peer], latencies.get(e.peer), epoch) for e in entries])
        return
    if not entries:
        through = f" through farm {farm}" if farm else ""
        click.echo(f"nobody sells {model or 'anything'}{through} yet", err=True)
    if epoch and entries:
        click.echo(f"prices are in split epoch {epoch} of $AI")
    for entry in entries:
        _print_node(entry, marks[entry.peer], latencies.get(entry.peer), epoch)


async def _measure(exchange: "Exchange", entries: Sequence[Entry]) -> dict[PeerId, float]:
    """Return the milliseconds to those who answer."""
    latencies: dict[PeerId, float] = {}
    turn = trio.CapacityLimiter(AT_ONCE)

    async def measure(entry: Entry) -> None:
        async with turn:
            latency_ms = await exchange.measure(entry)
            if latency_ms is not None:
                latencies[entry.peer] = latency_ms

    async with trio.open_nursery() as nursery:
        for entry in entries:
            nursery.start_soon(measure, entry)
    return latencies


def _get_farms(entry: Entry) -> list[tuple[str, str]]:
    """The names and ids of the farms that a node shows certificates of."""
    return [names_of(open_certificate(one)) for one in entry.advertisement.farms]


COLUMNS = ("model", "kinds", "prompt", "completion", "context", "longest")


def _print_node(entry: Entry, mark: Mark, latency_ms: float | None, epoch: Epoch) -> None:
    """One line for the peer, whole so that it can be copied, and one for each of its models."""
    latency = "no answer" if latency_ms is None else f"{latency_ms:.0f} ms"
    click.echo(f"{format_peer_id(entry.peer)}  {mark.standing.name.lower()}, {latency}")
    for name, farm in _get_farms(entry):
        click.echo(f"  of farm {name}, {farm}")
    if mark.operator is not None:
        click.echo(f"  {_describe_entry(mark.operator, mark.anchor)}")
    rows = [
        (
            offer.model,
            ",".join(offer.kinds),
            _price(offer.prompt_price),
            _price(offer.completion_price),
            str(offer.context_length),
            str(offer.max_tokens),
        )
        for offer in _get_offers(entry, epoch)
    ]
    print_table(COLUMNS, rows, indent="  ")


def _describe_entry(operator: Address, anchor: Freshness) -> str:
    if anchor is Freshness.NONE:
        return f"registered by {format_address(operator)}: no anchor"
    return f"anchored by {format_address(operator)}: {anchor}"


def _get_offers(entry: Entry, epoch: Epoch) -> list[Offer]:
    """What it sells at the prices of now, which it may not have told yet after a split."""
    return [move_offer(offer, epoch) for offer in entry.advertisement.offers]


def _price(price: Wei) -> str:
    return format_ai(price * THOUSAND).removesuffix(" AI")


def _show_node(
    entry: Entry, mark: Mark, latency_ms: float | None, epoch: Epoch
) -> dict[str, object]:
    """Everything about a node, for programs; amounts are text, since JSON's numbers are inexact."""
    told = entry.advertisement
    return {
        "peer": format_peer_id(entry.peer),
        "agent": told.agent,
        "addresses": list(told.addresses),
        "accounts": [
            format_address(Address(account.ownership.operator)) for account in told.accounts
        ],
        "section": mark.standing.name.lower(),
        "anchor": mark.anchor,
        "operator": None if mark.operator is None else format_address(mark.operator),
        "claimed_section": Section(told.section).name.lower(),
        "farms": [{"name": name, "farm": farm} for name, farm in _get_farms(entry)],
        "expires_at_ms": entry.expires_at,
        "latency_ms": None if latency_ms is None else round(latency_ms, 1),
        "offers": [
            {
                "model": offer.model,
                "weights": offer.weights.hex(),
                "kinds": list(offer.kinds),
                "features": list(offer.features),
                "context_length": offer.context_length,
                "max_tokens": offer.max_tokens,
                "prompt_wei": str(int(offer.prompt_price)),
                "completion_wei": str(int(offer.completion_price)),
                "split_epoch": offer.epoch,
            }
            for offer in _get_offers(entry, epoch)
        ],
    }
