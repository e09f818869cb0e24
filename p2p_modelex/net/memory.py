"""A complete network inside one process: for tests, simulations and offline use.

Same promises as net/libp2p/, without sockets: frames arrive whole, in order and at once, unread
bytes are bounded by the same window, and gossip floods along connections through validators. What
it cannot show is a frame cut in the middle (NET-2), latency, or a frozen peer.
"""

from collections import OrderedDict, deque
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from functools import partial

import trio

from p2p_modelex.errors import (
    DialFailed,
    LocalProtocolError,
    NetworkError,
    ProtocolNotSpoken,
    StreamBroken,
)
from p2p_modelex.ids import PeerId, format_peer_id
from p2p_modelex.limits import (
    GOSSIP_MESSAGE_BYTES,
    GOSSIP_QUEUE_MAX,
    SEEN_QUEUE_MAX,
    STREAMS_PER_PEER_MAX,
)
from p2p_modelex.net.abc import (
    GossipMessage,
    Network,
    NetworkStatistics,
    PeerSeen,
    Stream,
    StreamHandler,
    Validator,
    Verdict,
)
from p2p_modelex.net.bounded import DroppingQueue, GossipLimiter, GossipRates
from p2p_modelex.net.flat_nursery import open_flat_nursery
from p2p_modelex.net.memory_stream import MemoryStream, open_pair
from p2p_modelex.net.reputation import Reputation
from p2p_modelex.net.serving import serve_stream

# Message ids remembered against duplicates, for each network.
_DUPLICATES_MAX = 10_000


class MemoryMesh:
    """The hub that several MemoryNetworks meet in: who runs where, and which links are cut."""

    def __init__(self) -> None:
        self._running: dict[str, MemoryNetwork] = {}
        self._cut: set[frozenset[PeerId]] = set()
        self._numbers = 0

    def cut(self, one: PeerId, other: PeerId) -> None:
        """Break the connection of two peers, and refuse new ones until `restore`."""
        self._cut.add(frozenset((one, other)))
        for network in list(self._running.values()):
            if network.peer == one:
                network.drop(other)

    def restore(self, one: PeerId, other: PeerId) -> None:
        self._cut.discard(frozenset((one, other)))

    def find(self, peer: PeerId) -> "MemoryNetwork | None":
        return next((n for n in self._running.values() if n.peer == peer), None)

    def reach(self, caller: PeerId, address: str) -> "MemoryNetwork | None":
        network = self._running.get(address)
        if network is None or frozenset((caller, network.peer)) in self._cut:
            return None
        return network

    def enter(self, network: "MemoryNetwork") -> str:
        self._numbers += 1
        address = f"/memory/{self._numbers}"
        self._running[address] = network
        return address

    def leave(self, address: str) -> None:
        self._running.pop(address, None)


class MemoryNetwork(Network):
    """One peer in a MemoryMesh. `bootstrap` holds other networks' peer ids, dialled at start."""

    def __init__(
        self,
        mesh: MemoryMesh,
        peer: PeerId,
        *,
        bootstrap: Sequence[PeerId] = (),
        dht: bool = False,
        gossip_rates: GossipRates | None = None,
        reputation: Reputation | None = None,
    ) -> None:
        """reputation: None keeps nobody away, for tests that misbehave for longer than that."""
        self._mesh = mesh
        self._peer = peer
        self._bootstrap = tuple(bootstrap)
        self._dht = dht
        self._reputation = reputation
        self._addresses: tuple[str, ...] = ()
        self._nursery: trio.Nursery | None = None
        self._handlers: dict[str, tuple[StreamHandler, int]] = {}
        self._validators: dict[str, Validator] = {}
        self._neighbours: dict[PeerId, MemoryNetwork] = {}
        self._streams: set[MemoryStream] = set()
        self._limiter = GossipLimiter(gossip_rates or GossipRates())
        self._duplicates: OrderedDict[tuple[PeerId, int], None] = OrderedDict()
        self._published = 0
        self._gossip: DroppingQueue[GossipMessage] = DroppingQueue(GOSSIP_QUEUE_MAX)
        self._seen: DroppingQueue[PeerSeen] = DroppingQueue(SEEN_QUEUE_MAX)
        self._frames_in = self._frames_out = self._gossip_in = self._gossip_dropped = 0

    @property
    def peer(self) -> PeerId:
        return self._peer

    @property
    def addresses(self) -> tuple[str, ...]:
        return self._addresses

    @asynccontextmanager
    async def run(self) -> AsyncIterator[None]:
        async with open_flat_nursery() as nursery:
            self._nursery = nursery
            self._addresses = (self._mesh.enter(self),)
            try:
                await self._dial_bootstrap()
                yield
            finally:
                self._mesh.leave(self._addresses[0])
                for peer in self.connected():
                    self.drop(peer)
                self._nursery = None
                nursery.cancel_scope.cancel()

    async def _dial_bootstrap(self) -> None:
        for peer in self._bootstrap:
            network = self._mesh.find(peer)
            if network is not None:
                self._seen.put(PeerSeen(peer, network.addresses, "bootstrap"))
                await self.dial(peer, network.addresses)

    def handle(self, protocol: str, handler: StreamHandler, *, frame_limit: int) -> None:
        self._handlers[protocol] = (handler, frame_limit)

    def subscribe(self, topic: str, validator: Validator) -> None:
        self._validators[topic] = validator

    async def dial(self, peer: PeerId, addresses: Sequence[str]) -> None:
        await trio.lowlevel.checkpoint()
        if peer in self._neighbours:
            return
        for address in addresses:
            network = self._mesh.reach(self._peer, address)
            if network is not None and network.peer == peer and network is not self:
                if self.keeps_away(peer) or network.keeps_away(self._peer):
                    break
                self._on_connected(network, (address,))
                network._on_connected(self, ())
                return
        raise DialFailed(
            f"no address of {format_peer_id(peer)} answers: {', '.join(addresses) or 'none known'}"
        )

    def _on_connected(self, network: "MemoryNetwork", dialled: tuple[str, ...]) -> None:
        self._neighbours[network.peer] = network
        self._seen.put(PeerSeen(network.peer, dialled, "connected"))
        self._seen.put(PeerSeen(network.peer, network.addresses, "identified"))

    async def disconnect(self, peer: PeerId) -> None:
        await trio.lowlevel.checkpoint()
        self.drop(peer)

    def penalize(self, peer: PeerId, offence: str) -> None:
        if self._reputation is not None and self._reputation.blame_peer(
            peer, offence, trio.current_time()
        ):
            self.drop(peer)

    def keeps_away(self, peer: PeerId) -> bool:
        """Whether we refuse connections with this peer, for what it did."""
        known = self._reputation
        return known is not None and known.refuses_peer(peer, trio.current_time())

    def drop(self, peer: PeerId) -> None:
        """Break the connection to `peer` at both ends, if there is one."""
        network = self._neighbours.pop(peer, None)
        if network is None:
            return
        for stream in list(self._streams):
            if stream.peer == peer:
                stream.break_both()
        self._seen.put(PeerSeen(peer, (), "disconnected"))
        network.drop(self._peer)

    async def open_stream(self, peer: PeerId, protocol: str, *, frame_limit: int) -> Stream:
        await trio.lowlevel.checkpoint()
        network = self._neighbours.get(peer)
        if network is None:
            raise DialFailed(f"not connected to {format_peer_id(peer)}")
        if sum(stream.peer == peer for stream in self._streams) >= STREAMS_PER_PEER_MAX:
            raise NetworkError(
                f"{STREAMS_PER_PEER_MAX} streams are open with {format_peer_id(peer)}",
                hint="close streams that are done",
            )
        if protocol not in network._handlers:
            raise ProtocolNotSpoken(f"{format_peer_id(peer)} does not speak {protocol}")
        handler, their_limit = network._handlers[protocol]
        ours, theirs = open_pair(self._peer, peer, protocol, frame_limit, their_limit)
        ours.attach(self._streams, self._count_frame)
        theirs.attach(network._streams, network._count_frame)
        if network._nursery is None:
            raise DialFailed(f"{format_peer_id(peer)} is stopping")
        network._nursery.start_soon(partial(serve_stream, handler, theirs))
        return ours

    def _count_frame(self, inbound: bool) -> None:
        self._frames_in += inbound
        self._frames_out += not inbound

    async def ping(self, peer: PeerId) -> float:
        started_s = trio.current_time()
        if peer not in self._neighbours:
            raise StreamBroken(f"not connected to {format_peer_id(peer)}")
        await trio.lowlevel.checkpoint()
        return trio.current_time() - started_s

    async def publish(self, topic: str, payload: bytes) -> None:
        await trio.lowlevel.checkpoint()
        if len(payload) > GOSSIP_MESSAGE_BYTES:
            raise LocalProtocolError(
                f"a gossip message of {len(payload)} bytes is over {GOSSIP_MESSAGE_BYTES}"
            )
        if topic not in self._validators:
            raise LocalProtocolError(f"not subscribed to {topic}")
        self._published += 1
        number = self._published
        self._remember((self._peer, number))
        spreading = deque([self])
        while spreading:
            forwarder = spreading.popleft()
            for network in forwarder._neighbours.values():
                message = GossipMessage(topic, self._peer, forwarder.peer, payload)
                if network._take_gossip(message, number):
                    spreading.append(network)

    def _take_gossip(self, message: GossipMessage, number: int) -> bool:
        """Judge one message; True if it is new and accepted, so that it spreads further."""
        validator = self._validators.get(message.topic)
        if validator is None or not self._remember((message.origin, number)):
            return False
        admitted = self._limiter.admit(message.origin, trio.current_time())
        if not admitted or validator(message.origin, message.payload) is not Verdict.ACCEPT:
            self._gossip_dropped += 1
            return False
        self._gossip_in += 1
        self._gossip.put(message)
        return True

    def _remember(self, identifier: tuple[PeerId, int]) -> bool:
        """Remember a message; False if it was known."""
        if identifier in self._duplicates:
            return False
        self._duplicates[identifier] = None
        if len(self._duplicates) > _DUPLICATES_MAX:
            self._duplicates.popitem(last=False)
        return True

    async def gossip(self) -> GossipMessage:
        return await self._gossip.get()

    async def seen(self) -> PeerSeen:
        return await self._seen.get()

    async def find_peer(self, peer: PeerId) -> tuple[str, ...]:
        await trio.lowlevel.checkpoint()
        if not self._dht:
            raise NetworkError("peer lookup is off", hint="turn the DHT on in the configuration")
        network = self._mesh.find(peer)
        return () if network is None else network.addresses

    def connected(self) -> tuple[PeerId, ...]:
        return tuple(sorted(self._neighbours))

    def statistics(self) -> NetworkStatistics:
        return NetworkStatistics(
            connections=len(self._neighbours),
            streams=len(self._streams),
            restarts=0,
            frames_in=self._frames_in,
            frames_out=self._frames_out,
            gossip_in=self._gossip_in,
            gossip_dropped=self._gossip_dropped + self._gossip.dropped,
        )
