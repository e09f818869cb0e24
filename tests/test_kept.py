"""Kept connections of HTTP: chunks that h11 is not asked about come out as it would have them."""

from collections.abc import Sequence
from typing import Any, cast

import h11
import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st

from p2p_modelex.kept import Connection, join_chunks

HEAD = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
REQUEST = h11.Request(method="GET", target="/", headers=[("host", "a")])
END = b"0\r\n\r\n"


class Parts:
    """A stream that gives what it was made of, part by part, and then its end."""

    def __init__(self, parts: Sequence[bytes]) -> None:
        self.parts = [part for part in parts if part]

    async def send_all(self, _: bytes) -> None:
        await trio.lowlevel.checkpoint()

    async def receive_some(self, _: int) -> bytes:
        await trio.lowlevel.checkpoint()
        return self.parts.pop(0) if self.parts else b""


async def begin(parts: Sequence[bytes]) -> Connection:
    """Ask, and read the answer's head."""
    connection = Connection(cast(trio.abc.Stream, Parts(parts)), cast(Any, None))
    await connection.send(REQUEST, b"")
    assert isinstance(await connection.receive(), h11.Response)
    return connection


async def read(parts: Sequence[bytes]) -> bytes | None:
    """The body; None if the answer is no HTTP."""
    connection, body = await begin(parts), b""
    try:
        while part := await connection.receive_body():
            body += part
    except h11.RemoteProtocolError:
        return None
    return body


def read_by_h11(raw: bytes) -> bytes | None:
    state, body = h11.Connection(h11.CLIENT), b""
    for asked in (REQUEST, h11.EndOfMessage()):
        state.send(asked)
    for received in (raw, b""):
        state.receive_data(received)
    try:
        while not isinstance(event := state.next_event(), h11.EndOfMessage):
            body += bytes(event.data) if isinstance(event, h11.Data) else b""
    except h11.RemoteProtocolError:
        return None
    return body


contents = st.binary(max_size=30) | st.sampled_from(
    [b"\r\n\r\n", b"data: {}\n\n", b"5\r\nhello\r\n"]
)
signs = st.sampled_from([b"", b"", b"", b";name=value", b" ", b"x"])


@st.composite
def bodies(draw: st.DrawFn) -> bytes:
    """A body in chunks, seldom as it should be."""
    raw = b""
    for content in draw(st.lists(contents, max_size=6)):
        raw += b"%x%b\r\n%b\r\n" % (len(content), draw(signs), content)
    return raw + draw(st.sampled_from([END, END, b"0\r\nTrailer: x\r\n\r\n", b"", b"\r\n"]))


@given(bodies(), st.lists(st.integers(0, 300), max_size=8))
def test_chunks_are_what_h11_says_however_they_arrive(body: bytes, cuts: list[int]) -> None:
    raw = HEAD + body
    ends = sorted(cut for cut in cuts if cut < len(raw))
    parts = [raw[a:b] for a, b in zip([0, *ends], [*ends, len(raw)], strict=True)]
    assert trio.run(read, parts) == read_by_h11(raw)


def test_chunks_that_are_whole_need_no_h11() -> None:
    assert join_chunks(b"5\r\nhello\r\n") == b"hello"
    assert join_chunks(b"1\r\na\r\n0A\r\n0123456789\r\n") == b"a0123456789"
    for other in (
        b"",
        END,
        b"5\r\nhello\r\n" + END,
        b"5\r\nhello",
        b"5\r\nhello\r\n3",
        b"5\nhello",
    ):
        assert join_chunks(other) == b""
    for other in (
        b"+5\r\nhello\r\n",
        b"0x5\r\nhello\r\n",
        b"5;a=b\r\nhello\r\n",
        b"4\r\nhello\r\n",
    ):
        assert join_chunks(other) == b""


@pytest.mark.parametrize("status", [b"204 No Content", b"304 Not Modified"])
async def test_an_answer_without_a_body_has_none_though_it_says_chunked(status: bytes) -> None:
    connection = await begin([HEAD.replace(b"200 OK", status), b"5\r\nhello\r\n"])
    assert await connection.receive_body() == b""


async def test_a_connection_is_kept_only_if_nothing_is_left_on_it() -> None:
    for after, is_kept in ((b"", True), (b"HTTP/1.1 200 OK\r\n\r\n", False)):
        connection = await begin([HEAD, b"5\r\nhello\r\n", END + after])
        assert await connection.receive_body() == b"hello"
        assert await connection.receive_body() == b""
        assert connection.make_ready() is is_kept
