"""`modelex up` and `modelex bootstrap`."""

import gc
import signal
from collections.abc import AsyncGenerator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager, nullcontext
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
Beside = Callable[[Home, Configuration, Node], AbstractAsyncContextManager[None]]


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
    serve(home, configuration, open_node, beside=_open_gateway)


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


@asynccontextmanager
async def _open_gateway(
    home: Home, configuration: Configuration, node: Node
) -> AsyncGenerator[None, None]:
    """Serve the gateway beside the node, where the configuration says so."""
    if not configuration.gateway.serve:
        yield
        return
    from p2p_modelex.node.exchange import Exchange
    from p2p_modelex.node.gateway.gateway import open_gateway

    exchange = Exchange(node, configuration)
    async with open_gateway(exchange, configuration.gateway, home) as url:
        click.echo(f"serving {url}")
        yield


def serve(
    home: Home,
    configuration: Configuration,
    open_node: OpenNode,
    *,
    beside: Beside = lambda _home, _configuration, _node: nullcontext(),
) -> None:
    """Run a node in the foreground until a signal; `open_node` is node.assembly's, or like it.

    beside: what runs beside the node.
    """
    from p2p_modelex.node.log import configure_log

    keys = unlock(home, configuration)
    configure_log(configuration.log, folder=home.logs)
    opening = open_node(home, configuration, keys)
    run_trio(_run, opening, lambda node: beside(home, configuration, node))


async def _run(
    opening: AbstractAsyncContextManager[Node],
    beside: Callable[[Node], AbstractAsyncContextManager[None]],
) -> None:
    ready, leaving = trio.Event(), trio.Event()
    async with trio.open_nursery() as nursery:
        await nursery.start(watch_signals, ready, leaving, nursery.cancel_scope)
        async with opening as node:
            for address in node.parts.network.addresses:
                click.echo(f"listening on {address}/p2p/{format_peer_id(node.peer)}")
            async with beside(node):
                await wait_to_leave(ready, leaving)
                click.echo("leaving: jobs in hand may finish (again to stop at once)", err=True)
            await node.leave()
        nursery.cancel_scope.cancel()


async def wait_to_leave(ready: trio.Event, leaving: trio.Event) -> None:
    """Say that everything has started, and wait until a signal asks to leave."""
    # Else a full collection, which visits the 150,000 objects that imports and the start have made,
    # stops some early request for 80 ms. What is frozen goes all the same once nothing refers to
    # it; what stays are rings that are garbage by now (none were seen) or become so later.
    gc.freeze()
    ready.set()
    await leaving.wait()


async def watch_signals(
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
