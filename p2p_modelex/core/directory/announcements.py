"""Announcements: judge the gossip, remember what to fetch and from whom. Rules ANN-n."""

import heapq
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from p2p_modelex import limits
from p2p_modelex.core.buckets import TokenBuckets
from p2p_modelex.core.crowd import Crowd
from p2p_modelex.core.verdict import ACCEPTED, Verdict, ignore, reject
from p2p_modelex.errors import RemoteProtocolError
from p2p_modelex.ids import PeerId, PublicKey, peer_id_of
from p2p_modelex.records import codec
from p2p_modelex.records.advertisement import Announcements
from p2p_modelex.units import UnixMs

PENDING_MAX = 512
"""Announced records waiting to be fetched: what eight neighbours hand over in the pause between two
questions. More are left to reconciliation. Whose forwarder has most of them waiting makes room.
"""
SOURCES_MAX = 4096
"""Sources whose last question is remembered; the one asked longest ago is forgotten."""
# Superseded times tolerated before the heap is built anew.
_HEAP_SLACK = 64


def decode_announcements(payload: bytes) -> Announcements:
    """Decode a gossip payload; RemoteProtocolError ANN-2 otherwise."""
    try:
        message: Announcements = codec.decode(
            Announcements, payload, limit=limits.GOSSIP_MESSAGE_BYTES
        )
    except RemoteProtocolError as error:
        raise RemoteProtocolError("ANN-2", error.message) from error
    return message


class AnnouncementJudge:
    """Judges gossip before it is forwarded; remembers how much each origin said."""

    def __init__(self) -> None:
        self._origins = TokenBuckets(
            limits.GOSSIP_ORIGIN_BURST,
            int(1000 / limits.GOSSIP_ORIGIN_RATE),
            limits.GOSSIP_ORIGINS_MAX,
        )

    def judge(self, origin: PeerId, payload: bytes, now: UnixMs) -> Verdict:
        """Judge one message and count it."""
        if len(payload) > limits.GOSSIP_MESSAGE_BYTES:
            return reject("ANN-1", f"{len(payload)} bytes")
        try:
            message = decode_announcements(payload)
        except RemoteProtocolError as error:
            return reject("ANN-2", error.message)
        peers = [item.peer for item in message.items]
        if len(set(peers)) != len(peers):
            return reject("ANN-3", "a peer is announced twice")
        if not self._origins.take(origin, now):
            return ignore("ANN-4", "the origin says too much")
        if any(item.sequence > now + limits.CLOCK_SKEW_MS for item in message.items):
            return ignore("ANN-5", "a sequence from the future")
        return ACCEPTED


@dataclass(slots=True)
class _Pending:
    sequence: int
    sources: tuple[PeerId, ...]
    attempt: int
    due: UnixMs


class PendingFetches:
    """Announced records not yet held: bounded, each source tried once, then forgotten.

    A source is asked once in `pause_ms`, then for all that waits for it: a session for each
    announcement would use up what a peer allows us (REC-10), and who floods gossip would set our
    pace.

    Every step of the directory asks when the next is due, so what waits lies in a heap: in a mesh
    where everybody joins at once, looking through it was most of what a node did.
    """

    def __init__(self, attempts: int, pause_ms: int) -> None:
        self._attempts = attempts
        self._pause_ms = pause_ms
        self._free_at: dict[PeerId, int] = {}
        self._pending: dict[bytes, _Pending] = {}
        # May hold superseded times; `_pending` says which one counts.
        self._heap: list[tuple[UnixMs, bytes]] = []
        self._crowd: Crowd[bytes, PeerId] = Crowd(PENDING_MAX, PENDING_MAX)

    def __len__(self) -> int:
        return len(self._pending)

    def add(self, key: bytes, sequence: int, sources: Iterable[PeerId], due: UnixMs) -> None:
        """Remember an announced record and whom to ask for it, its forwarder first, unless there
        are too many.
        """
        known = self._pending.get(key)
        if known is not None and known.sequence >= sequence:
            return
        candidates = (*sources, peer_id_of(PublicKey(key)))
        gone = self._crowd.enter(key, candidates[0]) if known is None else None
        if gone == key:
            return
        if gone is not None:
            del self._pending[gone]
        unique = tuple(dict.fromkeys(candidates))[: self._attempts]
        self._pending[key] = _Pending(sequence, unique, 0, due)
        self._push(key, due)

    def _push(self, key: bytes, due: UnixMs) -> None:
        heapq.heappush(self._heap, (due, key))
        if len(self._heap) > 2 * len(self._pending) + _HEAP_SLACK:
            self._heap = [(one.due, key) for key, one in self._pending.items()]
            heapq.heapify(self._heap)

    def next_due(self) -> UnixMs | None:
        """When `take_due` has something."""
        while self._heap:
            due, key = self._heap[0]
            one = self._pending.get(key)
            if one is not None and one.due == due:
                return due
            heapq.heappop(self._heap)
        return None

    def take_due(
        self, now: UnixMs, held: Callable[[bytes], int | None], retry_at: UnixMs
    ) -> dict[PeerId, list[bytes]]:
        """Return the keys to fetch now by source; what is held already, or has no source left, is
        forgotten, and the others come again at `retry_at`, from their next source. What waits for
        a source that was asked just now comes when it may be asked again.
        """
        by_source: dict[PeerId, list[bytes]] = {}
        again: dict[bytes, UnixMs] = {}
        while (due := self.next_due()) is not None and due <= now:
            _, key = heapq.heappop(self._heap)
            if key in again:  # announced twice for the same time
                continue
            one = self._pending[key]
            sequence = held(key)
            fetched = sequence is not None and sequence >= one.sequence
            if fetched or one.attempt >= len(one.sources):
                del self._pending[key]
                self._crowd.leave(key)
                continue
            source = one.sources[one.attempt]
            again[key] = retry_at
            if source in by_source or self._may_ask(source, now):
                by_source.setdefault(source, []).append(key)
                one.attempt += 1
            else:
                again[key] = UnixMs(self._free_at[source])
        for key, at in again.items():
            self._pending[key].due = at
            self._push(key, at)
        return by_source

    def _may_ask(self, source: PeerId, now: UnixMs) -> bool:
        """Whether a source may be asked again; that counts as asking it."""
        if self._free_at.get(source, 0) > now:
            return False
        self._free_at.pop(source, None)
        self._free_at[source] = now + self._pause_ms
        if len(self._free_at) > SOURCES_MAX:
            del self._free_at[next(iter(self._free_at))]
        return True
