"""Selling: the provider's exchanges of a node, and what their engines owe them."""

from collections import deque
from collections.abc import Iterable

from p2p_modelex.core.effects import (
    CountTokens,
    Effect,
    FetchChannel,
    Generate,
    Penalize,
    ResetStream,
    StreamId,
)
from p2p_modelex.core.exchange.provider import ProviderExchange
from p2p_modelex.core.exchange.terms import OpenJobs, Seller
from p2p_modelex.core.inputs import (
    ChannelFetched,
    EngineFailed,
    EngineFinished,
    EngineProduced,
    EngineStarted,
    Input,
    ShutDown,
    StreamOpened,
    TokensCounted,
)
from p2p_modelex.core.ledger.payee import PayeeLedger
from p2p_modelex.core.redeeming import Redeeming
from p2p_modelex.ids import JobId, PeerId
from p2p_modelex.records.job import Load
from p2p_modelex.units import UnixMs

STREAMS_MAX = 1024
"""Exchange streams of all peers together; a stranger that never speaks holds one for 15 s."""

STREAMS_PER_PEER_MAX = 96
"""Exchange streams of one peer: a busy requester's lanes and some more; under the transport's
limit, so that reconciliation with the same peer goes on.
"""

LATENCIES_KEPT = 32
EngineAnswer = TokensCounted | EngineStarted | EngineProduced | EngineFinished | EngineFailed
_LAST_ANSWERS = (TokensCounted, EngineFinished, EngineFailed)


class Selling:
    """Every provider exchange of a node, by stream; and the redeeming of what they bring."""

    def __init__(self, seller: Seller, ledger: PayeeLedger, slots: int) -> None:
        """`slots`: requests that the engines run at once, all together."""
        self._seller = seller
        self._ledger = ledger
        self._slots = slots
        self._redeeming = Redeeming(ledger)
        self._open_jobs = OpenJobs()
        self._exchanges: dict[StreamId, ProviderExchange] = {}
        self._streams_of: dict[PeerId, int] = {}
        # Jobs that an engine owes its last answer, of exchanges that may be over already.
        self._asked: dict[JobId, None] = {}
        # Of these, those that generate: when that was asked, None once the first token came.
        self._generating: dict[JobId, UnixMs | None] = {}
        self._latencies: deque[int] = deque(maxlen=LATENCIES_KEPT)
        self._is_leaving = False

    @property
    def is_idle(self) -> bool:
        """Whether no job is in hand; streams on which nothing was asked do not count."""
        return all(exchange.job is None for exchange in self._exchanges.values())

    def owns(self, stream: StreamId) -> bool:
        """Whether inputs about this stream belong here."""
        return stream in self._exchanges

    def get_load(self) -> Load:
        """Our load now, for those who probe: only jobs that are admitted and paid for count."""
        jobs = len(self._generating)
        ordered = sorted(self._latencies)
        median = ordered[len(ordered) // 2] if ordered else 0
        running = min(jobs, self._slots)
        return Load(0, running, jobs - running, self._slots, median)

    def start(self, now: UnixMs) -> list[Effect]:
        """Set the first timers."""
        return self._redeeming.start(now)

    def step(self, happened: Input, now: UnixMs) -> list[Effect]:
        """Take one input."""
        match happened:
            case StreamOpened():
                return self._open(happened, now)
            case ChannelFetched():
                effects = self._redeeming.step(happened, now)
                return effects + self._step_exchanges(self._all(), happened, now)
            case ShutDown():
                self._is_leaving = True
                return self._step_exchanges(self._all(), happened, now)
            case _ if isinstance(happened, EngineAnswer):
                return self._on_engine(happened, now)
            case _:
                return self._redeeming.step(happened, now)

    def step_stream(self, stream: StreamId, happened: Input, now: UnixMs) -> list[Effect]:
        """Take one input about a stream that `owns` says is ours, its timers included."""
        return self._step_exchanges([self._exchanges[stream]], happened, now)

    def _open(self, happened: StreamOpened, now: UnixMs) -> list[Effect]:
        stream, peer = happened.stream, happened.peer
        theirs = self._streams_of.get(peer, 0)
        if len(self._exchanges) >= STREAMS_MAX or theirs >= STREAMS_PER_PEER_MAX:
            return [ResetStream(stream), Penalize(peer, "flood", "too many exchange streams")]
        exchange = ProviderExchange(stream, peer, self._seller, self._ledger, self._open_jobs)
        self._exchanges[stream] = exchange
        self._streams_of[peer] = theirs + 1
        effects = exchange.start(now)
        if self._is_leaving:
            effects += self._step_exchanges([exchange], ShutDown(), now)
        return effects

    def _all(self) -> list[ProviderExchange]:
        return list(self._exchanges.values())

    def _on_engine(self, happened: EngineAnswer, now: UnixMs) -> list[Effect]:
        job = happened.job
        asked_at = self._generating.get(job)
        if isinstance(happened, EngineProduced) and asked_at is not None:
            self._latencies.append(now - asked_at)
            self._generating[job] = None
        theirs = [exchange for exchange in self._all() if exchange.job == job]
        if isinstance(happened, _LAST_ANSWERS):
            self._asked.pop(job, None)
            self._generating.pop(job, None)
            if not theirs:
                self._open_jobs.release(job)
        return self._step_exchanges(theirs, happened, now)

    def _step_exchanges(
        self, exchanges: Iterable[ProviderExchange], happened: Input, now: UnixMs
    ) -> list[Effect]:
        effects: list[Effect] = []
        for exchange in exchanges:
            for effect in exchange.step(happened, now):
                effects += self._note(effect, exchange, now)
            if exchange.is_over:
                self._forget(exchange)
        return effects

    def _note(self, effect: Effect, exchange: ProviderExchange, now: UnixMs) -> list[Effect]:
        match effect:
            case CountTokens(job):
                self._asked[job] = None
            case Generate(job):
                self._asked[job] = None
                self._generating[job] = now
            case FetchChannel(channel):
                return self._redeeming.fetch(channel)
        return [effect]

    def _forget(self, exchange: ProviderExchange) -> None:
        """A job's name stays taken until its engine is done with it: its late answers would be
        taken for those of another job of that name.
        """
        del self._exchanges[exchange.stream]
        left = self._streams_of.pop(exchange.peer) - 1
        if left:
            self._streams_of[exchange.peer] = left
        if exchange.job is not None and exchange.job in self._asked:
            self._open_jobs.claim(exchange.job)
