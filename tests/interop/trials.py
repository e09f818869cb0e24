"""Our end of the stream trials of tests/interop/js/lib/trials.js."""

import hashlib
import os
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import trio

from p2p_modelex.errors import StreamBroken, StreamClosed
from p2p_modelex.ids import PeerId, format_peer_id
from p2p_modelex.net.abc import Stream, Validator
from p2p_modelex.net.libp2p.configuration import Libp2pConfiguration
from p2p_modelex.net.libp2p.network import Libp2pNetwork

LIMIT = 1024 * 1024
FRAME = 64 * 1024
ECHO, SINK, SOURCE, HALF, RESET = (
    f"/interop/{name}/1" for name in ("echo", "sink", "source", "half", "reset")
)


@dataclass(slots=True)
class Trials:
    """A network with handlers for the trials. `half`: frames that came after our FIN."""

    network: Libp2pNetwork
    half: list[bytes] = field(default_factory=list)

    @property
    def key(self) -> bytes:
        return self.network.peer[6:]

    @property
    def address(self) -> str:
        return f"{self.network.addresses[0]}/p2p/{format_peer_id(self.network.peer)}"

    async def open(self, peer: PeerId, protocol: str) -> Stream:
        return await self.network.open_stream(peer, protocol, frame_limit=LIMIT)

    async def echo(self, stream: Stream) -> None:
        async for frame in receive_all(stream):
            await stream.send_frame(frame)

    async def sink(self, stream: Stream) -> None:
        await trio.sleep(int(await stream.receive_frame()) / 1000)
        digest = hashlib.sha256()
        async for frame in receive_all(stream):
            digest.update(frame)
        await stream.send_frame(digest.digest())

    async def source(self, stream: Stream) -> None:
        await stream.send_frame(await pour(stream, int(await stream.receive_frame())))

    async def say_fin(self, stream: Stream) -> None:
        await stream.close_write()
        async for frame in receive_all(stream):
            self.half.append(frame)

    async def reset(self, stream: Stream) -> None:
        await stream.receive_frame()
        await stream.reset()


@asynccontextmanager
async def open_trials(
    topics: Mapping[str, Validator] | None = None, **options: Any
) -> AsyncGenerator[Trials, None]:
    """A running network that serves the trials. `options`: of Libp2pConfiguration."""
    network = Libp2pNetwork(
        os.urandom(32), Libp2pConfiguration(heartbeat_interval_s=0.2, **options)
    )
    trials = Trials(network)
    handlers = (trials.echo, trials.sink, trials.source, trials.say_fin, trials.reset)
    for protocol, handler in zip((ECHO, SINK, SOURCE, HALF, RESET), handlers, strict=True):
        network.handle(protocol, handler, frame_limit=LIMIT)
    for topic, validator in (topics or {}).items():
        network.subscribe(topic, validator)
    async with network.run():
        yield trials


async def receive_all(stream: Stream) -> AsyncGenerator[bytes, None]:
    """Frames until FIN."""
    while True:
        try:
            frame = await stream.receive_frame()
        except StreamClosed:
            return
        yield frame


async def pour(stream: Stream, size: int) -> bytes:
    """Send `size` random bytes in frames; their SHA-256."""
    digest = hashlib.sha256()
    for at in range(0, size, FRAME):
        frame = os.urandom(min(FRAME, size - at))
        digest.update(frame)
        await stream.send_frame(frame)
    return digest.digest()


async def check_echo(stream: Stream, count: int, size: int) -> None:
    for _ in range(count):
        frame = os.urandom(size)
        await stream.send_frame(frame)
        assert await stream.receive_frame() == frame
    await stream.close_write()
    assert [frame async for frame in receive_all(stream)] == []
    await stream.aclose()


async def receive_end(stream: Stream) -> str:
    """How a stream that waits ends: `fin` or `broken`."""
    try:
        await stream.receive_frame()
    except StreamClosed:
        return "fin"
    except StreamBroken:
        return "broken"
    return "frame"
