"""GossipSub v1.1 as a model: one router a node, without IO, so that it can be compared with others.

Specification: github.com/libp2p/specs, pubsub/gossipsub/gossipsub-v1.1.md. Here: the mesh with its
degrees, heartbeat, GRAFT, PRUNE and backoff, IHAVE and IWANT, flood publishing, outbound quotas,
and a score of first deliveries, of broken promises and of invalid messages (P2, P3's part by IWANT
promises, P4, P7). Not here: fan-out of topics we are not in (every node is in the one topic), peer
exchange, opportunistic grafting, IP colocation. One topic.

Where py-libp2p, which the node ships, differs from the specification, `scenario.Gossip` has a
setting and its default is py-libp2p's: `python -m benchmarks.calibration` holds one to the other.
"""

import random
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

import msgspec

from p2p_modelex.ids import PeerId
from p2p_modelex.simulation.scenario.settings import Gossip

IHAVE_MAX = 5000
"""Message ids asked of one peer in a heartbeat (the specification's GossipSubMaxIHaveLength)."""
IWANT_PATIENCE_US = 3_000_000
"""A message that was asked for and does not come in this time breaks a promise."""
GRAYLIST_SCORE = -80.0
"""Whose messages are not looked at. Our own numbers, as all of the score."""
GOSSIP_SCORE = -10.0
"""Who gets no gossip, and whose we ignore."""
DECAY = 0.98
"""Of every counter, each heartbeat."""
SEEN_MAX = 50_000
"""Messages remembered against duplicates; the oldest are forgotten first, as after `seen`."""
MESSAGE_OVERHEAD_BYTES = 180
"""Origin, sequence number, topic, signature and protobuf of a message, beside its payload."""
ID_BYTES = 46
"""An id in IHAVE or IWANT: origin and sequence number."""

MessageId = tuple[PeerId, int]


class Message(msgspec.Struct, frozen=True, gc=False):
    """One published message."""

    origin: PeerId
    sequence: int
    topic: str
    payload: bytes
    published_us: int
    hops: int

    @property
    def id(self) -> MessageId:
        """The default id of pubsub."""
        return self.origin, self.sequence


class Rpc(msgspec.Struct, frozen=True, gc=False):
    """What one node tells another. connection: which connection it came on."""

    sender: PeerId
    connection: int
    messages: tuple[Message, ...] = ()
    ihave: tuple[MessageId, ...] = ()
    iwant: tuple[MessageId, ...] = ()
    grafts: bool = False
    prunes: bool = False

    @property
    def size(self) -> int:
        """Bytes on the wire, about."""
        content = sum(len(one.payload) + MESSAGE_OVERHEAD_BYTES for one in self.messages)
        return content + ID_BYTES * (len(self.ihave) + len(self.iwant)) + 40


@dataclass(slots=True)
class _Peer:
    """What a router knows of a neighbour."""

    is_outbound: bool
    backoff_until: int = 0
    first_deliveries: float = 0.0
    invalid: float = 0.0
    broken: float = 0.0
    asked: int = 0

    @property
    def score(self) -> float:
        positive = min(self.first_deliveries, 100.0) * 0.5
        return positive - 10.0 * self.invalid**2 - 5.0 * self.broken**2

    def decay(self) -> None:
        self.first_deliveries *= DECAY
        self.invalid *= DECAY
        self.broken *= DECAY
        self.asked = 0


@dataclass(slots=True)
class Tally:
    """Counters of one node."""

    delivered: int = 0
    duplicates: int = 0
    asked: int = 0


@dataclass
class Router:
    """One node's part. `send(peer, rpc fields)` hands over; `deliver` judges and takes a message,
    and says whether to forward it (None: it is invalid).
    """

    settings: Gossip
    rng: random.Random
    send: Callable[[PeerId, Rpc], None]
    deliver: Callable[[Message, PeerId], bool | None]
    own: PeerId
    sequence: int = 0
    tally: Tally = field(default_factory=Tally)
    mesh: dict[PeerId, None] = field(default_factory=dict)
    """Whom whole messages go to; a dict, for its order."""
    _peers: dict[PeerId, _Peer] = field(default_factory=dict)
    _seen: dict[MessageId, int] = field(default_factory=dict)
    _cache: deque[dict[MessageId, Message]] = field(default_factory=deque)
    _promises: dict[MessageId, tuple[PeerId, int]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._cache.append({})

    def add(self, peer: PeerId, *, is_outbound: bool) -> None:
        """A neighbour is connected; it joins the mesh now if that is short of neighbours and fills
        at once, else at a heartbeat if there is room.
        """
        self._peers[peer] = _Peer(is_outbound)
        if self.settings.fills_at_once and len(self.mesh) < self.settings.d_lo:
            self.mesh[peer] = None
            self.send(peer, Rpc(self.own, 0, grafts=True))
        if self.settings.replays_recent:
            for window in list(self._cache)[: self.settings.history_gossip]:
                for message in window.values():
                    self.send(peer, Rpc(self.own, 0, messages=(message,)))

    def remove(self, peer: PeerId) -> None:
        """A neighbour is gone."""
        self._peers.pop(peer, None)
        self.mesh.pop(peer, None)

    def publish(self, topic: str, payload: bytes, now: int) -> None:
        """Publish a message of our own."""
        self.sequence += 1
        message = Message(self.own, self.sequence, topic, payload, now, 0)
        self._remember(message, now)
        to = self._peers if self.settings.flood_publish else self.mesh
        for peer in to:
            if self._peers[peer].score >= GOSSIP_SCORE:
                self.send(peer, Rpc(self.own, 0, messages=(message,)))

    def take(self, rpc: Rpc, now: int) -> None:
        """Take what a neighbour says."""
        known = self._peers.get(rpc.sender)
        if known is None or known.score < GRAYLIST_SCORE:
            return
        for message in rpc.messages:
            self._take_message(message, rpc.sender, known, now)
        if rpc.ihave:
            self._take_ihave(rpc, known, now)
        if rpc.iwant:
            self._answer(rpc)
        if rpc.grafts:
            self._take_graft(rpc.sender, known, now)
        if rpc.prunes:
            self.mesh.pop(rpc.sender, None)
            known.backoff_until = now + self.settings.prune_backoff

    def _take_message(self, message: Message, sender: PeerId, known: _Peer, now: int) -> None:
        self._promises.pop(message.id, None)
        if message.id in self._seen:
            self.tally.duplicates += 1
            return
        onward = msgspec.structs.replace(message, hops=message.hops + 1)
        self._remember(onward, now)
        verdict = self.deliver(message, sender)
        if verdict is None:
            known.invalid += 1
        if not verdict:
            self._cache[0].pop(message.id, None)
            return
        self.tally.delivered += 1
        known.first_deliveries += 1
        rpc = Rpc(self.own, 0, messages=(onward,))
        for peer in self.mesh:
            if peer not in (sender, message.origin):
                self.send(peer, rpc)

    def _remember(self, message: Message, now: int) -> None:
        self._seen[message.id] = now
        self._cache[0][message.id] = message
        if len(self._seen) > SEEN_MAX:
            del self._seen[next(iter(self._seen))]

    def _take_ihave(self, rpc: Rpc, known: _Peer, now: int) -> None:
        if known.score < GOSSIP_SCORE:
            return
        wanted = [one for one in rpc.ihave if one not in self._seen and one not in self._promises]
        wanted = wanted[: IHAVE_MAX - known.asked]
        if not wanted:
            return
        known.asked += len(wanted)
        self.tally.asked += len(wanted)
        # One of them, at random, is what the peer is held to.
        self._promises[self.rng.choice(wanted)] = rpc.sender, now + IWANT_PATIENCE_US
        self.send(rpc.sender, Rpc(self.own, 0, iwant=tuple(wanted)))

    def _answer(self, rpc: Rpc) -> None:
        found = (self._find(one) for one in rpc.iwant[:IHAVE_MAX])
        messages = tuple(message for message in found if message is not None)
        if messages:
            self.send(rpc.sender, Rpc(self.own, 0, messages=messages))

    def _find(self, one: MessageId) -> Message | None:
        return next((window[one] for window in self._cache if one in window), None)

    def _take_graft(self, peer: PeerId, known: _Peer, now: int) -> None:
        if peer in self.mesh:
            return  # both asked at once
        settings = self.settings
        has_room = len(self.mesh) < settings.d_hi or known.is_outbound
        is_full = settings.refuses_when_full and not has_room
        if known.backoff_until > now or known.score < 0 or is_full:
            known.backoff_until = max(known.backoff_until, now + settings.prune_backoff)
            self.send(peer, Rpc(self.own, 0, prunes=True))
            return
        self.mesh[peer] = None

    def heartbeat(self, now: int) -> None:
        """Mend the mesh, tell others what we have, forget what is old. Once each heartbeat."""
        self._charge_promises(now)
        for peer, known in self._peers.items():
            known.decay()
            if known.score < 0 and peer in self.mesh:
                self._prune([peer], now)
        self._mend(now)
        self._emit_gossip(now)
        self._cache.appendleft({})
        while len(self._cache) > self.settings.history:
            self._cache.pop()
        while (
            self._seen and self._seen[oldest := next(iter(self._seen))] < now - self.settings.seen
        ):
            del self._seen[oldest]

    def _charge_promises(self, now: int) -> None:
        late = [one for one, (_, until) in self._promises.items() if until <= now]
        for one in late:
            peer, _ = self._promises.pop(one)
            if peer in self._peers:
                self._peers[peer].broken += 1

    def _mend(self, now: int) -> None:
        settings, mesh = self.settings, list(self.mesh)
        if len(mesh) < settings.d_lo:
            self._graft(settings.d - len(mesh), now, outbound=False)
        elif len(mesh) > settings.d_hi:
            self._shrink(mesh, now)
        outbound = sum(self._peers[peer].is_outbound for peer in self.mesh)
        if outbound < settings.d_out:
            self._graft(settings.d_out - outbound, now, outbound=True)

    def _graft(self, many: int, now: int, *, outbound: bool) -> None:
        """Take neighbours into the mesh; those we dialled alone, where `outbound`."""
        able = [
            peer
            for peer, known in self._peers.items()
            if peer not in self.mesh
            and known.backoff_until <= now
            and known.score >= 0
            and (known.is_outbound or not outbound)
        ]
        for peer in self.rng.sample(able, min(many, len(able))):
            self.mesh[peer] = None
            self.send(peer, Rpc(self.own, 0, grafts=True))

    def _shrink(self, mesh: list[PeerId], now: int) -> None:
        """Keep the best d_score, and of the others at random, enough outbound ones among them."""
        settings = self.settings
        self.rng.shuffle(mesh)
        mesh.sort(key=lambda peer: -self._peers[peer].score)
        kept, rest = mesh[: settings.d_score], mesh[settings.d_score :]
        self.rng.shuffle(rest)
        wanted = settings.d_out - sum(self._peers[peer].is_outbound for peer in kept)
        rest.sort(key=lambda peer: not (self._peers[peer].is_outbound and wanted > 0))
        self._prune([*kept, *rest][settings.d :], now)

    def _prune(self, peers: Iterable[PeerId], now: int) -> None:
        for peer in peers:
            self.mesh.pop(peer, None)
            if self.settings.shuns_pruned:
                self._peers[peer].backoff_until = now + self.settings.prune_backoff
            self.send(peer, Rpc(self.own, 0, prunes=True))

    def _emit_gossip(self, now: int) -> None:
        """IHAVE of the last windows to some neighbours outside the mesh."""
        windows = list(self._cache)[: self.settings.history_gossip]
        ids = tuple(one for window in windows for one in window)
        if not ids:
            return
        outside = [
            peer
            for peer, known in self._peers.items()
            if peer not in self.mesh
            and known.score >= GOSSIP_SCORE
            and (known.backoff_until <= now or self.settings.gossips_to_pruned)
        ]
        many = max(self.settings.d_lazy, len(outside) // 4)
        for peer in self.rng.sample(outside, min(many, len(outside))):
            self.send(peer, Rpc(self.own, 0, ihave=ids[:IHAVE_MAX]))
