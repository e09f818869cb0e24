"""The honest requester: pings, newcomers and paid jobs in a steady stream, from its own process.

python -m tests.attacks.honest ADDRESS

Prints a JSON line for each thing it did: what, when (seconds of the machine's monotonic clock),
how long, and why it failed if it did.
"""

import dataclasses
import json
import os
import sys
import time
from collections.abc import Awaitable, Callable

import trio

from p2p_modelex.errors import ModelexError, NetworkError
from p2p_modelex.ids import PeerId
from p2p_modelex.net.libp2p.configuration import Libp2pConfiguration
from p2p_modelex.net.libp2p.host import parse_peer_address
from p2p_modelex.net.libp2p.network import Libp2pNetwork
from p2p_modelex.node.assembly import configure_network
from p2p_modelex.node.configuration import Configuration, LogSettings
from p2p_modelex.node.exchange import Exchange, Terms
from p2p_modelex.node.log import configure_log
from p2p_modelex.node.node import Node
from p2p_modelex.node.parts import Parts
from p2p_modelex.store.memory import MemoryStore
from tests.attacks.world import DEPOSIT, HONEST, MirroredChain, build_ledger
from tests.node.world import DEPLOYMENT, MODEL, make_keys

PAUSE_S = 0.05
NEWCOMER_EVERY_S = 0.5
PATIENCE_S = 10.0
TOKENS = 8
Deed = Callable[[], Awaitable[None]]


def main() -> None:
    configure_log(LogSettings(format="json"))
    trio.run(_live, sys.argv[1])


async def _live(address: str) -> None:
    peer, plain = parse_peer_address(address)
    defaults = Configuration()
    listen = ("/ip4/127.0.0.1/tcp/0",)
    configuration = dataclasses.replace(
        defaults, mesh=dataclasses.replace(defaults.mesh, listen=listen, bootstrap=(address,))
    )
    keys = make_keys(HONEST)
    # Its own node opens its channel; the others know that it was the first one opened.
    ledger = build_ledger(payers=())
    ledger.mint(keys.account.address, DEPOSIT)
    parts = Parts(
        Libp2pNetwork(keys.peer_seed, configure_network(configuration)),
        MemoryStore(),
        MirroredChain(ledger, keys.account.address),
        {},
        keys,
        DEPLOYMENT,
    )
    node = Node(parts, configuration, None)
    async with node.serve(), trio.open_nursery() as nursery:
        exchange = Exchange(node, configuration)
        await exchange.meet(peer, plain)
        nursery.start_soon(_repeat, "job", lambda: _buy(exchange, peer), PAUSE_S)
        nursery.start_soon(_repeat, "ping", lambda: _ping(node, peer, plain), PAUSE_S)
        nursery.start_soon(_repeat, "join", lambda: _join(peer, plain), NEWCOMER_EVERY_S)
        # The harness ends us by closing our input.
        await trio.to_thread.run_sync(sys.stdin.read)
        nursery.cancel_scope.cancel()


async def _repeat(what: str, deed: Deed, pause_s: float) -> None:
    while True:
        began, error = time.monotonic(), ""
        try:
            with trio.fail_after(PATIENCE_S):
                await deed()
        except (ModelexError, trio.TooSlowError) as failure:
            error = repr(failure)
        took_s = time.monotonic() - began
        line = {"what": what, "at": began, "took_s": took_s, "error": error}
        print(json.dumps(line), flush=True)  # noqa: T201 - the harness reads it
        await trio.sleep(pause_s)


async def _buy(exchange: Exchange, peer: PeerId) -> None:
    completion = exchange.run(
        "hello", model=MODEL, max_tokens=TOKENS, terms=Terms(only=(peer,), attempts=1)
    )
    await completion.wait()
    if not completion.paid:
        raise NetworkError("served for nothing")


async def _ping(node: Node, peer: PeerId, address: str) -> None:
    await node.parts.network.dial(peer, (address,))
    await node.parts.network.ping(peer)


async def _join(peer: PeerId, address: str) -> None:
    """A newcomer: another peer, another connection, one round trip."""
    network = Libp2pNetwork(os.urandom(32), Libp2pConfiguration())
    async with network.run():
        await network.dial(peer, (address,))
        await network.ping(peer)


if __name__ == "__main__":
    main()
