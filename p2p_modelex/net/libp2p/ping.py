"""Ping: how long a peer takes to send back what it is sent."""

import os

import trio

from p2p_modelex.errors import ModelexError, StreamBroken
from p2p_modelex.ids import PeerId, format_peer_id
from p2p_modelex.limits import PING_FRAME_BYTES
from p2p_modelex.net.abc import Network, Stream

PING_ID = "/modelex/ping/1"
_PING_BYTES = 32
# A stream that asks for no echo for this long is closed.
_PING_IDLE_S = 60.0


async def measure_round_trip(network: Network, peer: PeerId, timeout_s: float) -> float:
    """Return the seconds there and back. StreamBroken if the peer does not answer in time."""
    nonce = os.urandom(_PING_BYTES)
    stream = None
    try:
        with trio.fail_after(timeout_s):
            stream = await network.open_stream(peer, PING_ID, frame_limit=PING_FRAME_BYTES)
            started_s = trio.current_time()
            await stream.send_frame(nonce)
            if await stream.receive_frame() != nonce:
                raise StreamBroken("the ping came back changed")
            return trio.current_time() - started_s
    except (trio.TooSlowError, ModelexError) as error:
        raise StreamBroken(f"{format_peer_id(peer)} does not answer a ping") from error
    finally:
        if stream is not None:
            await stream.aclose()


async def echo(stream: Stream) -> None:
    """Send back what comes, while it does."""
    while True:
        with trio.move_on_after(_PING_IDLE_S) as idle:
            await stream.send_frame(await stream.receive_frame())
        if idle.cancelled_caught:
            return
