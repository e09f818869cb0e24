"""`modelex blocks`: data offered and leased, and models made from it."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from p2p_modelex.cli.common import print_json
from p2p_modelex.cli.contracts import current, reads, sends
from p2p_modelex.cli.files import (
    EXISTING_FILE,
    EXISTING_PATH,
    check_same,
    read_manifest,
    read_sha256,
)
from p2p_modelex.cli.kinds import ADDRESS, AMOUNT, DIGEST, DURATION
from p2p_modelex.cli.listing import (
    ceiling_option,
    check_ceiling,
    tell_earned,
    withdraw_earned,
)
from p2p_modelex.cli.showing import Answer, Moment, fetch_page, page_option, tell_sent
from p2p_modelex.ids import Address, Digest
from p2p_modelex.records.manifest import compute_digest
from p2p_modelex.units import Wei

if TYPE_CHECKING:
    from p2p_modelex.chain.contracts.blocks import Block, Blocks
    from p2p_modelex.chain.contracts.network import Network

USES = ("raw", "fine-tune")
"""In the order of the contract's Use."""

_block = click.argument("block", metavar="ID", type=DIGEST)
_weights = click.option("--weights", type=EXISTING_FILE, required=True, help="The model's file.")


@click.group()
def blocks() -> None:
    """Blocks of data: offer, lease, and sign off models made from them.

    ID is 0x and 64 digits, printed by `offer`. Amounts are AI of the token's current split epoch.
    """


@blocks.command()
@click.argument("path", type=EXISTING_PATH)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def manifest(path: Path, *, as_json: bool) -> None:
    """Print the manifest of a file or folder; its SHA-256 is what stands on chain."""
    text = read_manifest(path)
    if as_json:
        print_json({"digest": "0x" + compute_digest(text).hex(), "manifest": text.decode()})
    else:
        click.echo(text.decode(), nl=False)


@blocks.command()
@click.argument("path", type=EXISTING_PATH)
@click.option("--price", type=AMOUNT, required=True, help="Of one lease, AI.")
@click.option("--duration", type=DURATION, required=True, help="Of one lease, such as 30d.")
@click.option(
    "--max-lessees",
    type=click.IntRange(min=0),
    default=0,
    show_default=True,
    help="At the same time; 0 for any number.",
)
@click.option(
    "--use", type=click.Choice(USES), required=True, help="Have the bytes, or train only."
)
@click.option("--terms", type=EXISTING_FILE, required=True, help="The licence's text.")
@click.option("--uri", default="", help="Where the data can be had by lessees.")
@sends
async def offer(
    network: "Network",
    path: Path,
    price: Wei,
    duration: int,
    max_lessees: int,
    use: str,
    terms: Path,
    uri: str,
) -> Answer:
    """Offer the file or folder PATH for lease."""
    from p2p_modelex.chain.contracts.blocks import Offer, Use

    offered = Offer(
        manifest=compute_digest(read_manifest(path)),
        terms=read_sha256(terms),
        price=await current(network, price),
        duration_s=duration,
        max_lessees=max_lessees,
        use=Use(USES.index(use)),
        uri=uri,
    )
    sent = await _blocks(network).offer(offered)
    block = sent.event("Offered")["id"]
    return tell_sent(sent, block_id=block, manifest=offered.manifest, price=offered.price)


@blocks.command()
@_block
@reads
async def show(network: "Network", block: Digest) -> Answer:
    """Show a block, and what a lease costs now."""
    found = await _blocks(network).fetch_block(block)
    return _row(found) | {
        "creator": found.creator,
        "manifest": found.offer.manifest,
        "terms": found.offer.terms,
        "offered_at": Moment(found.offered_at),
    }


@blocks.command("list")
@page_option
@reads
async def list_blocks(network: "Network", page: int) -> Answer:
    """List blocks, oldest first, and what a lease costs now."""
    contract = _blocks(network)
    return await fetch_page(page, await contract.fetch_count(), contract.fetch_page, _row)


@blocks.command()
@click.argument("path", type=EXISTING_PATH)
@_block
@reads
async def verify(network: "Network", path: Path, block: Digest) -> Answer:
    """Check that PATH is the data of a block. Exit code 14 if it is not."""
    found = await _blocks(network).fetch_block(block)
    check_same(path, compute_digest(read_manifest(path)), found.offer.manifest)
    return {"block_id": found.id, "manifest": found.offer.manifest, "verified": True}


@blocks.command()
@_block
@click.option("--lessee", type=ADDRESS, help="Who gets it. [default: this account]")
@ceiling_option
@sends
async def lease(
    network: "Network", block: Digest, lessee: Address | None, ceiling: Wei | None
) -> Answer:
    """Lease a block, or renew a lease: a renewal begins where the lease ends."""
    contract = _blocks(network)
    price = await contract.fetch_price(block)
    check_ceiling(price, ceiling)
    sent = await contract.lease(block, price, lessee or network.account)
    said = sent.event("Leased")
    return tell_sent(
        sent, block_id=block, lessee=said["lessee"], until=Moment(said["until"]), price=price
    )


@blocks.command("has-lease")
@_block
@click.argument("lessee", type=ADDRESS, required=False)
@reads
async def has_lease(network: "Network", block: Digest, lessee: Address | None) -> Answer:
    """Say whether LESSEE may use a block now; by default the home's account."""
    contract, lessee = _blocks(network), lessee or network.account
    return {
        "lessee": lessee,
        "has_lease": await contract.has_lease(block, lessee),
        "until": Moment(await contract.fetch_leased_until(block, lessee)),
    }


@blocks.command("set-price")
@_block
@click.argument("price", type=AMOUNT)
@sends
async def set_price(network: "Network", block: Digest, price: Wei) -> Answer:
    """As the creator, change what leases to come cost."""
    amount = await current(network, price)
    return tell_sent(await _blocks(network).set_price(block, amount), block_id=block, price=amount)


@blocks.command()
@_block
@sends
async def retire(network: "Network", block: Digest) -> Answer:
    """As the creator, for good: no new leases and no renewals."""
    return tell_sent(await _blocks(network).retire(block), block_id=block)


@blocks.command("sign-off")
@_block
@_weights
@click.option("--maker", type=ADDRESS, required=True, help="The lessee who made it.")
@sends
async def sign_off(network: "Network", block: Digest, weights: Path, maker: Address) -> Answer:
    """As the creator, stand by a model that a lessee made from the block."""
    digest = read_sha256(weights)
    sent = await _blocks(network).sign_off(block, digest, maker)
    return tell_sent(sent, block_id=block, weights=digest, maker=maker)


@blocks.command("withdraw-sign-off")
@_block
@_weights
@sends
async def withdraw_sign_off(network: "Network", block: Digest, weights: Path) -> Answer:
    """As the creator, no longer stand by a model."""
    digest = read_sha256(weights)
    return tell_sent(
        await _blocks(network).withdraw_sign_off(block, digest), block_id=block, weights=digest
    )


@blocks.command()
@_block
@_weights
@reads
async def derivative(network: "Network", block: Digest, weights: Path) -> Answer:
    """Say whether the block's creator stands by a model, and who made it."""
    digest = read_sha256(weights)
    found = await _blocks(network).fetch_derivative(block, digest)
    return {
        "weights": digest,
        "signed_off": found is not None,
        "maker": found.maker if found else None,
        "signed_off_at": Moment(found.signed_off_at if found else 0),
    }


@blocks.command()
@click.argument("account", type=ADDRESS, required=False)
@reads
async def earned(network: "Network", account: Address | None) -> Answer:
    """Show what ACCOUNT earned with leases; by default the home's."""
    return await tell_earned(_blocks(network), account or network.account)


@blocks.command()
@sends
async def withdraw(network: "Network") -> Answer:
    """Take what this account earned with leases."""
    return await withdraw_earned(_blocks(network), network.account)


def _blocks(network: "Network") -> "Blocks":
    from p2p_modelex.chain.contracts.blocks import Blocks

    return Blocks(network)


def _row(block: "Block") -> dict[str, object]:
    return {
        "block_id": block.id,
        "price": block.offer.price,
        "duration_s": block.offer.duration_s,
        "use": USES[block.offer.use],
        "max_lessees": block.offer.max_lessees or "any",
        "leases": block.leases,
        "retired": block.retired,
        "uri": block.offer.uri,
    }
