"""One router on the network: where it is, whom it is connected to, and what its links do."""

from collections.abc import Callable

import msgspec

from p2p_modelex.ids import PeerId
from p2p_modelex.limits import GOSSIP_TOTAL_BURST, GOSSIP_TOTAL_RATE
from p2p_modelex.net.bounded import TokenBucket
from p2p_modelex.simulation.kernel import Kernel
from p2p_modelex.simulation.models.gossip import Message, Router, Rpc
from p2p_modelex.simulation.models.links import LinkModel, Place
from p2p_modelex.simulation.scenario.quantities import seconds


class Join(msgspec.Struct, frozen=True, gc=False):
    """It starts: it dials whom it is to dial."""


class Leave(msgspec.Struct, frozen=True, gc=False):
    """Its session ends: its process is killed."""


class Return(msgspec.Struct, frozen=True, gc=False):
    """It is there again, with the same key and nothing else of before."""


class Gone(msgspec.Struct, frozen=True, gc=False):
    """A connection broke."""

    peer: PeerId


class Met(msgspec.Struct, frozen=True, gc=False):
    """A neighbour has said what it subscribes to."""

    peer: PeerId
    is_outbound: bool


class Beat(msgspec.Struct, frozen=True, gc=False):
    """Its heartbeat."""


class Speak(msgspec.Struct, frozen=True, gc=False):
    """It publishes a message."""

    payload: bytes


FOREVER_US = 2**62


class RouterNode:
    """A node in one shard. `number` is also its peer id; `population` its place in the scenario."""

    __slots__ = (
        "_bucket",
        "_busy_until",
        "_cost",
        "_find",
        "_kernel",
        "_links",
        "_on_change",
        "_on_message",
        "address",
        "connected",
        "dialled",
        "is_away",
        "is_up",
        "leaves_at",
        "number",
        "place",
        "population",
        "router",
        "seeks",
        "shard",
        "slot",
        "up_from",
    )
    router: Router

    def __init__(
        self,
        number: int,
        population: int,
        shard: int,
        place: Place,
        address: str,
        kernel: Kernel,
        links: LinkModel,
        cost: int,
        find: Callable[[PeerId], "RouterNode"],
        on_change: Callable[["RouterNode", msgspec.Struct], None],
        on_message: Callable[["RouterNode", Message, int], None],
    ) -> None:
        """cost: of a gossip message, microseconds of its CPU. on_change: takes what is not gossip.
        on_message: told of each that comes for the first time, and when it is looked at.
        """
        self.number = number
        self.population = population
        self.shard = shard
        self.place = place
        self.address = address
        self.is_up = self.is_away = self.seeks = False
        """Whether it has joined, has left since, and will look for neighbours in a moment."""
        self.up_from, self.leaves_at = 0, FOREVER_US
        """Its session (microseconds)."""
        self.slot = 0
        """Its place among those that may be dialled."""
        self.dialled: set[PeerId] = set()
        """The neighbours that it dialled itself."""
        self.connected: dict[PeerId, int] = {}
        """Neighbours, each with when what was sent to it last arrives (microseconds)."""
        self._kernel = kernel
        self._links = links
        self._cost = cost
        self._find = find
        self._on_change = on_change
        self._on_message = on_message
        self._busy_until = 0
        self._bucket = TokenBucket(GOSSIP_TOTAL_BURST, 0.0)

    def receive(self, event: msgspec.Struct) -> None:
        """Take an event."""
        router, now = self.router, self._kernel.now
        if type(event) is Rpc:
            if self.is_up:
                router.take(event, now)
        elif type(event) is Beat:
            if self.is_up:
                router.heartbeat(now)
            self._kernel.at(now + router.settings.heartbeat, self, event)
        elif type(event) is Met:
            if event.peer not in self.connected:
                return  # it broke before anything was said
            address = self._find(event.peer).address
            router.add(event.peer, now, is_outbound=event.is_outbound, address=address)
        elif type(event) is Speak:
            router.publish(f"/shard/{self.shard}", event.payload, now)
        else:
            self._on_change(self, event)

    @property
    def inbound(self) -> int:
        """How many neighbours dialled it."""
        return len(self.connected) - len(self.dialled)

    def send(self, peer: PeerId, rpc: Rpc) -> None:
        """Carry an RPC to a neighbour, behind all that went to it before."""
        other, at = self._find(peer), max(self._kernel.now, self._busy_until)
        arrival = self._links.compute_arrival(self.place, other.place, rpc.size, at)
        arrival = self.connected[peer] = max(arrival, self.connected[peer])
        self._kernel.at(arrival, other, rpc)

    def deliver(self, message: Message, _: PeerId) -> bool:
        """Take a message for the first time, within what a node takes of all together.

        What it costs delays what comes behind.
        """
        at = max(self._kernel.now, self._busy_until)
        if not self._bucket.take(seconds(at), GOSSIP_TOTAL_RATE, GOSSIP_TOTAL_BURST):
            return False
        self._on_message(self, message, at)
        self._busy_until = at + self._cost
        return True
