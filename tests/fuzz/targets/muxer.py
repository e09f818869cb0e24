"""Our Yamux fed by a peer that sends any frames in any cut, while our side opens, reads and writes.

It ends by itself or by our close, raises nothing but its own errors, and stays in its bounds.
"""

from collections.abc import Callable
from functools import partial

import trio
import trio.testing
from libp2p.stream_muxer.exceptions import MuxedConnUnavailable, MuxedStreamError

from p2p_modelex.net.libp2p import muxer
from p2p_modelex.net.libp2p.muxed_stream import HEADER, WINDOW_BYTES, MuxedStream
from p2p_modelex.net.libp2p.muxer import Yamux
from tests.fuzz.choices import Choices

_LENGTHS = (0, 1, 12, 255, 65_536, WINDOW_BYTES - 1, WINDOW_BYTES, WINDOW_BYTES + 1, 2**32 - 1)
_IDS = (0, 1, 2, 3, 4, 5, 6, 7, 2**31, 2**32 - 1, 2**32 - 2)
_PAYLOAD = 4096


class Wire:
    """The peer's end of the connection: what it sends is scripted, what it gets is counted."""

    def __init__(self, choices: Choices, *, initiator: bool) -> None:
        self.is_initiator = initiator
        self.is_open = True
        self._choices = choices
        self._is_cut_fine = choices.chance(64)
        self._reads = not choices.chance(24)
        self._pending = bytearray()
        self.look: Callable[[], None] = lambda: None

    async def read(self, _size: int | None = None) -> bytes:
        await trio.lowlevel.checkpoint()
        self.look()
        if not self._pending:
            self._pending += draw(self._choices)
        if not self._pending or not self.is_open:
            return b""
        is_cut = self._is_cut_fine and len(self._pending) <= _PAYLOAD
        size = 1 + self._choices.byte() if is_cut else len(self._pending)
        chunk = bytes(self._pending[:size])
        del self._pending[:size]
        return chunk

    async def write(self, data: bytes) -> None:
        await trio.lowlevel.checkpoint()
        if not self._reads:
            await trio.sleep_forever()

    async def close(self) -> None:
        self.is_open = False


def draw(choices: Choices) -> bytes:
    """The next bytes from the peer; none when the choices are used up."""
    if not choices:
        return b""
    if choices.chance(16):
        return choices.some()
    version = 0 if not choices.chance(4) else choices.byte()
    kind = choices.below(4) if not choices.chance(4) else choices.byte()
    if kind == 3 and not choices.chance(64):
        kind = 0
    flags = choices.pick((0, 1, 2, 4, 8, 3, 5, 9, 12, 15, 2**16 - 1))
    length = choices.pick(_LENGTHS) if choices.chance(128) else choices.byte()
    if kind == 0 and length > _PAYLOAD and not choices.chance(64):
        length = _PAYLOAD
    payload = bytes(length) if kind == 0 and length <= WINDOW_BYTES else b""
    return HEADER.pack(version, kind, flags, choices.pick(_IDS), length) + payload


def run(content: bytes) -> None:
    trio.run(_serve, Choices(content), clock=trio.testing.MockClock(autojump_threshold=0))


async def _serve(choices: Choices) -> None:
    wire = Wire(choices, initiator=choices.chance(128))
    connection = Yamux(wire, b"peer")
    wire.look = partial(check, connection)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(connection.start)
        nursery.start_soon(_use, connection, choices)
        nursery.start_soon(_accept, connection, choices)
        await connection.event_closed.wait()
        nursery.cancel_scope.cancel()
    assert connection.is_closed
    assert not connection.streams
    assert not wire.is_open, "the socket is left open"


def check(connection: Yamux) -> None:
    assert len(connection.streams) <= muxer.ACCEPT_MAX
    unread = [stream.unread_bytes for stream in connection.streams.values()]
    assert max(unread, default=0) <= WINDOW_BYTES
    assert sum(unread) <= muxer.BUFFER_BYTES_MAX


async def _use(connection: Yamux, choices: Choices) -> None:
    """Do with streams of our own what a node may do."""
    streams: list[MuxedStream] = []
    while choices:
        try:
            with trio.move_on_after(1):
                await _act(connection, streams, choices)
        except MuxedStreamError:
            await trio.lowlevel.checkpoint()
    await connection.close()


async def _act(connection: Yamux, streams: list[MuxedStream], choices: Choices) -> None:
    match choices.below(6):
        case 0:
            streams.append(await connection.open_stream())
            return
        case 1:
            connection.ping()
    if not streams:
        await trio.lowlevel.checkpoint()
        return
    stream = choices.pick(streams[-8:])
    match choices.below(4):
        case 0:
            await stream.write(bytes(choices.pick((1, 100, WINDOW_BYTES + 1))))
        case 1:
            await stream.read(choices.pick((1, 100, None)))
        case 2:
            await stream.close()
        case 3:
            await stream.reset()


async def _accept(connection: Yamux, choices: Choices) -> None:
    """Accept what comes; read some of it, answer some, leave the rest lying."""
    while True:
        try:
            stream = await connection.accept_stream()
        except MuxedConnUnavailable:
            return
        try:
            with trio.move_on_after(1):
                if choices.chance(128):
                    await stream.read()
                if choices.chance(64):
                    await stream.close()
        except MuxedStreamError:
            continue
