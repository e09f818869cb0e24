"""The gossip that ships, on py-libp2p's GossipSub, over streams in memory that take their time.

For calibrating the simulator's model: each node is `net/libp2p/gossip.py` as it is, with a host
around it that has no sockets. Run it under Trio's MockClock: then nothing costs time but links.
"""

from collections import deque
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

import trio
import trio.testing
from libp2p.crypto.ed25519 import create_new_key_pair
from libp2p.custom_types import TProtocol
from libp2p.peer.id import ID
from libp2p.peer.peerstore import PeerStore
from libp2p.pubsub import gossipsub, pubsub
from libp2p.pubsub.pb import rpc_pb2
from libp2p.tools.timed_cache import base_timed_cache, first_seen_cache, last_seen_cache

from p2p_modelex.ids import PeerId
from p2p_modelex.net.abc import Verdict
from p2p_modelex.net.bounded import GossipLimiter, GossipRates
from p2p_modelex.net.libp2p.gossip import GOSSIPSUB_ID, Gossip
from p2p_modelex.net.libp2p.muxed_stream import MuxedStream

Arrived = Callable[[float, int, int, bytes], None]
"""Told of each message on its way: when it arrives (seconds), from whom, at whom, its payload."""

_NO_LIMITS = GossipRates(origin_rate=1e6, origin_burst=10**6, total_rate=1e6, total_burst=10**6)


class Pipe(MuxedStream):
    """One direction: what is written can be read after the link's latency, in order."""

    def __init__(self, latency_s: float, sent: Callable[[float, bytes], None]) -> None:
        # No frames of a connection's go this way.
        conn: Any = SimpleNamespace(out=None)
        super().__init__(0, conn)
        self._latency_s = latency_s
        self._sent = sent
        self._way: deque[tuple[float, bytes]] = deque()
        self._news = trio.lowlevel.ParkingLot()

    def take(self, n: int | None = None) -> bytes:
        """See MuxedStream."""
        if not self._way or self._way[0][0] > trio.current_time():
            return b""
        due, piece = self._way.popleft()
        if n is not None and len(piece) > n:
            self._way.appendleft((due, piece[n:]))
            piece = piece[:n]
        return piece

    async def read(self, n: int | None = None) -> bytes:
        """See MuxedStream."""
        while not (piece := self.take(n)):
            if self._way:
                await trio.sleep_until(self._way[0][0])
            else:
                await self._news.park()
        return piece

    async def write(self, data: bytes) -> None:
        """See MuxedStream."""
        self.try_write(data)
        await trio.lowlevel.checkpoint()

    def try_write(self, data: bytes) -> bool:
        """See MuxedStream."""
        due = trio.current_time() + self._latency_s
        self._way.append((due, data))
        self._sent(due, data)
        self._news.unpark_all()
        return True


class Stream:
    """One end of a stream, as pubsub sees it."""

    def __init__(self, remote: ID, pipe: Pipe) -> None:
        self.muxed_conn = SimpleNamespace(peer_id=remote)
        self.muxed_stream = pipe

    def get_protocol(self) -> TProtocol:
        return TProtocol(GOSSIPSUB_ID)

    async def write(self, data: bytes) -> None:
        await self.muxed_stream.write(data)

    async def reset(self) -> None:
        """Nothing resets here."""
        raise AssertionError("a stream in memory does not break")


class Host:
    """What pubsub wants of a host and of its network."""

    def __init__(self, number: int, mesh: "MemoryMesh") -> None:
        self.number = number
        self._mesh = mesh
        self._keys = create_new_key_pair(number.to_bytes(32, "big"))
        self._id = ID.from_pubkey(self._keys.public_key)
        self._store = PeerStore()
        self._notifees: list[Any] = []
        self.handler: Any = None

    def get_id(self) -> ID:
        return self._id

    def get_private_key(self) -> Any:
        return self._keys.private_key

    def get_public_key(self) -> Any:
        return self._keys.public_key

    def get_peerstore(self) -> PeerStore:
        return self._store

    def get_addrs(self) -> list[Any]:
        return []

    def get_network(self) -> "Host":
        return self

    def register_notifee(self, notifee: Any) -> None:
        self._notifees.append(notifee)

    def set_stream_handler(self, _: TProtocol, handler: Any) -> None:
        self.handler = handler

    async def new_stream(self, peer: ID, _: Sequence[TProtocol]) -> Stream:
        """Open a stream to a node of the mesh; its handler runs as long as the mesh."""
        return self._mesh.open(self, peer)

    async def meet(self, peer: ID) -> None:
        """Tell pubsub of a connection."""
        for notifee in self._notifees:
            await notifee.connected(self, SimpleNamespace(muxed_conn=SimpleNamespace(peer_id=peer)))


class MemoryMesh:
    """Nodes by number, each in one topic. latency: one way between two of them, seconds."""

    def __init__(
        self,
        nodes: int,
        topic: str,
        latency: Callable[[int, int], float],
        arrived: Arrived,
    ) -> None:
        self.hosts = [Host(number, self) for number in range(nodes)]
        self._by_id = {host.get_id(): host for host in self.hosts}
        self._topic = topic
        self._latency = latency
        self._arrived = arrived
        self._gossips: dict[int, Gossip] = {}
        self._nursery: trio.Nursery

    @asynccontextmanager
    async def run(self, offsets_s: Sequence[float]) -> AsyncIterator[None]:
        """Run every node from its offset on, so that their heartbeats differ."""
        async with trio.open_nursery() as self._nursery:
            for host, offset in zip(self.hosts, offsets_s, strict=True):
                self._nursery.start_soon(self._live, host, offset)
            yield
            self._nursery.cancel_scope.cancel()

    async def _live(self, host: Host, offset_s: float) -> None:
        await trio.sleep(offset_s)
        gossip = self._gossips[host.number] = Gossip(
            host,
            {self._topic: _accept},
            limiter=GossipLimiter(_NO_LIMITS),
            heartbeat_interval_s=1.0,
            deliver=lambda _: None,
            drop=lambda: None,
            penalize=_refuse_blame,
        )
        async with gossip.run():
            await trio.sleep_forever()

    def open(self, host: Host, peer: ID) -> Stream:
        """Open a stream from a host to another."""
        other = self._by_id[peer]

        def sent(due: float, data: bytes) -> None:
            for payload in _read_payloads(data):
                self._arrived(due, host.number, other.number, payload)

        pipe = Pipe(self._latency(host.number, other.number), sent)
        self._nursery.start_soon(other.handler, Stream(host.get_id(), pipe))
        return Stream(peer, pipe)

    async def connect(self, one: int, other: int) -> None:
        """Make a connection, known on both sides."""
        first, second = self.hosts[one], self.hosts[other]
        await first.meet(second.get_id())
        await second.meet(first.get_id())

    async def publish(self, number: int, payload: bytes) -> None:
        """Publish from a node."""
        await self._gossips[number].publish(self._topic, payload)


def _accept(_origin: PeerId, _payload: bytes) -> Verdict:
    return Verdict.ACCEPT


def _refuse_blame(_: PeerId, offence: str) -> None:
    raise AssertionError(f"an honest node is blamed for {offence}")


def _read_payloads(frame: bytes) -> list[bytes]:
    start = 0
    while frame[start] & 0x80:
        start += 1
    return [one.data for one in rpc_pb2.RPC.FromString(frame[start + 1 :]).publish]


@contextmanager
def virtual_time(clock: trio.testing.MockClock) -> Iterator[None]:
    """Have py-libp2p's pubsub read a mock clock while the block runs."""
    fake = SimpleNamespace(time=lambda: 1_800_000_000 + clock.current_time())
    caches = (base_timed_cache, first_seen_cache, last_seen_cache)
    patches = [patch.object(module, "time", fake) for module in (gossipsub, pubsub, *caches)]
    for one in patches:
        one.start()
    try:
        yield
    finally:
        for one in patches:
            one.stop()
