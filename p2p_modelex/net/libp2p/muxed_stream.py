"""One Yamux stream: its two windows, its unread bytes, and how it ended."""

import struct
from collections import deque
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

import trio
from libp2p.stream_muxer.exceptions import (
    MuxedStreamClosed,
    MuxedStreamEOF,
    MuxedStreamError,
    MuxedStreamReset,
)

from p2p_modelex.limits import KIB

if TYPE_CHECKING:
    from p2p_modelex.net.libp2p.muxer import Yamux

# Version, type, flags, stream, length; network byte order.
HEADER = struct.Struct("!BBHII")
DATA, WINDOW, PING, GO_AWAY = range(4)
SYN, ACK, FIN, RST = 1, 2, 4, 8

# The specification's initial window. It is never grown: it bounds memory for each stream.
WINDOW_BYTES = 256 * KIB
# Returned in halves, so that bulk costs one update for each 128 KiB and not one a read.
_CREDIT_BYTES = WINDOW_BYTES // 2
# What fits one Noise message; larger frames would delay other streams' control frames.
_FRAME_BYTES = 65_519
# A reader may stop for this long before its writer gives up (py-libp2p's own limit is 5 s).
STALL_S = 120.0
# Smaller pieces are put together: an object each would cost 50 times the window in 1-byte frames.
_PIECE_BYTES = 4 * KIB
# Every so many operations that need not wait let other tasks run: a turn costs 5 us.
_TURNS = 8


class YamuxViolation(Exception):
    """The peer broke the Yamux specification or our bounds; its connection ends."""


class MuxedStream:
    """A stream of bytes. Cancelling `read` or `write_some` loses nothing."""

    def __init__(self, stream_id: int, conn: "Yamux", flags: int = 0) -> None:
        """`flags` travel with the first frame: the ACK of a stream that the peer has opened."""
        self.stream_id = stream_id
        self.muxed_conn = conn
        self._out = conn.out
        self.unread_bytes = 0
        self._flags = flags
        self._pieces: deque[bytes | bytearray] = deque()
        self._receive_window = WINDOW_BYTES
        self._consumed = 0
        self._send_window = WINDOW_BYTES
        self._fin_received = False
        self._fin_sent = False
        self._dead = False
        self._discards = False
        self._turns = 0
        # Held by `write` for all its steps, so that nothing comes between them.
        self._writing = trio.Lock()
        self._waiting = trio.lowlevel.ParkingLot()

    def is_closed(self) -> bool:
        return self._dead or (self._fin_received and self._fin_sent)

    @property
    def fin_received(self) -> bool:
        """Whether the peer has said that it will send no more."""
        return self._fin_received

    async def read(self, n: int | None = None) -> bytes:
        """Return some of what is there, at most `n` bytes; wait if nothing is.

        Raises MuxedStreamEOF after a FIN, MuxedStreamReset if the stream or connection died.
        """
        await self._give_turn()
        while not self._pieces:
            if self._fin_received:
                raise MuxedStreamEOF("the peer sends no more")
            if self._dead:
                raise MuxedStreamReset("the stream was reset")
            await self._waiting.park()
        return self.take(n)

    def take(self, n: int | None = None) -> bytes:
        """Return some of what is there without waiting, at most `n` bytes; b"" if nothing is."""
        if not self._pieces:
            return b""
        piece = self._pieces[0]
        if n is None or n < 0 or len(piece) <= n:
            self._pieces.popleft()
            chunk = bytes(piece)
        else:
            if isinstance(piece, bytes):
                # A bytearray forgets its front without moving the rest.
                piece = self._pieces[0] = bytearray(piece)
            chunk = bytes(piece[:n])
            del piece[:n]
        self._count_unread(-len(chunk))
        self._return_credit(len(chunk))
        return chunk

    async def write(self, data: bytes) -> None:
        """Queue all of `data`; if cancelled, some of it. Raises as `write_some`."""
        rest = memoryview(data)
        async with self._writing:
            while rest:
                rest = rest[await self.write_some(rest) :]

    async def write_some(self, data: bytes | memoryview) -> int:
        """Queue at least one byte of `data` and return how many; all or nothing if cancelled.

        `data` must not change afterwards. Raises MuxedStreamClosed, MuxedStreamReset,
        MuxedStreamError if the peer does not read.
        """
        await self._give_turn()
        if not self._may_send():
            with trio.move_on_after(STALL_S) as stall:
                while not self._may_send():
                    if self._send_window == 0:
                        await self._waiting.park()
                    else:
                        await self._out.wait_room()
            if stall.cancelled_caught:
                raise MuxedStreamError(f"the peer has read nothing for {STALL_S:.0f} s")
        size = min(len(data), self._send_window, _FRAME_BYTES)
        self._send_window -= size
        self._send(DATA, 0, size, data if size == len(data) else data[:size])
        return size

    def try_write(self, data: bytes) -> bool:
        """Queue all of `data` without waiting, or nothing: False if there is no room for it.

        Raises as `write_some`.
        """
        if self._writing.locked() or not self._may_send():
            return False
        if len(data) > min(self._send_window, _FRAME_BYTES):
            return False
        self.write_nowait(data)
        return True

    def write_nowait(self, data: bytes) -> None:
        """Queue the `data` that begins a stream we open: one frame, no more than its window."""
        self._send_window -= len(data)
        self._send(DATA, 0, len(data), data)

    async def close(self) -> None:
        """Say that no more is sent (FIN); reading goes on. This is libp2p's meaning of close."""
        await trio.lowlevel.checkpoint()
        self.finish()

    def finish(self) -> None:
        """As `close`, without waiting for anything."""
        if self._fin_sent or self._dead:
            return
        self._fin_sent = True
        self._send(WINDOW, FIN, 0)
        self._forget_if_done()

    async def reset(self) -> None:
        await trio.lowlevel.checkpoint()
        self.kill()

    def kill(self) -> None:
        """As `reset`, without waiting for anything."""
        if not self._dead and not (self._fin_received and self._fin_sent):
            self._send(WINDOW, RST, 0)
        self.on_reset()

    def abandon(self) -> None:
        """Read and drop what still comes; without a FIN in time, the connection resets us."""
        self._discards = True
        while self.take():
            pass
        self._waiting.unpark_all()
        if not self.is_closed():
            self.muxed_conn.linger(self)

    def set_deadline(self, ttl: int) -> None:
        raise NotImplementedError("use trio's cancel scopes")

    def get_remote_address(self) -> Any:
        return self.muxed_conn.get_remote_address()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.close()

    def reserve(self, size: int) -> None:
        """Account for a frame of `size` bytes whose payload follows."""
        if size > self._receive_window:
            raise YamuxViolation("the peer ignores the receive window")
        self._receive_window -= size

    def on_payload(self, payload: bytes) -> None:
        if self._dead:
            return
        if self._discards:
            self._return_credit(len(payload))
            return
        if len(payload) >= _PIECE_BYTES:
            self._pieces.append(payload)
        elif self._pieces and isinstance(tail := self._pieces[-1], bytearray):
            tail += payload
        else:
            self._pieces.append(bytearray(payload))
        self._count_unread(len(payload))
        self._waiting.unpark_all()

    def on_credit(self, size: int) -> None:
        if size:
            self._send_window += size
            self._waiting.unpark_all()

    def on_fin(self) -> None:
        self._fin_received = True
        self._waiting.unpark_all()
        self._forget_if_done()

    def on_reset(self) -> None:
        """Die at once; what was not read is dropped."""
        self._pieces.clear()
        self._count_unread(-self.unread_bytes)
        self._dead = True
        self._fin_received = False
        self.muxed_conn.forget(self)
        self._waiting.unpark_all()

    def on_connection_lost(self) -> None:
        """Die, but let the reader have what arrived, and its clean end if that arrived too."""
        self._dead = True
        self._waiting.unpark_all()

    async def _give_turn(self) -> None:
        self._turns += 1
        if self._turns % _TURNS:
            await trio.lowlevel.checkpoint_if_cancelled()
        else:
            await trio.lowlevel.checkpoint()

    def _may_send(self) -> bool:
        if self._dead:
            raise MuxedStreamReset("the stream was reset")
        if self._fin_sent:
            raise MuxedStreamClosed("closed for sending")
        return self._send_window > 0 and self._out.has_room

    def _send(self, kind: int, flags: int, length: int, payload: bytes | memoryview = b"") -> None:
        self._out.send(kind, flags | self._flags, self.stream_id, length, payload)
        self._flags = 0

    def _count_unread(self, change: int) -> None:
        self.unread_bytes += change
        self.muxed_conn.count_unread(change)

    def _return_credit(self, size: int) -> None:
        self._consumed += size
        if self._consumed >= _CREDIT_BYTES and not self._fin_received and not self._dead:
            self._send(WINDOW, 0, self._consumed)
            self._receive_window += self._consumed
            self._consumed = 0

    def _forget_if_done(self) -> None:
        if self._fin_received and self._fin_sent:
            self.muxed_conn.forget(self)
