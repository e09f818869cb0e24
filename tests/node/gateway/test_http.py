"""HTTP from people who mean it badly, or are slow, or go away."""

import socket
from contextlib import suppress

import h11
import msgspec
import pytest
import trio

from p2p_modelex.engine.memory import MemoryEngine
from p2p_modelex.limits import MIB
from p2p_modelex.node.configuration import GatewaySettings
from p2p_modelex.node.gateway import heads, http
from p2p_modelex.node.gateway.wire import EVENTS, Wire
from tests.node.gateway.serving import CHAT, Served, Talk, collect, serve
from tests.node.gateway.test_gateway import serve_own
from tests.node.world import MODEL

BODY = msgspec.json.encode(CHAT)
HEAD = b"POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n"
WHOLE = HEAD % len(BODY) + BODY


async def read_error(served: Served, raw: bytes, status: int, code: str) -> bytes:
    """Send bytes; the answer is such an error and the end of the connection."""
    with trio.fail_after(5):
        async with served.talk() as talk:
            await talk.send(raw)
            answer = await talk.read()
    head, _, body = answer.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 %d " % status), answer
    assert b"connection: close" in head.lower()
    assert msgspec.json.decode(body)["error"]["code"] == code
    return body


async def test_what_is_not_http_is_told_so() -> None:
    async with serve() as served:
        for raw in (
            b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",
            b"GET /health\r\n\r\n",
            b"GET /health HTTP/1.1\r\n\r\n",  # no host
            b"GET /health HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
            b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: -1\r\n\r\n",
            b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
            b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
            HEAD.replace(b"Host", b"Transfer-Encoding: chunked\r\nHost") % 1,
            b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: " + b"9" * 5000 + b"\r\n\r\n",
        ):
            await read_error(served, raw, 400, "malformed_http")
        for raw, status, code in (
            (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505, "malformed_http"),
            (HEAD.replace(b"Host", b"Content-Encoding: gzip\r\nHost") % 9, 415, "unsupported"),
        ):
            await read_error(served, raw, status, code)
        assert (await served.ask("GET", "/health")).status == 200


async def test_what_is_too_large_is_refused_unread() -> None:
    async with serve() as served:
        await read_error(served, HEAD % (heads.BODY_BYTES + 1), 413, "request_too_large")
        chunked = HEAD.replace(b"Content-Length: %d", b"Transfer-Encoding: chunked")
        chunk = b"10000\r\n" + b"x" * 0x10000 + b"\r\n"
        await read_error(served, chunked + chunk * 33, 413, "request_too_large")
        long = b"GET /health HTTP/1.1\r\nHost: a\r\nx: " + b"y" * 4 * http.HEAD_BYTES + b"\r\n\r\n"
        await read_error(served, long, 431, "malformed_http")
        many = b"".join(b"x%d: y\r\n" % number for number in range(heads.HEADERS_MAX))
        raw = b"GET /health HTTP/1.1\r\nHost: a\r\n" + many + b"\r\n"
        await read_error(served, raw, 431, "too_many_headers")


async def test_a_slow_request_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http, "REQUEST_S", 0.2)
    async with serve() as served:
        await read_error(served, WHOLE[:20], 408, "request_timeout")
        await read_error(served, WHOLE[:-1], 408, "request_timeout")


async def test_a_silent_connection_is_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http, "IDLE_S", 0.1)
    async with serve() as served, served.talk() as talk:
        with trio.fail_after(5):
            assert (await talk.ask("GET", "/health")).status == 200
            assert await talk.read() == b""


async def test_bytes_one_by_one_and_requests_all_at_once_are_answered_alike() -> None:
    async with serve() as served:
        async with served.talk() as talk:
            for at in range(len(WHOLE)):
                await talk.send(WHOLE[at : at + 1])
            talk.state = _expecting(1)
            assert (await collect(talk.pieces())).status == 200
        async with served.talk() as talk:
            await talk.send(WHOLE * 3)
            answers = b""
            while answers.count(b'"finish_reason"') < 3:
                answers += await talk.stream.receive_some(65536)
            assert answers.count(b"HTTP/1.1 200 ") == 3


def _expecting(requests: int) -> h11.Connection:
    """A client's end that has sent so many requests by other means."""
    state = h11.Connection(h11.CLIENT)
    for _ in range(requests):
        state.send(h11.Request(method="POST", target="/", headers=[("host", "a")]))
        state.send(h11.EndOfMessage())
    return state


async def test_old_and_odd_ways_of_asking() -> None:
    async with serve() as served:
        async with served.talk() as talk:  # HTTP/1.0 knows no chunks: the end is the end
            body = msgspec.json.encode({**CHAT, "stream": True})
            head = HEAD.replace(b"HTTP/1.1", b"HTTP/1.0") % len(body)
            await talk.send(head + body)
            answer = await talk.read()
            assert b"transfer-encoding" not in answer
            assert answer.endswith(b"data: [DONE]\n\n")
        async with served.talk() as talk:
            expecting = HEAD.replace(b"Host", b"Expect: 100-continue\r\nHost") % len(BODY)
            await talk.send(expecting)
            assert (await talk.stream.receive_some(100)).startswith(b"HTTP/1.1 100 ")
            await talk.send(BODY)
            assert (await talk.stream.receive_some(65536)).startswith(b"HTTP/1.1 200 ")
        async with served.talk() as talk:
            await talk.send(b"HEAD /health HTTP/1.1\r\nHost: localhost\r\n\r\n")
            with trio.fail_after(5):
                answer = await talk.stream.receive_some(65536)
            assert answer.startswith(b"HTTP/1.1 405 ")
            assert answer.endswith(b"\r\n\r\n")


async def test_connections_over_the_bound_are_turned_away() -> None:
    slow = MemoryEngine(MODEL, delay_s=0.02, length=500)
    body = msgspec.json.encode({**CHAT, "max_tokens": 500, "stream": True})
    async with serve(slow, settings=GatewaySettings(port=0, connections=2)) as served:
        async with served.talk() as one, served.talk() as two:
            for talk in (one, two):
                await talk.send(HEAD % len(body) + body)
                await talk.stream.receive_some(100)
            await read_error(served, b"", 503, "busy")
        await wait_idle(served)
        assert (await served.ask("GET", "/health")).status == 200


async def test_a_connection_between_requests_makes_room_for_another() -> None:
    settings = GatewaySettings(port=0, connections=2)
    async with serve(settings=settings) as served, served.talk() as one:
        assert (await one.ask("GET", "/health")).status == 200
        async with served.talk() as two:
            assert (await two.ask("GET", "/health")).status == 200
            async with served.talk() as three:
                assert (await three.ask("GET", "/health")).status == 200
                with trio.fail_after(5):
                    assert await one.read() == b""  # it was silent for longest
                for talk in (three, two):
                    assert (await talk.ask("GET", "/health")).status == 200


async def wait_idle(served: Served) -> None:
    with trio.fail_after(10):
        await served.exchange.node.wait_until(lambda: served.exchange.node.core.is_idle)


@pytest.mark.parametrize("is_stream", [True, False])
async def test_whoever_goes_has_the_job_cancelled_and_paid_for_what_came(is_stream: bool) -> None:
    slow = MemoryEngine(MODEL, delay_s=0.02, length=500)
    async with serve(slow) as served:
        async with served.talk() as talk:
            body = msgspec.json.encode({**CHAT, "max_tokens": 500, "stream": is_stream})
            await talk.send(HEAD % len(body) + body)
            if is_stream:
                await talk.stream.receive_some(65536)
            else:
                with trio.fail_after(5):
                    while not slow.statistics().running:
                        await trio.sleep(0.01)
        await wait_idle(served)
        [row] = await served.exchange.node.parts.store.receipts()
        tokens = row.receipt.receipt.completion_tokens
        assert tokens < 250
        assert tokens > 0 or not is_stream
        assert slow.statistics().running == 0


async def open_asked() -> tuple[trio.SocketStream, trio.SocketStream, h11.Connection]:
    """A connection, its client's end first, and what the server's has read: a request."""
    [listener] = await trio.open_tcp_listeners(0, host="127.0.0.1")
    theirs = await trio.open_tcp_stream(*listener.socket.getsockname())
    ours = await listener.accept()
    await listener.aclose()
    state = h11.Connection(h11.SERVER)
    state.receive_data(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
    assert isinstance(state.next_event(), h11.Request)
    return theirs, ours, state


async def test_whoever_does_not_read_is_taken_to_have_gone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("p2p_modelex.node.gateway.wire.SEND_S", 0.05)
    theirs, ours, state = await open_asked()
    wire, left = Wire(ours, state), []

    async def leave() -> None:
        left.append(True)

    wire.on_gone = leave
    await wire.begin(EVENTS, b"a piece")
    assert not wire.is_gone
    await wire.send(bytes(16 * MIB))  # more than the system keeps for whoever does not read
    assert wire.is_gone
    await wire.send(b"another one")
    await wire.end(b"the last")
    await wire.leave()
    assert left == [True]
    for stream in (ours, theirs):
        await stream.aclose()


async def test_a_piece_without_bytes_does_not_end_a_body() -> None:
    theirs, ours, state = await open_asked()
    wire = Wire(ours, state)
    await wire.begin(EVENTS, b"one, ")
    for piece in (b"two, ", b"", b"three"):
        await wire.send(piece)
    await wire.end(b".")
    reader, body = h11.Connection(h11.CLIENT), b""
    reader.send(h11.Request(method="GET", target="/", headers=[("host", "a")]))
    reader.receive_data(bytes(await theirs.receive_some(65536)))
    while not isinstance(event := reader.next_event(), h11.EndOfMessage):
        body += bytes(event.data) if isinstance(event, h11.Data) else b""
    assert body == b"one, two, three."
    assert state.our_state is h11.DONE
    for stream in (ours, theirs):
        await stream.aclose()


async def test_bytes_that_trickle_in_are_given_up_as_silence_is(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The time is for the whole request, so that a byte now and then does not hold a connection."""
    monkeypatch.setattr(http, "REQUEST_S", 0.3)
    for sent in (WHOLE, HEAD[:30] + b"x: " + b"y" * 200):
        async with serve() as served, served.talk() as talk:
            answers: list[bytes] = []

            async def read(talk: Talk = talk, answers: list[bytes] = answers) -> None:
                answers.append(await talk.read())

            with trio.fail_after(5):
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(read)
                    for at in range(len(sent)):
                        if answers:
                            break
                        with suppress(trio.BrokenResourceError):
                            await talk.send(sent[at : at + 1])
                        await trio.sleep(0.02)
            assert answers[0].startswith(b"HTTP/1.1 408 ")


async def test_who_does_not_read_a_stream_has_the_work_ended(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("p2p_modelex.node.gateway.wire.SEND_S", 0.3)
    # More than what the kernel keeps for both ends.
    engine = MemoryEngine(MODEL, reply=f"{'x' * 20_000} " * 1000)
    async with serve_own(engine) as served, served.talk() as talk:
        talk.stream.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        body = msgspec.json.encode({**CHAT, "max_tokens": 1000, "stream": True})
        await talk.send(HEAD % len(body) + body)
        await talk.stream.receive_some(100)
        assert engine.statistics().running == 1
        with trio.fail_after(5):
            while engine.statistics().running:
                await trio.sleep(0.01)
        assert engine.statistics().finished == 0
