"""A run of gossip routers alone: advanced and summed up as `simulation/run.py` does it of nodes."""

from typing import Self

import msgspec

from p2p_modelex.errors import SimulationError
from p2p_modelex.simulation.kernel import Kernel
from p2p_modelex.simulation.plugin import find_wrong, list_plugged, take_measures
from p2p_modelex.simulation.randomness import open_stream
from p2p_modelex.simulation.routers.measures import GossipMeasures
from p2p_modelex.simulation.routers.node import RouterNode, Speak
from p2p_modelex.simulation.routers.world import Routers, peer_of
from p2p_modelex.simulation.run import Result, explaining, list_unmet
from p2p_modelex.simulation.scenario.quantities import seconds
from p2p_modelex.simulation.scenario.settings import Messages
from p2p_modelex.simulation.scenario.tables import Scenario


class Publish(msgspec.Struct, frozen=True, gc=False):
    """It is time for somebody to say something."""

    count: int


class Look(msgspec.Struct, frozen=True, gc=False):
    """It is time for a plug-in's checkers to look."""


class Press:
    """Has honest routers publish, one at a time, in the shard of their own key."""

    number = -1

    def __init__(
        self, scenario: Scenario, kernel: Kernel, routers: Routers, measures: GossipMeasures
    ) -> None:
        assert scenario.messages is not None
        self._messages: Messages = scenario.messages
        self._kernel = kernel
        self._rng = open_stream(scenario.seed, "gossip", "press")
        self._routers = routers
        self._until = scenario.duration - scenario.settle
        if self._messages.lasts is not None:
            self._until = min(self._until, self._messages.starts + self._messages.lasts)
        honest: dict[int, list[RouterNode]] = {}
        self._origins: list[RouterNode] = []
        for node in routers.nodes:
            if routers.is_honest(node):
                honest.setdefault(node.shard, []).append(node)
                is_own = not self._origins or self._origins[-1].place is not node.place
                self._origins += [node] * is_own
        self._honest = honest
        self._measures = measures
        kernel.at(self._messages.starts, self, Publish(0))

    def receive(self, event: Publish) -> None:
        """Have one publish, and plan the next."""
        now = self._kernel.now
        if now >= self._until:
            return
        node = self._rng.choice(self._origins)
        if node.is_up:
            audience = [one for one in self._honest[node.shard] if one.is_up and one is not node]
            self._measures.on_published(node, audience, now)
            head = event.count.to_bytes(8, "big")
            self._kernel.at(now, node, Speak(head.ljust(self._messages.size, b"\0")))
        wait = int(self._rng.expovariate(1.0) * self._messages.every)
        self._kernel.at(now + max(1, wait), self, Publish(event.count + 1))


class RouterRun:
    """One run. Use it as `Simulation`."""

    number = -1

    def __init__(self, scenario: Scenario) -> None:
        self.scenario = scenario
        self.kernel = Kernel()
        self.measures = GossipMeasures()
        self.routers = Routers(scenario, self.kernel, self.measures.on_message)
        self.measures.watch(self.routers)
        self.press = Press(scenario, self.kernel, self.routers, self.measures)
        if list_plugged("checker", scenario.plugin.files):
            self.kernel.at(scenario.measure_every, self, Look())

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        pass

    def name_peers(self) -> dict[bytes, str]:
        """See `Simulation`. A router in each shard is a peer of its own."""
        return {peer_of(node): f"router {node.number}" for node in self.routers.nodes}

    def advance(self, until_us: int) -> None:
        """Let virtual time pass."""
        with explaining(self.kernel):
            self.kernel.run(min(until_us, self.scenario.duration))

    def receive(self, event: Look) -> None:
        """Have a plug-in's checkers look, and plan the next time."""
        wrong = find_wrong(self)
        if wrong:
            raise SimulationError(f"at {seconds(self.kernel.now):.6f} s: {wrong}")
        self.kernel.at(self.kernel.now + self.scenario.measure_every, self, event)

    def finish(self) -> Result:
        """Run to the end, and sum up."""
        self.advance(self.scenario.duration)
        found = self.sum_up()
        unmet = list_unmet(self.scenario, found.measures)
        return msgspec.structs.replace(found, unmet=unmet, is_whole=True)

    def sum_up(self) -> Result:
        """Sum up what was measured until now."""
        found: dict[str, float] = {
            "nodes": len(self.routers.places),
            "events": self.kernel.events,
            "virtual_s": seconds(self.kernel.now),
            "sent_bytes": sum(place.bytes_sent for place in self.routers.places),
        }
        found |= self.measures.summarise()
        with explaining(self.kernel):
            found |= take_measures(self, found)
        return Result(
            self.scenario.name,
            self.scenario.seed,
            self.kernel.trace.compute_digest(),
            found,
            (),
            (),
            self.measures.list_steps(),
            is_whole=False,
        )
