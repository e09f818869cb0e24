"""Cuts what a connection says into Yamux frames, without holding more than a header."""

from typing import TYPE_CHECKING

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

if TYPE_CHECKING:
    from p2p_modelex.net.libp2p.muxer import Yamux


class YamuxReader:
    """Hands frames to their streams as their bytes come; a payload need not be whole for that."""

    def __init__(self, conn: "Yamux") -> None:
        self._conn = conn
        self._header = bytearray()
        # The data frame in progress: how much of its payload is still to come, whose, its flags.
        self._left = 0
        self._stream: MuxedStream | None = None
        self._flags = 0

    def feed(self, chunk: bytes) -> bool:
        """Take the next bytes. True if the peer says goodbye; YamuxViolation if it breaks rules."""
        start, size = 0, len(chunk)
        while start < size:
            if self._left:
                end = min(start + self._left, size)
                # A whole chunk is not copied; a piece is, so that it does not keep the rest alive.
                self._on_payload(chunk if end - start == size else chunk[start:end])
                start = end
                continue
            if not self._header and size - start >= HEADER.size:
                fields = HEADER.unpack_from(chunk, start)
                start += HEADER.size
            else:
                end = start + HEADER.size - len(self._header)
                self._header += chunk[start:end]
                start = end
                if len(self._header) < HEADER.size:
                    return False
                fields = HEADER.unpack(self._header)
                self._header.clear()
            if self._on_header(*fields):
                return True
        return False

    def _on_header(self, version: int, kind: int, flags: int, stream_id: int, length: int) -> bool:
        if version != 0 or kind > GO_AWAY:
            raise YamuxViolation(f"version {version}, type {kind}")
        if kind == GO_AWAY:
            return True
        if kind == PING:
            if flags & SYN:
                self._conn.out.send(PING, ACK, 0, length)
            return False
        if kind == DATA and length > WINDOW_BYTES:
            raise YamuxViolation(f"a frame of {length} bytes is over any window")
        refused = flags & SYN and not self._conn.on_syn(flags, stream_id)
        # None: refused, or late frames of a stream we have reset.
        stream = None if refused else self._conn.streams.get(stream_id)
        if kind == DATA and length:
            if stream is not None:
                stream.reserve(length)
            self._left, self._stream, self._flags = length, stream, flags
            return False
        if stream is not None:
            if kind == WINDOW:
                stream.on_credit(length)
            _end(stream, flags)
        return False

    def _on_payload(self, piece: bytes) -> None:
        self._left -= len(piece)
        stream = self._stream
        if stream is None:
            return
        stream.on_payload(piece)
        if not self._left:
            self._stream = None
            _end(stream, self._flags)


def _end(stream: MuxedStream, flags: int) -> None:
    if flags & RST:
        stream.on_reset()
    elif flags & FIN:
        stream.on_fin()
