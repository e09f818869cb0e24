"""Real hosts on TCP, Noise and Yamux over loopback, in one process: so they share one CPU.

Loopback has no latency, so a message is late by what CPU is spent before it is read. Delays are
therefore told in this process's CPU time, which other processes do not lengthen. Each step's
cost is measured in the same run, for the model to be charged with.
"""

import gc
import os
from contextlib import AsyncExitStack

import trio

from benchmarks.calibration.run_loop import StepCosts
from benchmarks.calibration.watch import Watch
from benchmarks.calibration.work import TOPIC, Log, Work
from p2p_modelex.ids import PeerId
from p2p_modelex.net.abc import Verdict
from p2p_modelex.net.bounded import GossipRates
from p2p_modelex.net.libp2p.configuration import Libp2pConfiguration
from p2p_modelex.net.libp2p.network import Libp2pNetwork

_RATES = GossipRates(origin_rate=1e6, origin_burst=10**6, total_rate=1e6, total_burst=10**6)


def spread_on_sockets(work: Work) -> tuple[Log, list[StepCosts]]:
    """Spread the messages; returns what arrived when, in CPU seconds, and what steps cost while
    each of them spread.
    """
    watch = Watch()
    trio.run(_spread, work, watch, instruments=[watch])
    watch.log.cpu_s = watch.compute_cpu_s()
    return watch.log, watch.compute_costs()


async def _spread(work: Work, watch: Watch) -> None:
    plan = work.plan
    networks = [open_network() for _ in range(plan.nodes)]
    watch.numbers |= {network.peer: number for number, network in enumerate(networks)}
    for network in networks:
        network.subscribe(TOPIC, _accept)
    async with AsyncExitStack() as stack:
        stack.enter_context(watch.looking())
        began = trio.current_time()
        # Their heartbeats would come all at once.
        for offset_s, number in sorted(zip(work.offsets_s, range(plan.nodes), strict=True)):
            await trio.sleep_until(began + offset_s)
            await stack.enter_async_context(networks[number].run())
        for at_s, one, other in work.links:
            await trio.sleep_until(began + at_s)
            await networks[one].dial(networks[other].peer, networks[other].addresses)
        await trio.sleep_until(began + plan.settle_s)
        await _publish(work, watch, networks)


async def _publish(work: Work, watch: Watch, networks: list[Libp2pNetwork]) -> None:
    plan = work.plan
    # One collection of 20 hosts' objects takes 100 ms, longer than a message is on its way.
    gc.collect()
    gc.freeze()
    for number, payload in enumerate(work.payloads):
        watch.begin_publishing(payload, number % plan.nodes, plan.nodes - 1)
        await networks[number % plan.nodes].publish(TOPIC, payload)
        # On a busy machine the next one would overtake it, which the model's does not.
        with trio.move_on_after(plan.drain_s):
            await watch.wait_complete()
        await trio.sleep(plan.period_s)
    await trio.sleep(plan.drain_s)


def open_network() -> Libp2pNetwork:
    """Return a host on loopback that takes as much gossip as comes."""
    return Libp2pNetwork(os.urandom(32), Libp2pConfiguration(gossip_rates=_RATES))


def _accept(_origin: PeerId, _payload: bytes) -> Verdict:
    return Verdict.ACCEPT
