"""Peers with keys, signed advertisements, and a pair of machines connected by a list of frames."""

import random
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import count

from eth_hash.backends.pysha3 import keccak256
from nacl.signing import SigningKey

from p2p_modelex.core import effects as fx
from p2p_modelex.core import inputs as inp
from p2p_modelex.core.directory.directory import Directory
from p2p_modelex.core.directory.machine import DirectoryMachine
from p2p_modelex.core.directory.own import seal_advertisement
from p2p_modelex.core.directory.settings import DirectorySettings
from p2p_modelex.core.effects import Effect, StreamId
from p2p_modelex.ids import Digest, NetworkId, PeerId, PublicKey, peer_id_of
from p2p_modelex.records.advertisement import Advertisement, Kind, Offer, Section
from p2p_modelex.records.envelope import Envelope
from p2p_modelex.records.ownership import SignedOwnership
from p2p_modelex.units import UnixMs, Wei

NETWORK = NetworkId(b"n" * 32)
REGISTRY = Digest(keccak256(b"registry domain"))
NOW = UnixMs(1_800_000_000_000)
TTL = 600_000


def no_limit(_ranges: int, _now: UnixMs) -> bool:
    """Let a peer have as many ranges compared as it likes."""
    return True


class Key:
    """A deterministic peer."""

    def __init__(self, number: int) -> None:
        self._key = SigningKey(number.to_bytes(32, "big"))
        self.public_key = PublicKey(bytes(self._key.verify_key))
        self.peer = peer_id_of(self.public_key)

    def sign(self, message: bytes) -> bytes:
        return bytes(self._key.sign(message).signature)


def offer(
    model: str = "m",
    *,
    kinds: tuple[Kind, ...] = ("chat",),
    features: tuple[str, ...] = (),
    prompt_price: int = 1,
    completion_price: int = 2,
    context_length: int = 2048,
    max_tokens: int = 512,
    epoch: int = 0,
) -> Offer:
    return Offer(
        model,
        b"w" * 32,
        kinds,
        context_length,
        max_tokens,
        features,
        Wei(prompt_price),
        Wei(completion_price),
        epoch,
        64,
        0,
    )


def advertisement(
    sequence: int = NOW,
    *,
    offers: tuple[Offer, ...] = (),
    addresses: tuple[str, ...] = ("/ip4/127.0.0.1/tcp/4001",),
    accounts: tuple[SignedOwnership, ...] = (),
    farms: tuple[Envelope, ...] = (),
    ttl_ms: int = TTL,
) -> Advertisement:
    offers = offers or ((offer(),) if addresses else ())
    return Advertisement(
        sequence,
        ttl_ms,
        "test/1",
        addresses,
        offers,
        accounts,
        Section.UNREGISTERED,
        farms,
        bytes(32),
    )


def sealed(key: Key, content: Advertisement | None = None, network: NetworkId = NETWORK) -> bytes:
    return seal_advertisement(content or advertisement(), network, key)


def directory(own: int = 1, entries_max: int = 1000) -> Directory:
    return Directory(NETWORK, REGISTRY, Key(own).peer, entries_max=entries_max)


@dataclass
class Node:
    """A machine, and what became of its effects."""

    number: int
    settings: DirectorySettings = field(default_factory=DirectorySettings)
    seed: int = 0
    effects: list[Effect] = field(default_factory=list)
    sent_bytes: int = 0

    def __post_init__(self) -> None:
        self.key = Key(self.number)
        self.peer = self.key.peer
        streams = count(2, 2)
        self.directory = directory(self.number, self.settings.entries_max)
        self.machine = DirectoryMachine(
            self.directory,
            self.key,
            random.Random(self.seed + self.number),
            lambda: StreamId(next(streams)),
            self.settings,
        )

    def of(self, kind: type[Effect]) -> list[Effect]:
        return [effect for effect in self.effects if isinstance(effect, kind)]


class World:
    """Nodes that reach each other at once; gossip reaches everybody; timers fire when told."""

    def __init__(self, *nodes: Node) -> None:
        self.nodes: dict[PeerId, Node] = {node.peer: node for node in nodes}
        self.now = NOW
        self.timers: dict[tuple[PeerId, fx.TimerId], int] = {}
        self.unreachable: set[PeerId] = set()
        self._ends: dict[tuple[PeerId, StreamId], tuple[PeerId, StreamId]] = {}
        self._inbound: Iterator[int] = count(1, 2)
        self.forwarders: dict[PeerId, PeerId] = {}
        self.frames = 0

    def do(self, node: Node, effects: tuple[Effect, ...]) -> None:
        """Carry out effects, and what follows from them, until all is quiet."""
        queue = [(node, effect) for effect in effects]
        while queue:
            node, effect = queue.pop(0)
            node.effects.append(effect)
            for other, input_ in self._carry(node, effect):
                more = other.machine.step(input_, self.now)
                queue += [(other, one) for one in more]

    def tell(self, node: Node, input_: inp.Input) -> None:
        self.do(node, node.machine.step(input_, self.now))

    def connect(self, one: Node, other: Node) -> None:
        self.tell(one, inp.PeerConnected(other.peer))
        self.tell(other, inp.PeerConnected(one.peer))

    def advance(self, milliseconds: int) -> None:
        """Let time pass, firing timers in order."""
        until = self.now + milliseconds
        while due := [(at, key) for key, at in self.timers.items() if at <= until]:
            at, key = min(due)
            del self.timers[key]
            self.now = UnixMs(max(self.now, at))
            self.tell(self.nodes[key[0]], inp.TimerFired(key[1]))
        self.now = UnixMs(until)

    def _carry(self, node: Node, effect: Effect) -> list[tuple[Node, inp.Input]]:
        match effect:
            case fx.OpenStream(stream=stream, peer=peer, protocol=protocol):
                other = self.nodes.get(peer)
                if other is None or peer in self.unreachable:
                    return [(node, inp.StreamFailed(stream, "unreachable"))]
                theirs = StreamId(next(self._inbound))
                self._ends[node.peer, stream] = (peer, theirs)
                self._ends[peer, theirs] = (node.peer, stream)
                return [
                    (other, inp.StreamOpened(theirs, node.peer, protocol)),
                    (node, inp.StreamReady(stream)),
                ]
            case fx.Send(stream=stream, payload=payload):
                node.sent_bytes += len(payload)
                self.frames += 1
                end = self._ends.get((node.peer, stream))
                if end is None:
                    return []
                return [(self.nodes[end[0]], inp.FrameReceived(end[1], payload))]
            case fx.CloseStream(stream=stream) | fx.ResetStream(stream=stream):
                end = self._ends.pop((node.peer, stream), None)
                if end is None or self._ends.get(end) is None:
                    return []
                clean = isinstance(effect, fx.CloseStream)
                if not clean:
                    del self._ends[end]
                return [(self.nodes[end[0]], inp.StreamEnded(end[1], clean, ""))]
            case fx.SetTimer(timer=timer, at=at):
                self.timers[node.peer, timer] = at
            case fx.CancelTimer(timer=timer):
                self.timers.pop((node.peer, timer), None)
            case fx.Publish(topic=topic, payload=payload):
                forwarder = self.forwarders.get(node.peer, node.peer)
                return [
                    (other, inp.GossipArrived(topic, node.peer, forwarder, payload))
                    for other in self.nodes.values()
                    if other is not node
                    and other.machine.judge_gossip(node.peer, payload, self.now).accepted
                ]
            case _:
                pass
        return []
