"""Selling: the provider's exchanges of a node, and what their engines owe them."""

from collections.abc import Iterable, Mapping

import msgspec

from p2p_modelex.core.admission import Admission
from p2p_modelex.core.caching import Caching
from p2p_modelex.core.effects import (
    CountTokens,
    Effect,
    FetchChannel,
    FetchSplit,
    Generate,
    Penalize,
    Persist,
    ResetStream,
    StopGenerating,
    StreamId,
)
from p2p_modelex.core.exchange.provider import ProviderExchange
from p2p_modelex.core.exchange.sale import Stake
from p2p_modelex.core.exchange.terms import OpenJobs, Seller
from p2p_modelex.core.inputs import (
    ChannelFetched,
    EngineFailed,
    EngineFinished,
    EngineProduced,
    EngineStarted,
    FrameReceived,
    Input,
    ShutDown,
    SplitFetched,
    StreamEnded,
    StreamOpened,
    TimerFired,
    TokensCounted,
)
from p2p_modelex.core.ledger.payee import PayeeLedger
from p2p_modelex.core.members.parameters import MEMBERS_PROTOCOL, MEMBERS_TIMERS
from p2p_modelex.core.redeeming import Redeeming
from p2p_modelex.core.sharing import Neighbourhood, Sharing
from p2p_modelex.core.split_watch import SplitWatch
from p2p_modelex.ids import ChannelId, JobId, PeerId
from p2p_modelex.records.job import Load
from p2p_modelex.records.rows import Row
from p2p_modelex.units import UnixMs

STREAMS_MAX = 1024
"""Exchange streams of all peers together."""

STREAMS_PER_PEER_MAX = 96
"""Exchange streams of one peer: a busy requester's lanes and some more; under the transport's
limit, so that reconciliation with the same peer goes on.
"""

EARLY_MAX = 16
"""Orders in a later split epoch than we know, held until the chain was asked; others are refused
at once as busy, since strangers can send such.
"""

EngineAnswer = TokensCounted | EngineStarted | EngineProduced | EngineFinished | EngineFailed
_LAST_ANSWERS = (TokensCounted, EngineFinished, EngineFailed)


class Selling:
    """Every provider exchange of a node, by stream; and the redeeming of what they bring."""

    def __init__(
        self,
        seller: Seller,
        ledger: PayeeLedger,
        slots: int,
        slots_of: Mapping[str, int],
        splits: SplitWatch,
        around: Neighbourhood,
    ) -> None:
        """`slots`: requests that the engines run at once, all together; `slots_of`: each model's,
        where they are known. `around`: for what is shared with members of our farms.
        """
        self._seller = seller
        self._ledger = ledger
        self._redeeming = Redeeming(ledger)
        self._exchanges: dict[StreamId, ProviderExchange] = {}
        # Those that have a job, whose name is its own (EXC-7): every token looks one up.
        self._by_job: dict[JobId, ProviderExchange] = {}
        self._streams_of: dict[PeerId, int] = {}
        self._splits = splits
        self._admission = Admission(slots, slots_of)
        self._open_jobs = OpenJobs(self._admission.compute_retry_ms)
        self._sharing = Sharing(around, self._admission, self._redeeming, self._get_waiting)
        self._caching = Caching()
        # Jobs that must make room, refused once the step at hand is done.
        self._crowded_out: list[JobId] = []
        self._is_leaving = False

    @property
    def is_idle(self) -> bool:
        """Whether no job is in hand; streams on which nothing was asked do not count."""
        return all(exchange.job is None for exchange in self._exchanges.values())

    def owns(self, stream: StreamId) -> bool:
        """Whether inputs about this stream belong here."""
        return stream in self._exchanges or self._sharing.owns(stream)

    def stock(self, seller: Seller, now: UnixMs) -> None:
        """Sell on these terms from now on; streams that are open keep the older ones, and prices
        that were lower are held for a while (EXC-6).
        """
        self._seller = self._seller.give_way(seller, now)

    def get_load(self) -> Load:
        """Our load now, for those who probe: only jobs that are admitted and paid for count."""
        return msgspec.structs.replace(self._admission.get_load(), cached=self._caching.share)

    def restore(self, rows: Iterable[Row]) -> None:
        """Take over who has paid us and who owes; call before `start`."""
        self._admission.note(rows)

    def start(self, now: UnixMs) -> list[Effect]:
        """Set the first timers."""
        return [*self._redeeming.start(now), *self._sharing.start(now)]

    def step(self, happened: Input, now: UnixMs) -> list[Effect]:
        """Take one input."""
        match happened:
            case _ if isinstance(happened, EngineAnswer):
                return self._on_engine(happened, now)
            case StreamOpened(protocol=protocol) if protocol == MEMBERS_PROTOCOL:
                return self._share(happened, now)
            case TimerFired(timer) if timer.startswith(MEMBERS_TIMERS):
                return self._share(happened, now)
            case StreamOpened():
                return self._open(happened, now)
            case ChannelFetched():
                effects = self._redeeming.step(happened, now)
                self._learn(effects)
                return effects + self._share(happened, now) + self._go_on(happened, now)
            case SplitFetched():
                return self._step_exchanges(self._all(), happened, now)
            case ShutDown():
                self._is_leaving = True
                return self._step_exchanges(self._all(), happened, now)
            case _:
                return self._redeeming.step(happened, now)

    def move(self, seller: Seller) -> None:
        """The token has split: sell at prices of the new epoch; jobs in hand keep theirs."""
        self._seller = seller
        for exchange in self._all():
            exchange.sell(seller)

    def retry(self, now: UnixMs) -> list[Effect]:
        """The pause of a split is over: redeem what it kept from being redeemed."""
        return self._redeeming.retry(now)

    def step_stream(self, stream: StreamId, happened: Input, now: UnixMs) -> list[Effect]:
        """Take one input about a stream that `owns` says is ours, its timers included."""
        if self._sharing.owns(stream):
            return self._share(happened, now)
        if isinstance(happened, FrameReceived):
            self._admission.forget_stream(stream)
        return self._step_exchanges([self._exchanges[stream]], happened, now)

    def _share(self, happened: Input, now: UnixMs) -> list[Effect]:
        """Something about other members of our farms; jobs may have waited for it."""
        effects = self._sharing.step(happened, now)
        for fetched in self._sharing.release():
            effects += self._step_exchanges(self._all(), fetched, now)
        return effects

    def _go_on(self, fetched: ChannelFetched, now: UnixMs) -> list[Effect]:
        """A channel was read: the jobs that waited go on, or wait for what others may lend."""
        is_held, effects = self._sharing.hold(fetched, now)
        return effects if is_held else effects + self._step_exchanges(self._all(), fetched, now)

    def _get_waiting(self, channel: ChannelId) -> list[Stake]:
        return [one.stake for one in self._all() if one.first_voucher.awaited == channel]

    def _open(self, happened: StreamOpened, now: UnixMs) -> list[Effect]:
        stream, peer = happened.stream, happened.peer
        theirs = self._streams_of.get(peer, 0)
        is_full = len(self._exchanges) >= STREAMS_MAX or theirs >= STREAMS_PER_PEER_MAX
        gone = stream if is_full else self._admission.open_stream(stream, peer)
        if gone == stream:
            return [ResetStream(stream), Penalize(peer, "flood", "too many exchange streams")]
        exchange = ProviderExchange(stream, peer, self._seller, self._ledger, self._open_jobs)
        self._exchanges[stream] = exchange
        self._streams_of[peer] = theirs + 1
        effects = exchange.start(now)
        if gone is not None:
            lost = StreamEnded(gone, clean=False, reason="crowded out")
            effects += self._step_exchanges([self._exchanges[gone]], lost, now)
        if self._is_leaving:
            effects += self._step_exchanges([exchange], ShutDown(), now)
        return effects

    def _learn(self, effects: Iterable[Effect]) -> None:
        """A channel that was read from the chain has a payer."""
        for effect in effects:
            if isinstance(effect, Persist):
                self._admission.note(effect.rows)

    def _all(self) -> list[ProviderExchange]:
        return list(self._exchanges.values())

    def _find(self, job: JobId) -> list[ProviderExchange]:
        exchange = self._by_job.get(job)
        return [] if exchange is None else [exchange]

    def _on_engine(self, happened: EngineAnswer, now: UnixMs) -> list[Effect]:
        job = happened.job
        if isinstance(happened, EngineProduced):
            self._admission.produced(job, now)
        if isinstance(happened, EngineFinished):
            self._caching.finish(happened)
        if isinstance(happened, EngineFailed):
            self._caching.drop(job)
        if isinstance(happened, _LAST_ANSWERS):
            self._admission.counted(job)
            self._admission.finished(job, now)
            if not self._find(job):
                self._open_jobs.release(job)
        return self._step_exchanges(self._find(job), happened, now)

    def _step_exchanges(
        self, exchanges: Iterable[ProviderExchange], happened: Input, now: UnixMs
    ) -> list[Effect]:
        effects: list[Effect] = []
        for exchange in exchanges:
            effects += self._step_one(exchange, happened, now)
        while self._crowded_out:
            job = self._crowded_out.pop()
            own_ms = self._admission.compute_retry_ms()
            for exchange in self._find(job):
                payee = exchange.first_voucher.payee
                retry_ms = self._sharing.compute_retry_ms(payee, own_ms, now)
                busy = EngineFailed(job, "busy", "EXC-7: others go first", retry_ms)
                effects += self._step_one(exchange, busy, now)
        # First, as a run promises nothing to anybody: an engine begins while rows are written, and
        # what it says is heard once they are.
        return [*self._admission.advance(now), *effects]

    def _step_one(self, exchange: ProviderExchange, happened: Input, now: UnixMs) -> list[Effect]:
        effects: list[Effect] = []
        for effect in exchange.step(happened, now):
            effects += self._admit(effect, exchange, now)
        if exchange.job is not None:
            self._by_job[exchange.job] = exchange
        if exchange.is_over:
            self._forget(exchange)
        return effects

    def _admit(self, effect: Effect, exchange: ProviderExchange, now: UnixMs) -> list[Effect]:
        """Let through what an exchange asks for, unless there is no room for it, or not yet."""
        match effect:
            case CountTokens(job):
                gone = self._admission.count(job, exchange.peer, now)
                self._crowded_out += [gone] if gone is not None else []
                return [effect] if gone != job else []
            case Generate(job, request):
                stake = exchange.stake
                self._sharing.note_used(stake.channel)
                gone = self._admission.enter(job, request, stake, now)
                self._crowded_out += [gone] if gone is not None else []
                self._caching.begin(job, request)
                return []
            case StopGenerating(job):
                return [effect] if self._admission.has_engine(job) else []
            case Persist(rows):
                self._admission.note(rows)
            case FetchChannel(channel, terms):
                return self._redeeming.fetch(channel, terms)
            case FetchSplit():
                if sum(one.is_early for one in self._all()) > EARLY_MAX:
                    assert exchange.job is not None
                    self._crowded_out.append(exchange.job)
                return self._splits.look(now)
        return [effect]

    def _forget(self, exchange: ProviderExchange) -> None:
        """A job's name stays taken until its engine is done with it: its late answers would be
        taken for those of another job of that name.
        """
        job = exchange.job
        del self._exchanges[exchange.stream]
        self._admission.forget_stream(exchange.stream)
        left = self._streams_of.pop(exchange.peer) - 1
        if left:
            self._streams_of[exchange.peer] = left
        if job is not None:
            del self._by_job[job]
            self._admission.leave(job)
            if self._admission.is_awaited(job):
                self._open_jobs.claim(job)
            else:
                self._caching.drop(job)
