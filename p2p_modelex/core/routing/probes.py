"""Probing: fresh load from candidates, and our own load for those who ask. Rules PRB-n."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TypeVar

import msgspec

from p2p_modelex.core.crowd import Crowd
from p2p_modelex.core.effects import (
    CancelTimer,
    CloseStream,
    Effect,
    OpenStream,
    Penalize,
    ResetStream,
    Send,
    SetTimer,
    StreamId,
    TimerId,
)
from p2p_modelex.core.inputs import (
    FrameReceived,
    Input,
    StreamEnded,
    StreamFailed,
    StreamOpened,
    StreamReady,
    TimerFired,
)
from p2p_modelex.core.routing.loads import ProbeBook
from p2p_modelex.errors import RemoteProtocolError
from p2p_modelex.ids import PeerId
from p2p_modelex.records import codec
from p2p_modelex.records.job import Load, Probe
from p2p_modelex.units import UnixMs

PROBE_PROTOCOL = "/modelex/probe/1"
PROBE_FRAME_BYTES = 64
PROBE_TIMEOUT_MS = 1_000
"""An answer that takes longer says enough: the peer counts as unknown."""
# An asker that has not put its question by then is dropped.
_QUESTION_TIMEOUT_MS = 10_000
PROBES_MAX = 64
"""Probes of ours under way."""
ASKERS_MAX = 256
ASKERS_PER_PEER_MAX = 32
"""Streams of others under way, and of one of them; whoever has most makes room for others."""
_TIMER = "probe/"
M = TypeVar("M", Probe, Load)


@dataclass(slots=True)
class _Probing:
    """asked_at: when the question went out, which a dial may have come before."""

    peer: PeerId
    nonce: int
    asked_at: UnixMs


class ProbeMachine:
    """Asks loads and answers for ours. Timers begin with `probe/`."""

    def __init__(
        self,
        own_load: Callable[[], Load],
        next_stream: Callable[[], StreamId],
        book: ProbeBook,
    ) -> None:
        """`own_load` gives our numbers now; its nonce is replaced. A node that sells nothing
        gives slots 0.
        """
        self._own_load = own_load
        self._next_stream = next_stream
        self._book = book
        self._probing: dict[StreamId, _Probing] = {}
        self._askers: dict[StreamId, PeerId] = {}
        self._crowd: Crowd[StreamId, PeerId] = Crowd(ASKERS_MAX, ASKERS_PER_PEER_MAX)

    def owns(self, stream: StreamId) -> bool:
        """Whether inputs about this stream belong here."""
        return stream in self._probing or stream in self._askers

    def ask(
        self, targets: Iterable[tuple[PeerId, tuple[str, ...]]], now: UnixMs
    ) -> tuple[Effect, ...]:
        """Probe peers (with their addresses) who were not asked lately and are not being asked."""
        effects: list[Effect] = []
        for peer, addresses in targets:
            known = self._book.is_recent(peer, now) or self.is_waiting((peer,))
            if known or len(self._probing) >= PROBES_MAX:
                continue
            stream = self._next_stream()
            # The stream's number is nonce enough: the stream itself is authenticated.
            self._probing[stream] = _Probing(peer, int(stream), now)
            effects.append(OpenStream(stream, peer, addresses, PROBE_PROTOCOL))
            effects.append(_arm(stream, now + PROBE_TIMEOUT_MS))
        return tuple(effects)

    def is_waiting(self, peers: Sequence[PeerId]) -> bool:
        """Whether an answer of any of these is still to come (it comes or times out in 1 s)."""
        return any(probing.peer in peers for probing in self._probing.values())

    def step(self, input_: Input, now: UnixMs) -> tuple[Effect, ...]:
        """Take one input."""
        match input_:
            case StreamOpened(stream=stream, protocol=protocol) if protocol == PROBE_PROTOCOL:
                return self._admit(stream, input_.peer, now)
            case TimerFired(timer=timer) if timer.startswith(_TIMER):
                stream = StreamId(int(timer.removeprefix(_TIMER)))
                return (ResetStream(stream),) if self._forget(stream) else ()
            case StreamReady(stream=stream) if stream in self._probing:
                self._probing[stream].asked_at = now
                return (Send(stream, codec.encode(Probe(self._probing[stream].nonce))),)
            case FrameReceived(stream=stream) if self.owns(stream):
                return self._on_frame(input_, now)
            case StreamFailed(stream=stream) | StreamEnded(stream=stream) if self.owns(stream):
                self._forget(stream)
                return (CloseStream(stream), _disarm(stream))
            case _:
                return ()

    def _admit(self, stream: StreamId, peer: PeerId, now: UnixMs) -> tuple[Effect, ...]:
        gone = self._crowd.enter(stream, peer)
        if gone == stream:
            return (ResetStream(stream),)
        self._askers[stream] = peer
        arm = _arm(stream, now + _QUESTION_TIMEOUT_MS)
        if gone is None:
            return (arm,)
        self._askers.pop(gone)
        return (ResetStream(gone), _disarm(gone), arm)

    def _on_frame(self, frame: FrameReceived, now: UnixMs) -> tuple[Effect, ...]:
        stream = frame.stream
        probing = self._probing.get(stream)
        peer = probing.peer if probing else self._askers[stream]
        self._forget(stream)
        try:
            if probing is None:
                probe = _decode(Probe, frame.payload)
                load = msgspec.structs.replace(self._own_load(), nonce=probe.nonce)
                return (Send(stream, codec.encode(load)), CloseStream(stream), _disarm(stream))
            answer = _decode(Load, frame.payload)
            if answer.nonce != probing.nonce:
                raise RemoteProtocolError("PRB-2", "the answer to another probe")
            self._book.put(peer, answer, now)
            self._book.note_trip(peer, max(now - probing.asked_at, 0))
            return (CloseStream(stream), _disarm(stream))
        except RemoteProtocolError as error:
            blame = Penalize(peer, "protocol", error.message)
            return (blame, ResetStream(stream), _disarm(stream))

    def _forget(self, stream: StreamId) -> bool:
        probing = self._probing.pop(stream, None)
        asker = self._askers.pop(stream, None)
        self._crowd.leave(stream)
        return probing is not None or asker is not None


def _arm(stream: StreamId, at: int) -> SetTimer:
    return SetTimer(TimerId(f"{_TIMER}{stream}"), UnixMs(at))


def _disarm(stream: StreamId) -> CancelTimer:
    return CancelTimer(TimerId(f"{_TIMER}{stream}"))


def _decode(kind: type[M], payload: bytes) -> M:
    try:
        message: M = codec.decode(kind, payload, limit=PROBE_FRAME_BYTES)
    except RemoteProtocolError as error:
        raise RemoteProtocolError("PRB-1", error.message) from error
    return message
