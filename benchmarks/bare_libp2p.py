"""py-libp2p as it comes, timed in a process of its own: our mends would patch it in place."""

import logging
import sys
from typing import Any

import msgspec
import trio
from libp2p import new_host
from libp2p.crypto.ed25519 import create_new_key_pair
from libp2p.crypto.x25519 import create_new_key_pair as create_noise_key_pair
from libp2p.custom_types import TProtocol
from libp2p.network.stream.exceptions import StreamEOF
from libp2p.security.noise.transport import PROTOCOL_ID as NOISE_ID
from libp2p.security.noise.transport import Transport as NoiseTransport
from libp2p.stream_muxer.yamux.yamux import PROTOCOL_ID as YAMUX_ID
from libp2p.stream_muxer.yamux.yamux import Yamux
from multiaddr import Multiaddr

from benchmarks.streams import ECHO, FRAME_BYTES, SINK, Framed, echo, sink, time_streams

_LOOPBACK = Multiaddr("/ip4/127.0.0.1/tcp/0")


class _Bytes:
    """A NetStream as a stream of bytes."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream

    async def send(self, data: bytes) -> None:
        await self._stream.write(data)

    async def receive(self) -> bytes:
        try:
            received: bytes = await self._stream.read(FRAME_BYTES)
        except StreamEOF:
            return b""
        return received

    async def aclose(self) -> None:
        await self._stream.close()


def _build_host() -> Any:
    keys = create_new_key_pair()
    noise = NoiseTransport(keys, noise_privkey=create_noise_key_pair().private_key)
    muxer: Any = Yamux
    return new_host(
        key_pair=keys, sec_opt={TProtocol(NOISE_ID): noise}, muxer_opt={TProtocol(YAMUX_ID): muxer}
    )


async def _run() -> None:
    one, other = _build_host(), _build_host()

    async def serve_echo(stream: Any) -> None:
        await echo(Framed(_Bytes(stream)))

    async def serve_sink(stream: Any) -> None:
        await sink(Framed(_Bytes(stream)))

    other.set_stream_handler(TProtocol(ECHO), serve_echo)
    other.set_stream_handler(TProtocol(SINK), serve_sink)

    async def open_stream(protocol: str) -> Framed:
        return Framed(_Bytes(await one.new_stream(other.get_id(), [TProtocol(protocol)])))

    async with one.run([_LOOPBACK]), other.run([_LOOPBACK]):
        await one.get_network().dial_addr(other.get_addrs()[0], other.get_id())
        figures = await time_streams(open_stream)
    sys.stdout.write(msgspec.json.encode(figures).decode() + "\n")


if __name__ == "__main__":
    logging.disable()
    trio.run(_run)
