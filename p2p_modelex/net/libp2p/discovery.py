"""Finding peers: the Kademlia DHT, and multicast DNS on the local network."""

import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import trio
from libp2p.custom_types import TProtocol
from libp2p.discovery.events.peerDiscovery import peerDiscovery
from libp2p.discovery.mdns.mdns import create_mdns_discovery
from libp2p.kad_dht.kad_dht import DHTMode, KadDHT
from libp2p.peer.id import ID
from libp2p.tools.anyio_service import background_trio_service

from p2p_modelex.ids import PeerId
from p2p_modelex.net.libp2p.host import known_addresses, peer_of

_log = logging.getLogger(__name__)

# A DHT of our own: the public one is full of peers that do not speak to us.
DHT_PREFIX = "/modelex"
LOOKUP_S = 20.0


class Lookup:
    """Our part in the DHT. It finds peers only: values and providers are off."""

    def __init__(self, host: Any) -> None:
        self._host = host
        self._dht = KadDHT(
            host,
            DHTMode.SERVER,
            protocol_prefix=TProtocol(DHT_PREFIX),
            enable_providers=False,
            enable_values=False,
            strict_validation=True,
            # Loopback meshes share one subnet.
            max_peers_per_subnet=0,
        )

    @asynccontextmanager
    async def run(self) -> AsyncIterator[None]:
        async with background_trio_service(self._dht):
            yield

    async def add(self, peer: PeerId) -> None:
        """Tell the routing table of a peer whose addresses are known."""
        await self._dht.add_peer(ID(peer))

    async def find(self, peer: PeerId) -> tuple[str, ...]:
        """Return the peer's addresses, asking others if need be; empty if nobody knows."""
        with trio.move_on_after(LOOKUP_S):
            await self._dht.find_peer(ID(peer))
        return known_addresses(self._host, peer)


@asynccontextmanager
async def announce_locally(
    host: Any, found: Callable[[PeerId, tuple[str, ...]], None]
) -> AsyncIterator[None]:
    """Announce the host by multicast DNS and call `found` for others, in the Trio thread."""
    token = trio.lowlevel.current_trio_token()
    own = peer_of(host.get_id())

    def on_found(info: Any) -> None:  # in zeroconf's thread
        peer = peer_of(info.peer_id)
        if peer is not None and peer != own:
            token.run_sync_soon(found, peer, tuple(str(address) for address in info.addrs))

    port = int(host.get_transport_addrs()[0].value_for_protocol("tcp"))
    told = [str(address) for address in host.get_addrs()]
    # This and `register` block for more than a second.
    try:
        service = await trio.to_thread.run_sync(
            lambda: create_mdns_discovery(host.get_network(), port=port, listen_addrs=told)
        )
    except OSError as error:
        _log.warning("no multicast here, so mDNS stays off: %s", error)
        yield
        return
    peerDiscovery.register_peer_discovered_handler(on_found)
    try:
        await trio.to_thread.run_sync(service.broadcaster.register)
        yield
    finally:
        peerDiscovery.unregister_peer_discovered_handler(on_found)
        with trio.CancelScope(shield=True):
            await trio.to_thread.run_sync(_stop, service)


def _stop(service: Any) -> None:
    try:
        service.broadcaster.unregister()
        service.listener.stop()
        service.zeroconf.close()
    except Exception as error:  # the network may be gone already
        _log.debug("mDNS did not stop cleanly: %r", error)
