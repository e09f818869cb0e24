"""Real hosts on TCP, Noise and Yamux over loopback, in one process: so they share one CPU.

Loopback has no latency, so a message is late by what CPU is spent before it is read. Delays are
therefore told in this process's CPU time, which other processes do not lengthen. Each step's
cost is measured in the same run, for the model to be charged with.
"""

import gc
import os
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import Any
from unittest.mock import patch

import trio

from benchmarks.calibration.modelled import StepCosts
from benchmarks.calibration.work import TOPIC, Log, Work
from p2p_modelex.ids import PeerId
from p2p_modelex.net.abc import Verdict
from p2p_modelex.net.bounded import GossipRates
from p2p_modelex.net.libp2p.channel import SecureChannel
from p2p_modelex.net.libp2p.configuration import Libp2pConfiguration
from p2p_modelex.net.libp2p.gossip_intake import PacedPubsub
from p2p_modelex.net.libp2p.network import Libp2pNetwork

POLL_S = 0.01
IDLE_S = 5.0
"""For so long only heartbeats and pings are looked at."""
_RATES = GossipRates(origin_rate=1e6, origin_burst=10**6, total_rate=1e6, total_burst=10**6)


@dataclass
class Watch:
    """What the hosts of a run spent, seconds of CPU, by kind of step."""

    log: Log = field(default_factory=Log)
    numbers: dict[bytes, int] = field(default_factory=dict)
    firsts_s: list[float] = field(default_factory=list)
    duplicates_s: list[float] = field(default_factory=list)
    publishing_s: list[float] = field(default_factory=list)
    writing_s: float = 0.0
    idle_share: float = 0.0
    """CPU a second of all hosts while nobody publishes."""
    spreading_s: float = 0.0

    @asynccontextmanager
    async def looking(self) -> AsyncIterator[None]:
        """Look at every frame written and every copy that pubsub takes while the block runs."""
        take_on: Any = PacedPubsub._take_message
        write_on = SecureChannel.write_nowait

        async def take(pubsub: Any, neighbour: Any, message: Any, pace: Any) -> None:
            began_s, is_known = time.process_time(), pubsub._is_msg_seen(message)
            sender, receiver = (self.numbers[one.to_bytes()] for one in (neighbour, pubsub.my_id))
            self.log.arrived(began_s, sender, receiver, message.data)
            await take_on(pubsub, neighbour, message, pace)
            spent = self.duplicates_s if is_known else self.firsts_s
            spent.append(time.process_time() - began_s)

        def write(channel: SecureChannel, parts: Any) -> bool:
            began_s = time.process_time()
            is_sent = write_on(channel, parts)
            self.writing_s += time.process_time() - began_s
            return is_sent

        with (
            patch.object(PacedPubsub, "_take_message", take),
            patch.object(SecureChannel, "write_nowait", write),
        ):
            yield

    def compute_costs(self, heartbeats_per_s: float) -> StepCosts:
        """Return what each step cost."""
        steps_s = sum(self.firsts_s) + sum(self.duplicates_s) + sum(self.publishing_s)
        frames = len(self.log.arrivals)
        return StepCosts(
            write=self.writing_s / frames * 1e6,
            # What no step has for its own.
            read=(self.log.cpu_s - steps_s - self.writing_s) / frames * 1e6,
            heartbeat=self.idle_share / heartbeats_per_s * 1e6,
            first=[spent * 1e6 for spent in self.firsts_s],
            duplicate=[spent * 1e6 for spent in self.duplicates_s],
            publish=[spent * 1e6 for spent in self.publishing_s],
        )


def spread_on_sockets(work: Work) -> tuple[Log, StepCosts]:
    """Spread the messages; returns what arrived when, in CPU seconds, and what steps cost."""
    watch = Watch()
    trio.run(_spread, work, watch)
    return watch.log, watch.compute_costs(work.plan.nodes)


async def _spread(work: Work, watch: Watch) -> None:
    networks = [open_network() for _ in range(work.plan.nodes)]
    watch.numbers |= {network.peer: number for number, network in enumerate(networks)}
    for network in networks:
        network.subscribe(TOPIC, _accept)
    async with watch.looking(), AsyncExitStack() as stack:
        for network in networks:
            await stack.enter_async_context(network.run())
        began = trio.current_time()
        for at_s, one, other in work.links:
            await trio.sleep_until(began + at_s)
            await networks[one].dial(networks[other].peer, networks[other].addresses)
        await trio.sleep_until(began + work.plan.settle_s)
        before_s = time.process_time()
        await trio.sleep(IDLE_S)
        watch.idle_share = (time.process_time() - before_s) / IDLE_S
        await _publish(work, watch, networks)


async def _publish(work: Work, watch: Watch, networks: list[Libp2pNetwork]) -> None:
    plan, log = work.plan, watch.log
    # One collection of 20 hosts' objects takes 100 ms, longer than a message is on its way.
    gc.collect()
    gc.freeze()
    began_s, began, watch.writing_s = time.process_time(), trio.current_time(), 0.0
    for number, payload in enumerate(work.payloads):
        now_s = time.process_time()
        log.published[payload] = now_s, number % plan.nodes
        await networks[number % plan.nodes].publish(TOPIC, payload)
        watch.publishing_s.append(time.process_time() - now_s)
        # On a busy machine the next one would overtake it, which the model's does not.
        due = (number + 1) * (plan.nodes - 1)
        with trio.move_on_after(plan.drain_s):
            while len(watch.firsts_s) < due:
                await trio.sleep(POLL_S)
        await trio.sleep(plan.period_s)
    await trio.sleep(plan.drain_s)
    idle_s = watch.idle_share * (trio.current_time() - began)
    log.cpu_s = time.process_time() - began_s - idle_s


def open_network() -> Libp2pNetwork:
    """Return a host on loopback that takes as much gossip as comes."""
    return Libp2pNetwork(os.urandom(32), Libp2pConfiguration(gossip_rates=_RATES))


def _accept(_origin: PeerId, _payload: bytes) -> Verdict:
    return Verdict.ACCEPT
