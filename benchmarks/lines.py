"""Late binding between real nodes: 8 providers and 4 requesters of one process, network in memory.

As `balance` has it, two providers are 3 times slower, and jobs are of exponential length; but every
job is ordered, signed, paid and receipted, and time is the clock's. Not part of `make bench`, since
it waits for a minute and a half.
"""

import random
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace

import trio

from benchmarks.measuring import Result, begin, report
from p2p_modelex.core.parts import Shop
from p2p_modelex.engine.memory import MemoryEngine
from p2p_modelex.node.exchange import Exchange, Terms
from p2p_modelex.node.routing_profiles import ProfileSettings
from p2p_modelex.units import AI, Wei
from tests.node.world import MODEL, World, peer_of, wait_for_sellers

PROVIDERS, SLOW, SLOWNESS = 8, (7, 8), 3.0
SLOTS = 4
REQUESTERS = 4
TOKEN_S = 0.1
TOKENS = 20
REQUESTS = 160
WARMUP = 20
LOAD = 0.7
SEED = 5
ONE_LINE = ProfileSettings("one line", late_binding=False)
PURSE = Wei(1000 * AI)


def main() -> None:
    """Run the default profile without and with late binding on the same requests."""
    begin()
    without = trio.run(_run, "one line")
    with_it = trio.run(_run, "default")
    for at, share in enumerate(("p50", "p95")):
        work = f"real nodes, two of 8 slow, {LOAD:.0%} load: `default`, {share}"
        ratio = with_it[at] / without[at]
        report(Result(work, with_it[at], "s", "without late binding", without[at], ratio))


async def _run(profile: str) -> list[float]:
    rng = random.Random(SEED)  # noqa: S311
    capacity = SLOTS * (PROVIDERS - len(SLOW) + len(SLOW) / SLOWNESS) / (TOKENS * TOKEN_S)
    took: list[float] = []
    async with _open_market(profile) as exchanges, trio.open_nursery() as nursery:
        at = trio.current_time()
        for number in range(REQUESTS):
            at += rng.expovariate(LOAD * capacity)
            tokens = max(1, round(rng.expovariate(1 / TOKENS)))
            await trio.sleep_until(at)
            kept = took if number >= WARMUP else []
            nursery.start_soon(_buy, exchanges[number % REQUESTERS], tokens, at, kept)
    took.sort()
    return [took[int(len(took) * share)] for share in (0.5, 0.95)]


async def _buy(exchange: Exchange, tokens: int, at: float, took: list[float]) -> None:
    await exchange.run("hello", model=MODEL, max_tokens=tokens).wait()
    took.append(trio.current_time() - at)


@asynccontextmanager
async def _open_market(profile: str) -> AsyncGenerator[list[Exchange], None]:
    """Everybody knows everybody, and each requester has paid each provider for a while."""
    world = World()
    async with AsyncExitStack() as stack:
        engines = [MemoryEngine(MODEL, slots=SLOTS, length=1000) for _ in range(PROVIDERS)]
        for number, engine in enumerate(engines, 1):
            await stack.enter_async_context(world.provider(number, engine, adjust=_give_slots))
        exchanges = []
        for number in range(PROVIDERS + 1, PROVIDERS + REQUESTERS + 1):
            friends = list(range(1, PROVIDERS + 1))
            opening = world.requester(
                number,
                friends=friends,
                money=PURSE,
                max_deposits=PURSE,
                profile=profile,
                profiles=(ONE_LINE,),
            )
            exchange = await stack.enter_async_context(opening)
            await wait_for_sellers(exchange, PROVIDERS)
            exchanges.append(exchange)
        for exchange in exchanges:
            for number in range(1, PROVIDERS + 1):
                terms = Terms(only=(peer_of(number),))
                # Who has paid little is served one job at a time (EXC-19).
                for _ in range(2):
                    await exchange.run("hello", model=MODEL, max_tokens=500, terms=terms).wait()
        for number, engine in enumerate(engines, 1):
            engine.delay_s = TOKEN_S * (SLOWNESS if number in SLOW else 1.0)
        yield exchanges


def _give_slots(shop: Shop) -> Shop:
    return replace(shop, slots=SLOTS, slots_of={MODEL: SLOTS})


if __name__ == "__main__":
    main()
