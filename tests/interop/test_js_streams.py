"""Transport: our muxer, Noise and negotiation against js-libp2p's, both ways, and hard."""

import hashlib
import signal
from contextlib import suppress
from pathlib import Path

import pytest
import trio

from p2p_modelex.errors import DialFailed, NetworkError, StreamBroken
from p2p_modelex.limits import KIB, MIB, STREAMS_PER_PEER_MAX
from p2p_modelex.net.abc import Stream
from tests.interop.conftest import Figure
from tests.interop.jspeer import JsPeer, run_js_peer
from tests.interop.trials import (
    ECHO,
    HALF,
    RESET,
    SINK,
    SOURCE,
    Trials,
    check_echo,
    open_trials,
    pour,
    receive_all,
    receive_end,
)

pytestmark = pytest.mark.interop

BULK = 12 * MIB
STREAMS = 100
PAUSE_MS = 1500
PATIENCE_S = 60.0


async def meet(ours: Trials, js: JsPeer, dialler: str) -> None:
    if dialler == "ours":
        await ours.network.dial(js.peer, [js.address.split("/p2p/")[0]])
    else:
        told = await js.do("dial", address=ours.address)
        assert told == {"multiplexer": "/yamux/1.0.0", "encryption": "/noise"}
    with trio.fail_after(PATIENCE_S):
        while js.peer not in ours.network.connected():
            await trio.sleep(0.02)


DIALLERS = pytest.mark.parametrize("dialler", ["ours", "theirs"])


@DIALLERS
async def test_identify_and_pings(ours: Trials, js: JsPeer, dialler: str, figure: Figure) -> None:
    """Connect, identify, /modelex/ping/1, /ipfs/ping/1.0.0, Yamux ping"""
    await meet(ours, js, dialler)
    with trio.fail_after(PATIENCE_S):
        while ECHO not in (told := await js.do("identify", ours.key))["protocols"]:
            await trio.sleep(0.05)
        assert {"/modelex/ping/1", "/meshsub/1.1.0", "/ipfs/id/1.0.0"} <= set(told["protocols"])
        assert told["addresses"] == [ours.network.addresses[0]]
        seen = await ours.network.seen()
        while seen.how != "identified":
            seen = await ours.network.seen()
        assert seen.peer == js.peer
        assert js.address.split("/p2p/")[0] in seen.addresses
        figure("our ping ms", round(1000 * await ours.network.ping(js.peer), 1))
        if "/ipfs/ping/1.0.0" in told["protocols"]:
            figure("their ping ms", await js.do("ping", ours.key))
        # js-libp2p's muxer pings by itself when a connection begins.
        while (rtt := (await js.do("rtt", ours.key)))[0] < 0:
            await trio.sleep(0.05)
        figure("their Yamux ping ms", rtt[0])


@DIALLERS
async def test_many_streams(ours: Trials, js: JsPeer, dialler: str, figure: Figure) -> None:
    """Streams both ways at once, each with frames of 1 B to 64 KiB echoed, half-closed, closed"""
    await meet(ours, js, dialler)

    async def theirs(size: int, count: int, streams: int) -> None:
        await js.do("echo", ours.key, streams=streams, count=count, size=size)

    async def own(size: int, count: int) -> None:
        await check_echo(await ours.open(js.peer, ECHO), count, size)

    with trio.fail_after(PATIENCE_S):
        for size, count in ((1, 20), (700, 20), (64 * KIB, 4)):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(theirs, size, count, STREAMS // 2)
                for _ in range(STREAMS // 2):
                    nursery.start_soon(own, size, count)
        while ours.network.statistics().streams:
            await trio.sleep(0.02)
    figure("streams at once", STREAMS)
    assert (await js.do("status"))["faults"] == []


@DIALLERS
async def test_bulk_both_ways(ours: Trials, js: JsPeer, dialler: str, figure: Figure) -> None:
    """Bulk: four transfers side by side, two each way, digests compared"""
    await meet(ours, js, dialler)
    began = trio.current_time()

    async def push() -> None:
        stream = await ours.open(js.peer, SINK)
        await stream.send_frame(b"0")
        digest = await pour(stream, BULK)
        await stream.close_write()
        assert await stream.receive_frame() == digest
        await stream.aclose()

    async def pull() -> None:
        stream = await ours.open(js.peer, SOURCE)
        await stream.send_frame(str(BULK).encode())
        digest, left = hashlib.sha256(), BULK
        while left:
            frame = await stream.receive_frame()
            digest.update(frame)
            left -= len(frame)
        assert await stream.receive_frame() == digest.digest()
        await stream.aclose()

    with trio.fail_after(PATIENCE_S):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(push)
            nursery.start_soon(pull)
            nursery.start_soon(lambda: js.do("sink", ours.key, size=BULK, pause=0))
            nursery.start_soon(lambda: js.do("source", ours.key, size=BULK, pause=0))
    figure("MiB", 4 * BULK // MIB)
    figure("MiB/s", round(4 * BULK / MIB / (trio.current_time() - began), 1))


async def test_our_writer_waits_for_their_reader(ours: Trials, js: JsPeer, figure: Figure) -> None:
    """Backpressure: our writer stops at the window of a JavaScript reader that pauses"""
    await meet(ours, js, "ours")
    stream = await ours.open(js.peer, SINK)
    await stream.send_frame(str(PAUSE_MS).encode())
    sent = 0
    with trio.move_on_after(PAUSE_MS / 2000):
        while sent < BULK:
            await stream.send_frame(bytes(64 * KIB))
            sent += 64 * KIB
    figure("KiB before it waited", sent // KIB)
    assert sent <= MIB
    with trio.fail_after(PATIENCE_S):
        # Other streams of the connection are not held up.
        await check_echo(await ours.open(js.peer, ECHO), 3, 1000)
        await stream.send_frame(b"the last")
        await stream.close_write()
        assert len(await stream.receive_frame()) == 32
    await stream.aclose()


async def test_their_writer_waits_for_our_reader(ours: Trials, js: JsPeer, figure: Figure) -> None:
    """Backpressure: their writer stops at the window of our reader that pauses"""
    await meet(ours, js, "theirs")
    done = await js.do("sink", ours.key, size=BULK, pause=PAUSE_MS)
    assert done["queued"] >= PAUSE_MS / 2
    figure("ms held up", done["queued"])
    held = await js.do("source", ours.key, size=BULK, pause=PAUSE_MS)
    figure("KiB they held paused", held["held"] // KIB)
    # Their window grows while they read; paused, they hold one window.
    assert held["held"] <= 4 * MIB


async def test_half_close(ours: Trials, js: JsPeer) -> None:
    """Half-close: FIN one way, frames go on the other way, both ways"""
    await meet(ours, js, "ours")
    with trio.fail_after(PATIENCE_S):
        await js.do("half", ours.key, count=50)
        while len(ours.half) < 50:
            await trio.sleep(0.02)
        stream = await ours.open(js.peer, HALF)
        assert [frame async for frame in receive_all(stream)] == []
        for _ in range(50):
            await stream.send_frame(b"after their FIN")
        await stream.close_write()
        await stream.aclose()
        while (await js.do("status"))["counters"].get("half") != 50:
            await trio.sleep(0.02)


async def test_reset(ours: Trials, js: JsPeer) -> None:
    """Reset: seen as broken and not as FIN, both ways; the connection lives on"""
    await meet(ours, js, "theirs")
    with trio.fail_after(PATIENCE_S):
        await js.do("reset", ours.key)
        stream = await ours.open(js.peer, RESET)
        await stream.send_frame(b"now")
        with pytest.raises(StreamBroken):
            await stream.receive_frame()
        await check_echo(await ours.open(js.peer, ECHO), 1, 10)
        await js.do("echo", ours.key, streams=1, count=1, size=10)
    assert len(ours.network.connected()) == 1


async def test_more_streams_than_allowed(ours: Trials, js: JsPeer, figure: Figure) -> None:
    """Streams over the limit are refused, both ways; the others and the connection live on"""
    await meet(ours, js, "theirs")
    opened = await js.do("hoard", ours.key, count=2 * STREAMS_PER_PEER_MAX)
    figure("of theirs taken", opened)
    assert STREAMS_PER_PEER_MAX / 2 <= opened <= STREAMS_PER_PEER_MAX
    with trio.fail_after(PATIENCE_S):
        await js.do("release", ours.key)
        while ours.network.statistics().streams:
            await trio.sleep(0.02)
        await js.do("echo", ours.key, streams=STREAMS, count=1, size=10)
        streams: list[Stream] = []
        with suppress(NetworkError):
            while len(streams) < 2 * STREAMS_PER_PEER_MAX:
                streams.append(await ours.open(js.peer, ECHO))
        figure("of ours opened", len(streams))
        assert len(streams) <= STREAMS_PER_PEER_MAX
        await check_echo(streams.pop(), 1, 10)
        for stream in streams:
            await stream.reset()
        await check_echo(await ours.open(js.peer, ECHO), 1, 10)


@pytest.mark.parametrize(("how", "end"), [("close", "fin"), ("abort", "broken")])
async def test_their_goaway(ours: Trials, js: JsPeer, how: str, end: str) -> None:
    """GOAWAY by them (close: after FIN for each stream): our waiting stream ends, we meet again"""
    await meet(ours, js, "ours")
    stream = await ours.open(js.peer, ECHO)
    await stream.send_frame(b"here")
    assert await stream.receive_frame() == b"here"
    async with trio.open_nursery() as nursery:
        ended: list[str] = []

        async def wait() -> None:
            ended.append(await receive_end(stream))

        nursery.start_soon(wait)
        with trio.fail_after(PATIENCE_S):
            await js.do("hangup", ours.key, how=how)
            while ours.network.connected() or not ended:
                await trio.sleep(0.02)
    assert ended == [end]
    await meet(ours, js, "theirs")
    await check_echo(await ours.open(js.peer, ECHO), 1, 10)


async def test_our_goaway(ours: Trials, js: JsPeer) -> None:
    """GOAWAY by us: their waiting stream is broken, the connection gone, and can be met again"""
    await meet(ours, js, "theirs")
    with trio.fail_after(PATIENCE_S):
        await js.do("wait", ours.key)
        await ours.network.disconnect(js.peer)
        assert await js.do("waited") == "broken"
        while (await js.do("status"))["connections"]:
            await trio.sleep(0.02)
    await meet(ours, js, "ours")
    await js.do("echo", ours.key, streams=1, count=1, size=10)


async def test_keepalive(tmp_path: Path, figure: Figure) -> None:
    """Keepalive pings both ways keep an idle connection; a frozen peer is dropped"""
    muxer = {"muxer": {"keepAliveInterval": 100}}
    async with (
        open_trials(ping_interval_s=0.3) as ours,
        run_js_peer(tmp_path / "js.log", options=muxer) as js,
    ):
        await meet(ours, js, "ours")
        await trio.sleep(2)
        await check_echo(await ours.open(js.peer, ECHO), 1, 10)
        await js.do("echo", ours.key, streams=1, count=1, size=10)
        js.process.send_signal(signal.SIGSTOP)
        began = trio.current_time()
        try:
            with trio.fail_after(PATIENCE_S):
                while ours.network.connected():
                    await trio.sleep(0.02)
        finally:
            js.process.send_signal(signal.SIGCONT)
        figure("s until the frozen one was dropped", round(trio.current_time() - began, 1))


async def test_killed_peer(ours: Trials, js: JsPeer) -> None:
    """kill -9 of their process in mid-transfer: our stream is broken, nothing else happens"""
    await meet(ours, js, "theirs")
    stream = await ours.open(js.peer, SOURCE)
    await stream.send_frame(str(1024 * MIB).encode())
    await stream.receive_frame()
    js.process.kill()
    with trio.fail_after(PATIENCE_S), pytest.raises(StreamBroken):
        while True:
            await stream.receive_frame()
    with trio.fail_after(PATIENCE_S):
        while ours.network.connected():
            await trio.sleep(0.02)
    with pytest.raises(DialFailed):
        await ours.network.dial(js.peer, [js.address.split("/p2p/")[0]])
