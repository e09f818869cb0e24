"""The answering end of a reconciliation: one answer to each question, no memory between them."""

from collections.abc import Callable
from itertools import pairwise

from p2p_modelex import limits
from p2p_modelex.core.directory.directory import Directory
from p2p_modelex.core.directory.intake import Intake
from p2p_modelex.core.effects import CloseStream, Effect, ResetStream, Send, StreamId
from p2p_modelex.core.inputs import FrameReceived, Input, StreamEnded
from p2p_modelex.errors import RemoteProtocolError
from p2p_modelex.ids import PeerId
from p2p_modelex.records import codec
from p2p_modelex.records.reconciliation import (
    SPLIT_MAX,
    Bounds,
    Compare,
    Compared,
    Fetch,
    Held,
    InitiatorMessage,
    Listing,
    Pull,
    Pulled,
    Range,
    Records,
    ResponderMessage,
    Split,
    Took,
)
from p2p_modelex.units import UnixMs

SESSION_BYTES_MAX = 64 * limits.MIB
"""One session moves at most this much; the next one goes on from there."""
SMALL_RANGE = 16
"""A range with at most this many pairs is listed, not split."""
# An answer stops when it has about this much; with its last range it stays under a frame.
_ANSWER_BYTES = 384 * limits.KIB
_HELD_BYTES = 46
_RANGE_BYTES = 96
# Enough to compare, and then to pull or fetch and to be offered a whole directory.
FRAMES_MAX = (
    limits.RECONCILE_ROUNDS_MAX + 3 * limits.DIRECTORY_ENTRIES_MAX // limits.RECONCILE_BATCH_RECORDS
)


class ReconcileResponder:
    """One inbound stream. `done` once it is over."""

    def __init__(
        self,
        directory: Directory,
        stream: StreamId,
        peer: PeerId,
        may_compare: Callable[[int, UnixMs], bool],
    ) -> None:
        """may_compare: whether the peer may have so many ranges compared now; it counts them."""
        self.stream = stream
        self.peer = peer
        self.done = False
        self._directory = directory
        self._may_compare = may_compare
        self._intake = Intake(directory, peer)
        self._frames = 0
        self._bytes_moved = 0
        self._comparisons = 0

    def step(self, input_: Input, now: UnixMs) -> tuple[Effect, ...]:
        """Take a FrameReceived or StreamEnded of the stream."""
        match input_:
            case FrameReceived(payload=payload):
                try:
                    return self._on_frame(payload, now)
                except RemoteProtocolError as error:
                    self.done = True
                    blame = self._intake.blame(error)
                    return (*self._intake.drain(), blame, ResetStream(self.stream))
            case StreamEnded(clean=clean):
                self.done = True
                return (CloseStream(self.stream),) if clean else ()
            case _:
                return ()

    def _on_frame(self, payload: bytes, now: UnixMs) -> tuple[Effect, ...]:
        self._frames += 1
        if self._frames > FRAMES_MAX:
            raise RemoteProtocolError("REC-8", "too many messages")
        if self._bytes_moved > SESSION_BYTES_MAX:
            raise RemoteProtocolError("REC-8", "too many bytes")
        message = decode_question(payload)
        answer: ResponderMessage
        if isinstance(message, Compare):
            self._comparisons += 1
            if self._comparisons > limits.RECONCILE_ROUNDS_MAX:
                raise RemoteProtocolError("REC-8", "too many rounds")
            if not self._may_compare(len(message.ranges), now):  # REC-10
                self.done = True
                return (*self._intake.drain(), ResetStream(self.stream))
            answer = self._compare(message)
        elif isinstance(message, Fetch):
            answer = Records(collect(self._directory, message.peers, now))
        elif isinstance(message, Pull):
            validate_ranges(message.ranges)
            answer = pull(self._directory, message.ranges, now)
        else:
            answer = Took(self._intake.take(message.envelopes, now))
        data = codec.encode_bounded(answer, limits.RECONCILE_FRAME_BYTES)
        self._bytes_moved += len(payload) + len(data)
        return (*self._intake.drain(), Send(self.stream, data))

    def _compare(self, message: Compare) -> Compared:
        validate_ranges(message.ranges)
        differences: list[Split | Listing] = []
        size = answered = 0
        for asked in message.ranges:
            if size > _ANSWER_BYTES:
                break
            answered += 1
            held = self._directory.index.describe(asked.lower, asked.upper)
            if held == asked:
                continue
            difference = (
                list_range(self._directory, asked.lower, asked.upper)
                if held.count <= SMALL_RANGE
                else split_range(self._directory, asked.lower, asked.upper)
            )
            differences.append(difference)
            if isinstance(difference, Listing):
                size += _RANGE_BYTES + _HELD_BYTES * len(difference.items)
            else:
                size += _RANGE_BYTES * len(difference.parts)
        return Compared(answered, tuple(differences))


def decode_question(payload: bytes) -> InitiatorMessage:
    """Decode what an initiator sent; RemoteProtocolError REC-1 otherwise."""
    try:
        message: InitiatorMessage = codec.decode(
            InitiatorMessage, payload, limit=limits.RECONCILE_FRAME_BYTES
        )
    except RemoteProtocolError as error:
        raise RemoteProtocolError("REC-1", error.message) from error
    return message


def validate_ranges(ranges: tuple[Range, ...] | tuple[Bounds, ...]) -> None:
    """Raise RemoteProtocolError REC-3 unless ranges are not empty, in order and do not overlap."""
    last: bytes | None = None
    for asked in ranges:
        if asked.upper and asked.lower >= asked.upper:
            raise RemoteProtocolError("REC-3", "an empty range")
        if last is not None and (not last or asked.lower < last):
            raise RemoteProtocolError("REC-3", "ranges overlap or are not in order")
        last = asked.upper


def list_range(directory: Directory, lower: bytes, upper: bytes) -> Listing:
    """Return everything held in a range of at most SMALL_RANGE."""
    index = directory.index
    items = tuple(Held(key, index.sequence_of(key)) for key in index.keys(lower, upper))
    return Listing(lower, upper, items)


def split_range(directory: Directory, lower: bytes, upper: bytes) -> Split:
    """Cut a range of more than SMALL_RANGE into parts of about equal count."""
    keys = directory.index.keys(lower, upper)
    parts = min(SPLIT_MAX, -(-len(keys) // SMALL_RANGE))
    cuts = [len(keys) * part // parts for part in range(1, parts)]
    bounds = [lower, *(_shortest_between(keys[cut - 1], keys[cut]) for cut in cuts), upper]
    return Split(tuple(directory.index.describe(start, stop) for start, stop in pairwise(bounds)))


def _shortest_between(before: bytes, key: bytes) -> bytes:
    """Return the shortest prefix of `key` that is above `before`: short bounds save most bytes."""
    size = next(i for i in range(len(key)) if key[i] != before[i]) + 1
    return key[:size]


def collect(directory: Directory, keys: tuple[bytes, ...], now: UnixMs) -> tuple[bytes, ...]:
    """Return the envelopes held of these Ed25519 keys that have not expired."""
    envelopes = (directory.get_envelope(key, now) for key in keys)
    return tuple(envelope for envelope in envelopes if envelope is not None)


def pull(directory: Directory, ranges: tuple[Bounds, ...], now: UnixMs) -> Pulled:
    """Return the first envelopes in `ranges`, and where the next one is."""
    found: list[bytes] = []
    for asked in ranges:
        for key in directory.index.scan(asked.lower, asked.upper):
            envelope = directory.get_envelope(key, now)
            if envelope is None:
                continue
            if len(found) == limits.RECONCILE_BATCH_RECORDS:
                return Pulled(tuple(found), key)
            found.append(envelope)
    return Pulled(tuple(found), b"")
