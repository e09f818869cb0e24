"""Yamux for one connection, in place of py-libp2p's own, which loses data and memory.

Specification: github.com/hashicorp/yamux/blob/master/spec.md. Three ideas make it safe:

- Sending is synchronous: a frame is put whole into one bounded queue or not at all, and one task
  writes the queue out. So a cancelled sender can tear neither the stream nor the connection.
- Each stream accounts its window to the byte and never grows it: a peer that sends more than it
  was allowed is cut off.
- Every stream ends in one of two ways that cannot be confused: FIN (clean) or dead.

The classes have the shape of libp2p's IMuxedConn and IMuxedStream.
"""

import logging
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any

import trio
from libp2p.stream_muxer.exceptions import MuxedConnUnavailable, MuxedStreamError

from p2p_modelex.limits import KIB, MIB, STREAMS_PER_PEER_MAX
from p2p_modelex.net.libp2p.muxed_stream import (
    ACK,
    DATA,
    FIN,
    GO_AWAY,
    HEADER,
    PING,
    RST,
    SYN,
    WINDOW,
    WINDOW_BYTES,
    MuxedStream,
    YamuxViolation,
)

_log = logging.getLogger(__name__)

# Writers wait while more than this is queued: about one window.
QUEUE_BYTES = 256 * KIB
# Control frames do not wait; a peer that makes us queue more than this does not read: cut it off.
QUEUE_BYTES_MAX = QUEUE_BYTES + 128 * KIB
# All unread bytes of a connection; one stream's share is at most its window (256 KiB).
BUFFER_BYTES_MAX = 16 * MIB
# The network layer refuses at STREAMS_PER_PEER_MAX; the slack is for identify, ping and gossip.
OPEN_MAX = STREAMS_PER_PEER_MAX + 16
# Both ends open at once, so what we accept lies a little above what we would open.
ACCEPT_MAX = OPEN_MAX + 32
# A TCP write that makes no progress for this long means a dead peer.
WRITE_STALL_S = 60.0
CLOSE_FLUSH_S = 1.0


class Yamux:
    """One multiplexed connection; `start` runs it until either side ends it."""

    def __init__(
        self,
        secured_conn: Any,
        peer_id: Any,
        is_initiator: bool | None = None,
        on_close: Callable[[], Awaitable[Any]] | None = None,
    ) -> None:
        self.secured_conn = secured_conn
        self.peer_id = peer_id
        self.on_close = on_close
        self.is_initiator = secured_conn.is_initiator if is_initiator is None else is_initiator
        self.streams: dict[int, MuxedStream] = {}
        self.last_received_s = trio.current_time()
        self.unanswered = 0
        self.event_started = trio.Event()
        self.event_closed = trio.Event()
        self._next_id = 1 if self.is_initiator else 2
        self._arrivals, self._accept = trio.open_memory_channel[MuxedStream](ACCEPT_MAX)
        self._queue = bytearray()
        self._queued = trio.Event()
        self._drained = trio.Event()
        self._writing = False
        self._dead = False
        self._closing = False
        self._scope: trio.CancelScope | None = None

    @property
    def is_established(self) -> bool:
        return self.event_started.is_set() and not self._dead

    @property
    def is_closed(self) -> bool:
        return self._dead

    def get_transport_addresses(self) -> Any:
        return self.secured_conn.get_transport_addresses()

    def get_connection_type(self) -> Any:
        return self.secured_conn.get_connection_type()

    def get_remote_address(self) -> Any:
        return self.secured_conn.get_remote_address()

    async def start(self) -> None:
        """Serve the connection until it ends; nothing a peer does is raised from here."""
        try:
            async with trio.open_nursery() as nursery:
                self._scope = nursery.cancel_scope
                nursery.start_soon(self._write_loop)
                self.event_started.set()
                await self._read_loop()
                nursery.cancel_scope.cancel()
        except Exception as error:  # whatever broke it, this connection is over and no other
            _log.debug("connection to %s ended: %r", self.peer_id, error)
        finally:
            self._die()
            with trio.move_on_after(CLOSE_FLUSH_S) as scope, suppress(Exception):
                scope.shield = True
                await self.secured_conn.close()
            self.event_started.set()
            self.event_closed.set()
        if self.on_close is not None:
            with suppress(Exception):
                await self.on_close()

    async def close(self, error_code: int = 0) -> None:
        """Say goodbye, flush for at most a second, and end."""
        if not self._closing and not self._dead:
            self._closing = True
            with suppress(YamuxViolation):
                self.send(GO_AWAY, 0, 0, error_code)
            with trio.move_on_after(CLOSE_FLUSH_S) as scope:
                scope.shield = True
                while (self._queue or self._writing) and not self._dead:
                    await self._drained.wait()
        self._die()
        if self._scope is None:
            with suppress(Exception):
                await self.secured_conn.close()
            self.event_closed.set()
        await self.event_closed.wait()

    async def open_stream(self) -> MuxedStream:
        await trio.lowlevel.checkpoint()
        if self._dead or self._closing:
            raise MuxedStreamError("the connection is closed")
        if len(self.streams) >= OPEN_MAX:
            raise MuxedStreamError(f"{len(self.streams)} streams are open with this peer")
        stream = MuxedStream(self._next_id, self)
        self._next_id += 2
        self.streams[stream.stream_id] = stream
        self.send(WINDOW, SYN, stream.stream_id, 0)
        return stream

    async def accept_stream(self) -> MuxedStream:
        try:
            return await self._accept.receive()
        except trio.EndOfChannel:
            raise MuxedConnUnavailable("the connection is closed") from None

    def ping(self) -> None:
        """Ask for a sign of life; `unanswered` counts until anything arrives."""
        self.unanswered += 1
        self.send(PING, SYN, 0, 0)

    @property
    def has_room(self) -> bool:
        return len(self._queue) < QUEUE_BYTES or self._dead

    async def wait_room(self) -> None:
        """Wait until the queue may be written to again (not until it is empty)."""
        await self._drained.wait()

    def send(
        self, kind: int, flags: int, stream_id: int, length: int, payload: bytes = b""
    ) -> None:
        """Queue one frame, whole. Raises YamuxViolation if the peer lets the queue overflow."""
        if self._dead:
            return
        if len(self._queue) > QUEUE_BYTES_MAX:
            self._die()
            raise YamuxViolation("the peer does not read what it asks for")
        self._queue += HEADER.pack(0, kind, flags, stream_id, length)
        self._queue += payload
        self._queued.set()

    def forget(self, stream: MuxedStream) -> None:
        self.streams.pop(stream.stream_id, None)

    def _die(self) -> None:
        if self._dead:
            return
        self._dead = True
        self._arrivals.close()
        for stream in list(self.streams.values()):
            stream.on_connection_lost()
        self.streams.clear()
        self._queue.clear()
        self._wake_writers()
        if self._scope is not None:
            self._scope.cancel()

    def _wake_writers(self) -> None:
        self._drained.set()
        self._drained = trio.Event()

    async def _write_loop(self) -> None:
        while True:
            await self._queued.wait()
            self._queued = trio.Event()
            chunk = bytes(self._queue)
            self._queue.clear()
            self._writing = True
            with trio.fail_after(WRITE_STALL_S):
                await self.secured_conn.write(chunk)
            self._writing = False
            self._wake_writers()

    async def _read_loop(self) -> None:
        unread = bytearray()
        while True:
            await self._fill(unread, HEADER.size)
            version, kind, flags, stream_id, length = HEADER.unpack_from(unread)
            del unread[: HEADER.size]
            if version != 0 or kind > GO_AWAY:
                raise YamuxViolation(f"version {version}, type {kind}")
            payload = b""
            if kind == DATA:
                if length > WINDOW_BYTES:
                    raise YamuxViolation(f"a frame of {length} bytes is over any window")
                await self._fill(unread, length)
                payload = bytes(unread[:length])
                del unread[:length]
            if kind == GO_AWAY:
                return
            if kind == PING:
                if flags & SYN:
                    self.send(PING, ACK, 0, length)
            else:
                self._on_stream_frame(kind, flags, stream_id, length, payload)

    async def _fill(self, unread: bytearray, wanted: int) -> None:
        while len(unread) < wanted:
            # Whole Noise messages: asking for a count would wait for exactly that many bytes.
            chunk = await self.secured_conn.read(None)
            if not chunk:
                raise YamuxViolation("the connection ended in the middle of a frame")
            unread += chunk
            self.last_received_s = trio.current_time()
            self.unanswered = 0

    def _on_stream_frame(
        self, kind: int, flags: int, stream_id: int, length: int, payload: bytes
    ) -> None:
        if flags & SYN and not self._on_syn(flags, stream_id):
            return
        stream = self.streams.get(stream_id)
        if stream is None:
            return  # late frames of a stream we have reset
        if kind == WINDOW:
            stream.on_credit(length)
        elif payload:
            stream.on_payload(payload)
            self._check_unread()
        if flags & RST:
            stream.on_reset()
        elif flags & FIN:
            stream.on_fin()

    def _check_unread(self) -> None:
        # Few streams cannot exceed the bound, so the sum is only taken over many.
        if len(self.streams) * WINDOW_BYTES <= BUFFER_BYTES_MAX:
            return
        if sum(stream.unread_bytes for stream in self.streams.values()) > BUFFER_BYTES_MAX:
            raise YamuxViolation("too much unread on one connection")

    def _on_syn(self, flags: int, stream_id: int) -> bool:
        """Open the peer's stream; False if it was refused."""
        if flags & RST:
            return False
        ours = stream_id % 2 == self._next_id % 2
        if ours or stream_id == 0 or stream_id in self.streams or len(self.streams) >= ACCEPT_MAX:
            self.send(WINDOW, RST, stream_id, 0)
            return False
        stream = MuxedStream(stream_id, self)
        try:
            self._arrivals.send_nowait(stream)
        except trio.WouldBlock:
            self.send(WINDOW, RST, stream_id, 0)
            return False
        self.streams[stream_id] = stream
        self.send(WINDOW, ACK, stream_id, 0)
        return True
