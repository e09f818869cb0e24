"""How dishonest gossip routers differ, where there are routers alone.

The attackers are those of the evaluation report of GossipSub v1.1 (Vyzovitis and others, 2020).
`turns`: from when on one misbehaves (microseconds); before, it is as honest as any.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from p2p_modelex.ids import PeerId
from p2p_modelex.simulation.models.gossip import MessageId, Router, Rpc
from p2p_modelex.simulation.models.gossip.router import CONTROLS_MAX, IDS_MAX


@dataclass(slots=True)
class Gossiper(Router):
    """A router that may misbehave. victims: whose messages a censor keeps back."""

    turns: int = 0
    victims: frozenset[PeerId] = frozenset()


@dataclass(slots=True)
class Mute(Gossiper):
    """Lets itself be taken into meshes, and says nothing at all."""

    def take(self, rpc: Rpc, now: int) -> None:
        """Take nothing."""
        if now < self.turns:
            Gossiper.take(self, rpc, now)

    def heartbeat(self, now: int) -> None:
        """Do nothing."""
        if now < self.turns:
            Gossiper.heartbeat(self, now)

    def add(self, peer: PeerId, now: int, *, is_outbound: bool, address: str = "") -> None:
        """Ask nobody into its mesh."""
        if now < self.turns:
            Gossiper.add(self, peer, now, is_outbound=is_outbound, address=address)


@dataclass(slots=True)
class Dropper(Gossiper):
    """Asks to be in every mesh, again as soon as it may, and passes nothing on."""

    waits: bool = True

    def add(self, peer: PeerId, now: int, *, is_outbound: bool, address: str = "") -> None:
        """Ask into the mesh of whoever is connected."""
        Gossiper.add(self, peer, now, is_outbound=is_outbound, address=address)
        if now >= self.turns and peer not in self.mesh.members:
            self.mesh.graft(peer, now)

    def take(self, rpc: Rpc, now: int) -> None:
        """Take control messages alone."""
        if now < self.turns:
            Gossiper.take(self, rpc, now)
        elif rpc.prunes and rpc.sender in self.neighbours:
            self.mesh.on_prune(rpc.sender, now)

    def heartbeat(self, now: int) -> None:
        """Ask again whoever has put it out."""
        if now < self.turns:
            Gossiper.heartbeat(self, now)
            return
        for peer, known in self.neighbours.items():
            if peer not in self.mesh.members and not (self.waits and known.backoff_until > now):
                self.mesh.graft(peer, now)


@dataclass(slots=True)
class Pusher(Dropper):
    """A dropper that does not wait for the end of its backoff."""

    waits: bool = False


@dataclass(slots=True)
class Spammer(Dropper):
    """A dropper that tells everybody of messages that there are not."""

    invented: int = 0

    def heartbeat(self, now: int) -> None:
        """Send as much IHAVE as is looked at."""
        Dropper.heartbeat(self, now)
        if now < self.turns:
            return
        for _ in range(CONTROLS_MAX):
            rpc = Rpc(self.own, 0, ihave=tuple(self._invent() for _ in range(IDS_MAX)))
            for peer in self.neighbours:
                self.send(peer, rpc)

    def _invent(self) -> MessageId:
        self.invented -= 1  # no message has such a number
        return self.own, self.invented


@dataclass(slots=True)
class Censor(Dropper):
    """In every mesh it can be in, and passes on everything but the messages of its victims."""

    def take(self, rpc: Rpc, now: int) -> None:
        """Take what a router takes, without what it keeps back."""
        kept = tuple(one for one in rpc.messages if one.origin not in self.victims)
        Gossiper.take(self, rpc if len(kept) == len(rpc.messages) else _only(rpc, kept), now)

    def heartbeat(self, now: int) -> None:
        """Be a router too."""
        Gossiper.heartbeat(self, now)
        Dropper.heartbeat(self, now)


def _only(rpc: Rpc, kept: tuple) -> Rpc:  # type: ignore[type-arg]
    return Rpc(rpc.sender, rpc.connection, kept, rpc.ihave, rpc.iwant, rpc.grafts, rpc.prunes)


GOSSIPERS: Mapping[str, type[Router]] = {
    "honest": Router,
    "mute": Mute,
    "drop": Dropper,
    "push": Pusher,
    "ihave": Spammer,
    "censor": Censor,
}
"""By the name that a population gives. What behaves well until it `turns` is a covert attack."""
