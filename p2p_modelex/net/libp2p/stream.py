"""Frames over one libp2p stream."""

from collections.abc import Callable
from contextlib import suppress
from typing import Any

import trio
from libp2p.network.stream.exceptions import StreamEOF, StreamError, StreamReset
from libp2p.stream_muxer.exceptions import MuxedStreamClosed, MuxedStreamError, MuxedStreamReset

from p2p_modelex.errors import RemoteProtocolError, StreamBroken, StreamClosed
from p2p_modelex.ids import PeerId
from p2p_modelex.net.abc import Stream
from p2p_modelex.net.frames import FrameReader, encode_frame

# Flushing and FIN at closing; then the peer has LINGER_S to send its own FIN before the reset.
CLOSE_S = 2.0
LINGER_S = 10.0
_READ_BYTES = 64 * 1024


class Libp2pStream(Stream):
    """Wraps a libp2p NetStream whose protocol is agreed. `on_end` is called once, at its end."""

    def __init__(
        self,
        raw: Any,
        peer: PeerId,
        protocol: str,
        *,
        frame_limit: int,
        count: Callable[[bool], None],
        on_end: Callable[["Libp2pStream"], None],
        spawn: Callable[..., None],
    ) -> None:
        self._raw = raw
        self._muxed = raw.muxed_stream
        self._peer = peer
        self._protocol = protocol
        self._frame_limit = frame_limit
        self._reader = FrameReader(limit=frame_limit)
        # What a cancelled send left over; it goes out before anything else.
        self._unsent = bytearray()
        self._sending = trio.Lock()
        self._count = count
        self._on_end = on_end
        self._spawn = spawn
        self._ended = False

    @property
    def peer(self) -> PeerId:
        return self._peer

    @property
    def protocol(self) -> str:
        return self._protocol

    async def send_frame(self, payload: bytes) -> None:
        frame = encode_frame(payload, limit=self._frame_limit)
        if self._ended:
            raise StreamClosed("closed here")
        async with self._sending:
            await self._flush()
            self._unsent += frame
            await self._flush()
        self._count(False)

    async def _flush(self) -> None:
        try:
            while self._unsent:
                # Each call takes some bytes whole or, if cancelled, none: so nothing tears.
                sent = await self._muxed.write_some(bytes(self._unsent[:_READ_BYTES]))
                del self._unsent[:sent]
        except MuxedStreamClosed as error:
            raise StreamClosed("closed for sending") from error
        except MuxedStreamError as error:
            raise self._explain("sending", error) from error

    async def receive_frame(self) -> bytes:
        if self._ended:
            raise StreamClosed("closed here")
        try:
            while (frame := self._reader.next_frame()) is None:
                self._reader.feed(await self._raw.read(_READ_BYTES))
        except StreamEOF:
            self._reader.validate_end()
            raise StreamClosed("the peer sends no more") from None
        except StreamError as error:
            raise self._explain("receiving", error) from error
        except RemoteProtocolError:
            await self.reset()
            raise
        self._count(True)
        return frame

    def _explain(self, doing: str, error: Exception) -> StreamBroken:
        """Return what to raise: libp2p's own errors for a dead connection have no words."""
        if self._muxed.muxed_conn.is_closed:
            return StreamBroken("the connection to the peer broke")
        if isinstance(error, StreamReset | MuxedStreamReset):
            return StreamBroken("the peer reset the stream")
        return StreamBroken(f"{doing} failed: {str(error) or type(error).__name__}")

    async def close_write(self) -> None:
        async with self._sending:
            await self._flush()
            with suppress(StreamError, MuxedStreamError):
                await self._raw.close_write()

    async def aclose(self) -> None:
        if self._ended:
            return
        self._end()
        with trio.move_on_after(CLOSE_S) as scope:
            scope.shield = True
            try:
                await self.close_write()
            except Exception:  # it is ending either way
                scope.cancel()
                await self._drop()
        if scope.cancelled_caught:
            await self._drop()
        elif not self._muxed.is_closed():
            self._spawn(self._linger)

    async def _linger(self) -> None:
        """Take and forget what the peer still sends, until its FIN; then reset."""
        with trio.move_on_after(LINGER_S) as scope, suppress(StreamError, MuxedStreamError):
            while True:
                await self._raw.read(_READ_BYTES)
        if scope.cancelled_caught:
            await self._drop()
        with suppress(Exception):
            await self._raw.remove()

    async def reset(self) -> None:
        self._end()
        await self._drop()

    async def _drop(self) -> None:
        with trio.CancelScope(shield=True), suppress(Exception):
            await self._raw.reset()

    def _end(self) -> None:
        if not self._ended:
            self._ended = True
            self._on_end(self)
