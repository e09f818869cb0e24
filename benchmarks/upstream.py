"""The upstream engine beside its server asked directly: CPU of a chunk, time to the first token.

    python -m benchmarks.upstream

The server (tests/engine/openai_server.py, a token a millisecond, each an event of its own) runs in
a process of its own. Directly is a socket that reads the bytes and looks at none, which is the
least that anything can cost; beside it httpx, as a program would ask. The three take turns.
"""

import json
import subprocess
import sys
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing, asynccontextmanager

import httpx
import trio

from benchmarks.measuring import Result, Spent, Stopwatch, begin, median, report
from p2p_modelex.engine.abc import Piece
from p2p_modelex.engine.memory import MemoryEngine
from p2p_modelex.engine.spec import EngineSpec, UpstreamSpec
from p2p_modelex.engine.upstream.engine import UpstreamEngine
from tests.engine.asking import make_request
from tests.engine.openai_server import serving_openai

CHUNKS = 1000
DELAY_S = 0.001
ROUNDS = 5
ASKED = 100
TARGET_US = 150

Stream = Callable[[int], Awaitable[int]]
"""Runs a completion of so many tokens and returns how many pieces came."""


async def serve() -> None:
    """Serve until standard input ends; the first line on standard output is the URL."""
    engine = MemoryEngine("m", slots=64, length=CHUNKS, delay_s=DELAY_S)
    async with serving_openai(engine) as server:
        sys.stdout.write(f"{server.url}\n")
        sys.stdout.flush()
        await trio.to_thread.run_sync(sys.stdin.read)


def build_body(tokens: int) -> bytes:
    return json.dumps({"model": "m", "prompt": "the quick", "max_tokens": tokens}).encode()


class Bare:
    """One kept connection on which bytes are read up to the end of the body."""

    def __init__(self, url: str) -> None:
        self._port = int(url.split(":")[2].partition("/")[0])
        self._tcp: trio.SocketStream | None = None

    async def stream(self, tokens: int) -> int:
        if self._tcp is None:
            self._tcp = await trio.open_tcp_stream("127.0.0.1", self._port)
        body = build_body(tokens)
        head = f"POST /v1/completions HTTP/1.1\r\nhost: x\r\ncontent-length: {len(body)}\r\n\r\n"
        await self._tcp.send_all(head.encode() + body)
        reads = 0
        while not (await self._tcp.receive_some(65_536)).endswith(b"0\r\n\r\n"):
            reads += 1
        return reads


async def stream_httpx(session: httpx.AsyncClient, url: str, tokens: int) -> int:
    pieces = 0
    async with session.stream("POST", f"{url}/completions", content=build_body(tokens)) as answer:
        async for line in answer.aiter_lines():
            if line.startswith("data: {"):
                pieces += bool(json.loads(line[6:])["choices"])
    return pieces


async def stream_engine(engine: UpstreamEngine, tokens: int) -> int:
    pieces = 0
    async with aclosing(engine.generate(make_request("the quick", max_tokens=tokens))) as outputs:
        async for output in outputs:
            pieces += isinstance(output, Piece)
    return pieces


async def time_chunk(streams: dict[str, Stream]) -> dict[str, Spent]:
    """Return the median cost of a chunk in each way, taking turns."""
    spent: dict[str, list[Spent]] = {name: [] for name in streams}
    for turn in range(ROUNDS + 1):
        for name, stream in streams.items():
            stop = Stopwatch()
            pieces = await stream(CHUNKS)
            took = stop.read()
            assert pieces > CHUNKS * 0.9, f"{name}: chunks came together, {pieces} of {CHUNKS}"
            if turn:
                spent[name].append(Spent(took.wall_s / CHUNKS, took.cpu_s / CHUNKS))
    return {name: median(found) for name, found in spent.items()}


async def time_first(streams: dict[str, Stream]) -> dict[str, Spent]:
    """Return the median cost of a completion of one token in each way, taking turns."""
    taken: dict[str, list[Spent]] = {name: [] for name in streams}
    for _ in range(ASKED):
        for name, stream in streams.items():
            stop = Stopwatch()
            await stream(1)
            taken[name].append(stop.read())
    return {name: median(found) for name, found in taken.items()}


@asynccontextmanager
async def running_server() -> AsyncGenerator[str, None]:
    command = [sys.executable, "-m", "benchmarks.upstream", "serve"]
    process = await trio.lowlevel.open_process(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert process.stdout is not None
    try:
        yield (await process.stdout.receive_some(200)).decode().strip()
    finally:
        process.kill()
        with trio.CancelScope(shield=True):
            await process.wait()


async def main() -> None:
    begin()
    async with running_server() as url:
        spec = EngineSpec("upstream", "m", upstream=UpstreamSpec(url))
        async with UpstreamEngine(spec) as engine, httpx.AsyncClient(timeout=60) as session:
            bare = Bare(url)
            streams: dict[str, Stream] = {
                "bare": bare.stream,
                "httpx": lambda tokens: stream_httpx(session, url, tokens),
                "engine": lambda tokens: stream_engine(engine, tokens),
            }
            chunk = {name: 1e6 * spent.cpu_s for name, spent in (await time_chunk(streams)).items()}
            first = await time_first(streams)
    added = chunk["engine"] - chunk["bare"]
    report(
        Result(
            work="a chunk through the upstream engine, each an event of its own",
            measured=chunk["engine"],
            unit="us CPU",
            against="reading the bytes",
            limit=chunk["bare"],
            ratio=chunk["engine"] / chunk["bare"],
            target=f"<= {TARGET_US} us added",
            is_met=added <= TARGET_US,
            note=f"{added:.0f} us added; httpx and its lines: {chunk['httpx']:.0f} us",
        )
    )
    report(
        Result(
            work="a completion of one token through the upstream engine",
            measured=1e3 * first["engine"].wall_s,
            unit="ms",
            against="reading the bytes",
            limit=1e3 * first["bare"].wall_s,
            ratio=first["engine"].wall_s / first["bare"].wall_s,
            note=f"{1e3 * first['engine'].cpu_s:.2f} ms CPU, {1e3 * first['bare'].cpu_s:.2f} bare; "
            f"httpx {1e3 * first['httpx'].wall_s:.2f} ms, {1e3 * first['httpx'].cpu_s:.2f} CPU; "
            "the prompt was counted before",
        )
    )


if __name__ == "__main__":
    trio.run(serve if sys.argv[1:] == ["serve"] else main)
