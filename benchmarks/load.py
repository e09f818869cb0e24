"""A load of HTTP requests: closed loops, and open ones whose latency counts from when each was due.

What comes late because the server was slow is then late, and not merely sent late.
"""

import re
from collections import deque
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

import msgspec
import trio

CONNECTIONS_MAX = 200
PATIENCE_S = 20.0
"""What is not answered this long after the last request was due is given up."""
PROMPT = "Say hello to the market."
_END = b"0\r\n\r\n"
_READ_BYTES = 65536
_TEXT = re.compile(rb'"(content|text)": ?"[^"]')
_TEXT_BYTES = 24
"""As much of what was read before as may belong to a text that is split."""


class HungUp(Exception):
    """The server closed the connection before its answer was whole."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What came. first_s, ended_s: when its first text did, and the last of it, by Trio's clock."""

    status: int
    body: bytes
    first_s: float
    ended_s: float


@dataclass(frozen=True, slots=True)
class Timed:
    """A request of an open loop: seconds from when it was due to its first text and its end."""

    first_s: float
    whole_s: float
    is_good: bool


def build_request(
    model: str, *, tokens: int = 1, is_stream: bool = False, prompt: str = PROMPT
) -> bytes:
    """Return a request for a chat of one turn."""
    return build_chat(model, [("user", prompt)], tokens=tokens, is_stream=is_stream)


def build_chat(
    model: str, turns: Sequence[tuple[str, str]], *, tokens: int, is_stream: bool
) -> bytes:
    """Return a request with the headers of OpenAI's Python library, without which parsing would be
    flattered. turns: (role, text).
    """
    asked = {
        "model": model,
        "messages": [{"role": role, "content": text} for role, text in turns],
        "max_tokens": tokens,
        "temperature": 0,
        "stream": is_stream,
    }
    body = msgspec.json.encode(asked)
    head = (
        b"POST /v1/chat/completions HTTP/1.1\r\nHost: 127.0.0.1:4780\r\n"
        b"Accept-Encoding: identity\r\nConnection: keep-alive\r\nAccept: application/json\r\n"
        b"Content-Type: application/json\r\nUser-Agent: OpenAI/Python 3.57.0\r\n"
        b"X-Stainless-Lang: python\r\nX-Stainless-Package-Version: 3.57.0\r\n"
        b"X-Stainless-OS: Linux\r\nX-Stainless-Arch: x64\r\nX-Stainless-Runtime: CPython\r\n"
        b"X-Stainless-Async: false\r\nAuthorization: Bearer none\r\nContent-Length: %d\r\n\r\n"
    )
    return head % len(body) + body


async def ask(stream: trio.SocketStream, request: bytes) -> Answer:
    """Send a request and read its whole answer, which says its length or comes in chunks."""
    await stream.send_all(request)
    received = b""
    while b"\r\n\r\n" not in received:
        received += await _receive(stream)
    head, _, part = received.partition(b"\r\n\r\n")
    length = _length_of(head.lower())
    parts, size, tail, first_s = [part], len(part), part, 0.0
    while True:
        if not first_s and _TEXT.search(tail):
            first_s = trio.current_time()
        if size >= length or (length == _UNKNOWN and tail.endswith(_END)):
            break
        part = await _receive(stream)
        parts.append(part)
        size += len(part)
        tail = tail[-_TEXT_BYTES:] + part
    ended_s = trio.current_time()
    return Answer(int(head[9:12]), b"".join(parts), first_s or ended_s, ended_s)


_UNKNOWN = 2**62


def _length_of(head: bytes) -> int:
    _, mark, rest = head.partition(b"content-length:")
    return int(rest.partition(b"\r\n")[0]) if mark else _UNKNOWN


async def _receive(stream: trio.SocketStream) -> bytes:
    part = bytes(await stream.receive_some(_READ_BYTES))
    if not part:
        raise HungUp
    return part


@asynccontextmanager
async def connect(port: int) -> AsyncGenerator[trio.SocketStream, None]:
    """Open a connection to this machine for the block."""
    async with await trio.open_tcp_stream("127.0.0.1", port) as stream:
        yield stream


async def saturate(port: int, request: bytes, count: int, at_once: int) -> None:
    """A closed loop of so many connections, each asking anew once it was answered."""

    async def work(times: int) -> None:
        async with connect(port) as stream:
            for _ in range(times):
                answer = await ask(stream, request)
                assert answer.status == 200, answer

    async with trio.open_nursery() as nursery:
        for _ in range(at_once):
            nursery.start_soon(work, count // at_once)


def build_schedule(request: bytes, rate: float, seconds: float) -> list[tuple[float, bytes]]:
    """Return one request over and over, evenly: (seconds from the start, request)."""
    return [(number / rate, request) for number in range(int(rate * seconds))]


class OpenLoop:
    """Sends each request when it is due, over connections that are kept and reused."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._idle: deque[trio.SocketStream] = deque()
        self._places = trio.CapacityLimiter(CONNECTIONS_MAX)
        self.timed: list[Timed] = []

    async def run(self, schedule: Sequence[tuple[float, bytes]]) -> list[Timed]:
        """Send all; returns what became of them, in the order of their ends."""
        start = trio.current_time()
        most_s = schedule[-1][0] + PATIENCE_S
        try:
            with trio.move_on_after(most_s):
                async with trio.open_nursery() as nursery:
                    for at_s, request in schedule:
                        await trio.sleep_until(start + at_s)
                        nursery.start_soon(self._send, start + at_s, request)
        finally:
            while self._idle:
                await self._idle.pop().aclose()
        left = len(schedule) - len(self.timed)
        return [*self.timed, *[Timed(PATIENCE_S, PATIENCE_S, is_good=False)] * left]

    async def _send(self, due_s: float, request: bytes) -> None:
        async with self._places:
            stream = None
            try:
                if self._idle:
                    stream = self._idle.pop()
                else:
                    stream = await trio.open_tcp_stream("127.0.0.1", self._port)
                answer = await ask(stream, request)
            except (HungUp, OSError, trio.BrokenResourceError):
                late_s = trio.current_time() - due_s
                self.timed.append(Timed(late_s, late_s, is_good=False))
            else:
                is_good = answer.status == 200
                self.timed.append(Timed(answer.first_s - due_s, answer.ended_s - due_s, is_good))
                self._idle.append(stream)
                stream = None
            finally:
                if stream is not None:
                    await trio.aclose_forcefully(stream)
