"""Members of a farm tell each other how they are doing, and lend each other of their lines.

Each word and each question has a stream of its own, as probes have. Timers begin with `members/`.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from p2p_modelex import limits
from p2p_modelex.core.crowd import Crowd
from p2p_modelex.core.effects import (
    CancelTimer,
    CloseStream,
    Effect,
    OpenStream,
    Penalize,
    Persist,
    ResetStream,
    Send,
    SetTimer,
    StreamId,
    TimerId,
)
from p2p_modelex.core.inputs import (
    ChannelFetched,
    FrameReceived,
    Input,
    StreamEnded,
    StreamFailed,
    StreamOpened,
    StreamReady,
    TimerFired,
)
from p2p_modelex.core.ledger.amount import Amount
from p2p_modelex.core.members import parameters
from p2p_modelex.core.members.borrowing import Borrowing
from p2p_modelex.core.members.hearsay import Fellow, Hearsay
from p2p_modelex.core.members.ports import Books, Desk
from p2p_modelex.errors import RemoteProtocolError
from p2p_modelex.ids import Address, ChannelId, PeerId, PublicKey
from p2p_modelex.records import codec
from p2p_modelex.records.channel import ChannelTerms
from p2p_modelex.records.members import (
    Borrow,
    Lent,
    MemberMessage,
    ServedPayer,
    SpareLine,
    Told,
)
from p2p_modelex.units import Epoch, UnixMs

TELL_TIMER = TimerId(parameters.MEMBERS_TIMERS + "tell")
_CALL, _NEED = parameters.MEMBERS_TIMERS + "call/", parameters.MEMBERS_TIMERS + "need/"


@dataclass(frozen=True, slots=True)
class _Call:
    """A stream of ours to a fellow, and what we say there. channel: on which we borrow, if so."""

    fellow: Fellow
    message: MemberMessage
    channel: ChannelId | None


class MembersMachine:
    """Speaks with the other members of our farms, and with nobody else."""

    def __init__(
        self,
        next_stream: Callable[[], StreamId],
        find_fellows: Callable[[UnixMs], Sequence[Fellow]],
        books: Books,
        desk: Desk,
        fetch: Callable[[ChannelId, ChannelTerms], list[Effect]],
        get_lack: Callable[[ChannelId], Amount],
    ) -> None:
        """find_fellows: the members now, by their certificates. fetch: has a channel read from the
        chain, which ChannelFetched answers. get_lack: what jobs that wait for our line on a channel
        lack there.
        """
        self._next_stream = next_stream
        self._find_fellows = find_fellows
        self._books = books
        self._desk = desk
        self._fetch = fetch
        self._get_lack = get_lack
        self._fellows: Sequence[Fellow] = ()
        self._hearsay = Hearsay()
        self._borrowing = Borrowing(books, self._hearsay)
        self._calls: dict[StreamId, _Call] = {}
        self._callers: dict[StreamId, PeerId] = {}
        self._crowd: Crowd[StreamId, PeerId] = Crowd(
            parameters.CALLS_MAX, parameters.CALLS_PER_PEER_MAX
        )
        # Those whose channel we have to read first.
        self._unread: dict[StreamId, tuple[PeerId, ChannelTerms, Borrow]] = {}

    def owns(self, stream: StreamId) -> bool:
        """Whether inputs about this stream belong here."""
        return stream in self._calls or stream in self._callers

    def is_waiting(self, channel: ChannelId) -> bool:
        """Whether others may yet lend what jobs lack on a channel."""
        return self._borrowing.is_waiting(channel)

    def get_least_wait_ms(self, payee: Address, now: UnixMs) -> int | None:
        """When the first of the other members that `payee` is paid for expects to have room."""
        farms = dict.fromkeys(fellow.farm for fellow in self._fellows if fellow.payee == payee)
        waits = [self._hearsay.get_least_wait_ms(farm, now) for farm in farms]
        return min((wait for wait in waits if wait is not None), default=None)

    def start(self, now: UnixMs) -> list[Effect]:
        """Set the first timer."""
        return [SetTimer(TELL_TIMER, UnixMs(now + parameters.TELL_INTERVAL_MS))]

    def borrow(self, terms: ChannelTerms, now: UnixMs) -> list[Effect]:
        """Ask others for what jobs lack on a channel; `is_waiting` says for how long."""
        if not self._borrowing.begin(terms, now):
            return []
        channel = self._books.get_id(terms)
        asking = self._ask(channel, now)
        if not self.is_waiting(channel):
            return []
        until = UnixMs(now + parameters.NEED_MS)
        return [SetTimer(TimerId(f"{_NEED}{channel.hex()}"), until), *asking]

    def step(self, happened: Input, now: UnixMs) -> list[Effect]:
        """Take one input."""
        match happened:
            case StreamOpened(stream, peer):
                return self._admit(stream, peer, now)
            case TimerFired(timer):
                return self._on_timer(timer, now)
            case StreamReady(stream):
                return self._say(stream)
            case FrameReceived(stream):
                return self._on_frame(happened, now)
            case StreamFailed(stream) | StreamEnded(stream):
                return [CloseStream(stream), *self._forget(stream, now)]
            case ChannelFetched(channel):
                return self._on_fetched(channel)
            case _:
                return []

    def _on_timer(self, timer: TimerId, now: UnixMs) -> list[Effect]:
        if timer == TELL_TIMER:
            return [*self.start(now), *self._tell(now)]
        if timer.startswith(_NEED):
            self._borrowing.end(ChannelId(bytes.fromhex(timer.removeprefix(_NEED))))
            return []
        stream = StreamId(int(timer.removeprefix(_CALL)))
        return [ResetStream(stream), *self._forget(stream, now)] if self.owns(stream) else []

    # What we say.

    def _tell(self, now: UnixMs) -> list[Effect]:
        """MEM-4: how we are doing, to every fellow."""
        self._fellows = self._find_fellows(now)
        self._hearsay.keep(self._fellows)
        self._desk.fade()
        wait_ms = self._desk.compute_wait_ms()
        served_of: dict[Address, Mapping[Address, int]] = {}
        effects: list[Effect] = []
        for fellow in self._fellows:
            if fellow.payee not in served_of:
                served_of[fellow.payee] = self._desk.take_served(fellow.payee)
            told = self._build_told(fellow, wait_ms, served_of[fellow.payee])
            effects += self._call(_Call(fellow, told, None), now)
        return effects

    def _build_told(self, fellow: Fellow, wait_ms: int, served: Mapping[Address, int]) -> Told:
        most = sorted(served.items(), key=lambda one: (-one[1], one[0]))[: limits.SERVED_TOLD_MAX]
        spares = self._books.get_spares(fellow.payee, limits.SPARES_TOLD_MAX)
        return Told(
            fellow.farm,
            wait_ms,
            tuple(ServedPayer(payer, min(tokens, 2**32 - 1)) for payer, tokens in most),
            tuple(SpareLine(channel, spare.wei, spare.epoch) for channel, spare in spares),
        )

    def _ask(self, channel: ChannelId, now: UnixMs) -> list[Effect]:
        """Ask the next fellow, if there is one, for what still lacks."""
        lack = self._get_lack(channel)
        chosen = self._borrowing.choose(channel, lack, self._fellows, now)
        return self._call(_Call(*chosen, channel), now) if chosen is not None else []

    def _call(self, call: _Call, now: UnixMs) -> list[Effect]:
        stream = self._next_stream()
        self._calls[stream] = call
        fellow = call.fellow
        protocol = parameters.MEMBERS_PROTOCOL
        return [OpenStream(stream, fellow.peer, fellow.addresses, protocol), _arm(stream, now)]

    def _say(self, stream: StreamId) -> list[Effect]:
        call = self._calls.get(stream)
        if call is None:
            return [ResetStream(stream)]
        said = Send(stream, codec.encode(call.message))
        if call.channel is not None:
            return [said]
        del self._calls[stream]
        return [said, CloseStream(stream), _disarm(stream)]

    # What others say.

    def _admit(self, stream: StreamId, peer: PeerId, now: UnixMs) -> list[Effect]:
        """MEM-1: nobody but members of our farms is heard."""
        is_fellow = any(fellow.peer == peer for fellow in self._fellows)
        gone = self._crowd.enter(stream, peer) if is_fellow else stream
        if gone == stream:
            return [ResetStream(stream)]
        self._callers[stream] = peer
        effects: list[Effect] = [_arm(stream, now)]
        return effects if gone is None else [ResetStream(gone), *self._forget(gone, now), *effects]

    def _on_frame(self, frame: FrameReceived, now: UnixMs) -> list[Effect]:
        stream = frame.stream
        call = self._calls.get(stream)
        peer = call.fellow.peer if call is not None else self._callers[stream]
        try:
            if call is not None:
                return self._on_lent(stream, call, frame.payload, now)
            return self._on_message(stream, peer, frame.payload, now)
        except RemoteProtocolError as error:
            blame = Penalize(peer, "protocol", f"MEM-3: {error.message}")
            return [blame, ResetStream(stream), *self._forget(stream, now)]

    def _on_lent(self, stream: StreamId, call: _Call, payload: bytes, now: UnixMs) -> list[Effect]:
        """MEM-9: what we were lent is durable before a job relies on it."""
        lent: Lent = codec.decode(Lent, payload, limit=limits.MEMBERS_FRAME_BYTES)
        assert call.channel is not None
        given = Amount(lent.given, Epoch(lent.epoch))
        rows = self._books.take(call.channel, call.fellow.peer, given)
        kept = [Persist(rows)] if rows else []
        return [*kept, CloseStream(stream), *self._forget(stream, now)]

    def _on_message(
        self, stream: StreamId, peer: PeerId, payload: bytes, now: UnixMs
    ) -> list[Effect]:
        limit = limits.MEMBERS_FRAME_BYTES
        message: MemberMessage = codec.decode(MemberMessage, payload, limit=limit)
        fellow = self._find(peer, PublicKey(message.farm))
        if fellow is None:
            return [ResetStream(stream), *self._forget(stream, now)]
        if isinstance(message, Told):
            self._hearsay.put(fellow, message, now)
            self._desk.charge({Address(one.payer): one.tokens for one in message.served})
            return [CloseStream(stream), *self._forget(stream, now)]
        terms = message.terms.to(fellow.payee)
        channel = self._books.get_id(terms)
        if self._books.is_known(channel):
            return self._lend(stream, peer, channel, message)
        if len(self._unread) >= parameters.UNREAD_MAX:
            return [ResetStream(stream), *self._forget(stream, now)]
        self._unread[stream] = peer, terms, message
        return self._fetch(channel, terms)

    def _find(self, peer: PeerId, farm: PublicKey) -> Fellow | None:
        """MEM-1: the peer as a member of that farm, if it is one with us."""
        named = (one for one in self._fellows if (one.peer, one.farm) == (peer, farm))
        return next(named, None)

    def _on_fetched(self, channel: ChannelId) -> list[Effect]:
        """A channel was read, or could not be: answer those who waited for it."""
        effects: list[Effect] = []
        for stream, (peer, terms, message) in list(self._unread.items()):
            if self._books.get_id(terms) == channel:
                del self._unread[stream]
                effects += self._lend(stream, peer, channel, message)
        return effects

    def _lend(
        self, stream: StreamId, peer: PeerId, channel: ChannelId, asked: Borrow
    ) -> list[Effect]:
        """MEM-7: what we give is off our line, and durable, before we say so."""
        epoch = Epoch(asked.epoch)
        have, want = Amount(asked.have, epoch), Amount(asked.want, epoch)
        given, rows = self._books.lend(channel, peer, have, want)
        answer = Send(stream, codec.encode(Lent(given.wei, given.epoch)))
        self._drop(stream)
        kept: list[Effect] = [Persist(rows)] if rows else []
        return [*kept, answer, CloseStream(stream), _disarm(stream)]

    def _forget(self, stream: StreamId, now: UnixMs) -> list[Effect]:
        """A stream is over; if we asked on it, the next fellow is asked."""
        call = self._drop(stream)
        channel = call.channel if call is not None else None
        more = self._ask(channel, now) if channel is not None and self.is_waiting(channel) else []
        return [_disarm(stream), *more]

    def _drop(self, stream: StreamId) -> _Call | None:
        self._callers.pop(stream, None)
        self._unread.pop(stream, None)
        self._crowd.leave(stream)
        return self._calls.pop(stream, None)


def _arm(stream: StreamId, now: UnixMs) -> SetTimer:
    return SetTimer(TimerId(f"{_CALL}{stream}"), UnixMs(now + parameters.CALL_TIMEOUT_MS))


def _disarm(stream: StreamId) -> CancelTimer:
    return CancelTimer(TimerId(f"{_CALL}{stream}"))
