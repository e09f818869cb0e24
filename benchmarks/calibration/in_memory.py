"""The gossip that ships, over streams in memory under Trio's MockClock (memory_pubsub.py)."""

import random

import trio
import trio.testing

from benchmarks.calibration.work import TOPIC, Log, Work
from benchmarks.measuring import Stopwatch
from benchmarks.memory_pubsub import MemoryMesh, virtual_time


def spread_in_memory(work: Work) -> Log:
    """Spread the messages; steps cost no time, links take theirs."""
    log, clock = Log(), trio.testing.MockClock(autojump_threshold=0)
    random.seed(work.seed)  # py-libp2p draws from the module's
    with virtual_time(clock):
        trio.run(_spread, work, log, clock=clock)
    return log


async def _spread(work: Work, log: Log) -> None:
    plan = work.plan
    mesh = MemoryMesh(
        plan.nodes, TOPIC, lambda one, other: work.latency_us(one, other) / 1e6, log.arrived
    )
    began = trio.current_time()
    async with mesh.run(work.offsets_s):
        for at_s, one, other in work.links:
            await trio.sleep_until(began + at_s)
            await mesh.connect(one, other)
        await trio.sleep_until(began + plan.settle_s)
        stopwatch = Stopwatch()
        for number, payload in enumerate(work.payloads):
            log.published[payload] = trio.current_time(), number % plan.nodes
            await mesh.publish(number % plan.nodes, payload)
            await trio.sleep_until(began + plan.settle_s + (number + 1) * plan.period_s)
        await trio.sleep(plan.drain_s)
        log.cpu_s = stopwatch.read().cpu_s
