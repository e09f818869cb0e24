"""Frames over one libp2p stream."""

from collections.abc import Callable
from contextlib import suppress

import trio
from libp2p.stream_muxer.exceptions import (
    MuxedStreamClosed,
    MuxedStreamEOF,
    MuxedStreamError,
    MuxedStreamReset,
)

from p2p_modelex.errors import LocalProtocolError, RemoteProtocolError, StreamBroken, StreamClosed
from p2p_modelex.ids import PeerId
from p2p_modelex.net.abc import Stream
from p2p_modelex.net.frames import FrameReader, encode_frame
from p2p_modelex.net.libp2p.muxed_stream import MuxedStream, YamuxViolation

# Flushing at closing; how long the peer then has for its own FIN is the muxer's LINGER_S.
CLOSE_S = 2.0


class Libp2pStream(Stream):
    """Wraps a muxed stream whose protocol is agreed. `on_end` is called once, at its end."""

    def __init__(
        self,
        muxed: MuxedStream,
        peer: PeerId,
        protocol: str,
        *,
        frame_limit: int,
        count: Callable[[bool], None],
        on_end: Callable[["Libp2pStream"], None],
        on_violation: Callable[[PeerId], None],
    ) -> None:
        self._muxed = muxed
        self._peer = peer
        self._protocol = protocol
        self._frame_limit = frame_limit
        self._reader = FrameReader(limit=frame_limit)
        # What a cancelled send left over; it goes out before anything else.
        self._unsent = memoryview(b"")
        self._sending = trio.Lock()
        self._count = count
        self._on_end = on_end
        self._on_violation = on_violation
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
        await self._take_turn()
        try:
            if self._unsent:
                await self._flush()
            self._unsent = memoryview(frame)
            await self._flush()
        finally:
            self._sending.release()
        self._count(False)

    def try_send_frame(self, payload: bytes) -> bool:
        if self._ended or self._unsent or self._sending.locked():
            return False
        try:
            is_sent = self._muxed.try_write(encode_frame(payload, limit=self._frame_limit))
        except (MuxedStreamError, YamuxViolation, LocalProtocolError):
            return False
        if is_sent:
            self._count(False)
        return is_sent

    async def _take_turn(self) -> None:
        # A lock that is free costs a task switch all the same; sending is a checkpoint anyway.
        try:
            self._sending.acquire_nowait()
        except trio.WouldBlock:
            await self._sending.acquire()

    async def _flush(self) -> None:
        try:
            while self._unsent:
                # Each call takes some bytes whole or, if cancelled, none: so nothing tears.
                sent = await self._muxed.write_some(self._unsent)
                self._unsent = self._unsent[sent:]
        except MuxedStreamClosed as error:
            raise StreamClosed("closed for sending") from error
        except (MuxedStreamError, YamuxViolation) as error:
            raise self._explain("sending", error) from error

    async def receive_frame(self) -> bytes:
        if self._ended:
            raise StreamClosed("closed here")
        try:
            while (frame := self._reader.next_frame()) is None:
                self._reader.feed(await self._muxed.read())
        except MuxedStreamEOF:
            self._reader.validate_end()
            raise StreamClosed("the peer sends no more") from None
        except MuxedStreamError as error:
            raise self._explain("receiving", error) from error
        except RemoteProtocolError:
            self._on_violation(self._peer)
            await self.reset()
            raise
        self._count(True)
        return frame

    def _explain(self, doing: str, error: Exception) -> StreamBroken:
        """Return what to raise: libp2p's own errors for a dead connection have no words."""
        if self._muxed.muxed_conn.is_closed:
            return StreamBroken("the connection to the peer broke")
        if isinstance(error, MuxedStreamReset):
            return StreamBroken("the peer reset the stream")
        return StreamBroken(f"{doing} failed: {str(error) or type(error).__name__}")

    async def close_write(self) -> None:
        await self._take_turn()
        try:
            await self._flush()
            with suppress(MuxedStreamError, YamuxViolation):
                self._muxed.finish()
        finally:
            self._sending.release()
        await trio.lowlevel.checkpoint_if_cancelled()

    async def aclose(self) -> None:
        if self._ended:
            return
        self._end()
        if not self._unsent and not self._sending.locked():
            self._muxed.finish()
            self._muxed.abandon()
            return
        with trio.move_on_after(CLOSE_S) as scope:
            scope.shield = True
            try:
                await self.close_write()
                self._muxed.abandon()
            except Exception:  # it is ending either way
                self._drop()
        if scope.cancelled_caught:
            self._drop()

    async def reset(self) -> None:
        self._end()
        self._drop()

    def _drop(self) -> None:
        with suppress(Exception):
            self._muxed.kill()

    def _end(self) -> None:
        if not self._ended:
            self._ended = True
            self._on_end(self)
