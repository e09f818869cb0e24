"""Yamux for one connection, in place of py-libp2p's own, which loses data and memory.

Specification: github.com/hashicorp/yamux/blob/master/spec.md. Three ideas make it safe:

- Sending is synchronous: a cancelled sender can tear neither the stream nor the connection
  (`yamux_writer.py`).
- Each stream accounts its window to the byte and never grows it: a peer that sends more than it
  was allowed is cut off (`muxed_stream.py`).
- Every stream ends in one of two ways that cannot be confused: FIN (clean) or dead.

The classes have the shape of libp2p's IMuxedConn and IMuxedStream.
"""

import logging
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any

import trio
from libp2p.stream_muxer.exceptions import MuxedConnUnavailable, MuxedStreamError

from p2p_modelex.limits import MIB, STREAMS_PER_PEER_MAX
from p2p_modelex.net.libp2p.muxed_stream import (
    ACK,
    GO_AWAY,
    PING,
    RST,
    SYN,
    WINDOW,
    MuxedStream,
    YamuxViolation,
)
from p2p_modelex.net.libp2p.yamux_reader import YamuxReader
from p2p_modelex.net.libp2p.yamux_writer import YamuxWriter

_log = logging.getLogger(__name__)

# All unread bytes of a connection; one stream's share is at most its window (256 KiB).
BUFFER_BYTES_MAX = 16 * MIB
# The network layer refuses at STREAMS_PER_PEER_MAX; the slack is for identify, ping and gossip.
OPEN_MAX = STREAMS_PER_PEER_MAX + 16
# Both ends open at once, so what we accept lies a little above what we would open.
ACCEPT_MAX = OPEN_MAX + 32
CLOSE_FLUSH_S = 1.0
# After we have closed a stream, the peer has so long to send its own FIN.
LINGER_S = 10.0


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
        # What the peer did that ended the connection; empty if it did nothing.
        self.violation = ""
        self.out = YamuxWriter(secured_conn, self._on_broken)
        self.event_started = trio.Event()
        self.event_closed = trio.Event()
        self._next_id = 1 if self.is_initiator else 2
        self._arrivals, self._accept = trio.open_memory_channel[MuxedStream](ACCEPT_MAX)
        self._unread_bytes = 0
        self._lingering: dict[MuxedStream, float] = {}
        self._dead = False
        self._closing = False
        self._nursery: trio.Nursery | None = None

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
                self._nursery = nursery
                self.out.start(nursery)
                self.event_started.set()
                try:
                    await self._read_loop()
                except YamuxViolation as error:
                    self.violation = str(error)
                    raise
                finally:
                    # Before the nursery closes: a stream that is left later starts no task in it.
                    self._die()
        # `except*`: where we are cancelled meanwhile, that goes on and the rest ends here.
        except* Exception as error:  # whatever broke it, this connection is over and no other
            _log.debug("connection to %s ended: %r", self.peer_id, error)
        finally:
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
                self.out.send(GO_AWAY, 0, 0, error_code)
            with trio.move_on_after(CLOSE_FLUSH_S) as scope:
                scope.shield = True
                await self.out.flush()
        self._die()
        if self._nursery is None:
            with suppress(Exception):
                await self.secured_conn.close()
            self.event_closed.set()
        await self.event_closed.wait()

    async def open_stream(self) -> MuxedStream:
        await trio.lowlevel.checkpoint()
        return self.open_stream_nowait()

    def open_stream_nowait(self, first: bytes = b"") -> MuxedStream:
        """Open a stream and send its `first` bytes, at most a window, in the same packet.

        Raises MuxedStreamError if the connection or its number of streams is at its end.
        """
        if self._dead or self._closing:
            raise MuxedStreamError("the connection is closed")
        if len(self.streams) >= OPEN_MAX:
            raise MuxedStreamError(f"{len(self.streams)} streams are open with this peer")
        stream = MuxedStream(self._next_id, self)
        self._next_id += 2
        self.streams[stream.stream_id] = stream
        self.out.cork()
        self.out.send(WINDOW, SYN, stream.stream_id, 0)
        if first:
            stream.write_nowait(first)
        self.out.uncork()
        return stream

    async def accept_stream(self) -> MuxedStream:
        try:
            return await self._accept.receive()
        except trio.EndOfChannel:
            raise MuxedConnUnavailable("the connection is closed") from None

    def ping(self) -> None:
        """Ask for a sign of life; `unanswered` counts until anything arrives."""
        self.unanswered += 1
        self.out.send(PING, SYN, 0, 0)

    def forget(self, stream: MuxedStream) -> None:
        self.streams.pop(stream.stream_id, None)
        self._lingering.pop(stream, None)

    def linger(self, stream: MuxedStream) -> None:
        """Reset `stream` unless its peer ends it within LINGER_S."""
        if self._dead or self._nursery is None:
            return
        if not self._lingering:
            self._nursery.start_soon(self._reset_late)
        self._lingering.setdefault(stream, trio.current_time() + LINGER_S)

    async def _reset_late(self) -> None:
        # All wait for the same time, so the first of the dict is the first due.
        while self._lingering:
            stream, due_s = next(iter(self._lingering.items()))
            if due_s <= trio.current_time():
                stream.kill()
            else:
                await trio.sleep_until(due_s)

    def count_unread(self, change: int) -> None:
        """Account for bytes that a stream has received or handed to its reader."""
        self._unread_bytes += change
        if change > 0 and self._unread_bytes > BUFFER_BYTES_MAX:
            raise YamuxViolation("too much unread on one connection")

    def on_syn(self, flags: int, stream_id: int) -> bool:
        """Open the peer's stream; False if it was refused."""
        if flags & RST:
            return False
        ours = stream_id % 2 == self._next_id % 2
        if ours or stream_id == 0 or stream_id in self.streams or len(self.streams) >= ACCEPT_MAX:
            self.out.send(WINDOW, RST, stream_id, 0)
            return False
        stream = MuxedStream(stream_id, self, ACK)
        try:
            self._arrivals.send_nowait(stream)
        except trio.WouldBlock:
            self.out.send(WINDOW, RST, stream_id, 0)
            return False
        self.streams[stream_id] = stream
        return True

    def _on_broken(self, error: Exception) -> None:
        _log.debug("connection to %s broke: %r", self.peer_id, error)
        self._die()

    def _die(self) -> None:
        if self._dead:
            return
        self._dead = True
        self._arrivals.close()
        for stream in list(self.streams.values()):
            stream.on_connection_lost()
        self.streams.clear()
        self._lingering.clear()
        self.out.stop()
        if self._nursery is not None:
            self._nursery.cancel_scope.cancel()

    async def _read_loop(self) -> None:
        reader = YamuxReader(self)
        while True:
            # Whole Noise messages: asking for a count would wait for exactly that many bytes.
            chunk = await self.secured_conn.read(None)
            if not chunk:
                raise MuxedConnUnavailable("the connection ended")
            self.last_received_s = trio.current_time()
            self.unanswered = 0
            # Answers to all of it travel together: a flood of pings is not one of system calls.
            self.out.cork()
            if reader.feed(chunk):
                return
            self.out.uncork()
