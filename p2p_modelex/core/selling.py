"""Selling: the provider's exchanges, the money they bring, and when to take it to the chain."""

from collections import deque
from collections.abc import Iterable, Iterator

from p2p_modelex import limits
from p2p_modelex.core.effects import (
    Effect,
    FetchChannel,
    Generate,
    Persist,
    Redeem,
    SetTimer,
    StreamId,
    TimerId,
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
    Redeemed,
    RedeemFailed,
    ShutDown,
    StreamOpened,
    TimerFired,
    TokensCounted,
)
from p2p_modelex.core.ledger.payee import PayeeLedger
from p2p_modelex.ids import ChannelId, JobId
from p2p_modelex.records.job import Load
from p2p_modelex.records.rows import Row
from p2p_modelex.units import Millis, UnixMs

SETTLE_TIMER = TimerId("selling/settle")
SETTLE_INTERVAL_MS = Millis(10_000)
"""How often to ask the ledger whether vouchers are worth a transaction."""

WATCH_TIMER = TimerId("selling/watch")
WATCH_INTERVAL_MS = Millis(60_000)
"""How often to look whether a payer closes a channel; far below any challenge period."""

LATENCIES_KEPT = 32
EngineAnswer = TokensCounted | EngineStarted | EngineProduced | EngineFinished | EngineFailed


class Selling:
    """Every provider exchange of a node, by stream. Timers begin with `selling/`."""

    def __init__(self, seller: Seller, ledger: PayeeLedger, slots: int) -> None:
        """`slots`: requests that the engines run at once, all together."""
        self._seller = seller
        self._ledger = ledger
        self._slots = slots
        self._open_jobs = OpenJobs()
        self._exchanges: dict[StreamId, ProviderExchange] = {}
        self._asked_at: dict[JobId, UnixMs] = {}
        self._latencies: deque[int] = deque(maxlen=LATENCIES_KEPT)
        self._is_redeeming = False
        self._is_leaving = False

    @property
    def is_idle(self) -> bool:
        """Whether no job is in hand."""
        return not self._exchanges

    def owns(self, stream: StreamId) -> bool:
        """Whether inputs about this stream belong here."""
        return stream in self._exchanges

    def get_load(self) -> Load:
        """Our load now, for those who probe."""
        jobs = len(self._exchanges)
        ordered = sorted(self._latencies)
        median = ordered[len(ordered) // 2] if ordered else 0
        running = min(jobs, self._slots)
        return Load(0, running, jobs - running, self._slots, median)

    def start(self, now: UnixMs) -> list[Effect]:
        """Set the first timers."""
        return [
            SetTimer(SETTLE_TIMER, UnixMs(now + SETTLE_INTERVAL_MS)),
            SetTimer(WATCH_TIMER, UnixMs(now + WATCH_INTERVAL_MS)),
        ]

    def step(self, happened: Input, now: UnixMs) -> list[Effect]:
        """Take one input."""
        match happened:
            case StreamOpened():
                return self._open(happened, now)
            case TimerFired(timer) if timer == SETTLE_TIMER:
                return [
                    SetTimer(SETTLE_TIMER, UnixMs(now + SETTLE_INTERVAL_MS)),
                    *self._redeem(now),
                ]
            case TimerFired(timer) if timer == WATCH_TIMER:
                return [SetTimer(WATCH_TIMER, UnixMs(now + WATCH_INTERVAL_MS)), *self._watch(now)]
            case ChannelFetched(_, state):
                rows = self._ledger.note_channel(state) if state else ()
                return _persist(rows) + self._step_exchanges(self._all(), happened, now)
            case Redeemed() | RedeemFailed():
                return self._on_redeemed(happened)
            case ShutDown():
                self._is_leaving = True
                return self._step_exchanges(self._all(), happened, now)
            case _ if isinstance(happened, EngineAnswer):
                return self._on_engine(happened, now)
            case _:
                return []

    def step_stream(self, stream: StreamId, happened: Input, now: UnixMs) -> list[Effect]:
        """Take one input about a stream that `owns` says is ours, its timers included."""
        return self._step_exchanges([self._exchanges[stream]], happened, now)

    def _open(self, happened: StreamOpened, now: UnixMs) -> list[Effect]:
        exchange = ProviderExchange(
            happened.stream, happened.peer, self._seller, self._ledger, self._open_jobs
        )
        self._exchanges[happened.stream] = exchange
        effects = exchange.start(now)
        if self._is_leaving:
            effects += self._step_exchanges([exchange], ShutDown(), now)
        return effects

    def _all(self) -> list[ProviderExchange]:
        return list(self._exchanges.values())

    def _on_engine(self, happened: EngineAnswer, now: UnixMs) -> list[Effect]:
        if isinstance(happened, EngineProduced):
            asked_at = self._asked_at.pop(happened.job, None)
            if asked_at is not None:
                self._latencies.append(now - asked_at)
        elif isinstance(happened, EngineFinished | EngineFailed):
            self._asked_at.pop(happened.job, None)
        theirs = [exchange for exchange in self._all() if exchange.job == happened.job]
        return self._step_exchanges(theirs, happened, now)

    def _step_exchanges(
        self, exchanges: Iterable[ProviderExchange], happened: Input, now: UnixMs
    ) -> list[Effect]:
        effects: list[Effect] = []
        for exchange in exchanges:
            for effect in exchange.step(happened, now):
                if isinstance(effect, Generate):
                    self._asked_at[effect.job] = now
                effects.append(effect)
            if exchange.is_over:
                self._exchanges.pop(exchange.stream, None)
        return effects

    def _redeem(self, now: UnixMs, *, is_forced: bool = False) -> Iterator[Effect]:
        vouchers = self._ledger.vouchers_to_redeem(now, is_forced=is_forced)[
            : limits.REDEMPTION_VOUCHERS_MAX
        ]
        if vouchers and not self._is_redeeming:
            self._is_redeeming = True
            yield Redeem(vouchers)

    def _watch(self, now: UnixMs) -> Iterator[Effect]:
        held = self._ledger.vouchers_to_redeem(now, is_forced=True)
        for channel in dict.fromkeys(signed.voucher.channel for signed in held):
            yield FetchChannel(ChannelId(channel))

    def _on_redeemed(self, happened: Redeemed | RedeemFailed) -> list[Effect]:
        """Note that the vouchers are spent. The ledger takes none over the deposit, so what a
        voucher did not bring was claimed before, or its channel is closed; neither comes back.
        """
        self._is_redeeming = False
        if isinstance(happened, RedeemFailed):
            return []
        rows: list[Row] = []
        for signed in happened.vouchers:
            voucher = signed.voucher
            channel = ChannelId(voucher.channel)
            rows += self._ledger.note_redeemed(channel, voucher.lane, voucher.amount)
        return _persist(tuple(rows))


def _persist(rows: tuple[Row, ...]) -> list[Effect]:
    return [Persist(rows)] if rows else []
