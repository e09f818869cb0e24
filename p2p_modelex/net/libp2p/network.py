"""The real network: a supervised py-libp2p host behind the Network port.

The host runs in a task of its own; when it fails, its streams break, its peers are reported as
disconnected, and it starts again on the same ports.
"""

import logging
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from typing import Any

import trio
from libp2p.custom_types import TProtocol
from libp2p.peer.id import ID
from multiaddr import Multiaddr
from nacl.signing import SigningKey

from p2p_modelex.errors import (
    BadInput,
    ConfigurationError,
    DialFailed,
    LocalProtocolError,
    NetworkError,
)
from p2p_modelex.ids import PeerId, PublicKey, format_peer_id, peer_id_of
from p2p_modelex.limits import (
    ADDRESSES_MAX,
    GOSSIP_MESSAGE_BYTES,
    GOSSIP_QUEUE_MAX,
    PING_FRAME_BYTES,
    SEEN_QUEUE_MAX,
)
from p2p_modelex.net.abc import (
    GossipMessage,
    Network,
    NetworkStatistics,
    PeerSeen,
    Stream,
    StreamHandler,
    Validator,
)
from p2p_modelex.net.bounded import DroppingQueue, GossipLimiter
from p2p_modelex.net.flat_nursery import open_flat_nursery
from p2p_modelex.net.libp2p.configuration import Libp2pConfiguration
from p2p_modelex.net.libp2p.connections import Connections
from p2p_modelex.net.libp2p.discovery import Lookup, announce_locally
from p2p_modelex.net.libp2p.gate import Gate
from p2p_modelex.net.libp2p.gossip import Gossip
from p2p_modelex.net.libp2p.host import (
    build_host,
    close_listeners,
    expand_wildcards,
    listening_addresses,
    parse_peer_address,
    peer_of,
    validate_listen,
)
from p2p_modelex.net.libp2p.muxed_stream import MuxedStream
from p2p_modelex.net.libp2p.negotiation import MuxedService
from p2p_modelex.net.libp2p.open_streams import OpenStreams
from p2p_modelex.net.libp2p.ping import PING_ID, echo, measure_round_trip
from p2p_modelex.net.serving import serve_stream

_log = logging.getLogger(__name__)

# Restarts wait 0.2, 0.4 .. 30 s; a host that ran for a minute starts over at the front.
_RESTART_FIRST_S = 0.2
_RESTART_LAST_S = 30.0
_RESTART_FORGIVEN_S = 60.0


class Libp2pNetwork(Network):
    """One peer on the open network. `private_key` is the 32-byte Ed25519 seed of its identity."""

    def __init__(
        self, private_key: bytes, configuration: Libp2pConfiguration | None = None
    ) -> None:
        if len(private_key) != 32:
            raise BadInput(f"an Ed25519 seed has 32 bytes, not {len(private_key)}")
        self._private_key = private_key
        self._options = configuration or Libp2pConfiguration()
        self._peer = peer_id_of(PublicKey(bytes(SigningKey(private_key).verify_key)))
        self._bootstrap = tuple(parse_peer_address(text) for text in self._options.bootstrap)
        self._bound: tuple[str, ...] = ()
        self._handlers: dict[str, tuple[StreamHandler, int]] = {}
        self._validators: dict[str, Validator] = {}
        self._limiter = GossipLimiter(self._options.gossip_rates)
        self._streams = OpenStreams(
            self._options.streams_per_peer_max, partial(self.penalize, offence="protocol")
        )
        self._gossip: DroppingQueue[GossipMessage] = DroppingQueue(GOSSIP_QUEUE_MAX)
        self._seen: DroppingQueue[PeerSeen] = DroppingQueue(SEEN_QUEUE_MAX)
        self._gate = Gate(self._options, self._streams.is_busy)
        self._nursery: trio.Nursery | None = None
        self._connections: Connections | None = None
        self._topics: Gossip | None = None
        self._lookup: Lookup | None = None
        self._restarts = self._gossip_in = self._gossip_dropped = 0
        self.handle(PING_ID, echo, frame_limit=PING_FRAME_BYTES)

    @property
    def peer(self) -> PeerId:
        return self._peer

    @property
    def addresses(self) -> tuple[str, ...]:
        if self._options.announce:
            return self._options.announce
        bound = [Multiaddr(text) for text in self._bound]
        return tuple(str(address) for address in expand_wildcards(bound))

    def handle(self, protocol: str, handler: StreamHandler, *, frame_limit: int) -> None:
        self._handlers[protocol] = (handler, frame_limit)

    def subscribe(self, topic: str, validator: Validator) -> None:
        self._validators[topic] = validator

    @asynccontextmanager
    async def run(self) -> AsyncIterator[None]:
        validate_listen(self._options.listen)
        async with open_flat_nursery() as nursery:
            self._nursery = nursery
            await nursery.start(self._supervise)
            nursery.start_soon(self._keep_neighbours)
            try:
                yield
            finally:
                if self._topics is not None:
                    with trio.CancelScope(shield=True):
                        await self._topics.flush()
                nursery.cancel_scope.cancel()

    async def _supervise(self, task_status: Any) -> None:
        delay_s = _RESTART_FIRST_S
        while True:
            started_s = trio.current_time()
            try:
                await self._serve(task_status)
            except Exception as error:
                if not self._bound:
                    raise
                _log.error("the libp2p host failed and is restarted: %r", error)
            self._restarts += 1
            if trio.current_time() - started_s > _RESTART_FORGIVEN_S:
                delay_s = _RESTART_FIRST_S
            await trio.sleep(delay_s)
            delay_s = min(2 * delay_s, _RESTART_LAST_S)

    async def _serve(self, task_status: Any) -> None:
        """Run one host until it fails."""
        listen = self._bound or self._options.listen
        host = build_host(self._private_key, self._options, listen)
        host.get_network().modelex_gate = self._gate
        connections = Connections(host, self._options, self._gate, self._seen.put)
        for protocol, (handler, frame_limit) in self._handlers.items():
            host.set_stream_handler(
                TProtocol(protocol),
                MuxedService(partial(self._on_stream, protocol, handler, frame_limit)),
            )
        self._topics = Gossip(
            host,
            self._validators,
            limiter=self._limiter,
            heartbeat_interval_s=self._options.heartbeat_interval_s,
            deliver=self._on_gossip,
            drop=self._on_gossip_dropped,
            penalize=self.penalize,
        )
        async with AsyncExitStack() as stack:
            stack.push_async_callback(close_listeners, host)
            await stack.enter_async_context(host.run([Multiaddr(text) for text in listen]))
            bound = listening_addresses(host)
            if len(bound) < len(listen):
                raise ConfigurationError(f"cannot listen on all of {', '.join(listen)}")
            await stack.enter_async_context(self._topics.run())
            if self._options.dht:
                self._lookup = Lookup(host, self._blame_lookup)
                connections.on_identified = self._lookup.add
                connections.on_left = self._lookup.forget
                await stack.enter_async_context(self._lookup.run())
            if self._options.mdns:
                await stack.enter_async_context(announce_locally(host, self._on_found_locally))
            first = not self._bound
            self._bound, self._connections = bound, connections
            if first:
                task_status.started()
            try:
                await connections.run()
            finally:
                self._connections = None
                connections.report_all_lost()

    def _on_gossip(self, message: GossipMessage) -> None:
        self._gossip_in += 1
        self._gossip.put(message)

    def _on_gossip_dropped(self) -> None:
        self._gossip_dropped += 1

    def _on_found_locally(self, peer: PeerId, addresses: tuple[str, ...]) -> None:
        self._seen.put(PeerSeen(peer, addresses[:ADDRESSES_MAX], "mdns"))

    async def _keep_neighbours(self) -> None:
        """Dial bootstrap peers now, and again while there are few connections."""
        for peer, address in self._bootstrap:
            self._seen.put(PeerSeen(peer, (address,), "bootstrap"))
        delay_s = 1.0
        while True:
            if len(self.connected()) < self._options.neighbours_min:
                for peer, address in self._bootstrap:
                    try:
                        await self.dial(peer, (address,))
                    except DialFailed as error:
                        _log.info("bootstrap peer does not answer: %s", error)
            if set(self.connected()).issuperset(peer for peer, _ in self._bootstrap):
                delay_s = 1.0
            await trio.sleep(delay_s)
            delay_s = min(2 * delay_s, 60.0)

    async def dial(self, peer: PeerId, addresses: Sequence[str]) -> None:
        if peer == self._peer:
            raise DialFailed("that is our own peer id")
        await self._live().dial(peer, addresses[:ADDRESSES_MAX])

    async def disconnect(self, peer: PeerId) -> None:
        await trio.lowlevel.checkpoint()
        if self._connections is not None:
            await self._connections.close(peer)

    def penalize(self, peer: PeerId, offence: str) -> None:
        if self._gate.blame(peer, offence) and self._nursery is not None:
            self._nursery.start_soon(self.disconnect, peer)

    def _blame_lookup(self, identifier: ID) -> None:
        peer = peer_of(identifier)
        if peer is not None:
            self.penalize(peer, "protocol")

    def _live(self) -> Connections:
        if self._connections is None:
            raise DialFailed("the network is not running", hint="it restarts by itself; try again")
        return self._connections

    async def open_stream(self, peer: PeerId, protocol: str, *, frame_limit: int) -> Stream:
        connections = self._live()
        if self._streams.is_full(peer):
            raise NetworkError(
                f"{self._options.streams_per_peer_max} streams are open with "
                f"{format_peer_id(peer)}",
                hint="close streams that are done",
            )
        muxed = await connections.open_stream(peer, protocol)
        return self._streams.open(muxed, peer, protocol, frame_limit)

    async def _on_stream(
        self, protocol: str, handler: StreamHandler, frame_limit: int, muxed: MuxedStream
    ) -> None:
        peer = peer_of(muxed.muxed_conn.peer_id)
        if peer is None or self._streams.is_full(peer):
            await muxed.reset()
            return
        await serve_stream(handler, self._streams.open(muxed, peer, protocol, frame_limit))

    async def ping(self, peer: PeerId) -> float:
        return await measure_round_trip(self, peer, self._options.ping_interval_s)

    async def publish(self, topic: str, payload: bytes) -> None:
        if len(payload) > GOSSIP_MESSAGE_BYTES:
            raise LocalProtocolError(
                f"a gossip message of {len(payload)} bytes is over {GOSSIP_MESSAGE_BYTES}"
            )
        if topic not in self._validators:
            raise LocalProtocolError(f"not subscribed to {topic}")
        if self._topics is not None and self._connections is not None:
            await self._topics.publish(topic, payload)

    async def gossip(self) -> GossipMessage:
        return await self._gossip.get()

    async def seen(self) -> PeerSeen:
        return await self._seen.get()

    async def find_peer(self, peer: PeerId) -> tuple[str, ...]:
        if self._lookup is None or not self._options.dht:
            raise NetworkError("peer lookup is off", hint="turn the DHT on in the configuration")
        return await self._lookup.find(peer)

    def connected(self) -> tuple[PeerId, ...]:
        return () if self._connections is None else tuple(sorted(self._connections.peers))

    def statistics(self) -> NetworkStatistics:
        return NetworkStatistics(
            connections=len(self.connected()),
            streams=len(self._streams),
            restarts=self._restarts,
            frames_in=self._streams.frames_in,
            frames_out=self._streams.frames_out,
            gossip_in=self._gossip_in,
            gossip_dropped=self._gossip_dropped + self._gossip.dropped,
        )
