"""Our Yamux, without sockets: a pair of muxers over memory, and garbage from a peer."""

from typing import Any

import pytest
import trio
import trio.testing
from hypothesis import given
from hypothesis import strategies as st
from libp2p.stream_muxer.exceptions import (
    MuxedConnUnavailable,
    MuxedStreamClosed,
    MuxedStreamEOF,
    MuxedStreamError,
    MuxedStreamReset,
)

from p2p_modelex.net.libp2p.muxed_stream import (
    DATA,
    FIN,
    HEADER,
    PING,
    RST,
    SYN,
    WINDOW,
    WINDOW_BYTES,
    MuxedStream,
)
from p2p_modelex.net.libp2p.muxer import BUFFER_BYTES_MAX, LINGER_S, OPEN_MAX, Yamux


class Pipe:
    """One end of a secured connection in memory."""

    def __init__(self, sender: Any, receiver: Any, *, initiator: bool) -> None:
        self.is_initiator = initiator
        self._sender = sender
        self._receiver = receiver

    async def read(self, _n: int | None = None) -> bytes:
        try:
            chunk: bytes = await self._receiver.receive()
        except (trio.EndOfChannel, trio.ClosedResourceError):
            return b""
        return chunk

    async def write(self, data: bytes) -> None:
        await self._sender.send(data)

    async def close(self) -> None:
        self._sender.close()
        self._receiver.close()


def make_pair() -> tuple[Yamux, Yamux]:
    there, back = trio.open_memory_channel[bytes](10), trio.open_memory_channel[bytes](10)
    return (
        Yamux(Pipe(there[0], back[1], initiator=True), b"other"),
        Yamux(Pipe(back[0], there[1], initiator=False), b"one"),
    )


async def test_bytes_both_ways_half_close_and_end() -> None:
    one, other = make_pair()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(one.start)
        nursery.start_soon(other.start)
        stream = await one.open_stream()
        await stream.write(b"question")
        await stream.close()
        with pytest.raises(MuxedStreamClosed):
            await stream.write(b"more")
        accepted = await other.accept_stream()
        assert await accepted.read() == b"question"
        with pytest.raises(MuxedStreamEOF):
            await accepted.read()
        await accepted.write(b"answer")
        await accepted.close()
        assert await stream.read(3) + await stream.read(100) == b"answer"
        with pytest.raises(MuxedStreamEOF):
            await stream.read()
        assert stream.is_closed()
        assert not one.streams
        assert not other.streams
        await one.close()
    assert one.is_closed
    assert other.is_closed
    with pytest.raises(MuxedStreamError):
        await one.open_stream()
    with pytest.raises(MuxedConnUnavailable):
        await other.accept_stream()


async def test_more_than_a_window_waits_for_the_reader() -> None:
    one, other = make_pair()
    size = 3 * WINDOW_BYTES
    async with trio.open_nursery() as nursery:
        nursery.start_soon(one.start)
        nursery.start_soon(other.start)
        stream = await one.open_stream()
        nursery.start_soon(stream.write, bytes(size))
        accepted = await other.accept_stream()
        await trio.testing.wait_all_tasks_blocked()
        assert accepted.unread_bytes == WINDOW_BYTES
        received = 0
        while received < size:
            received += len(await accepted.read())
        assert received == size
        await one.close()


async def test_a_reset_and_a_lost_connection_are_told_from_an_end() -> None:
    one, other = make_pair()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(one.start)
        nursery.start_soon(other.start)
        first, second, third = [await one.open_stream() for _ in range(3)]
        theirs = [await other.accept_stream() for _ in range(3)]
        await first.write(b"lost")
        await first.reset()
        await second.write(b"kept")
        await third.write(b"whole")
        await third.close()
        with pytest.raises(MuxedStreamReset):
            while True:
                await theirs[0].read()
        await trio.testing.wait_all_tasks_blocked()
        nursery.cancel_scope.cancel()
    assert await theirs[1].read() == b"kept"
    with pytest.raises(MuxedStreamReset):
        await theirs[1].read()
    assert await theirs[2].read() == b"whole"
    with pytest.raises(MuxedStreamEOF):
        await theirs[2].read()


async def test_opening_is_bounded() -> None:
    one, other = make_pair()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(one.start)
        nursery.start_soon(other.start)
        for _ in range(OPEN_MAX):
            await one.open_stream()
        with pytest.raises(MuxedStreamError, match="streams are open"):
            await one.open_stream()
        await one.close()


async def feed(chunks: list[bytes]) -> Yamux:
    """Serve one connection whose peer says `chunks` and nothing else; it must end by itself."""
    send, receive = trio.open_memory_channel[bytes](len(chunks) + 1)
    answers, drain = trio.open_memory_channel[bytes](1000)
    for chunk in chunks:
        send.send_nowait(chunk)
    send.close()
    muxer = Yamux(Pipe(answers, receive, initiator=False), b"peer")
    with trio.fail_after(10):
        await muxer.start()
    drain.close()
    return muxer


def frame(kind: int, flags: int, stream: int, length: int, payload: bytes = b"") -> bytes:
    return HEADER.pack(0, kind, flags, stream, length) + payload


async def test_a_ping_is_answered() -> None:
    send, receive = trio.open_memory_channel[bytes](10)
    answers, drain = trio.open_memory_channel[bytes](10)
    muxer = Yamux(Pipe(answers, receive, initiator=False), b"peer")
    async with trio.open_nursery() as nursery:
        nursery.start_soon(muxer.start)
        await send.send(frame(PING, SYN, 0, 77))
        assert await drain.receive() == frame(PING, 2, 0, 77)
        await muxer.close()


@pytest.mark.parametrize(
    "chunks",
    [
        [frame(DATA, SYN, 1, WINDOW_BYTES + 1)],
        [frame(DATA, SYN, 1, 5, b"x")],
        [frame(9, 0, 1, 0)],
        [b"\x07" + frame(DATA, 0, 1, 0)[1:]],
        [frame(WINDOW, SYN, 1, 0), *[frame(DATA, 0, 1, 65_536, bytes(65_536))] * 5],
    ],
    ids=["over-any-window", "cut", "unknown-type", "version", "over-its-window"],
)
async def test_a_violation_ends_the_connection(chunks: list[bytes]) -> None:
    assert (await feed(chunks)).is_closed


async def test_odd_frames_are_ignored() -> None:
    muxer = await feed(
        [
            frame(WINDOW, RST, 5, 0),
            frame(DATA, FIN, 7, 1, b"x"),
            frame(WINDOW, SYN, 2, 0),
            frame(WINDOW, SYN | RST, 9, 0),
            frame(WINDOW, SYN, 0, 0),
        ]
    )
    assert not muxer.streams


@given(st.lists(st.binary(min_size=1, max_size=64), max_size=20))
def test_any_bytes_end_the_connection_and_nothing_else(chunks: list[bytes]) -> None:
    trio.run(feed, chunks)


@given(
    st.lists(
        st.builds(
            frame,
            st.integers(0, 3),
            st.integers(0, 15),
            st.integers(0, 6),
            st.integers(0, 300_000),
        ),
        max_size=30,
    )
)
def test_any_frames_end_the_connection_and_nothing_else(frames: list[bytes]) -> None:
    trio.run(feed, frames)


async def test_what_breaks_while_we_leave_is_not_raised() -> None:
    yamux, _ = make_pair()

    async def read(_n: int | None = None) -> bytes:
        try:
            await trio.sleep_forever()
        except trio.Cancelled:
            raise OSError("the peer closed the connection") from None
        raise AssertionError

    yamux.secured_conn.read = read
    async with trio.open_nursery() as nursery:
        nursery.start_soon(yamux.start)
        await yamux.event_started.wait()
        await trio.testing.wait_all_tasks_blocked()
        nursery.cancel_scope.cancel()
    assert yamux.is_closed


async def test_tiny_frames_are_put_together() -> None:
    """An object for each would cost fifty times what the window allows."""
    frames = frame(WINDOW, SYN, 1, 0) + frame(DATA, 0, 1, 1, b"x") * 5000
    send, receive = trio.open_memory_channel[bytes](10)
    muxer = Yamux(Pipe(trio.open_memory_channel[bytes](10)[0], receive, initiator=False), b"peer")
    async with trio.open_nursery() as nursery:
        nursery.start_soon(muxer.start)
        await send.send(frames)
        stream = await muxer.accept_stream()
        assert len(stream._pieces) == 1
        assert await stream.read(10) == b"x" * 10
        assert len(await stream.read()) == 4990
        await muxer.close()


async def test_a_flood_of_pings_is_answered_in_one_write() -> None:
    send, receive = trio.open_memory_channel[bytes](10)
    answers, drain = trio.open_memory_channel[bytes](10)
    muxer = Yamux(Pipe(answers, receive, initiator=False), b"peer")
    async with trio.open_nursery() as nursery:
        nursery.start_soon(muxer.start)
        await send.send(frame(PING, SYN, 0, 1) * 1000)
        assert await drain.receive() == frame(PING, 2, 0, 1) * 1000
        await muxer.close()


async def test_the_first_answer_acknowledges_a_stream() -> None:
    send, receive = trio.open_memory_channel[bytes](10)
    answers, drain = trio.open_memory_channel[bytes](10)
    muxer = Yamux(Pipe(answers, receive, initiator=False), b"peer")
    async with trio.open_nursery() as nursery:
        nursery.start_soon(muxer.start)
        await send.send(frame(WINDOW, SYN, 1, 0))
        stream = await muxer.accept_stream()
        for _ in range(2):
            await stream.write(b"x")
        first = await drain.receive()
        with trio.move_on_after(0.1):
            first += await drain.receive()
        assert first == frame(DATA, 2, 1, 1, b"x") + frame(DATA, 0, 1, 1, b"x")
        await muxer.close()


async def test_a_closed_stream_takes_what_still_comes_and_ends_with_the_peers_fin() -> None:
    one, other = make_pair()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(one.start)
        nursery.start_soon(other.start)
        stream = await one.open_stream()
        there = await other.accept_stream()
        stream.finish()
        stream.abandon()
        await there.write(bytes(3 * WINDOW_BYTES))
        await there.close()
        await trio.testing.wait_all_tasks_blocked()
        assert stream.is_closed()
        assert not one.streams
        assert not other.streams
        await one.close()


async def test_a_peer_that_never_ends_a_stream_is_reset(autojump_clock: object) -> None:
    one, other = make_pair()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(one.start)
        nursery.start_soon(other.start)
        left: list[MuxedStream] = []
        for _ in range(3):
            stream = await one.open_stream()
            left.append(await other.accept_stream())
            stream.finish()
            stream.abandon()
            await trio.sleep(1)
        started_s = trio.current_time()
        with pytest.raises(MuxedStreamReset):
            while True:
                await left[-1].write(b"x")
                await trio.sleep(0.5)
        assert LINGER_S - 2 < trio.current_time() - started_s < LINGER_S + 2
        assert not one.streams
        await one.close()


@pytest.mark.parametrize("ticks", range(6))
async def test_a_stream_may_be_left_while_the_connection_is_cancelled(ticks: int) -> None:
    one, other = make_pair()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(one.start)
        nursery.start_soon(other.start)
        stream = await one.open_stream()
        await trio.testing.wait_all_tasks_blocked()
        nursery.cancel_scope.cancel()
        for _ in range(ticks):
            await trio.lowlevel.cancel_shielded_checkpoint()
        stream.abandon()
    assert one.is_closed
    assert not one.streams


async def test_all_streams_together_are_bounded() -> None:
    count = BUFFER_BYTES_MAX // WINDOW_BYTES + 1
    chunks = [
        frame(WINDOW, SYN, stream, 0) + frame(DATA, 0, stream, WINDOW_BYTES, bytes(WINDOW_BYTES))
        for stream in range(1, 2 * count, 2)
    ]
    send, receive = trio.open_memory_channel[bytes](count + 1)
    muxer = Yamux(Pipe(trio.open_memory_channel[bytes](10)[0], receive, initiator=False), b"peer")
    for chunk in chunks[:-1]:
        send.send_nowait(chunk)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(muxer.start)
        await trio.testing.wait_all_tasks_blocked()
        assert not muxer.is_closed
        send.send_nowait(chunks[-1])
        with trio.fail_after(10):
            await muxer.event_closed.wait()


@given(st.lists(st.integers(1, 200), max_size=30), st.integers(0, 255))
def test_frames_are_cut_the_same_however_they_arrive(sizes: list[int], byte: int) -> None:
    payloads = [bytes([byte]) * size for size in sizes]
    wire = frame(WINDOW, SYN, 1, 0)
    wire += b"".join(frame(DATA, 0, 1, len(payload), payload) for payload in payloads)
    wire += frame(DATA, FIN, 1, 0)

    async def receive_by(step: int) -> bytes:
        chunks = [wire[i : i + step] for i in range(0, len(wire), step)]
        send, receive = trio.open_memory_channel[bytes](len(chunks) + 1)
        for chunk in chunks:
            send.send_nowait(chunk)
        answers = trio.open_memory_channel[bytes](10)[0]
        muxer = Yamux(Pipe(answers, receive, initiator=False), b"peer")
        received = b""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(muxer.start)
            stream = await muxer.accept_stream()
            with pytest.raises(MuxedStreamEOF):
                while True:
                    received += await stream.read()
            nursery.cancel_scope.cancel()
        return received

    for step in (1, 7, 13, 4096):
        assert trio.run(receive_by, step) == b"".join(payloads)
