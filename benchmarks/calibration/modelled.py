"""The model of gossip (`simulation/models/gossip.py`) on the simulator's heap, without cores."""

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import msgspec

from benchmarks.calibration.work import TOPIC, Log, Work
from benchmarks.measuring import Stopwatch
from p2p_modelex.ids import PeerId
from p2p_modelex.simulation.kernel import Kernel
from p2p_modelex.simulation.models.gossip import Message, Router, Rpc
from p2p_modelex.simulation.randomness import open_stream
from p2p_modelex.simulation.scenario.settings import Gossip


class Heartbeat(msgspec.Struct, frozen=True, gc=False):
    """A router's is due."""


class Publish(msgspec.Struct, frozen=True, gc=False):
    """A node is to publish a payload."""

    payload: bytes


class Known(msgspec.Struct, frozen=True, gc=False):
    """A neighbour has said what it subscribes to."""

    peer: PeerId
    is_outbound: bool


@dataclass(frozen=True, slots=True)
class StepCosts:
    """What each step keeps a CPU busy for, microseconds; of those measured one by one, any of them.

    write: a frame, encrypting it and the system call. read: a frame, up to the router. first,
    duplicate: what comes on top for a message that is new there, and for one that is not.
    """

    write: float = 0.0
    read: float = 0.0
    heartbeat: float = 0.0
    first: Sequence[float] = (0.0,)
    duplicate: Sequence[float] = (0.0,)
    publish: Sequence[float] = (0.0,)


class SharedCpu:
    """One CPU for every node, as hosts in one process have it: steps wait for one another."""

    def __init__(self, kernel: Kernel, costs: StepCosts, chance: random.Random) -> None:
        self._kernel = kernel
        self._chance = chance
        self._free = 0.0
        self.costs = costs

    @property
    def now(self) -> int:
        """When the step at hand is done, microseconds."""
        return int(max(self._free, self._kernel.now))

    def spend(self, cost: float) -> None:
        """Be busy for so many microseconds, from when the CPU is free."""
        self._free = max(self._free, self._kernel.now) + cost

    def spend_some(self, measured: Sequence[float]) -> None:
        """Be busy for as long as one of those steps was."""
        self.spend(self._chance.choice(measured))


class Node:
    """A router of the model on the heap."""

    def __init__(
        self,
        number: int,
        kernel: Kernel,
        cpu: SharedCpu,
        router: Callable[["Node"], Router],
        log: Log,
    ) -> None:
        self.number = number
        self._kernel = kernel
        self._cpu = cpu
        self._log = log
        self.router = router(self)

    def receive(self, event: msgspec.Struct) -> None:
        """Take an event."""
        now, costs = self._kernel.now, self._cpu.costs
        if isinstance(event, Rpc):
            self._take(event)
        elif isinstance(event, Heartbeat):
            self._cpu.spend(costs.heartbeat)
            self.router.heartbeat(now)
            self._kernel.at(now + self.router.settings.heartbeat, self, event)
        elif isinstance(event, Publish):
            self._log.published[event.payload] = now / 1e6, self.number
            self._cpu.spend_some(costs.publish)
            self.router.publish(TOPIC, event.payload, now)
        elif isinstance(event, Known):
            self.router.add(event.peer, now, is_outbound=event.is_outbound)

    def _take(self, rpc: Rpc) -> None:
        self._cpu.spend(self._cpu.costs.read)
        sender = number_of(rpc.sender)
        for message in rpc.messages:
            self._log.arrived(self._cpu.now / 1e6, sender, self.number, message.payload)
        duplicates = self.router.tally.duplicates
        self.router.take(rpc, self._kernel.now)
        for _ in range(self.router.tally.duplicates - duplicates):
            self._cpu.spend_some(self._cpu.costs.duplicate)

    def judge(self, _message: Message, _sender: PeerId) -> bool:
        """Take a message for the first time."""
        self._cpu.spend_some(self._cpu.costs.first)
        return True


def spread_simulated(work: Work, settings: Gossip, costs: StepCosts | None = None) -> Log:
    """Spread the messages through the model. costs: of steps on one CPU; none by default."""
    log, kernel = Log(), Kernel()
    cpu = SharedCpu(kernel, costs or StepCosts(), open_stream(work.seed, "cpu"))

    def send(sender: Node, peer: PeerId, rpc: Rpc) -> None:
        receiver = nodes[number_of(peer)]
        cpu.spend(cpu.costs.write)
        kernel.at(cpu.now + work.latency_us(sender.number, receiver.number), receiver, rpc)

    def build(node: Node) -> Router:
        chance = open_stream(work.seed, "router", node.number)
        hand_over = lambda peer, rpc: send(node, peer, rpc)  # noqa: E731
        return Router(settings, chance, hand_over, node.judge, name_peer(node.number))

    plan = work.plan
    nodes = [Node(number, kernel, cpu, build, log) for number in range(plan.nodes)]
    _ask(work, kernel, nodes)
    kernel.run(int(plan.settle_s * 1e6) - 1)
    stopwatch = Stopwatch()
    kernel.run(int(plan.ends_s * 1e6))
    log.cpu_s = stopwatch.read().cpu_s
    return log


def _ask(work: Work, kernel: Kernel, nodes: list[Node]) -> None:
    """Put what the work has happen on the heap."""
    plan = work.plan
    for node, offset in zip(nodes, work.offsets_s, strict=True):
        kernel.at(int(offset * 1e6), node, Heartbeat())
    for at_s, one, other in work.links:
        for dialled, at, to in ((True, one, other), (False, other, one)):
            # Pubsub knows a neighbour when its subscription has come.
            known = int(at_s * 1e6) + work.latency_us(to, at)
            kernel.at(known, nodes[at], Known(name_peer(to), dialled))
    for number, payload in enumerate(work.payloads):
        at = int((plan.settle_s + number * plan.period_s) * 1e6)
        kernel.at(at, nodes[number % plan.nodes], Publish(payload))


def name_peer(number: int) -> PeerId:
    """Return what a node of a number is called."""
    return PeerId(number.to_bytes(4, "big"))


def number_of(peer: PeerId) -> int:
    """Return the number of who is called so."""
    return int.from_bytes(peer, "big")
