"""The load generator: answers however they arrive, and latency from when a request was due."""

from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from functools import partial

import pytest
import trio

from benchmarks import load
from benchmarks.load import HungUp, OpenLoop, Timed, ask, build_request, build_schedule
from benchmarks.measuring import percentile

Serve = Callable[[trio.SocketStream], Awaitable[None]]
WHOLE = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"


async def listen(nursery: trio.Nursery, serve: Serve) -> int:
    [listener] = await trio.open_tcp_listeners(0, host="127.0.0.1")
    nursery.start_soon(trio.serve_listeners, serve, [listener])
    port: int = listener.socket.getsockname()[1]
    return port


async def say(stream: trio.SocketStream, parts: Sequence[bytes]) -> None:
    with suppress(trio.BrokenResourceError):
        await stream.receive_some()
        for part in parts:
            await stream.send_all(part)
            await trio.sleep(0.005)


async def ask_one(parts: Sequence[bytes]) -> tuple[int, bytes, float]:
    async with trio.open_nursery() as nursery:
        port = await listen(nursery, partial(say, parts=parts))
        async with await trio.open_tcp_stream("127.0.0.1", port) as stream:
            answer = await ask(stream, build_request("m"))
        nursery.cancel_scope.cancel()
    return answer.status, answer.body, answer.ended_s - answer.first_s


async def test_an_answer_that_says_its_length_may_come_in_pieces() -> None:
    status, body, _ = await ask_one([WHOLE[:20], WHOLE[20:-3], WHOLE[-3:]])
    assert (status, body) == (200, b"hello")


async def test_a_stream_ends_with_its_last_chunk_and_its_first_text_is_timed() -> None:
    head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    role = b'data: {"delta": {"content": ""}}\n\n'
    text = b'data: {"delta": {"content": "a"}}\n\n'
    parts = [head, role, text[:24], text[24:], text, b"0\r\n\r\n"]
    status, body, told_s = await ask_one(parts)
    assert status == 200
    assert body == b"".join(parts[1:])
    assert 0.01 <= told_s < 0.5  # two pieces after the text was whole


async def test_whoever_hangs_up_in_the_middle_is_noticed() -> None:
    async with trio.open_nursery() as nursery:
        port = await listen(nursery, partial(say_and_close, parts=[WHOLE[:-1]]))
        async with await trio.open_tcp_stream("127.0.0.1", port) as stream:
            with pytest.raises(HungUp):
                await ask(stream, build_request("m"))
        nursery.cancel_scope.cancel()


async def say_and_close(stream: trio.SocketStream, parts: Sequence[bytes]) -> None:
    async with stream:
        await say(stream, parts)


async def run_loop(serve: Serve, schedule: Sequence[tuple[float, bytes]]) -> list[Timed]:
    async with trio.open_nursery() as nursery:
        port = await listen(nursery, serve)
        timed = await OpenLoop(port).run(schedule)
        nursery.cancel_scope.cancel()
    return timed


async def serve_in_turn(turn: trio.Lock, stream: trio.SocketStream) -> None:
    """One request at a time, 20 ms each, over all connections."""
    with suppress(trio.BrokenResourceError):
        while await stream.receive_some():
            async with turn:
                await trio.sleep(0.02)
            await stream.send_all(WHOLE)


async def test_what_waits_for_a_slow_server_is_late_from_when_it_was_due() -> None:
    schedule = build_schedule(b"GET / HTTP/1.1\r\n\r\n", rate=1000, seconds=0.005)
    timed = await run_loop(partial(serve_in_turn, trio.Lock()), schedule)
    assert all(one.is_good for one in timed)
    assert timed[-1].whole_s >= 5 * 0.02 - 0.004  # the fifth waited for four others


async def test_an_answer_that_is_no_success_and_none_at_all_are_not_good() -> None:
    schedule = [(0.0, build_request("m"))]
    refused = b"HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n"
    for parts in ([refused], [WHOLE[:-1]]):
        [timed] = await run_loop(partial(say_and_close, parts=parts), schedule)
        assert not timed.is_good


async def test_what_never_comes_is_given_up_and_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(load, "PATIENCE_S", 0.05)
    schedule = [(0.0, build_request("m")), (0.01, build_request("m"))]
    timed = await run_loop(partial(say, parts=[]), schedule)
    assert [one.is_good for one in timed] == [False, False]


def test_percentiles() -> None:
    values = [float(one) for one in range(100, 0, -1)]
    assert [percentile(values, share) for share in (0.0, 0.5, 0.99, 1.0)] == [1, 51, 100, 100]
    assert percentile([7.0], 0.99) == 7.0
