"""One node's part in gossip: what it publishes, takes, passes on, tells of and asks for."""

import random
from collections.abc import Callable
from dataclasses import InitVar, dataclass, field

import msgspec

from p2p_modelex.ids import PeerId
from p2p_modelex.simulation.models.gossip.caches import Cache, Seen, SeenBook
from p2p_modelex.simulation.models.gossip.mesh import Mesh, Neighbour
from p2p_modelex.simulation.models.gossip.messages import Message, MessageId, Rpc
from p2p_modelex.simulation.models.gossip.scores import NoScores, Scores
from p2p_modelex.simulation.scenario.settings import Gossip

IDS_MAX = 64
"""Message ids looked at in one IHAVE or IWANT, as net/libp2p/gossip_intake.py has it."""
CONTROLS_MAX = 10
"""IHAVE and IWANT messages taken of one neighbour in a heartbeat (py-libp2p: in a second)."""
PROMISE_US = 3_000_000
"""A message that was asked for and does not come in this time breaks a promise
(GossipSubIWantFollowupTime).
"""


@dataclass(slots=True)
class Tally:
    """Counters of one node."""

    delivered: int = 0
    duplicates: int = 0
    asked: int = 0


def _say_nothing(_: PeerId) -> float:
    return 0.0


@dataclass(slots=True)
class Router:
    """One node's part. `send(peer, rpc)` hands over; `deliver` judges and takes a message, and says
    whether to forward it (None: it is invalid). application: P5 of the scores. book: where all
    routers of a world remember what they have seen, if they do so together.
    """

    settings: Gossip
    rng: random.Random
    send: Callable[[PeerId, Rpc], None]
    deliver: Callable[[Message, PeerId], bool | None]
    own: PeerId
    sequence: int = 0
    application: Callable[[PeerId], float] = _say_nothing
    book: InitVar[SeenBook | None] = None
    tally: Tally = field(default_factory=Tally)
    neighbours: dict[PeerId, Neighbour] = field(default_factory=dict)
    mesh: Mesh = field(init=False)
    scores: NoScores = field(init=False)
    _seen: Seen = field(init=False)
    _cache: Cache = field(init=False)
    _promises: dict[MessageId, tuple[PeerId, int]] = field(default_factory=dict)
    _told: dict[PeerId, int] = field(default_factory=dict)
    _asked: dict[PeerId, int] = field(default_factory=dict)

    def __post_init__(self, book: SeenBook | None) -> None:
        settings = self.settings
        self._seen = Seen(settings.seen) if book is None else book.open()
        self._cache = Cache(settings.history, settings.history_gossip)
        self.scores = Scores(settings.score, self.application) if settings.scores else NoScores()
        self.mesh = Mesh(settings, self.rng, self.scores, self.neighbours, self._tell)

    def _tell(self, peer: PeerId, grafts: bool) -> None:
        self.send(peer, Rpc(self.own, 0, grafts=grafts, prunes=not grafts))

    def add(self, peer: PeerId, now: int, *, is_outbound: bool, address: str = "") -> None:
        """A neighbour is connected; it joins the mesh now if that is short of neighbours and fills
        at once, else at a heartbeat if there is room. address: its IP address, for P6.
        """
        self.neighbours[peer] = Neighbour(is_outbound)
        self.scores.meet(peer, address, now)
        if self.settings.fills_at_once and len(self.mesh.members) < self.settings.d_lo:
            self.mesh.graft(peer, now)
        if self.settings.replays_recent:
            for message in self._cache.list_recent():
                self.send(peer, Rpc(self.own, 0, messages=(message,)))

    def remove(self, peer: PeerId, now: int) -> None:
        """A neighbour is gone."""
        self.mesh.drop(peer)
        self.neighbours.pop(peer, None)
        self.scores.part(peer, now)

    def publish(self, topic: str, payload: bytes, now: int) -> None:
        """Publish a message of our own."""
        self.sequence += 1
        message = Message((self.own, self.sequence), topic, payload, now, 0)
        self._remember(message, now)
        to = self.neighbours if self.settings.flood_publish else self.mesh.members
        rpc = Rpc(self.own, 0, messages=(message,))
        for peer in to:
            if self.scores.may_publish(peer):
                self.send(peer, rpc)

    def take(self, rpc: Rpc, now: int) -> None:
        """Take what a neighbour says."""
        peer = rpc.sender
        if peer not in self.neighbours or self.scores.is_graylisted(peer):
            return
        for message in rpc.messages:
            self._take_message(message, peer, now)
        if rpc.ihave:
            self._take_ihave(rpc, now)
        if rpc.iwant:
            self._answer(rpc)
        if rpc.grafts:
            self.mesh.on_graft(peer, now)
        if rpc.prunes:
            self.mesh.on_prune(peer, now)

    def _take_message(self, message: Message, sender: PeerId, now: int) -> None:
        if self._promises:
            self._promises.pop(message.id, None)
        if message.id in self._seen:
            self.tally.duplicates += 1
            if self.settings.scores:
                self.scores.on_duplicate(sender, now - self._seen.get(message.id))
            return
        onward = msgspec.structs.replace(message, hops=message.hops + 1)
        self._remember(onward, now)
        verdict = self.deliver(message, sender)
        if verdict is None:
            self.scores.on_invalid(sender)
        if not verdict:
            self._cache.drop(message.id)
            return
        self.tally.delivered += 1
        self.scores.on_first(sender)
        rpc = Rpc(self.own, 0, messages=(onward,))
        for peer in self.mesh.members:
            if peer not in (sender, message.origin):
                self.send(peer, rpc)

    def _remember(self, message: Message, now: int) -> None:
        self._seen.add(message.id, now)
        self._cache.add(message)

    def _take_ihave(self, rpc: Rpc, now: int) -> None:
        peer = rpc.sender
        self._told[peer] = self._told.get(peer, 0) + 1
        if self._told[peer] > CONTROLS_MAX or not self.scores.may_gossip(peer):
            return
        wanted = tuple(one for one in rpc.ihave[:IDS_MAX] if one not in self._seen)
        if not wanted:
            return
        self.tally.asked += len(wanted)
        if self.settings.scores:
            # One of them, at random, is what the peer is held to.
            self._promises.setdefault(self.rng.choice(wanted), (peer, now + PROMISE_US))
        self.send(peer, Rpc(self.own, 0, iwant=wanted))

    def _answer(self, rpc: Rpc) -> None:
        peer = rpc.sender
        self._asked[peer] = self._asked.get(peer, 0) + 1
        if self._asked[peer] > CONTROLS_MAX:
            return
        found = (self._cache.find(one) for one in rpc.iwant[:IDS_MAX])
        messages = tuple(message for message in found if message is not None)
        if messages:
            self.send(peer, Rpc(self.own, 0, messages=messages))

    def heartbeat(self, now: int) -> None:
        """Mend the mesh, tell others what we have, forget what is old. Once each heartbeat."""
        self._told.clear()
        self._asked.clear()
        self._charge_promises(now)
        self.scores.decay(now)
        self.mesh.mend(now)
        self._emit_gossip(now)
        self._cache.shift()
        self._seen.sweep(now)

    def _charge_promises(self, now: int) -> None:
        late = [one for one, (_, until) in self._promises.items() if until <= now]
        for one in late:
            peer, _ = self._promises.pop(one)
            if peer in self.neighbours:
                self.scores.on_misbehaviour(peer)

    def _emit_gossip(self, now: int) -> None:
        """IHAVE of the last windows to some neighbours outside the mesh."""
        ids = tuple(message.id for message in self._cache.list_recent())
        if not ids:
            return
        settings, members = self.settings, self.mesh.members
        outside = [
            peer
            for peer, known in self.neighbours.items()
            if peer not in members
            and (known.backoff_until <= now or settings.gossips_to_pruned)
            and self.scores.may_gossip(peer)
        ]
        share = settings.gossip_factor * (len(self.neighbours) - len(members))
        many = min(max(settings.d_lazy, int(share)), len(outside))
        rpc = Rpc(self.own, 0, ihave=ids)
        for peer in self.rng.sample(outside, many):
            self.send(peer, rpc)
