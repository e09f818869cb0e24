"""The simulator's model of gossip against the code that ships, on the same mesh and messages.

Real: `net/libp2p/gossip.py` over streams in memory under Trio's MockClock (memory_pubsub.py).
Simulated: `simulation/models/gossip.py` on the simulator's heap. Both have the same links,
latencies and publishers; whom a router grafts each draws for itself, so one mesh differs from the
next by chance: several seeds are added up. Steps cost no time on either side.
"""

import os
import random
import sys
from collections.abc import Callable
from dataclasses import dataclass, field

import msgspec
import trio
import trio.testing

from benchmarks.measuring import Stopwatch
from benchmarks.memory_pubsub import MemoryMesh, virtual_time
from p2p_modelex.ids import PeerId
from p2p_modelex.simulation.kernel import Kernel
from p2p_modelex.simulation.models.gossip import Message, Router, Rpc
from p2p_modelex.simulation.models.links import REGIONS, LinkModel, Place
from p2p_modelex.simulation.randomness import open_stream
from p2p_modelex.simulation.scenario.settings import Gossip, Links

NODES = int(os.environ.get("MODELEX_CALIBRATION_NODES", "50"))
DEGREE = 16
"""Connections of a node, on average: more than a mesh takes, so that IHAVE goes to somebody."""
MESSAGES = 60
PERIOD_S = 0.5
SEEDS = (1, 2, 3, 4, 5)
JOINS_S = (10.0, 0.0)
"""Over how long the connections come; at once is the hardest on a mesh that takes who is first."""
CONNECT_S, SETTLE_S, DRAIN_S = 2.0, 30.0, 8.0
PAYLOAD_BYTES = 352
TOPIC = "/calibration/1"
WITHIN = 0.10
"""How far the model may be off."""


@dataclass
class Log:
    """What was published and what arrived where, in seconds."""

    published: dict[bytes, tuple[float, int]] = field(default_factory=dict)
    arrivals: list[tuple[float, int, int, bytes]] = field(default_factory=list)

    def arrived(self, at_s: float, sender: int, receiver: int, payload: bytes) -> None:
        """Note a message on its way."""
        self.arrivals.append((at_s, sender, receiver, payload))


@dataclass
class Tally:
    """What the logs of several runs came to."""

    due: int = 0
    duplicates: int = 0
    hops: list[int] = field(default_factory=list)
    delays_s: list[float] = field(default_factory=list)
    cpu_s: float = 0.0

    def add(self, log: Log, cpu_s: float) -> None:
        """Count one run."""
        self.cpu_s += cpu_s
        self.due += len(log.published) * (NODES - 1)
        hops = {(origin, payload): 0 for payload, (_, origin) in log.published.items()}
        for at_s, sender, receiver, payload in sorted(log.arrivals):
            if (receiver, payload) in hops:
                self.duplicates += 1
                continue
            hops[receiver, payload] = hops[sender, payload] + 1
            self.hops.append(hops[receiver, payload])
            self.delays_s.append(at_s - log.published[payload][0])

    def summarise(self) -> dict[str, float]:
        """Return each measure by its name in the table."""
        delays = sorted(self.delays_s)
        count = len(delays)
        return {
            "delivered, share": count / self.due,
            "hops, mean": sum(self.hops) / count,
            "duplicates for a delivery": self.duplicates / count,
            "delay p50, ms": delays[count // 2] * 1000,
            "delay p90, ms": delays[count * 9 // 10] * 1000,
            "delay p99, ms": delays[count * 99 // 100] * 1000,
            "CPU for a delivery, ms": self.cpu_s / count * 1000,
        }


class Work:
    """The mesh and the messages of a seed, the same for both sides."""

    def __init__(self, seed: int, join_s: float) -> None:
        self.seed = seed
        chance = open_stream(seed, "calibration")
        self.offsets_s = [chance.random() for _ in range(NODES)]
        drawn = _draw_links(chance)
        self.links = sorted((CONNECT_S + chance.random() * join_s, *link) for link in drawn)
        """When each is made (seconds), who dials, and whom."""
        self.payloads = [chance.randbytes(PAYLOAD_BYTES) for _ in range(MESSAGES)]
        model = LinkModel(Links())
        places = [Place(chance.choice(REGIONS), 1, 1, False, chance) for _ in range(NODES)]
        self._model, self._places = model, places

    def latency_us(self, one: int, other: int) -> int:
        """One way between two nodes, microseconds."""
        return self._model.get_latency(self._places[one], self._places[other])


def _draw_links(chance: random.Random) -> list[tuple[int, int]]:
    """Who dials whom: a ring, and random others."""
    links = {(number, (number + 1) % NODES) for number in range(NODES)}
    while len(links) < NODES * DEGREE // 2:
        one, other = chance.sample(range(NODES), 2)
        if (other, one) not in links:
            links.add((one, other))
    return sorted(links)


def spread_real(work: Work) -> Log:
    """Spread the messages through the code that ships."""
    log, clock = Log(), trio.testing.MockClock(autojump_threshold=0)

    async def run() -> None:
        latency = work.latency_us
        mesh = MemoryMesh(NODES, TOPIC, lambda one, other: latency(one, other) / 1e6, log.arrived)
        began = trio.current_time()
        async with mesh.run(work.offsets_s):
            for at_s, one, other in work.links:
                await trio.sleep_until(began + at_s)
                await mesh.connect(one, other)
            await trio.sleep_until(began + SETTLE_S)
            for number, payload in enumerate(work.payloads):
                log.published[payload] = trio.current_time(), number % NODES
                await mesh.publish(number % NODES, payload)
                await trio.sleep_until(began + SETTLE_S + (number + 1) * PERIOD_S)
            await trio.sleep(DRAIN_S)

    random.seed(work.seed)  # py-libp2p draws from the module's
    with virtual_time(clock):
        trio.run(run, clock=clock)
    return log


class Heartbeat(msgspec.Struct, frozen=True, gc=False):
    """A router's is due."""


class Publish(msgspec.Struct, frozen=True, gc=False):
    """A node is to publish a payload."""

    payload: bytes


class Known(msgspec.Struct, frozen=True, gc=False):
    """A neighbour has said what it subscribes to."""

    peer: PeerId
    is_outbound: bool


class Node:
    """A router of the model on the heap."""

    def __init__(
        self,
        number: int,
        kernel: Kernel,
        router: Callable[["Node"], Router],
        log: Log,
    ) -> None:
        self.number = number
        self._kernel = kernel
        self._log = log
        self.router = router(self)

    def receive(self, event: msgspec.Struct) -> None:
        """Take an event."""
        now = self._kernel.now
        if isinstance(event, Heartbeat):
            self.router.heartbeat(now)
            self._kernel.at(now + self.router.settings.heartbeat, self, event)
        elif isinstance(event, Publish):
            self._log.published[event.payload] = now / 1e6, self.number
            self.router.publish(TOPIC, event.payload, now)
        elif isinstance(event, Known):
            self.router.add(event.peer, now, is_outbound=event.is_outbound)
        elif isinstance(event, Rpc):
            self.router.take(event, now)


def spread_simulated(work: Work, settings: Gossip) -> Log:
    """Spread the messages through the model."""
    log, kernel = Log(), Kernel()

    def send(sender: Node, peer: PeerId, rpc: Rpc) -> None:
        receiver = nodes[int.from_bytes(peer, "big")]
        due = kernel.now + work.latency_us(sender.number, receiver.number)
        for message in rpc.messages:
            log.arrived(due / 1e6, sender.number, receiver.number, message.payload)
        kernel.at(due, receiver, rpc)

    def build(node: Node) -> Router:
        chance = open_stream(work.seed, "router", node.number)
        hand_over = lambda peer, rpc: send(node, peer, rpc)  # noqa: E731
        return Router(settings, chance, hand_over, _accept, _peer(node.number))

    nodes = [Node(number, kernel, build, log) for number in range(NODES)]
    for node, offset in zip(nodes, work.offsets_s, strict=True):
        kernel.at(int(offset * 1e6), node, Heartbeat())
    for at_s, one, other in work.links:
        for dialled, at, to in ((True, one, other), (False, other, one)):
            # Pubsub knows a neighbour when its subscription has come.
            known = int(at_s * 1e6) + work.latency_us(to, at)
            kernel.at(known, nodes[at], Known(_peer(to), dialled))
    for number, payload in enumerate(work.payloads):
        at = int((SETTLE_S + number * PERIOD_S) * 1e6)
        kernel.at(at, nodes[number % NODES], Publish(payload))
    kernel.run(int((SETTLE_S + MESSAGES * PERIOD_S + DRAIN_S) * 1e6))
    return log


def _peer(number: int) -> PeerId:
    return PeerId(number.to_bytes(4, "big"))


def _accept(_message: Message, _sender: PeerId) -> bool:
    return True


def main() -> int:
    """Print the tables; returns 1 if the model is off by more than WITHIN."""
    sys.stdout.write(
        f"{NODES} nodes, {DEGREE} connections each, {MESSAGES} messages, seeds {SEEDS}\n"
    )
    return int(max(compare(join_s) for join_s in JOINS_S) > WITHIN)


def compare(join_s: float) -> float:
    """Print one table; returns by how much the model is off at most."""
    real, simulated = Tally(), Tally()
    for seed in SEEDS:
        work = Work(seed, join_s)
        stopwatch = Stopwatch()
        real.add(spread_real(work), stopwatch.read().cpu_s)
        stopwatch = Stopwatch()
        simulated.add(spread_simulated(work, Gossip()), stopwatch.read().cpu_s)
    sys.stdout.write(
        f"\n| connected within {join_s:g} s | real | simulated | off by |\n|---|---|---|---|\n"
    )
    worst = 0.0
    told = simulated.summarise()
    for name, measured in real.summarise().items():
        off = told[name] / measured - 1
        sys.stdout.write(f"| {name} | {measured:.4g} | {told[name]:.4g} | {off:+.1%} |\n")
        worst = worst if name.startswith("CPU") else max(worst, abs(off))
    sys.stdout.flush()
    return worst


if __name__ == "__main__":
    sys.exit(main())
