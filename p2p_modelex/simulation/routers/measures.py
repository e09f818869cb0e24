"""What a run of routers is measured by."""

from p2p_modelex.ids import PeerId
from p2p_modelex.simulation.models.gossip import Message
from p2p_modelex.simulation.results.distributions import Step, steps_of
from p2p_modelex.simulation.results.measures import MS
from p2p_modelex.simulation.results.spread import Spread, percentiles
from p2p_modelex.simulation.routers.node import RouterNode
from p2p_modelex.simulation.routers.world import Routers, peer_of

HEARING_US = 10_000_000
"""Who leaves sooner after a message is not counted on to get it: IHAVE tells of it for 3 s."""


class GossipMeasures:
    """Counts deliveries to honest routers, and those from and to the victims apart."""

    def __init__(self) -> None:
        self.published = 0
        self.due = self.delivered = self.deliveries = 0
        self.told_due = self.told = self.heard_due = self.heard = 0
        self.delay, self.told_delay, self.hops = Spread(), Spread(), Spread()
        self._world: Routers | None = None
        self._victims: frozenset[PeerId] = frozenset()

    def watch(self, world: Routers) -> None:
        """Say whose routers they are."""
        self._world = world
        self._victims = frozenset().union(*world.victims.values())

    def on_published(self, node: RouterNode, present: list[RouterNode], now: int) -> None:
        """An honest router publishes, while those are there."""
        audience = [one for one in present if _hears(one, now)]
        self.published += 1
        self.due += len(audience)
        if peer_of(node) in self._victims:
            self.told_due += len(audience)
        if self._victims:
            self.heard_due += sum(peer_of(one) in self._victims for one in audience)

    def on_message(self, node: RouterNode, message: Message, at: int) -> None:
        """A router has a message for the first time, and looks at it (microseconds)."""
        assert self._world is not None
        if not self._world.is_honest(node):
            return
        delay = at - message.published_us
        self.deliveries += 1
        if not _hears(node, message.published_us):
            return
        self.delivered += 1
        self.delay.add(delay)
        self.hops.add(message.hops + 1)
        if self._victims:
            self.heard += peer_of(node) in self._victims
            if message.origin in self._victims:
                self.told += 1
                self.told_delay.add(delay)

    def list_steps(self) -> tuple[Step, ...]:
        """Return every distribution."""
        return (
            *steps_of("gossip_delay_ms", self.delay, MS),
            *steps_of("gossip_hops", self.hops, 1),
            *steps_of("told_delay_ms", self.told_delay, MS),
        )

    def summarise(self) -> dict[str, float]:
        """Return every measure by name; what did not happen is not there."""
        assert self._world is not None
        world = self._world
        honest = [node for node in world.nodes if world.is_honest(node)]
        tallies = [node.router.tally for node in honest]
        places = {id(node.place): node.place for node in honest}
        found: dict[str, float] = {
            "routers": len(world.nodes),
            "connections_per_node": sum(len(node.connected) for node in honest) / len(places),
            "messages": self.published,
            "gossip_deliveries": self.deliveries,
            "gossip_duplicates": sum(tally.duplicates for tally in tallies),
            "gossip_asked": sum(tally.asked for tally in tallies),
            "sent_bytes_per_node": sum(one.bytes_sent for one in places.values()) / len(places),
        }
        for name, part, whole in (
            ("delivered_share", self.delivered, self.due),
            ("victims_told_share", self.told, self.told_due),
            ("victims_heard_share", self.heard, self.heard_due),
        ):
            if whole:
                found[name] = part / whole
        found |= percentiles("gossip_delay_ms", self.delay, MS)
        found |= percentiles("told_delay_ms", self.told_delay, MS)
        return found | percentiles("gossip_hops", self.hops, 1) | self._look_at_meshes(honest)

    def _look_at_meshes(self, honest: list[RouterNode]) -> dict[str, float]:
        """How much of the meshes is honest, and whose mesh is not at all."""
        assert self._world is not None
        world, members, good, eclipsed = self._world, 0, 0, 0
        honest = [node for node in honest if node.is_up]
        for node in honest:
            mesh = node.router.mesh.members
            honest_here = sum(world.is_honest(world.find(peer)) for peer in mesh)
            members += len(mesh)
            good += honest_here
            eclipsed += not honest_here
        return {
            "mesh_size": members / max(1, len(honest)),
            "mesh_honest_share": good / max(1, members),
            "eclipsed_share": eclipsed / max(1, len(honest)),
        }


def _hears(node: RouterNode, published_us: int) -> bool:
    """Whether it is there when a message is published, and long enough after to have it."""
    return node.up_from <= published_us and published_us + HEARING_US <= node.leaves_at
