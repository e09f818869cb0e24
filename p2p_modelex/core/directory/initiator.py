"""The asking end of a reconciliation: compare, then get what we lack and offer what we have."""

from dataclasses import dataclass
from enum import Enum

from p2p_modelex import limits
from p2p_modelex.core.directory.comparison import Comparison
from p2p_modelex.core.directory.directory import Directory
from p2p_modelex.core.directory.intake import Intake
from p2p_modelex.core.directory.responder import SESSION_BYTES_MAX, collect
from p2p_modelex.core.effects import CloseStream, Effect, ResetStream, Send, StreamId
from p2p_modelex.core.inputs import FrameReceived, Input, StreamEnded, StreamFailed, StreamReady
from p2p_modelex.errors import RemoteProtocolError
from p2p_modelex.ids import PeerId, PublicKey, peer_id_of, public_key_of
from p2p_modelex.records import codec
from p2p_modelex.records.reconciliation import (
    Bounds,
    Compare,
    Compared,
    Fetch,
    InitiatorMessage,
    Offered,
    Pull,
    Pulled,
    Records,
    ResponderMessage,
    Took,
)
from p2p_modelex.units import UnixMs

EMPTY_BATCHES_MAX = 4
"""So many fetches and pulls in a row may bring nothing of what the peer listed."""


class Outcome(Enum):
    """How a session ended."""

    DONE = "done"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Plan:
    """What a session is for: compare everything, or only fetch and offer these Ed25519 keys."""

    compares: bool = True
    fetch: tuple[bytes, ...] = ()
    offer: tuple[bytes, ...] = ()


class ReconcileInitiator:
    """One stream that we opened. `outcome` is None until it is over."""

    def __init__(self, directory: Directory, stream: StreamId, peer: PeerId, plan: Plan) -> None:
        self.stream = stream
        self.peer = peer
        self.plan = plan
        self.outcome: Outcome | None = None
        self.bytes_moved = 0
        self.rounds = 0
        self._directory = directory
        self._intake = Intake(directory, peer)
        self._comparison = Comparison(directory) if plan.compares else None
        self._to_pull: list[Bounds] = []
        self._to_fetch = list(plan.fetch)
        self._to_offer = list(plan.offer)
        self._empty_batches = 0
        self._question: InitiatorMessage | None = None

    @property
    def taken(self) -> int:
        """How many advertisements of the peer's were new."""
        return self._intake.taken

    def step(self, input_: Input, now: UnixMs) -> tuple[Effect, ...]:
        """Take a StreamReady, StreamFailed, FrameReceived or StreamEnded of the stream."""
        try:
            match input_:
                case StreamReady():
                    return self._ask(now)
                case FrameReceived(payload=payload):
                    self._on_answer(payload, now)
                    return self._ask(now)
                case StreamEnded(clean=clean):
                    self.outcome = Outcome.FAILED
                    return (CloseStream(self.stream),) if clean else ()
                case StreamFailed():
                    self.outcome = Outcome.FAILED
        except RemoteProtocolError as error:
            self.outcome = Outcome.FAILED
            return (*self._intake.drain(), self._intake.blame(error), ResetStream(self.stream))
        return ()

    def _ask(self, now: UnixMs) -> tuple[Effect, ...]:
        question = self._question = self._next_question(now)
        taken = self._intake.drain()
        if question is None or self.bytes_moved > SESSION_BYTES_MAX:
            self.outcome = Outcome.DONE
            return (*taken, CloseStream(self.stream))
        self.rounds += 1
        data = codec.encode_bounded(question, limits.RECONCILE_FRAME_BYTES)
        self.bytes_moved += len(data)
        return (*taken, Send(self.stream, data))

    def _next_question(self, now: UnixMs) -> InitiatorMessage | None:
        if self._comparison is not None:
            compare = self._comparison.next_question()
            if compare is not None:
                return compare
            self._to_pull = sorted(self._comparison.pull, key=lambda one: one.lower)
            self._to_fetch = list(self._comparison.need)
            self._to_offer = list(self._comparison.have)
            self._comparison = None
        if self._to_pull:
            return Pull(tuple(self._to_pull[: limits.RECONCILE_RANGES_MAX]))
        if self._to_fetch:
            return Fetch(_cut(self._to_fetch))
        while self._to_offer:
            envelopes = collect(self._directory, _cut(self._to_offer), now)
            if envelopes:
                return Offered(envelopes)
        return None

    def _on_answer(self, payload: bytes, now: UnixMs) -> None:
        self.bytes_moved += len(payload)
        match self._question, _decode_answer(payload):
            case Compare(), Compared() as answer if self._comparison is not None:
                self._comparison.on_answer(answer, now)
            case Fetch(peers=peers), Records(envelopes=envelopes):
                self._on_records(peers, envelopes, now)
            case Pull(ranges=ranges), Pulled() as answer:
                self._on_pulled(ranges, answer, now)
            case Offered(envelopes=offered), Took(accepted=accepted):
                if accepted > len(offered):
                    raise RemoteProtocolError("REC-2", "took more than was offered")
            case _:
                raise RemoteProtocolError("REC-2", "an answer to another question")

    def _on_records(
        self, keys: tuple[bytes, ...], envelopes: tuple[bytes, ...], now: UnixMs
    ) -> None:
        left = {peer_id_of(PublicKey(key)): None for key in keys}

        def check(peer: PeerId | None) -> None:
            if peer not in left:
                raise RemoteProtocolError("REC-6", "a record that was not asked for, or twice")
            del left[peer]

        self._intake.take(envelopes, now, check)
        self._count_empty(envelopes)

    def _on_pulled(self, ranges: tuple[Bounds, ...], answer: Pulled, now: UnixMs) -> None:
        order = Order(ranges)
        self._intake.take(answer.envelopes, now, order.check)
        del self._to_pull[: len(ranges)]
        if answer.rest:
            if not answer.envelopes or answer.rest <= order.last:
                raise RemoteProtocolError("REC-12", "the rest is not after what came")
            self._to_pull[:0] = [
                Bounds(max(one.lower, answer.rest), one.upper)
                for one in ranges
                if not one.upper or answer.rest < one.upper
            ]
        self._count_empty(answer.envelopes)

    def _count_empty(self, envelopes: tuple[bytes, ...]) -> None:
        self._empty_batches = 0 if envelopes else self._empty_batches + 1
        if self.plan.compares and self._empty_batches >= EMPTY_BATCHES_MAX:
            raise RemoteProtocolError("REC-9", "lists what it does not hold")


class Order:
    """REC-12: what was pulled is of the ranges asked for, in strict order of key."""

    def __init__(self, ranges: tuple[Bounds, ...]) -> None:
        self.last = b""
        self._ranges = list(reversed(ranges))

    def check(self, peer: PeerId | None) -> None:
        assert peer is not None  # REC-7 comes first
        key = public_key_of(peer)
        while self._ranges and self._ranges[-1].upper and key >= self._ranges[-1].upper:
            self._ranges.pop()
        if not self._ranges or key < self._ranges[-1].lower or key <= self.last:
            raise RemoteProtocolError("REC-12", "a record out of the ranges or their order")
        self.last = key


def _cut(keys: list[bytes]) -> tuple[bytes, ...]:
    """Take one batch off the front."""
    batch = tuple(keys[: limits.RECONCILE_BATCH_RECORDS])
    del keys[: limits.RECONCILE_BATCH_RECORDS]
    return batch


def _decode_answer(payload: bytes) -> ResponderMessage:
    try:
        message: ResponderMessage = codec.decode(
            ResponderMessage, payload, limit=limits.RECONCILE_FRAME_BYTES
        )
    except RemoteProtocolError as error:
        raise RemoteProtocolError("REC-1", error.message) from error
    return message
