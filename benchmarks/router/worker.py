"""Simulated servers of the OpenAI API: slots, times and a prefix cache, and no model.

    python -m benchmarks.router.worker '{"slots": 4}' '{"slots": 4, "slowness": 3}'

One for each argument, all in one process; the first line on standard output is their ports. HTTP
is read by hand, since what sits in front of them is measured and not they: only requests that say
their length are understood.
"""

import hashlib
import re
import sys
from collections import OrderedDict
from collections.abc import Sequence
from contextlib import suppress
from functools import partial
from typing import Any

import msgspec
import trio

from benchmarks.router.static import MODELS, line_of

BLOCK_TOKENS = 16
"""A cache keeps whole blocks, as vLLM's does."""

_WORK = re.compile(r"work=(\d+(?:\.\d+)?)")
_FIRST_SHARE = 0.1
_FOREVER = 2**20
_CHUNKED = (
    b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
)


class Plan(msgspec.Struct, frozen=True):
    """How a server behaves. slots: requests at once; more wait. slowness: what its times are
    multiplied by. first_ms: to the first token, and ms_per_token more for each token of the prompt
    that is not in the cache. step_ms: between tokens. cache_tokens: what the cache holds.

    A prompt that says `work=MS` takes that long altogether, the first token a tenth of it.
    """

    slots: int = _FOREVER
    slowness: float = 1.0
    first_ms: float = 0.0
    step_ms: float = 0.0
    ms_per_token: float = 0.0
    cache_tokens: int = 0


class PrefixCache:
    """What of a prompt was seen before, in blocks that name all before them; the least recently
    used go first.
    """

    def __init__(self, tokens: int) -> None:
        self._blocks: OrderedDict[bytes, None] = OrderedDict()
        self._most = tokens // BLOCK_TOKENS

    def count(self, words: Sequence[str]) -> int:
        """Return how many tokens of the beginning are there."""
        found = 0
        for name in _name_blocks(words):
            if name not in self._blocks:
                break
            found += BLOCK_TOKENS
        return found

    def keep(self, words: Sequence[str]) -> None:
        """Take all of it in; its beginning is the last to be forgotten."""
        for name in reversed(_name_blocks(words)):
            self._blocks[name] = None
            self._blocks.move_to_end(name)
        while len(self._blocks) > self._most:
            self._blocks.popitem(last=False)


def _name_blocks(words: Sequence[str]) -> list[bytes]:
    names, before = [], b""
    for at in range(0, len(words) - BLOCK_TOKENS + 1, BLOCK_TOKENS):
        text = " ".join(words[at : at + BLOCK_TOKENS])
        before = hashlib.blake2b(before + text.encode(), digest_size=8).digest()
        names.append(before)
    return names


def make_answer(tokens: int) -> str:
    """Return what is answered, so that the next turn of a conversation can repeat it."""
    return "word " * tokens


class _Asked(msgspec.Struct, frozen=True):
    messages: list[dict[str, Any]]
    max_tokens: int | None = None
    max_completion_tokens: int | None = None
    """What sglang-router makes of `max_tokens`."""
    stream: bool = False

    @property
    def tokens(self) -> int:
        """How many are to be made."""
        return self.max_tokens or self.max_completion_tokens or 1


class _HungUp(Exception):
    """Whoever asked has closed the connection, or speaks something else."""


class Worker:
    """One server. prompt_tokens, cached_tokens: of all requests so far."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._slots = trio.CapacityLimiter(plan.slots)
        self._cache = PrefixCache(plan.cache_tokens)
        self.prompt_tokens = self.cached_tokens = 0

    async def serve(self, stream: trio.SocketStream) -> None:
        """Answer one connection's requests until it closes."""
        async with stream:
            with suppress(trio.BrokenResourceError, _HungUp):
                received = b""
                while True:
                    received = await self._serve_one(stream, received)

    async def _serve_one(self, stream: trio.SocketStream, received: bytes) -> bytes:
        while (end := received.find(b"\r\n\r\n")) < 0:
            received += await _receive(stream)
        head = received[:end].lower()
        if b" http/1.1" not in head:
            raise _HungUp  # sglang-router tries HTTP/2 first
        _, mark, length = head.partition(b"content-length:")
        whole = end + 4 + (int(length.partition(b"\r\n")[0]) if mark else 0)
        while len(received) < whole:
            received += await _receive(stream)
        await self._answer(head, received[end + 4 : whole], stream)
        return received[whole:]

    async def _answer(self, head: bytes, body: bytes, stream: trio.SocketStream) -> None:
        path = head.split(b" ", 2)[1]
        if path == b"/v1/chat/completions":
            await self._complete(msgspec.json.decode(body, type=_Asked), stream)
        elif path == b"/statistics":
            counts = {"prompt": self.prompt_tokens, "cached": self.cached_tokens}
            await stream.send_all(_whole(msgspec.json.encode(counts)))
        else:  # lists of models, health, and whatever else routers look at
            await stream.send_all(_whole(MODELS.encode()))

    async def _complete(self, asked: _Asked, stream: trio.SocketStream) -> None:
        words = [word for turn in asked.messages for word in str(turn["content"]).split()]
        async with self._slots:
            cached = self._cache.count(words)
            self._cache.keep([*words, *make_answer(asked.tokens).split()])
            self.prompt_tokens += len(words)
            self.cached_tokens += cached
            first_s, step_s = self._time(str(asked.messages[-1]["content"]), len(words) - cached)
            usage = _show_usage(len(words), cached, asked.tokens)
            if asked.stream:
                await _stream(stream, first_s, step_s, asked.tokens, usage)
                return
            await trio.sleep(first_s + step_s * (asked.tokens - 1))
        await stream.send_all(_whole(_show_whole(asked.tokens, usage)))

    def _time(self, text: str, fresh: int) -> tuple[float, float]:
        """Return the seconds to the first token, and between tokens."""
        plan, work = self._plan, _WORK.search(text)
        first_ms, step_ms = plan.first_ms + plan.ms_per_token * fresh, plan.step_ms
        if work is not None:
            first_ms = _FIRST_SHARE * float(work[1])
            step_ms = (1 - _FIRST_SHARE) * float(work[1])
        return first_ms * plan.slowness / 1000, step_ms * plan.slowness / 1000


async def _receive(stream: trio.SocketStream) -> bytes:
    part = bytes(await stream.receive_some())
    if not part:
        raise _HungUp
    return part


async def _stream(
    stream: trio.SocketStream, first_s: float, step_s: float, tokens: int, usage: object
) -> None:
    due_s = trio.current_time() + first_s
    event = _chunk(line_of({"index": 0, "delta": {"content": "word "}, "finish_reason": None}))
    await trio.sleep_until(due_s)
    await stream.send_all(_CHUNKED + event)
    for number in range(1, tokens):
        # By the clock and not by naps, which would add up.
        await trio.sleep_until(due_s + number * step_s)
        await stream.send_all(event)
    last = line_of({"index": 0, "delta": {}, "finish_reason": "length"})
    counts = line_of(usage=usage)
    await stream.send_all(_chunk(last + counts + b"data: [DONE]\n\n") + b"0\r\n\r\n")


def _show_usage(prompt: int, cached: int, tokens: int) -> dict[str, Any]:
    return {
        "prompt_tokens": prompt,
        "completion_tokens": tokens,
        "total_tokens": prompt + tokens,
        "prompt_tokens_details": {"cached_tokens": cached},
    }


def _show_whole(tokens: int, usage: object) -> bytes:
    said = {"role": "assistant", "content": make_answer(tokens)}
    choice = {"index": 0, "message": said, "finish_reason": "length"}
    head = {"id": "c", "object": "chat.completion", "created": 0, "model": "m"}
    return msgspec.json.encode({**head, "choices": [choice], "usage": usage})


def _chunk(content: bytes) -> bytes:
    return b"%x\r\n%s\r\n" % (len(content), content)


def _whole(content: bytes) -> bytes:
    head = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"
    return head % len(content) + content


async def main(plans: Sequence[str]) -> None:
    """Serve until ended."""
    ports = []
    async with trio.open_nursery() as nursery:
        for plan in plans:
            worker = Worker(msgspec.json.decode(plan, type=Plan))
            listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
            ports.append(listeners[0].socket.getsockname()[1])
            nursery.start_soon(partial(trio.serve_listeners, worker.serve, listeners))
        sys.stdout.write(" ".join(map(str, ports)) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    trio.run(main, sys.argv[1:])
