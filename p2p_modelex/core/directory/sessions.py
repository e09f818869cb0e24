"""The reconciliations under way, ours and others': begun, fed, timed out, counted."""

from collections.abc import Callable
from functools import partial

from p2p_modelex.core.buckets import TokenBuckets
from p2p_modelex.core.crowd import Crowd
from p2p_modelex.core.directory.directory import Directory
from p2p_modelex.core.directory.initiator import Outcome, Plan, ReconcileInitiator
from p2p_modelex.core.directory.responder import ReconcileResponder
from p2p_modelex.core.directory.settings import DirectorySettings
from p2p_modelex.core.effects import (
    CancelTimer,
    Effect,
    OpenStream,
    ResetStream,
    SetTimer,
    StreamId,
    TimerId,
)
from p2p_modelex.core.inputs import (
    FrameReceived,
    StreamEnded,
    StreamFailed,
    StreamOpened,
    StreamReady,
)
from p2p_modelex.ids import PeerId
from p2p_modelex.units import UnixMs

RECONCILE_PROTOCOL = "/modelex/reconcile/1"
SESSION_TIMER = "directory/session/"
OUTBOUND_MAX = 16
INBOUND_MAX = 32
INBOUND_PER_PEER_MAX = 4
# REC-10. A peer may begin 16 sessions at once and one more every 2.5 s, half of them to fetch
# (settings.py: fetch_pause_ms); an honest one compares with us a few times a minute.
_SESSIONS_BURST = 16
_SESSIONS_INTERVAL_MS = 2_500
# What a session costs is the ranges it has compared: 0.17 ms each in a full directory. Two of those
# that differ in everything have 5,600 compared.
_RANGES_BURST = 8_192
_RANGES_INTERVAL_MS = 32
# A range as wide as the ring costs 6 ms more in a full directory: what is held is counted, cut and
# added up. So each question counts as one range more for so many that are held.
_HELD_PER_RANGE = 1_400
_BUDGET_PEERS_MAX = 4096

StreamInput = StreamReady | StreamFailed | FrameReceived | StreamEnded


class Sessions:
    """Every stream of RECONCILE_PROTOCOL."""

    def __init__(
        self,
        directory: Directory,
        next_stream: Callable[[], StreamId],
        settings: DirectorySettings,
    ) -> None:
        self.completed = 0
        """How many whole comparisons that we began ran to their end."""
        self.fruitful = 0
        """And brought something."""
        self._directory = directory
        self._next_stream = next_stream
        self._settings = settings
        self._outbound: dict[StreamId, ReconcileInitiator] = {}
        self._inbound: dict[StreamId, ReconcileResponder] = {}
        self._crowd: Crowd[StreamId, PeerId] = Crowd(INBOUND_MAX, INBOUND_PER_PEER_MAX)
        self._began: dict[StreamId, UnixMs] = {}
        self._budget = TokenBuckets(_SESSIONS_BURST, _SESSIONS_INTERVAL_MS, _BUDGET_PEERS_MAX)
        self._ranges = TokenBuckets(_RANGES_BURST, _RANGES_INTERVAL_MS, _BUDGET_PEERS_MAX)

    def owns(self, stream: StreamId) -> bool:
        """Whether a session runs on this stream."""
        return stream in self._outbound or stream in self._inbound

    def comparing(self) -> int:
        """How many whole comparisons that we began are under way."""
        return sum(session.plan.compares for session in self._outbound.values())

    def begin(self, peer: PeerId, plan: Plan, now: UnixMs) -> tuple[Effect, ...]:
        """Open a session, unless there are too many or, to compare or to fetch, one with this peer.

        On slow links a flood of announcements would else fill all places with fetches.
        """
        same = any(
            session.peer == peer
            and ((session.plan.compares and plan.compares) or (session.plan.fetch and plan.fetch))
            for session in self._outbound.values()
        )
        slow = self._find_slow(now) if len(self._outbound) >= OUTBOUND_MAX else None
        if same or (slow is None and len(self._outbound) >= OUTBOUND_MAX):
            return ()
        stream = self._next_stream()
        self._outbound[stream] = ReconcileInitiator(self._directory, stream, peer, plan)
        self._began[stream] = now
        entry = self._directory.get(peer)
        addresses = entry.advertisement.addresses if entry else ()
        opening = OpenStream(stream, peer, addresses, RECONCILE_PROTOCOL)
        return (*self._drop(slow), opening, self._arm(stream, now))

    def _find_slow(self, now: UnixMs) -> StreamId | None:
        """Our oldest session, if an honest one would be over: a peer must not stall them all."""
        oldest = next(iter(self._outbound))
        is_slow = now - self._began[oldest] >= self._settings.answer_timeout_ms
        return oldest if is_slow else None

    def admit(self, opened: StreamOpened, now: UnixMs) -> tuple[Effect, ...]:
        """Answer a stream that a peer opened, or refuse it (REC-10; nobody is blamed)."""
        may_begin = self._budget.take(opened.peer, now)
        gone = self._crowd.enter(opened.stream, opened.peer) if may_begin else opened.stream
        if gone == opened.stream:
            return (ResetStream(opened.stream),)
        may_compare = partial(self._take_ranges, opened.peer)
        session = ReconcileResponder(self._directory, opened.stream, opened.peer, may_compare)
        self._inbound[opened.stream] = session
        self._began[opened.stream] = now
        return (*self._drop(gone), self._arm(opened.stream, now))

    def _take_ranges(self, peer: PeerId, ranges: int, now: UnixMs) -> bool:
        wide = len(self._directory.index) // _HELD_PER_RANGE
        return self._ranges.take(peer, now, ranges + wide)

    def _drop(self, stream: StreamId | None) -> tuple[Effect, ...]:
        """End a session that makes room for another."""
        return () if stream is None else (self._forget(stream), ResetStream(stream))

    def feed(self, input_: StreamInput, now: UnixMs) -> tuple[Effect, ...]:
        """Pass an input to the session of its stream."""
        stream = input_.stream
        inbound = self._inbound.get(stream)
        if inbound is not None:
            effects = inbound.step(input_, now)
            over = inbound.done
        else:
            outbound = self._outbound[stream]
            effects = outbound.step(input_, now)
            over = outbound.outcome is not None
            is_whole = outbound.plan.compares and outbound.outcome is Outcome.DONE
            self.completed += is_whole
            self.fruitful += is_whole and outbound.taken > 0
        return (*effects, self._forget(stream) if over else self._arm(stream, now))

    def on_timer(self, timer: TimerId) -> tuple[Effect, ...]:
        """Drop the session that waited too long for its peer, or took too long in all."""
        stream = StreamId(int(timer.removeprefix(SESSION_TIMER)))
        if not self.owns(stream):
            return ()
        self._forget(stream)
        return (ResetStream(stream),)

    def _arm(self, stream: StreamId, now: UnixMs) -> SetTimer:
        last = self._began[stream] + self._settings.session_timeout_ms
        at = min(now + self._settings.answer_timeout_ms, last)
        return SetTimer(TimerId(f"{SESSION_TIMER}{stream}"), UnixMs(at))

    def _forget(self, stream: StreamId) -> CancelTimer:
        self._outbound.pop(stream, None)
        self._inbound.pop(stream, None)
        self._crowd.leave(stream)
        del self._began[stream]
        return CancelTimer(TimerId(f"{SESSION_TIMER}{stream}"))
