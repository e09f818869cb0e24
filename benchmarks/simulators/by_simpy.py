"""The same routers in SimPy, as one writes it there: a process for each node and each heartbeat, an
inbox for each node, and a process for each frame on its way.
"""

from collections.abc import Generator
from typing import Any

import simpy

from benchmarks.calibration.modelled import name_peer, number_of
from benchmarks.calibration.work import TOPIC, Log, Work
from benchmarks.measuring import Stopwatch
from p2p_modelex.ids import PeerId
from p2p_modelex.simulation.models.gossip import Message, Router, Rpc
from p2p_modelex.simulation.randomness import open_stream
from p2p_modelex.simulation.scenario.settings import Gossip

Process = Generator[Any, Any, None]


class Station:
    """A node. The environment's clock counts microseconds."""

    def __init__(self, number: int, env: Any, mesh: "SimpyMesh") -> None:
        self.number = number
        self.inbox = simpy.Store(env)
        self._env = env
        self._mesh = mesh
        chance = open_stream(mesh.work.seed, "router", number)
        self.router = Router(Gossip(), chance, self._send, _accept, name_peer(number))
        env.process(self._live())
        env.process(self._beat(int(mesh.work.offsets_s[number] * 1e6)))

    def _send(self, peer: PeerId, rpc: Rpc) -> None:
        self._env.process(self._carry(self._mesh.stations[number_of(peer)], rpc))

    def _carry(self, receiver: "Station", rpc: Rpc) -> Process:
        yield self._env.timeout(self._mesh.work.latency_us(self.number, receiver.number))
        yield receiver.inbox.put(rpc)

    def _live(self) -> Process:
        while True:
            rpc = yield self.inbox.get()
            for message in rpc.messages:
                sender = number_of(rpc.sender)
                self._mesh.log.arrived(self._env.now / 1e6, sender, self.number, message.payload)
            self.router.take(rpc, self._env.now)

    def _beat(self, offset_us: int) -> Process:
        yield self._env.timeout(offset_us)
        while True:
            self.router.heartbeat(self._env.now)
            yield self._env.timeout(self.router.settings.heartbeat)


class SimpyMesh:
    """The nodes, and what happens to them."""

    def __init__(self, work: Work) -> None:
        self.work = work
        self.log = Log()
        self._env: Any = simpy.Environment()
        self.stations = [Station(number, self._env, self) for number in range(work.plan.nodes)]

    def run(self) -> Log:
        """Spread the messages."""
        plan = self.work.plan
        self._env.process(self._connect())
        self._env.process(self._publish())
        self._env.run(until=int(plan.settle_s * 1e6))
        stopwatch = Stopwatch()
        self._env.run(until=int(plan.ends_s * 1e6))
        self.log.cpu_s = stopwatch.read().cpu_s
        return self.log

    def _connect(self) -> Process:
        for at_s, one, other in self.work.links:
            yield self._env.timeout(max(0, int(at_s * 1e6) - self._env.now))
            self._env.process(self._meet(one, other, is_outbound=True))
            self._env.process(self._meet(other, one, is_outbound=False))

    def _meet(self, at: int, peer: int, *, is_outbound: bool) -> Process:
        yield self._env.timeout(self.work.latency_us(peer, at))
        self.stations[at].router.add(name_peer(peer), self._env.now, is_outbound=is_outbound)

    def _publish(self) -> Process:
        plan = self.work.plan
        for number, payload in enumerate(self.work.payloads):
            due = int((plan.settle_s + number * plan.period_s) * 1e6)
            yield self._env.timeout(due - self._env.now)
            self.log.published[payload] = self._env.now / 1e6, number % plan.nodes
            self.stations[number % plan.nodes].router.publish(TOPIC, payload, self._env.now)


def _accept(_message: Message, _sender: PeerId) -> bool:
    return True
