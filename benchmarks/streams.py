"""What is timed on a pair of connected ends, whatever the transport: three figures."""

import os
import statistics
from collections.abc import Awaitable, Callable
from typing import Protocol

import msgspec
import trio

from benchmarks.measuring import Stopwatch
from p2p_modelex.errors import StreamClosed
from p2p_modelex.limits import KIB, MIB
from p2p_modelex.net.frames import FrameReader, encode_frame

ECHO, SINK = "/benchmark/echo/1", "/benchmark/sink/1"
ROUND_TRIPS = 300
STREAMS = 50
FRAME_BYTES = 64 * KIB
BULK_BYTES = 16 * MIB
_PING = b"x" * 64
_BULK = os.urandom(FRAME_BYTES)


class Frames(Protocol):
    """A stream of frames: net.abc.Stream, or one over something barer."""

    async def send_frame(self, payload: bytes) -> None: ...

    async def receive_frame(self) -> bytes:
        """Raises StreamClosed at the end."""
        ...

    async def aclose(self) -> None: ...


Open = Callable[[str], Awaitable[Frames]]


class Figures(msgspec.Struct, frozen=True):
    """Medians of one transport, both ends in this process."""

    round_trip_ms: float
    round_trip_cpu_ms: float
    new_stream_ms: float
    new_stream_cpu_ms: float
    bulk_mib_s: float
    bulk_cpu_mib_s: float


class ByteStream(Protocol):
    """What TCP and a libp2p stream have in common."""

    async def send(self, data: bytes) -> None: ...

    async def receive(self) -> bytes:
        """Return some bytes, none at the end."""
        ...

    async def aclose(self) -> None: ...


class Framed:
    """Our frames on a bare stream of bytes."""

    def __init__(self, stream: ByteStream) -> None:
        self._stream = stream
        self._reader = FrameReader(limit=FRAME_BYTES)

    async def send_frame(self, payload: bytes) -> None:
        await self._stream.send(encode_frame(payload, limit=FRAME_BYTES))

    async def receive_frame(self) -> bytes:
        while (frame := self._reader.next_frame()) is None:
            chunk = await self._stream.receive()
            if not chunk:
                raise StreamClosed("the end")
            self._reader.feed(chunk)
        return frame

    async def aclose(self) -> None:
        await self._stream.aclose()


async def echo(stream: Frames) -> None:
    """Serve ECHO: every frame goes back."""
    try:
        while True:
            await stream.send_frame(await stream.receive_frame())
    except StreamClosed:
        return


async def sink(stream: Frames) -> None:
    """Serve SINK: one frame goes back when BULK_BYTES have come."""
    left = BULK_BYTES
    while left > 0:
        left -= len(await stream.receive_frame())
    await stream.send_frame(b"all")


async def time_streams(open_stream: Open) -> Figures:
    """Time round trips on an open stream, streams opened for one round trip, and bulk."""
    await _round_trip(await open_stream(ECHO))
    with trio.fail_after(60):
        round_trip = await _time_round_trips(open_stream)
        new_stream = await _time_new_streams(open_stream)
        bulk = await _time_bulk(open_stream)
    size = BULK_BYTES / MIB
    return Figures(*round_trip, *new_stream, size / bulk[0], size / bulk[1])


async def _round_trip(stream: Frames) -> None:
    await stream.send_frame(_PING)
    await stream.receive_frame()


async def _time_round_trips(open_stream: Open) -> tuple[float, float]:
    stream = await open_stream(ECHO)
    walls = []
    whole = Stopwatch()
    for _ in range(ROUND_TRIPS):
        one = Stopwatch()
        await _round_trip(stream)
        walls.append(one.read().wall_s)
    cpu_s = whole.read().cpu_s
    await stream.aclose()
    return statistics.median(walls) * 1000, cpu_s / ROUND_TRIPS * 1000


async def _time_new_streams(open_stream: Open) -> tuple[float, float]:
    walls = []
    whole = Stopwatch()
    for _ in range(STREAMS):
        one = Stopwatch()
        stream = await open_stream(ECHO)
        await _round_trip(stream)
        walls.append(one.read().wall_s)
        await stream.aclose()
    return statistics.median(walls) * 1000, whole.read().cpu_s / STREAMS * 1000


async def _time_bulk(open_stream: Open) -> tuple[float, float]:
    """Return seconds by the clock and of CPU."""
    stream = await open_stream(SINK)
    stopwatch = Stopwatch()
    for _ in range(BULK_BYTES // FRAME_BYTES):
        await stream.send_frame(_BULK)
    await stream.receive_frame()
    spent = stopwatch.read()
    await stream.aclose()
    return spent.wall_s, spent.cpu_s
