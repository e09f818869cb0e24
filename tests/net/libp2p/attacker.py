"""A bare libp2p host, to attack a network with what our own side would never send."""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from libp2p.peer.id import ID
from multiaddr import Multiaddr

from p2p_modelex.net.abc import Network
from p2p_modelex.net.libp2p.configuration import Libp2pConfiguration
from p2p_modelex.net.libp2p.host import build_host

LOOPBACK = "/ip4/127.0.0.1/tcp/0"


@asynccontextmanager
async def open_host(configuration: Libp2pConfiguration | None = None) -> AsyncIterator[Any]:
    host = build_host(os.urandom(32), configuration or Libp2pConfiguration(), [LOOPBACK])
    async with host.run([Multiaddr(LOOPBACK)]):
        yield host


async def connect(host: Any, victim: Network) -> Any:
    """Connect `host` to a network and return the connection."""
    return await host.get_network().dial_addr(Multiaddr(victim.addresses[0]), ID(victim.peer))


async def connect_hosts(one: Any, other: Any) -> Any:
    return await one.get_network().dial_addr(other.get_addrs()[0], other.get_id())
