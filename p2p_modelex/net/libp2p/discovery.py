"""Finding peers: the Kademlia DHT, and multicast DNS on the local network."""

import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import trio
from libp2p.discovery.events.peerDiscovery import peerDiscovery
from libp2p.discovery.mdns.mdns import create_mdns_discovery
from libp2p.peer.id import ID
from libp2p.tools.anyio_service import background_trio_service

from p2p_modelex.ids import PeerId
from p2p_modelex.net.libp2p.host import known_addresses, peer_of
from p2p_modelex.net.libp2p.peer_table import PeerTable

_log = logging.getLogger(__name__)

LOOKUP_S = 20.0
SWEEP_S = 60.0


class Lookup:
    """Our part in the DHT. It finds peers only; `blame` is told who breaks its protocol."""

    def __init__(self, host: Any, blame: Callable[[ID], None]) -> None:
        self._host = host
        self._dht = PeerTable(host, blame)

    @asynccontextmanager
    async def run(self) -> AsyncIterator[None]:
        async with background_trio_service(self._dht), trio.open_nursery() as nursery:
            nursery.start_soon(self._sweep)
            yield
            nursery.cancel_scope.cancel()

    async def add(self, peer: PeerId) -> None:
        """Tell the routing table of a peer whose addresses are known."""
        await self._dht.add_peer(ID(peer))

    def forget(self, peer: PeerId) -> None:
        """Drop a peer that left: only who is here, or was dialled, is told to others."""
        self._dht.routing_table.remove_peer(ID(peer))

    async def _sweep(self) -> None:
        """Drop from the address book what others told us of peers and nobody needs."""
        book = self._host.get_peerstore()
        while True:
            await trio.sleep(SWEEP_S)
            for peer in list(book.peer_data_map):
                here = self._host.get_network().get_connections(peer)
                if not here and peer != self._host.get_id() and not self._is_listed(peer):
                    book.clear_peerdata(peer)

    def _is_listed(self, peer: ID) -> bool:
        return bool(self._dht.routing_table.peer_in_table(peer))

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
