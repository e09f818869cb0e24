"""`modelex chain`: a development chain, deploying, granting test money."""

import shlex
import signal
import time
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click
import trio

from p2p_modelex.cli.common import print_json, print_table, read_key_file, run_trio
from p2p_modelex.errors import BadInput
from p2p_modelex.ids import format_address, parse_address
from p2p_modelex.node.advice import NETWORK_FILE, RPC_URL
from p2p_modelex.units import AI, Wei, format_ai, parse_ai

if TYPE_CHECKING:  # imported where it is used: it brings the codecs of the chain
    from p2p_modelex.chain.abc import Deployment
    from p2p_modelex.chain.devnet import Devnet, Engine
    from p2p_modelex.chain.evm.deploy import Deployed
    from p2p_modelex.chain.evm.plan import Grant, Terms

CHALLENGE_S = 24 * 3600
CHALLENGE_MIN_S = 3600
"""What an honest payee may need that nobody hinders: 40 minutes until a full ledger's channels are
all looked at (core/redeeming.py), and ten between two tries. A day bears that 99.9% of the blocks'
builders leave it out, an hour 97% (simulations/results/chain.md).
"""
DEVNET = "devnet"


@click.group()
def chain() -> None:
    """Run a development chain; deploy the contracts; hand out test money."""


@chain.command()
@click.option("--port", default=8545, show_default=True, help="0 takes a free one.")
@click.option(
    "--network-file",
    type=click.Path(dir_okay=False, path_type=Path),
    default=NETWORK_FILE,
    show_default=True,
    help="Where to write the network's contracts, for `modelex init --network`.",
)
@click.option(
    "--state",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Keep the chain in this file from one run to the next.",
)
@click.option("--block-time", type=int, help="Seconds between blocks. [default: at once]")
@click.option(
    "--engine",
    type=click.Choice(["auto", "anvil", "pyevm"]),
    default="auto",
    show_default=True,
    help="What executes it; auto: anvil, and pyevm where anvil cannot be had.",
)
@click.option("--grant", "grants", multiple=True, metavar="ACCOUNT", help="Give it 1,000 test AI.")
def devnet(
    port: int,
    network_file: Path,
    state: Path | None,
    block_time: int | None,
    engine: "Engine",
    grants: tuple[str, ...],
) -> None:
    """Run a private chain with our contracts on it until Ctrl-C. Its money is worth nothing."""
    run_trio(_devnet, port, network_file, state, block_time, engine, grants)


async def _devnet(
    port: int,
    network_file: Path,
    state: Path | None,
    block_time: int | None,
    engine: "Engine",
    grants: tuple[str, ...],
) -> None:
    from p2p_modelex.chain.devnet import bring_up

    wanted = {parse_address(text): Wei(1000 * AI) for text in grants}
    with trio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_cancel_at, signals, nursery.cancel_scope)
            async with bring_up(
                network_file,
                wanted,
                port=port,
                state_file=state,
                block_time=block_time,
                engine=engine,
            ) as (net, deployment):
                _show_devnet(net, deployment, network_file)
                await trio.sleep_forever()


async def _cancel_at(signals: AsyncIterator[int], scope: trio.CancelScope) -> None:
    async for _ in signals:
        scope.cancel()


def _show_devnet(net: "Devnet", deployment: "Deployment", network_file: Path) -> None:
    from p2p_modelex.chain.deployment import list_contracts

    click.echo(f"engine    {net.engine}" + (f" ({net.why})" if net.why else ""))
    click.echo(f"rpc       {net.url}")
    click.echo(f"network   {network_file}")
    for name, address in list_contracts(deployment).items():
        click.echo(f"{name:<9} {format_address(address)}")
    click.echo("running; Ctrl-C ends it")
    if net.url != RPC_URL:
        options = shlex.join(["--network", str(network_file), "--rpc", net.url])
        click.echo(f"nodes need to know where it is: modelex init {options}")


@chain.command()
@click.argument("account")
@click.argument("amount", default="1000")
@click.option(
    "--rpc", envvar="MODELEX_RPC_URL", show_envvar=True, default=RPC_URL, show_default=True
)
@click.option(
    "--network-file",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    default=NETWORK_FILE,
    show_default=True,
)
def grant(account: str, amount: str, rpc: str, network_file: Path) -> None:
    """Give ACCOUNT some test AI, and coin for gas, on a devnet."""
    from p2p_modelex.chain.deployment import read_deployment
    from p2p_modelex.chain.devnet import CHAIN_ID
    from p2p_modelex.chain.devnet import grant as hand_out

    deployment = read_deployment(network_file)
    if deployment.chain_id != CHAIN_ID:
        raise BadInput("money is granted on a devnet only")
    wei = parse_ai(amount)
    run_trio(hand_out, rpc, deployment, {parse_address(account): wei})
    click.echo(f"{account} got {format_ai(wei)} and coin for gas")


@chain.command()
@click.option(
    "--rpc", envvar="MODELEX_RPC_URL", show_envvar=True, default=RPC_URL, show_default=True
)
@click.option("--network", "name", required=True, help="The network's name.")
@click.option(
    "--key-file",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Key of the account that pays: a keystore or 64 hex digits. [default for the network "
    "devnet: the first test key, which everybody knows]",
)
@click.option(
    "--folder",
    type=click.Path(file_okay=False, path_type=Path),
    help="Where the network file and the journal go. [default: bootstrap/NETWORK]",
)
@click.option(
    "--challenge",
    type=click.IntRange(CHALLENGE_MIN_S),
    default=CHALLENGE_S,
    show_default=True,
    help="Seconds a payee has to redeem once a channel closes.",
)
@click.option("--owner", help="May announce splits and admit nodes. [default: the payer]")
@click.option("--investors", help="Gets 25% of the supply. [default: the payer]")
@click.option("--users", help="Gets 60% of the supply. [default: the payer]")
@click.option(
    "--founder",
    "founders",
    multiple=True,
    metavar="ACCOUNT:PPM",
    help="Gets parts per million of the vested 15%, over four years. [default: the payer]",
)
@click.option("--dry-run", is_flag=True, help="Say what it would create and cost; send nothing.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def deploy(
    rpc: str,
    name: str,
    key_file: Path | None,
    folder: Path | None,
    challenge: int,
    owner: str | None,
    investors: str | None,
    users: str | None,
    founders: tuple[str, ...],
    *,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Deploy the contracts of a network and write its file; go on where an earlier run stopped."""
    from p2p_modelex.chain.evm.plan import Terms

    terms = Terms(
        challenge,
        owner=parse_address(owner) if owner else None,
        investors=parse_address(investors) if investors else None,
        users=parse_address(users) if users else None,
        grants=_read_founders(founders),
    )
    place = folder or Path("bootstrap") / name
    if not name.isidentifier():
        raise BadInput(f"the network's name is a word, not {name!r}")
    key = read_key_file(key_file) if key_file else _known_key(name)
    lines = run_trio(_deploy, rpc, name, key, terms, place, dry_run)
    if as_json:
        print_json([_show_deployed(line) for line in lines])
        return
    print_table(
        ("contract", "address", "gas", "state"), [_tabulate(line, dry_run) for line in lines]
    )
    if not dry_run:
        click.echo(f"network   {place / NETWORK_FILE}")


async def _deploy(
    rpc: str, name: str, key: bytes, terms: "Terms", place: Path, dry_run: bool
) -> "Sequence[Deployed]":
    from p2p_modelex.chain.deployment import read_deployment, write_deployment
    from p2p_modelex.chain.evm.deploy import deploy as create
    from p2p_modelex.chain.evm.deploy import estimate

    lines: list[Deployed] = []
    file, journal = place / NETWORK_FILE, place / "journal.json"
    known = read_deployment(file) if file.exists() else None
    if dry_run:
        return await estimate(rpc, key, terms=terms, known=known, journal=journal)
    deployment = await create(
        rpc, key, name=name, terms=terms, known=known, journal=journal, on_step=lines.append
    )
    write_deployment(file, deployment)
    return lines


def _known_key(name: str) -> bytes:
    """Return the key that pays on a devnet, where money is worth nothing."""
    from p2p_modelex.chain.devnet import TEST_KEYS

    if name != DEVNET:
        raise BadInput(f"deploying to {name} needs the key of an account", hint="--key-file FILE")
    return TEST_KEYS[0]


def _read_founders(texts: tuple[str, ...]) -> "tuple[Grant, ...]":
    from p2p_modelex.chain.evm.plan import Grant

    grants = []
    for text in texts:
        account, colon, share = text.partition(":")
        if not colon or not share.isdecimal():
            raise BadInput(f"a founder is ACCOUNT:PPM, not {text!r}")
        grants.append(Grant(parse_address(account), int(share), int(time.time())))
    return tuple(grants)


def _tabulate(line: "Deployed", dry_run: bool) -> tuple[str, str, str, str]:
    new = "would be" if dry_run else "new"
    gas = f"{line.gas:,}" if line.gas else "?"
    return (line.contract, format_address(line.address), gas, new if line.is_new else "was there")


def _show_deployed(line: "Deployed") -> dict[str, str | int | bool]:
    return {
        "name": line.key,
        "contract": line.contract,
        "address": format_address(line.address),
        "gas": line.gas,
        "new": line.is_new,
    }
