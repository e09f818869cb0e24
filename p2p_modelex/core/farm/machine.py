"""Farms' records on the move: asked of members, told to who asks, gossiped. Rules FRM-n."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Protocol, TypeVar

from p2p_modelex import limits
from p2p_modelex.core.crowd import Crowd
from p2p_modelex.core.effects import (
    CancelTimer,
    CloseStream,
    Effect,
    OpenStream,
    Penalize,
    Persist,
    Publish,
    ResetStream,
    Send,
    SetTimer,
    StreamId,
    TimerId,
)
from p2p_modelex.core.farm.book import WANTED_MAX, FarmBook
from p2p_modelex.core.inputs import (
    FrameReceived,
    GossipArrived,
    Input,
    StreamEnded,
    StreamFailed,
    StreamOpened,
    StreamReady,
    TimerFired,
)
from p2p_modelex.core.verdict import Verdict
from p2p_modelex.errors import RemoteProtocolError
from p2p_modelex.ids import PeerId, PublicKey, format_peer_id, peer_id_of
from p2p_modelex.records import codec
from p2p_modelex.records.farm import FarmAnswer, FarmQuestion
from p2p_modelex.units import Millis, UnixMs

FARM_PROTOCOL = "/modelex/farm/1"
FARMS_TOPIC = "/modelex/farms/1/0"

ASKED_MEMBERS = 3
"""Members asked at once: one that was just revoked would rather not know."""
ASKING_MAX = 64
"""Questions of ours under way; who names more farms at once goes by what is known."""
ANSWER_MS = Millis(1_000)
"""An answer that takes longer is not waited for; what is known stands until it comes."""
LATE_MS = Millis(10_000)
"""How long after that it is heard all the same: the quicker ones may be of those revoked, and old.
"""
REFRESH_MS = Millis(5 * 60_000)
"""A record that was asked for longer ago is asked for again, and not waited for."""
STALE_MS = Millis(3_600_000)
"""Unless it is this long ago, or before the node started: gossip may have been missed."""
TELL_MS = Millis(10_000)
"""How long after a start, or a new record, it is gossiped: neighbours must be there by then."""
TOLD_AGAIN_MS = Millis(3_600_000)
"""And how often after that."""
_QUESTION_MS = 10_000
_ASKERS_MAX = 64
_ASKERS_PER_PEER_MAX = 8
_TELL = TimerId("farm/tell")
_REFRESH = TimerId("farm/refresh")
_STREAM = "farm/stream/"

M = TypeVar("M", FarmQuestion, FarmAnswer)
Members = Sequence[tuple[PeerId, tuple[str, ...]]]
"""Peers with their addresses."""


class Rng(Protocol):
    """The part of random.Random that is used."""

    def random(self) -> float:
        """Return a number in [0, 1)."""
        ...


@dataclass(frozen=True, slots=True)
class _Asking:
    """is_awaited: whether what is known is too old to choose by, or there is nothing. is_late:
    whether nobody waits for it any more.
    """

    farm: PublicKey
    peer: PeerId
    is_awaited: bool
    is_late: bool = False


class FarmMachine:
    """Keeps the records of a FarmBook fresh. Timers begin with `farm/`."""

    def __init__(
        self,
        book: FarmBook,
        find_members: Callable[[str], Members],
        next_stream: Callable[[], StreamId],
        rng: Rng,
    ) -> None:
        """find_members: who shows a certificate of a farm, by its id."""
        self.book = book
        self._find_members = find_members
        self._next_stream = next_stream
        self._rng = rng
        self._asking: dict[StreamId, _Asking] = {}
        self._asked_at: dict[PublicKey, UnixMs] = {}
        self._askers: dict[StreamId, PeerId] = {}
        self._crowd: Crowd[StreamId, PeerId] = Crowd(_ASKERS_MAX, _ASKERS_PER_PEER_MAX)
        self._ours: tuple[PublicKey, ...] = ()

    def owns(self, stream: StreamId) -> bool:
        """Whether inputs about this stream belong here."""
        return stream in self._asking or stream in self._askers

    def start(self, now: UnixMs) -> list[Effect]:
        """Set the first timers."""
        return [SetTimer(_TELL, UnixMs(now + TELL_MS)), SetTimer(_REFRESH, UnixMs(now + TELL_MS))]

    def set_ours(
        self, farms: Iterable[PublicKey], records: Iterable[bytes], now: UnixMs
    ) -> list[Effect]:
        """Care for these farms from now on, and take over what their owners wrote; a record that is
        news is told to the mesh.
        """
        self._ours = tuple(farms)
        self.book.keep_ours(self._ours)
        news = [record for record in records if self.book.judge(record, now).accepted]
        kept = [effect for record in news for effect in self._persist(record)]
        return [*kept, SetTimer(_TELL, UnixMs(now + TELL_MS))] if kept else []

    def ask(self, farm: PublicKey, now: UnixMs) -> tuple[Effect, ...]:
        """Ask some members for the farm's record, unless it was asked for lately."""
        self.book.want(farm)
        last = self._asked_at.get(farm)
        is_recent = last is not None and now - last < REFRESH_MS
        if is_recent or len(self._asking) >= ASKING_MAX:
            return ()
        members = list(self._find_members(format_peer_id(peer_id_of(farm))))
        for at in range(min(ASKED_MEMBERS, len(members))):
            other = at + int(self._rng.random() * (len(members) - at))
            members[at], members[other] = members[other], members[at]
        if not members:
            return ()
        self._asked_at.pop(farm, None)
        self._asked_at[farm] = now
        if len(self._asked_at) > WANTED_MAX:
            del self._asked_at[next(iter(self._asked_at))]
        is_old = last is None or now - last >= STALE_MS
        is_awaited = is_old or self.book.get(farm, now) is None
        effects: list[Effect] = []
        for peer, addresses in members[:ASKED_MEMBERS]:
            stream = self._next_stream()
            self._asking[stream] = _Asking(farm, peer, is_awaited)
            effects += (
                OpenStream(stream, peer, addresses, FARM_PROTOCOL),
                _arm(stream, now + ANSWER_MS),
            )
        return tuple(effects)

    def is_waiting(self, farm: PublicKey) -> bool:
        """Whether a choice of members must wait: what is known of the farm is old, and an answer is
        to come. All are waited for: the first may be of one that was revoked, and old too.
        """
        return any(
            one.farm == farm and one.is_awaited and not one.is_late for one in self._asking.values()
        )

    def is_asking(self, farm: PublicKey) -> bool:
        """Whether an answer of any member is to come; it comes or times out in 1 s."""
        return any(one.farm == farm and not one.is_late for one in self._asking.values())

    def judge_gossip(self, origin: PeerId, payload: bytes, now: UnixMs) -> Verdict:
        """Judge a message on FARMS_TOPIC before it is passed on; what is good is taken over."""
        return self.book.judge_gossip(origin, payload, now)

    def step(self, happened: Input, now: UnixMs) -> list[Effect]:
        """Take one input about our streams, gossip and timers."""
        match happened:
            case StreamOpened(stream, peer):
                return self._admit(stream, peer, now)
            case StreamReady(stream) if stream in self._asking:
                return [Send(stream, self._ask(self._asking[stream].farm, now))]
            case FrameReceived(stream, payload) if self.owns(stream):
                return self._on_frame(stream, payload, now)
            case StreamFailed(stream) | StreamEnded(stream) if self.owns(stream):
                self._forget(stream)
                return [CloseStream(stream), _disarm(stream)]
            case GossipArrived(topic, payload=payload) if topic == FARMS_TOPIC:
                return self._persist(payload)  # the validator has judged it
            case TimerFired(timer):
                return self._on_timer(timer, now)
            case _:
                return []

    def _ask(self, farm: PublicKey, now: UnixMs) -> bytes:
        held = self.book.get(farm, now)
        return codec.encode(FarmQuestion(farm, held.envelope if held else b""))

    def _admit(self, stream: StreamId, peer: PeerId, now: UnixMs) -> list[Effect]:
        gone = self._crowd.enter(stream, peer)
        if gone == stream:
            return [ResetStream(stream)]
        self._askers[stream] = peer
        effects: list[Effect] = [_arm(stream, now + _QUESTION_MS)]
        if gone is not None:
            self._askers.pop(gone)
            effects += [ResetStream(gone), _disarm(gone)]
        return effects

    def _on_frame(self, stream: StreamId, payload: bytes, now: UnixMs) -> list[Effect]:
        asking = self._asking.get(stream)
        peer = asking.peer if asking else self._askers[stream]
        self._forget(stream)
        try:
            if asking is not None:
                answer = _decode(FarmAnswer, payload)
                kept = self._hear(answer.record, asking.farm, now)
                return [*kept, CloseStream(stream), _disarm(stream)]
            question = _decode(FarmQuestion, payload)
            farm = PublicKey(question.farm)
            kept = self._hear(question.record, farm, now)
            news = FarmAnswer(self._find_news(farm, question.record, now))
            return [*kept, Send(stream, codec.encode(news)), CloseStream(stream), _disarm(stream)]
        except RemoteProtocolError as error:
            if asking is not None and asking.farm in self._asked_at:  # as if it had not been asked
                self._asked_at[asking.farm] = UnixMs(now - REFRESH_MS)
            return [Penalize(peer, "protocol", error.message), ResetStream(stream), _disarm(stream)]

    def _hear(self, record: bytes, farm: PublicKey, now: UnixMs) -> list[Effect]:
        """Take a record over if it is news; RemoteProtocolError if it is one that FRM rejects."""
        if not record:
            return []
        verdict = self.book.judge(record, now, expected=farm)
        if verdict.rejected:
            raise RemoteProtocolError(verdict.rule, verdict.reason)
        return self._persist(record) if verdict.accepted else []

    def _persist(self, record: bytes) -> list[Effect]:
        row = self.book.find_row(record)
        return [] if row is None else [Persist((row,))]

    def _find_news(self, farm: PublicKey, known: bytes, now: UnixMs) -> bytes:
        """Return our record of a farm where it is newer than what the asker sent."""
        held = self.book.get(farm, now)
        return b"" if held is None or held.envelope == known else held.envelope

    def _on_timer(self, timer: TimerId, now: UnixMs) -> list[Effect]:
        if timer == _TELL:
            held = [record for farm in self._ours if (record := self.book.get(farm, now))]
            told: list[Effect] = [Publish(FARMS_TOPIC, one.envelope) for one in held]
            return [*told, SetTimer(_TELL, UnixMs(now + TOLD_AGAIN_MS))]
        if timer == _REFRESH:
            asked = [effect for farm in self._ours for effect in self.ask(farm, now)]
            return [*asked, SetTimer(_REFRESH, UnixMs(now + REFRESH_MS))]
        stream = StreamId(int(timer.removeprefix(_STREAM)))
        asking = self._asking.get(stream)
        if asking is not None and not asking.is_late:
            self._asking[stream] = replace(asking, is_late=True)
            return [_arm(stream, now + LATE_MS)]
        return [ResetStream(stream)] if self._forget(stream) else []

    def _forget(self, stream: StreamId) -> bool:
        asking = self._asking.pop(stream, None)
        asker = self._askers.pop(stream, None)
        self._crowd.leave(stream)
        return asking is not None or asker is not None


def _arm(stream: StreamId, at: int) -> SetTimer:
    return SetTimer(TimerId(f"{_STREAM}{stream}"), UnixMs(at))


def _disarm(stream: StreamId) -> CancelTimer:
    return CancelTimer(TimerId(f"{_STREAM}{stream}"))


def _decode(kind: type[M], payload: bytes) -> M:
    try:
        message: M = codec.decode(kind, payload, limit=limits.FARM_FRAME_BYTES)
    except RemoteProtocolError as error:
        raise RemoteProtocolError("FRM-14", error.message) from error
    return message
