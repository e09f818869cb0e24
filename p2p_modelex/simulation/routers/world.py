"""The routers of a scenario, and who connects to whom.

One stream of random numbers serves all links, and one all routers: a stream has 2.5 kB, which is
more than an idle router has.
"""

import random
from collections.abc import Callable, Iterator
from functools import partial

import msgspec

from p2p_modelex.ids import PeerId
from p2p_modelex.limits import CONNECTIONS_MAX, CONNECTIONS_PER_IP_MAX
from p2p_modelex.simulation.actors.gossipers import GOSSIPERS, Gossiper
from p2p_modelex.simulation.kernel import Kernel
from p2p_modelex.simulation.models.gossip import Message, Router, Rpc
from p2p_modelex.simulation.models.links import CONNECTION_BYTES, REGIONS, LinkModel, Place
from p2p_modelex.simulation.nodes.wires import DIAL_TRIPS
from p2p_modelex.simulation.plugin import GOSSIP
from p2p_modelex.simulation.randomness import derive, open_stream
from p2p_modelex.simulation.routers.node import Beat, Gone, Join, Met, RouterNode
from p2p_modelex.simulation.routers.sessions import Sessions
from p2p_modelex.simulation.scenario.tables import Scenario

DRAWS_MAX = 8
"""Routers looked at for each neighbour that is missing."""
PAUSE_US = 1_000_000
"""Until who has too few neighbours looks again, as node/joining.py."""


class Routers:
    """Every router by number, and by shard those that have joined."""

    def __init__(
        self,
        scenario: Scenario,
        kernel: Kernel,
        on_message: Callable[[RouterNode, Message, int], None],
    ) -> None:
        self.scenario = scenario
        self.places: list[Place] = []
        self.nodes: list[RouterNode] = []
        self.joined: dict[tuple[int, int], list[RouterNode]] = {}
        """By population and shard."""
        self._kernel = kernel
        self._links = LinkModel(scenario.links)
        self._on_message = on_message
        self._draws = self.open_stream("dials")
        self._routers = self.open_stream("routers")
        self._ways = self.open_stream("links")
        self._sessions = Sessions(self, kernel, self.open_stream("sessions"))
        self._from: dict[tuple[int, str], int] = {}
        self._dials = [frozenset(one.dials) for one in scenario.population]
        for index in range(len(scenario.population)):
            self._place_all(index)
        self.victims = self._find_victims()
        """By the name of their population."""
        for node in self.nodes:
            node.router = self._build_router(node)

    def open_stream(self, name: str) -> random.Random:
        """Return the random numbers of a purpose; a plug-in's has a name of its own."""
        return open_stream(self.scenario.seed, "gossip", name)

    def find(self, peer: PeerId) -> RouterNode:
        """Return whose peer id it is."""
        return self.nodes[int.from_bytes(peer, "big")]

    def is_honest(self, node: RouterNode) -> bool:
        """Whether it is as it should be."""
        return self.scenario.population[node.population].behaviour == "honest"

    def _place_all(self, index: int) -> None:
        population, scenario = self.scenario.population[index], self.scenario
        rng = self.open_stream(f"places/{population.name}")
        weights = scenario.links.regions or dict.fromkeys(REGIONS, 1.0)
        names, shares = list(weights), list(weights.values())
        for at in range(population.count):
            region = rng.choices(names, shares)[0]
            place = Place(region, population.up, population.down, False, self._ways)
            self.places.append(place)
            address = f"{population.name}/{at % (population.addresses or population.count)}"
            begins = population.starts + int(rng.random() * population.join_over)
            for shard in self._choose_shards(len(self.places), rng):
                self._place(index, shard, place, address, begins)

    def _choose_shards(self, number: int, rng: random.Random) -> list[int]:
        """Its own by its key first, and others at random."""
        shards = self.scenario.shards
        own = int.from_bytes(derive(self.scenario.seed, "key", number)[:8], "big") % shards.count
        others = rng.sample(range(shards.count), min(shards.each, shards.count))
        return [own, *(one for one in others if one != own)][: shards.each]

    def _place(self, population: int, shard: int, place: Place, address: str, at: int) -> None:
        node = RouterNode(
            len(self.nodes),
            population,
            shard,
            place,
            address,
            self._kernel,
            self._links,
            self.scenario.cpu.gossip,
            self.find,
            self._on_change,
            self._on_message,
        )
        self.nodes.append(node)
        self._kernel.at(at, node, Join())
        beat = at + int(self._routers.random() * self.scenario.gossip.heartbeat)
        self._kernel.at(beat, node, Beat())

    def _build_router(self, node: RouterNode) -> Router:
        population = self.scenario.population[node.population]
        own = peer_of(node)
        kind = GOSSIPERS.get(population.behaviour, Gossiper)
        router = kind(self.scenario.gossip, self._routers, node.send, node.deliver, own)
        if isinstance(router, Gossiper):
            router.turns = population.turns
            router.victims = self.victims.get(population.victims, frozenset())
        plugged = GOSSIP.get(population.behaviour)
        if plugged is not None:
            router.send = partial(self._send_instead, node, plugged)
        return router

    def _send_instead(
        self,
        node: RouterNode,
        act: Callable[[Router, PeerId, Rpc, int], Rpc | None],
        peer: PeerId,
        rpc: Rpc,
    ) -> None:
        now, turns = self._kernel.now, self.scenario.population[node.population].turns
        found = rpc if now < turns else act(node.router, peer, rpc, now)
        if found is not None:
            node.send(peer, found)

    def _find_victims(self) -> dict[str | None, frozenset[PeerId]]:
        populations = self.scenario.population
        return {
            name: frozenset(
                peer_of(node) for node in self.nodes if populations[node.population].name == name
            )
            for name in dict.fromkeys(one.victims for one in populations if one.victims)
        }

    # Who connects to whom.

    def _on_change(self, node: RouterNode, event: msgspec.Struct) -> None:
        if type(event) is Join:
            node.seeks = False
            if not node.is_away:
                self.join(node)
        elif type(event) is Gone:
            self._on_gone(node, event.peer)
        else:
            self._sessions.receive(node, event)

    def join(self, node: RouterNode) -> None:
        """Dial who is missing, now and as long as there are too few to be had."""
        if not node.is_up:
            node.is_up, node.up_from = True, self._kernel.now
            pool = self.joined.setdefault((node.population, node.shard), [])
            node.slot = len(pool)
            pool.append(node)
            self._sessions.begin(node)
        wanted = self.scenario.population[node.population].neighbours - len(node.dialled)
        for other in self._draw(node, wanted):
            self._connect(node, other)
            wanted -= 1
        if wanted > 0:
            self._seek(node)

    def _on_gone(self, node: RouterNode, peer: PeerId) -> None:
        if node.connected.pop(peer, None) is None:
            return  # it has left too
        if peer in node.dialled:
            node.dialled.discard(peer)
            self._seek(node)
        else:
            self._from[node.number, self.find(peer).address] -= 1
        node.router.remove(peer, self._kernel.now)

    def break_off(self, node: RouterNode) -> None:
        """Its process is killed: whoever was connected to it hears of it behind all that it said,
        and what it knew is gone.
        """
        node.is_up = False
        pool = self.joined[node.population, node.shard]
        last = pool.pop()
        if last is not node:
            pool[node.slot], last.slot = last, node.slot
        for peer, arrives in node.connected.items():
            other = self.find(peer)
            hears = self._kernel.now + self._links.get_latency(node.place, other.place)
            self._kernel.at(max(hears, arrives), other, Gone(peer_of(node)))
            if peer not in node.dialled:
                self._from[node.number, other.address] -= 1
        node.connected.clear()
        node.dialled.clear()
        before, node.router = node.router, self._build_router(node)
        # The numbers of its messages go on, as they are times in libp2p, and so do counts.
        node.router.sequence, node.router.tally = before.sequence, before.tally

    def _seek(self, node: RouterNode) -> None:
        if not node.seeks:
            node.seeks = True
            self._kernel.at(self._kernel.now + PAUSE_US, node, Join())

    def _draw(self, node: RouterNode, wanted: int) -> Iterator[RouterNode]:
        """Draw routers that are there and have room, of the populations that are dialled."""
        populations, dials = self.scenario.population, self._dials[node.population]
        pools = [
            pool
            for index in range(len(populations))
            if (not dials or populations[index].name in dials)
            and (pool := self.joined.get((index, node.shard)))
        ]
        total = sum(map(len, pools))
        for _ in range(DRAWS_MAX * wanted if total else 0):
            other = _pick(pools, self._draws.randrange(total))
            if (
                other is not node
                and peer_of(other) not in node.connected
                and peer_of(node) not in other.connected  # it has not heard that one left
                and self._admits(other, node)
            ):
                yield other
                wanted -= 1
                if not wanted:
                    return

    def _admits(self, node: RouterNode, dialler: RouterNode) -> bool:
        """Whether a node has room for one more connection, as net/libp2p/admission.py has it."""
        same = self._from.get((node.number, dialler.address), 0)
        return node.inbound < CONNECTIONS_MAX and same < CONNECTIONS_PER_IP_MAX

    def _connect(self, node: RouterNode, other: RouterNode) -> None:
        node.dialled.add(peer_of(other))
        where = other.number, node.address
        self._from[where] = self._from.get(where, 0) + 1
        node.connected[peer_of(other)] = other.connected[peer_of(node)] = 0
        for place in (node.place, other.place):
            place.bytes_sent += CONNECTION_BYTES // 2
        latency = self._links.get_latency(node.place, other.place)
        # A dial, and then what each subscribes to.
        at = self._kernel.now + (2 * DIAL_TRIPS + 1) * latency
        self._kernel.at(at, node, Met(peer_of(other), is_outbound=True))
        self._kernel.at(at, other, Met(peer_of(node), is_outbound=False))


def _pick(pools: list[list[RouterNode]], at: int) -> RouterNode:
    """Return the router at a place of the pools, one behind the other."""
    for pool in pools:
        if at < len(pool):
            return pool[at]
        at -= len(pool)
    raise IndexError(at)


def peer_of(node: RouterNode) -> PeerId:
    """Return a router's peer id, which is its number."""
    return PeerId(node.number.to_bytes(4, "big"))
