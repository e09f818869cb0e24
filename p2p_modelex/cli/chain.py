"""`modelex chain`: a development chain, deploying, granting test money."""

import shlex
import signal
from collections.abc import AsyncIterator
from pathlib import Path
from typing import TYPE_CHECKING

import click
import trio

from p2p_modelex.cli.common import read_key_file, run_trio
from p2p_modelex.errors import BadInput
from p2p_modelex.ids import format_address, parse_address
from p2p_modelex.node.advice import NETWORK_FILE, RPC_URL
from p2p_modelex.units import AI, Wei, format_ai, parse_ai

if TYPE_CHECKING:  # imported where it is used: it brings the codecs of the chain
    from p2p_modelex.chain.abc import Deployment
    from p2p_modelex.chain.devnet import Devnet, Engine

CHALLENGE_S = 24 * 3600


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
    click.echo(f"engine    {net.engine}" + (f" ({net.why})" if net.why else ""))
    click.echo(f"rpc       {net.url}")
    click.echo(f"network   {network_file}")
    click.echo(f"token     {format_address(deployment.token)}")
    click.echo(f"registry  {format_address(deployment.registry)}")
    click.echo(f"channels  {format_address(deployment.channels)}")
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
@click.option("--rpc", required=True, help="JSON-RPC endpoint.")
@click.option("--name", required=True, help="The new network's name.")
@click.option(
    "--key-file",
    required=True,
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Key of the account that pays and gets the whole supply: a keystore or 64 hex digits.",
)
@click.option(
    "--challenge",
    default=CHALLENGE_S,
    show_default=True,
    help="Seconds a payee has to redeem once a channel closes.",
)
@click.option("--network-file", required=True, type=click.Path(dir_okay=False, path_type=Path))
def deploy(rpc: str, name: str, key_file: Path, challenge: int, network_file: Path) -> None:
    """Deploy the three contracts and write the network file."""
    from p2p_modelex.chain.deployment import write_deployment
    from p2p_modelex.chain.evm.deploy import deploy as create

    if network_file.exists():
        raise BadInput(f"{network_file} exists: its network is deployed already")
    key = read_key_file(key_file)

    async def run() -> None:
        write_deployment(network_file, await create(rpc, key, name=name, challenge_s=challenge))

    run_trio(run)
    click.echo(network_file.read_text())
