"""Round trip, new stream and bulk over the network port, against raw Trio TCP and bare py-libp2p.

Raw TCP carries the same frames with neither encryption nor multiplexing, on a connection for each
stream. Both ends are in one process, so a figure's CPU is that of both.
"""

import os
import subprocess
import sys
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager

import msgspec
import trio

from benchmarks.measuring import Result, begin, report
from benchmarks.streams import (
    ECHO,
    FRAME_BYTES,
    SINK,
    Figures,
    Framed,
    Frames,
    Open,
    echo,
    sink,
    time_streams,
)
from p2p_modelex.net.libp2p.network import Libp2pNetwork

BARE_TIMEOUT_S = 90
FLOORS = {"round_trip_ms": 0.55, "new_stream_ms": 3.3, "bulk_mib_s": 64.0}
"""What py-libp2p came to with the first mends (docs/performance.md); to be beaten."""


class _Socket:
    """A TCP connection as a stream of bytes."""

    def __init__(self, stream: trio.SocketStream) -> None:
        self._stream = stream

    async def send(self, data: bytes) -> None:
        await self._stream.send_all(data)

    async def receive(self) -> bytes:
        return bytes(await self._stream.receive_some(FRAME_BYTES))

    async def aclose(self) -> None:
        await self._stream.aclose()


def main() -> None:
    """Time raw TCP, our port, and py-libp2p as it comes, one after the other."""
    begin()
    raw = trio.run(_time, _open_tcp)
    ours = trio.run(_time, _open_port)
    bare = _time_bare()
    _report("round trip on an open stream", "round_trip_ms", "ms", raw, ours, bare)
    _report("  of which CPU, both ends", "round_trip_cpu_ms", "ms CPU", raw, ours, bare)
    _report("new stream and round trip", "new_stream_ms", "ms", raw, ours, bare)
    _report("  of which CPU, both ends", "new_stream_cpu_ms", "ms CPU", raw, ours, bare)
    _report("bulk, frames of 64 KiB", "bulk_mib_s", "MiB/s", raw, ours, bare)
    _report("  by CPU, both ends", "bulk_cpu_mib_s", "MiB/s CPU", raw, ours, bare)


def _report(
    work: str, name: str, unit: str, raw: Figures, ours: Figures, bare: Figures | None
) -> None:
    measured, limit = getattr(ours, name), getattr(raw, name)
    floor = FLOORS.get(name)
    is_rate = unit.startswith("MiB")
    met = None if floor is None else (measured > floor if is_rate else measured < floor)
    report(
        Result(
            work,
            measured,
            unit,
            "raw Trio TCP",
            limit,
            measured / limit,
            "" if floor is None else f"{'>' if is_rate else '<'} {floor:g} {unit}",
            met,
            note=f"py-libp2p as it comes: {getattr(bare, name):.2f}" if bare else "",
        )
    )


async def _time(opening: Callable[[], AbstractAsyncContextManager[Open]]) -> Figures:
    async with opening() as open_stream:
        return await time_streams(open_stream)


@asynccontextmanager
async def _open_tcp() -> AsyncGenerator[Open, None]:
    ports = {}
    async with trio.open_nursery() as nursery:
        for protocol, serve in ((ECHO, echo), (SINK, sink)):

            async def handle(
                stream: trio.SocketStream, serve: Callable[[Frames], Awaitable[None]] = serve
            ) -> None:
                await serve(Framed(_Socket(stream)))

            (listener,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
            ports[protocol] = listener.socket.getsockname()[1]
            nursery.start_soon(trio.serve_listeners, handle, [listener])

        async def open_stream(protocol: str) -> Frames:
            return Framed(_Socket(await trio.open_tcp_stream("127.0.0.1", ports[protocol])))

        yield open_stream
        nursery.cancel_scope.cancel()


@asynccontextmanager
async def _open_port() -> AsyncGenerator[Open, None]:
    one, other = Libp2pNetwork(os.urandom(32)), Libp2pNetwork(os.urandom(32))
    other.handle(ECHO, echo, frame_limit=FRAME_BYTES)
    other.handle(SINK, sink, frame_limit=FRAME_BYTES)

    async def open_stream(protocol: str) -> Frames:
        return await one.open_stream(other.peer, protocol, frame_limit=FRAME_BYTES)

    async with one.run(), other.run():
        await one.dial(other.peer, other.addresses)
        yield open_stream


def _time_bare() -> Figures | None:
    command = [sys.executable, "-m", "benchmarks.bare_libp2p"]
    try:
        done = subprocess.run(command, capture_output=True, timeout=BARE_TIMEOUT_S, check=True)
    except (subprocess.CalledProcessError, subprocess.TimeoutExpired) as error:
        sys.stderr.write(f"py-libp2p as it comes could not be timed: {error}\n")
        return None
    return msgspec.json.decode(done.stdout, type=Figures)


if __name__ == "__main__":
    main()
