"""The model of gossip (`simulation/models/gossip.py`) on the simulator's heap, without cores."""

from collections.abc import Callable, Sequence
from functools import partial

import msgspec

from benchmarks.calibration.run_loop import Loop, RunLoop, StepCosts
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


class Node:
    """A router of the model on the heap."""

    def __init__(
        self,
        number: int,
        kernel: Kernel,
        loop: Loop,
        router: Callable[["Node"], Router],
        log: Log,
    ) -> None:
        self.number = number
        self._kernel = kernel
        self._loop = loop
        self._log = log
        self.router = router(self)

    def receive(self, event: msgspec.Struct) -> None:
        """Take an event."""
        self._loop.on_arrival(partial(self._step, event))

    def _step(self, event: msgspec.Struct) -> None:
        loop = self._loop
        if isinstance(event, Rpc):
            loop.spend(loop.costs.read)
            loop.wake(partial(self._take, event))
        elif isinstance(event, Heartbeat):
            loop.spend(loop.costs.heartbeat)
            self.router.heartbeat(loop.now)
            self._kernel.at(loop.now + self.router.settings.heartbeat, self, event)
        elif isinstance(event, Publish):
            self._log.published[event.payload] = loop.now / 1e6, self.number
            loop.begin_message()
            loop.spend(loop.costs.publish)
            self.router.publish(TOPIC, event.payload, loop.now)
        elif isinstance(event, Known):
            self.router.add(event.peer, loop.now, is_outbound=event.is_outbound)

    def _take(self, rpc: Rpc) -> None:
        loop, tally = self._loop, self.router.tally
        sender = number_of(rpc.sender)
        for message in rpc.messages:
            self._log.arrived(loop.now / 1e6, sender, self.number, message.payload)
        if not rpc.messages:
            loop.spend(loop.costs.control)
        duplicates = tally.duplicates
        self.router.take(rpc, loop.now)
        for _ in range(tally.duplicates - duplicates):
            loop.spend(loop.costs.known)

    def judge(self, _message: Message, _sender: PeerId) -> bool:
        """Take a message for the first time."""
        self._loop.spend(self._loop.costs.first)
        return True


def spread_simulated(work: Work, settings: Gossip, costs: Sequence[StepCosts] | None = None) -> Log:
    """Spread the messages through the model. costs: of the steps while each of the messages spreads
    in one process; without them steps take no time.
    """
    log, kernel = Log(), Kernel()
    chance = open_stream(work.seed, "loop")
    loop = Loop(kernel) if costs is None else RunLoop(kernel, costs, chance)

    def send(sender: Node, peer: PeerId, rpc: Rpc) -> None:
        receiver = nodes[number_of(peer)]
        loop.spend(loop.costs.write)
        kernel.at(loop.now + work.latency_us(sender.number, receiver.number), receiver, rpc)

    def build(node: Node) -> Router:
        chance = open_stream(work.seed, "router", node.number)
        hand_over = lambda peer, rpc: send(node, peer, rpc)  # noqa: E731
        return Router(settings, chance, hand_over, node.judge, name_peer(node.number))

    plan = work.plan
    nodes = [Node(number, kernel, loop, build, log) for number in range(plan.nodes)]
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
