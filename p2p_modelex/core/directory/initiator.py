"""The asking end of a reconciliation: compare, then fetch what we lack and offer what we have."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

from p2p_modelex import limits
from p2p_modelex.core.directory.comparison import Comparison
from p2p_modelex.core.directory.directory import Directory
from p2p_modelex.core.directory.intake import Intake
from p2p_modelex.core.directory.responder import collect
from p2p_modelex.core.effects import CloseStream, Effect, ResetStream, Send, StreamId
from p2p_modelex.core.inputs import FrameReceived, Input, StreamEnded, StreamFailed, StreamReady
from p2p_modelex.errors import RemoteProtocolError
from p2p_modelex.ids import PeerId, PublicKey, peer_id_of
from p2p_modelex.records import codec
from p2p_modelex.records.reconciliation import (
    Compare,
    Compared,
    Fetch,
    InitiatorMessage,
    Offered,
    Records,
    ResponderMessage,
    Took,
)
from p2p_modelex.units import UnixMs

SESSION_BYTES_MAX = 64 * limits.MIB
"""One session moves at most this much; the next one goes on from there."""
EMPTY_BATCHES_MAX = 4
"""So many fetches in a row may bring nothing of what the peer listed."""


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
        self._to_fetch = list(plan.fetch)
        self._to_offer = list(plan.offer)
        self._empty_batches = 0
        self._question: InitiatorMessage | None = None

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
            self._to_fetch = list(self._comparison.need)
            self._to_offer = list(self._comparison.have)
            self._comparison = None
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
            case Offered(envelopes=offered), Took(accepted=accepted):
                if accepted > len(offered):
                    raise RemoteProtocolError("REC-2", "took more than was offered")
            case _:
                raise RemoteProtocolError("REC-2", "an answer to another question")

    def _on_records(self, keys: Sequence[bytes], envelopes: tuple[bytes, ...], now: UnixMs) -> None:
        wanted = tuple(peer_id_of(PublicKey(key)) for key in keys)
        self._intake.take(envelopes, now, wanted)
        self._empty_batches = 0 if envelopes else self._empty_batches + 1
        if self.plan.compares and self._empty_batches >= EMPTY_BATCHES_MAX:
            raise RemoteProtocolError("REC-9", "lists what it does not hold")


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
