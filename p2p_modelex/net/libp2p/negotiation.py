"""Agreeing on a stream's protocol: multistream-select 1.0.0, in one round trip.

Specification: github.com/multiformats/multistream-select. A message is a varint length and a line;
each side first says which version it speaks. The side that opens sends that and its one proposal in
one packet; the side that answers does the same with its answer.
"""

from collections.abc import Awaitable, Callable, Container
from typing import Any

import trio
from libp2p.stream_muxer.exceptions import MuxedStreamEOF

from p2p_modelex.net.libp2p.muxed_stream import MuxedStream
from p2p_modelex.net.libp2p.muxer import Yamux

_VERSION = "/multistream/1.0.0"
_REFUSED = "na"
# Protocol names are tens of bytes; js-libp2p has the same limit.
_LINE_BYTES_MAX = 1024
# py-libp2p's own peers propose one after the other, the newest version first.
_PROPOSALS_MAX = 32


class NegotiationFailed(Exception):
    """The peer does not keep to multistream-select, or proposed too often what we do not speak."""


class ProtocolRefused(NegotiationFailed):
    """The peer does not speak the protocol."""


class MuxedService:
    """What serves a protocol on the muxed stream itself, not on the NetStream around it."""

    def __init__(self, serve: Callable[[MuxedStream], Awaitable[None]]) -> None:
        self.serve = serve

    async def __call__(self, stream: Any) -> None:
        """Serve a NetStream, as py-libp2p calls its handlers."""
        await self.serve(stream.muxed_stream)


def encode_line(text: str) -> bytes:
    """Return one message; `text` has at most 1023 bytes of UTF-8."""
    line = text.encode() + b"\n"
    size = len(line)
    if size > _LINE_BYTES_MAX:
        raise ValueError(f"a protocol name of {size - 1} bytes")
    return (bytes([size]) if size < 0x80 else bytes([size & 0x7F | 0x80, size >> 7])) + line


_GREETING = encode_line(_VERSION)


async def open_negotiated(muxer: Yamux, protocol: str) -> MuxedStream:
    """Open a stream that speaks `protocol`.

    Raises ProtocolRefused, NegotiationFailed, MuxedStreamError. A failure or cancellation resets
    the stream.
    """
    await trio.lowlevel.checkpoint_if_cancelled()
    stream = muxer.open_stream_nowait(_GREETING + encode_line(protocol))
    try:
        await _read_version(stream)
        answer = await _read_line(stream)
        if answer == _REFUSED:
            raise ProtocolRefused(f"the peer does not speak {protocol}")
        if answer != protocol:
            raise NegotiationFailed("the peer answers with another protocol")
    except BaseException:
        stream.kill()
        raise
    return stream


async def accept_negotiated(stream: MuxedStream, spoken: Container[str]) -> str:
    """Answer the peer's proposals and return the first that is in `spoken`.

    Raises NegotiationFailed, MuxedStreamError.
    """
    await _read_version(stream)
    greeting = _GREETING
    if not stream.unread_bytes:
        # This peer waits for our version before it proposes anything.
        await stream.write(greeting)
        greeting = b""
    for _ in range(_PROPOSALS_MAX):
        proposed = await _read_line(stream)
        if proposed in spoken:
            await stream.write(greeting + encode_line(proposed))
            return proposed
        await stream.write(greeting + encode_line(_REFUSED))
        greeting = b""
    raise NegotiationFailed(f"{_PROPOSALS_MAX} protocols proposed, none spoken")


async def _read_version(stream: MuxedStream) -> None:
    if await _read_line(stream) != _VERSION:
        raise NegotiationFailed("the peer does not speak multistream-select 1.0.0")


async def _read_line(stream: MuxedStream) -> str:
    size = (await _read_exactly(stream, 1))[0]
    if size & 0x80:
        size = size & 0x7F | (await _read_exactly(stream, 1))[0] << 7
    if not 0 < size <= _LINE_BYTES_MAX:
        raise NegotiationFailed(f"a protocol name of {size} bytes")
    line = await _read_exactly(stream, size)
    try:
        text = line.decode()
    except UnicodeDecodeError as error:
        raise NegotiationFailed("a protocol name is not UTF-8") from error
    if not text.endswith("\n"):
        raise NegotiationFailed("a protocol name does not end its line")
    return text[:-1]


async def _read_exactly(stream: MuxedStream, size: int) -> bytes:
    chunk = stream.take(size)
    while len(chunk) < size:
        try:
            chunk += await stream.read(size - len(chunk))
        except MuxedStreamEOF as error:
            raise NegotiationFailed("the stream ended before a protocol was agreed") from error
    return chunk
