"""The two ends of a stream inside one process."""

from collections import deque
from collections.abc import Callable

import trio

from p2p_modelex.errors import LocalProtocolError, RemoteProtocolError, StreamBroken, StreamClosed
from p2p_modelex.ids import PeerId
from p2p_modelex.limits import KIB
from p2p_modelex.net.abc import Stream

# As Yamux: a sender waits while this much is unread. One larger frame is let through whole.
WINDOW_BYTES = 256 * KIB


class _Pipe:
    """One direction: frames sent and not yet received, and how it ended."""

    def __init__(self) -> None:
        self.frames: deque[bytes] = deque()
        self.unread = 0
        self.finished = False
        self.broken = False
        self.discards = False
        self._changed = trio.lowlevel.ParkingLot()

    def try_put(self, payload: bytes) -> bool:
        """Put without waiting, if there is room and somebody to read it."""
        if self.broken or self.finished or self.discards or self.unread >= WINDOW_BYTES:
            return False
        self._add(payload)
        return True

    def _add(self, payload: bytes) -> None:
        self.frames.append(payload)
        self.unread += len(payload)
        self.wake()

    async def put(self, payload: bytes) -> None:
        await trio.lowlevel.checkpoint()
        while True:
            if self.broken:
                raise StreamBroken("the stream was reset")
            if self.finished:
                raise StreamClosed("closed for sending")
            if self.discards:
                return
            if self.unread < WINDOW_BYTES:
                break
            await self._changed.park()
        self._add(payload)

    async def get(self) -> bytes:
        await trio.lowlevel.checkpoint()
        while not self.frames or self.broken:
            if self.broken:
                raise StreamBroken("the stream was reset")
            if self.finished:
                raise StreamClosed("the peer sends no more")
            await self._changed.park()
        payload = self.frames.popleft()
        self.unread -= len(payload)
        self.wake()
        return payload

    def drop(self) -> None:
        """Take no more and forget what is here: the reader has gone."""
        self.discards = True
        self.frames.clear()
        self.unread = 0
        self.wake()

    def wake(self) -> None:
        self._changed.unpark_all()


class MemoryStream(Stream):
    """One end; made by `open_pair`."""

    def __init__(
        self, peer: PeerId, protocol: str, frame_limit: int, outgoing: _Pipe, incoming: _Pipe
    ) -> None:
        self._peer = peer
        self._protocol = protocol
        self._frame_limit = frame_limit
        self._outgoing = outgoing
        self._incoming = incoming
        self._closed = False
        self._open: set[MemoryStream] = set()
        self._count: Callable[[bool], None] = lambda _inbound: None

    def attach(self, open_streams: "set[MemoryStream]", count: Callable[[bool], None]) -> None:
        """Join the network's set of open streams, and report each frame to it."""
        self._open = open_streams
        self._count = count
        open_streams.add(self)

    @property
    def peer(self) -> PeerId:
        return self._peer

    @property
    def protocol(self) -> str:
        return self._protocol

    async def send_frame(self, payload: bytes) -> None:
        if len(payload) > self._frame_limit:
            raise LocalProtocolError(
                f"a frame of {len(payload)} bytes is over the limit of {self._frame_limit}"
            )
        await self._outgoing.put(bytes(payload))
        self._count(False)

    def try_send_frame(self, payload: bytes) -> bool:
        if len(payload) > self._frame_limit or not self._outgoing.try_put(bytes(payload)):
            return False
        self._count(False)
        return True

    async def receive_frame(self) -> bytes:
        if self._closed:
            raise StreamClosed("closed here")
        payload = await self._incoming.get()
        if len(payload) > self._frame_limit:
            self.break_both()
            raise RemoteProtocolError(
                "NET-1", f"a frame of {len(payload)} bytes, limit {self._frame_limit}"
            )
        self._count(True)
        return payload

    async def close_write(self) -> None:
        await trio.lowlevel.checkpoint()
        self._finish()

    async def aclose(self) -> None:
        self._closed = True
        self._finish()
        self._incoming.drop()
        self._open.discard(self)
        await trio.lowlevel.cancel_shielded_checkpoint()

    async def reset(self) -> None:
        self.break_both()
        await trio.lowlevel.cancel_shielded_checkpoint()

    def break_both(self) -> None:
        """Break both directions at once; the other end stays listed until it is closed."""
        for pipe in (self._outgoing, self._incoming):
            pipe.broken = True
            pipe.wake()
        self._open.discard(self)

    def _finish(self) -> None:
        self._outgoing.finished = True
        self._outgoing.wake()


def open_pair(
    one: PeerId, other: PeerId, protocol: str, one_limit: int, other_limit: int
) -> tuple[MemoryStream, MemoryStream]:
    """Return the two ends of a new stream: `one`'s end (facing `other`), then `other`'s."""
    there, back = _Pipe(), _Pipe()
    return (
        MemoryStream(other, protocol, one_limit, there, back),
        MemoryStream(one, protocol, other_limit, back, there),
    )
