"""A mesh and its messages, the same for both sides, and what came of spreading them."""

import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from operator import itemgetter

from p2p_modelex.simulation.models.links import REGIONS, LinkModel, Place
from p2p_modelex.simulation.randomness import open_stream
from p2p_modelex.simulation.scenario.settings import Links

CONNECT_S = 2.0
"""When the first connection comes."""
PAYLOAD_BYTES = 352
"""An announcement of eight changes."""
TOPIC = "/calibration/1"


@dataclass(frozen=True, slots=True)
class Plan:
    """degree: connections of a node, on average: more than a mesh takes, so that IHAVE goes to
    somebody. join_s: over how long they come; at once is the hardest on a mesh that takes who is
    first. The messages begin after settle_s, one each period_s, and drain_s follow the last.
    is_near: no latency between any two.
    """

    nodes: int
    degree: int
    messages: int
    join_s: float
    settle_s: float
    period_s: float
    drain_s: float
    is_near: bool = False

    @property
    def ends_s(self) -> float:
        """When all is over, seconds."""
        return self.settle_s + self.messages * self.period_s + self.drain_s


class Work:
    """A plan drawn for a seed."""

    def __init__(self, plan: Plan, seed: int) -> None:
        self.plan = plan
        self.seed = seed
        chance = open_stream(seed, "calibration")
        self.offsets_s = [chance.random() for _ in range(plan.nodes)]
        """When each node's heartbeat begins."""
        drawn = _draw_links(plan, chance)
        self.links = sorted((CONNECT_S + chance.random() * plan.join_s, *link) for link in drawn)
        """When each is made (seconds), who dials, and whom."""
        self.payloads = [chance.randbytes(PAYLOAD_BYTES) for _ in range(plan.messages)]
        self._model = LinkModel(Links())
        self._places = [
            Place(chance.choice(REGIONS), 1, 1, False, chance) for _ in range(plan.nodes)
        ]

    def latency_us(self, one: int, other: int) -> int:
        """One way between two nodes, microseconds."""
        if self.plan.is_near:
            return 0
        return self._model.get_latency(self._places[one], self._places[other])


def _draw_links(plan: Plan, chance: random.Random) -> list[tuple[int, int]]:
    """Who dials whom: a ring, and random others."""
    links = {(number, (number + 1) % plan.nodes) for number in range(plan.nodes)}
    while len(links) < plan.nodes * plan.degree // 2:
        one, other = chance.sample(range(plan.nodes), 2)
        if (other, one) not in links:
            links.add((one, other))
    return sorted(links)


@dataclass
class Log:
    """What was published and what arrived where, in seconds, and the CPU that was spent from the
    first message to the end: heartbeats included, but not on sockets.
    """

    published: dict[bytes, tuple[float, int]] = field(default_factory=dict)
    arrivals: list[tuple[float, int, int, bytes]] = field(default_factory=list)
    cpu_s: float = 0.0

    def arrived(self, at_s: float, sender: int, receiver: int, payload: bytes) -> None:
        """Note a message at its receiver."""
        self.arrivals.append((at_s, sender, receiver, payload))


@dataclass
class Tally:
    """What the logs of several runs came to."""

    due: int = 0
    duplicates: int = 0
    hops: list[int] = field(default_factory=list)
    delays_s: list[float] = field(default_factory=list)
    cpu_s: float = 0.0

    def add(self, log: Log, nodes: int) -> None:
        """Count one run."""
        self.cpu_s += log.cpu_s
        self.due += len(log.published) * (nodes - 1)
        hops = {(origin, payload): 0 for payload, (_, origin) in log.published.items()}
        for at_s, sender, receiver, payload in sorted(log.arrivals, key=itemgetter(0)):
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


def tally(logs: Sequence[Log], nodes: int) -> dict[str, float]:
    """Sum several runs up: each measure by its name."""
    whole = Tally()
    for log in logs:
        whole.add(log, nodes)
    return whole.summarise()
