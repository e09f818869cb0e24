"""Paid jobs through one provider, everything in memory: what the exchange itself costs.

The engine answers at once and the network, the chain and the store are lists in memory, so what
is left is ours: both ends' cores, drivers, codec, signatures. A second run has both stores on disk.
"""

import tempfile
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import trio

from benchmarks.measuring import Result, Spent, Stopwatch, begin, median, report
from benchmarks.sampling import Samples, sampling
from p2p_modelex.engine.memory import MemoryEngine
from p2p_modelex.node.exchange import Exchange, build_request
from p2p_modelex.store.sqlite import SqliteStore
from tests.node.world import DEPLOYMENT, MODEL, PURSE, World, make_keys, wait_for_sellers

JOBS = 150
AT_ONCE = 4
TOKENS = 16
LONG_TOKENS = 1000
PROMPT = "Say hello to the market."


def main() -> None:
    """Report paid jobs each second, CPU for each streamed token, and the five dearest functions."""
    begin()
    trio.run(_run)


async def _run() -> None:
    async with open_market(None) as exchange:
        await buy_many(exchange, AT_ONCE)
        with sampling() as samples:
            spent = await buy_many(exchange, JOBS)
        _report_jobs("in memory", spent, samples)
        with sampling() as samples:
            streamed = median([await _stream(exchange) for _ in range(3)])
        direct = median([await _stream_directly() for _ in range(3)])
        _report_tokens(streamed, direct, samples)
    with tempfile.TemporaryDirectory() as folder:
        async with open_market(Path(folder)) as exchange:
            await buy_many(exchange, AT_ONCE)
            with sampling() as samples:
                spent = await buy_many(exchange, JOBS)
            _report_jobs("stores on disk", spent, samples)


@asynccontextmanager
async def open_market(folder: Path | None) -> AsyncGenerator[Exchange, None]:
    """A provider and a requester in this process; with a folder, both keep their rows there."""
    world = World()
    engine = MemoryEngine(MODEL, slots=AT_ONCE, length=LONG_TOKENS, context_length=8192)
    async with AsyncExitStack() as stack:
        if folder is not None:
            for number in (1, 2):
                store = SqliteStore(folder / f"{number}.sqlite", network=DEPLOYMENT.network)
                world.stores[number] = await stack.enter_async_context(store)
            world.ledger.mint(make_keys(2).account.address, PURSE)
        await stack.enter_async_context(world.provider(1, engine))
        exchange = await stack.enter_async_context(world.requester(2, friends=[1]))
        await wait_for_sellers(exchange, 1)
        yield exchange


async def buy_many(exchange: Exchange, count: int) -> Spent:
    """Buy so many completions, AT_ONCE at a time; returns what all took."""
    turn = trio.CapacityLimiter(AT_ONCE)

    async def buy(number: int) -> None:
        async with turn:
            completion = exchange.run(f"{PROMPT} {number}", model=MODEL, max_tokens=TOKENS)
            await completion.wait()
            assert completion.paid

    stopwatch = Stopwatch()
    async with trio.open_nursery() as nursery:
        for number in range(count):
            nursery.start_soon(buy, number)
    return stopwatch.read()


async def _stream(exchange: Exchange) -> Spent:
    stopwatch = Stopwatch()
    completion = exchange.run(PROMPT, model=MODEL, max_tokens=LONG_TOKENS)
    await completion.wait()
    assert completion.row is not None
    assert completion.row.receipt.receipt.completion_tokens == LONG_TOKENS
    return stopwatch.read()


async def _stream_directly() -> Spent:
    engine = MemoryEngine(MODEL, length=LONG_TOKENS, context_length=8192)
    stopwatch = Stopwatch()
    async for _ in engine.generate(build_request(PROMPT, model=MODEL, max_tokens=LONG_TOKENS)):
        pass
    return stopwatch.read()


def _report_jobs(where: str, spent: Spent, samples: Samples) -> None:
    report(
        Result(
            f"paid jobs of {TOKENS} tokens through one provider, {where}",
            JOBS / spent.wall_s,
            "jobs/s",
            note=f"{spent.cpu_s / JOBS * 1000:.1f} ms CPU a job, both ends; {_describe(samples)}",
        )
    )


def _report_tokens(streamed: Spent, direct: Spent, samples: Samples) -> None:
    report(
        Result(
            "a token streamed and paid, both ends, in memory",
            streamed.cpu_s / LONG_TOKENS * 1e6,
            "us CPU",
            "the memory engine called directly",
            direct.cpu_s / LONG_TOKENS * 1e6,
            streamed.cpu_s / direct.cpu_s,
            note=_describe(samples),
        )
    )


def _describe(samples: Samples) -> str:
    return ", ".join(f"{name} {share:.0%}" for name, share in samples.top())


if __name__ == "__main__":
    main()
