"""`modelex up` and `modelex bootstrap`."""

import signal
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import replace
from typing import Any

import click
import trio

from p2p_modelex.cli.common import home_option, read_home, run_trio, unlock
from p2p_modelex.ids import format_peer_id
from p2p_modelex.keys.signers import KeyRing
from p2p_modelex.node.assembly import open_node
from p2p_modelex.node.configuration import Configuration, RegistrySettings
from p2p_modelex.node.home import Home
from p2p_modelex.node.node import Node

OpenNode = Callable[[Home, Configuration, KeyRing], AbstractAsyncContextManager[Node]]


@click.command()
@home_option
@click.option(
    "--register", is_flag=True, help="Put the node into the registry on chain, as configured there."
)
def up(home: Home, *, register: bool) -> None:
    """Run the node until SIGINT or SIGTERM; jobs in hand may finish, vouchers are kept."""
    from p2p_modelex.node.configuration_file import validate_configuration

    configuration = read_home(home)
    if register:
        registry = replace(configuration.registry, register=True)
        configuration = replace(configuration, registry=registry)
        validate_configuration(configuration)
    serve(home, configuration, open_node)


@click.command()
@home_option
@click.option("--listen", multiple=True, help="Multiaddr to listen on, instead of the configured.")
def bootstrap(home: Home, listen: tuple[str, ...]) -> None:
    """Run a node in the bootstrap role: it sells nothing and helps others to meet."""
    configuration = read_home(home)
    mesh = replace(configuration.mesh, listen=listen or configuration.mesh.listen)
    role = replace(
        configuration, role="bootstrap", models=(), mesh=mesh, registry=RegistrySettings()
    )
    serve(home, role, open_node)


def serve(home: Home, configuration: Configuration, open_node: OpenNode) -> None:
    """Run a node in the foreground until a signal; `open_node` is node.assembly's, or like it."""
    from p2p_modelex.node.log import configure_log

    keys = unlock(home, configuration)
    configure_log(configuration.log, folder=home.logs)
    run_trio(_run, open_node(home, configuration, keys))


async def _run(opening: AbstractAsyncContextManager[Node]) -> None:
    ready, leaving = trio.Event(), trio.Event()
    async with trio.open_nursery() as nursery:
        await nursery.start(_watch_signals, ready, leaving, nursery.cancel_scope)
        async with opening as node:
            for address in node.parts.network.addresses:
                click.echo(f"listening on {address}/p2p/{format_peer_id(node.peer)}")
            ready.set()
            await leaving.wait()
            click.echo("leaving: jobs in hand may finish (again to stop at once)", err=True)
            await node.leave()
        nursery.cancel_scope.cancel()


async def _watch_signals(
    ready: trio.Event,
    leaving: trio.Event,
    everything: trio.CancelScope,
    task_status: Any = trio.TASK_STATUS_IGNORED,
) -> None:
    """The first signal asks to leave; a second one, or one before the node is up, stops at once."""
    with trio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
        task_status.started()
        async for _ in signals:
            if leaving.is_set() or not ready.is_set():
                everything.cancel()
            leaving.set()
