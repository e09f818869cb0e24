"""One Yamux stream: its two windows, its unread bytes, and how it ended."""

import struct
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
# go-yamux's default; larger frames would delay other streams' control frames.
_FRAME_BYTES = 64 * KIB
# A reader may stop for this long before its writer gives up (py-libp2p's own limit is 5 s).
STALL_S = 120.0


class YamuxViolation(Exception):
    """The peer broke the Yamux specification or our bounds; its connection ends."""


class MuxedStream:
    """A stream of bytes. Cancelling `read` or `write_some` loses nothing."""

    def __init__(self, stream_id: int, conn: "Yamux") -> None:
        self.stream_id = stream_id
        self.muxed_conn = conn
        self._unread = bytearray()
        self._receive_window = WINDOW_BYTES
        self._consumed = 0
        self._send_window = WINDOW_BYTES
        self._fin_received = False
        self._fin_sent = False
        self._dead = False
        self._changed = trio.Event()

    def is_closed(self) -> bool:
        return self._dead or (self._fin_received and self._fin_sent)

    @property
    def unread_bytes(self) -> int:
        return len(self._unread)

    @property
    def fin_received(self) -> bool:
        """Whether the peer has said that it will send no more."""
        return self._fin_received

    async def read(self, n: int | None = None) -> bytes:
        """Return what is there, at most `n` bytes; wait if nothing is.

        Raises MuxedStreamEOF after a FIN, MuxedStreamReset if the stream or connection died.
        """
        await trio.lowlevel.checkpoint()
        while not self._unread:
            if self._fin_received:
                raise MuxedStreamEOF("the peer sends no more")
            if self._dead:
                raise MuxedStreamReset("the stream was reset")
            await self._changed.wait()
        size = len(self._unread) if n is None or n < 0 else min(n, len(self._unread))
        chunk = bytes(self._unread[:size])
        del self._unread[:size]
        self._return_credit(size)
        return chunk

    async def write(self, data: bytes) -> None:
        rest = memoryview(data)
        while rest:
            rest = rest[await self.write_some(rest) :]

    async def write_some(self, data: bytes | memoryview) -> int:
        """Queue at least one byte of `data` and return how many; all or nothing if cancelled.

        Raises MuxedStreamClosed, MuxedStreamReset, MuxedStreamError if the peer does not read.
        """
        await trio.lowlevel.checkpoint()
        if not self._may_send():
            with trio.move_on_after(STALL_S) as stall:
                while not self._may_send():
                    if self._send_window == 0:
                        await self._changed.wait()
                    else:
                        await self.muxed_conn.wait_room()
            if stall.cancelled_caught:
                raise MuxedStreamError(f"the peer has read nothing for {STALL_S:.0f} s")
        size = min(len(data), self._send_window, _FRAME_BYTES)
        self._send_window -= size
        self.muxed_conn.send(DATA, 0, self.stream_id, size, bytes(data[:size]))
        return size

    async def close(self) -> None:
        """Say that no more is sent (FIN); reading goes on. This is libp2p's meaning of close."""
        await trio.lowlevel.checkpoint()
        if self._fin_sent or self._dead:
            return
        self._fin_sent = True
        self.muxed_conn.send(WINDOW, FIN, self.stream_id, 0)
        self._forget_if_done()

    async def reset(self) -> None:
        await trio.lowlevel.checkpoint()
        if not self._dead and not (self._fin_received and self._fin_sent):
            self.muxed_conn.send(WINDOW, RST, self.stream_id, 0)
        self.on_reset()

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

    def on_payload(self, payload: bytes) -> None:
        if len(payload) > self._receive_window:
            raise YamuxViolation("the peer ignores the receive window")
        self._receive_window -= len(payload)
        self._unread += payload
        self._wake()

    def on_credit(self, size: int) -> None:
        if size:
            self._send_window += size
            self._wake()

    def on_fin(self) -> None:
        self._fin_received = True
        self._wake()
        self._forget_if_done()

    def on_reset(self) -> None:
        """Die at once; what was not read is dropped."""
        self._unread.clear()
        self._dead = True
        self._fin_received = False
        self.muxed_conn.forget(self)
        self._wake()

    def on_connection_lost(self) -> None:
        """Die, but let the reader have what arrived, and its clean end if that arrived too."""
        self._dead = True
        self._wake()

    def _may_send(self) -> bool:
        if self._dead:
            raise MuxedStreamReset("the stream was reset")
        if self._fin_sent:
            raise MuxedStreamClosed("closed for sending")
        return self._send_window > 0 and self.muxed_conn.has_room

    def _return_credit(self, size: int) -> None:
        self._consumed += size
        if self._consumed >= _CREDIT_BYTES and not self._fin_received and not self._dead:
            self.muxed_conn.send(WINDOW, 0, self.stream_id, self._consumed)
            self._receive_window += self._consumed
            self._consumed = 0

    def _forget_if_done(self) -> None:
        if self._fin_received and self._fin_sent:
            self.muxed_conn.forget(self)

    def _wake(self) -> None:
        self._changed.set()
        self._changed = trio.Event()
