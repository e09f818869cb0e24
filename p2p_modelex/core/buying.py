"""Buying: each local request's way from candidates over channel and exchange to a receipt.

A run goes choose -> probe -> order (channel, stream, exchange) -> finished, or the next order.
"""

from collections.abc import Callable, Iterable, Sequence

import msgspec

from p2p_modelex.core.choosing import Choosing
from p2p_modelex.core.effects import (
    Effect,
    Emit,
    FetchChannel,
    OpenStream,
    Persist,
    RunEvent,
    RunFailed,
    RunFinished,
    RunRestarted,
    RunText,
    StreamId,
)
from p2p_modelex.core.exchange import parameters
from p2p_modelex.core.exchange.requester import RequesterExchange
from p2p_modelex.core.exchange.terms import Purchase
from p2p_modelex.core.funding import Budget, Funding
from p2p_modelex.core.inputs import (
    CancelRun,
    ChannelFetched,
    ChannelOpened,
    ChannelOpenFailed,
    Input,
    RunRequested,
    SplitFetched,
    StreamFailed,
    StreamReady,
)
from p2p_modelex.core.ledger.payer import PayerLedger, ReservedLane
from p2p_modelex.core.routing.candidate import Candidate
from p2p_modelex.core.routing.circuits import Circuits
from p2p_modelex.core.routing.retries import RetryBudget
from p2p_modelex.core.runs import Run, is_at_fault
from p2p_modelex.core.split_watch import SplitWatch
from p2p_modelex.core.wants import build_want, compute_ceiling, compute_window_max
from p2p_modelex.errors import PaymentError
from p2p_modelex.ids import Address, ChannelId, Digest, JobId, NetworkId
from p2p_modelex.records.advertisement import Offer, move_offer
from p2p_modelex.records.channel import ChannelState
from p2p_modelex.records.rows import Row
from p2p_modelex.units import Epoch, UnixMs, Wei

RUNS_MAX = 1024
"""Local requests in hand; a caller that wants more waits for some to end."""

STALE = ("no_channel", "channel_exhausted")
"""Refusals that may mean that the chain knows more of our channel than we do."""


class Buying:
    """Every local run of a node, and the requester exchanges they are at."""

    def __init__(
        self,
        network: NetworkId,
        registry_domain: Digest,
        choosing: Choosing,
        circuits: Circuits,
        ledger: PayerLedger,
        budget: Budget,
        next_stream: Callable[[], StreamId],
        splits: SplitWatch,
    ) -> None:
        self._network = network
        self._registry_domain = registry_domain
        self._choosing = choosing
        self._circuits = circuits
        self._ledger = ledger
        self._funding = Funding(ledger, budget)
        self._next_stream = next_stream
        self._splits = splits
        self._retries = RetryBudget()
        self._runs: dict[JobId, Run] = {}
        # At most one for each run: an exchange is forgotten when it is over.
        self._by_stream: dict[StreamId, tuple[Run, RequesterExchange]] = {}

    @property
    def is_idle(self) -> bool:
        """Whether no run is in hand."""
        return not self._runs

    def restore(self, rows: Sequence[Row]) -> None:
        """Take over what is on disk; call before `start`."""
        self._ledger.restore(rows)
        self._funding.restore(rows)

    def start(self) -> list[Effect]:
        """Look at our channels on chain: a deposit may have been made that we did not live to
        note, and a channel be closed from beside us.
        """
        return [self._fetch(ChannelId(state.channel)) for state in self._ledger.get_channels()]

    def owns(self, stream: StreamId) -> bool:
        """Whether inputs about this stream belong here."""
        return stream in self._by_stream

    def step(self, happened: Input, now: UnixMs) -> list[Effect]:
        """Take one input about runs and channels."""
        match happened:
            case RunRequested():
                return self._choose(Run(happened), now)
            case CancelRun(job):
                return self._cancel(job, now)
            case ChannelOpened(payee):
                return self._on_opened(happened, now)
            case ChannelOpenFailed(payee, reason):
                return self._on_deposit(payee, reason, now)
            case ChannelFetched(_, state):
                return self._on_fetched(state)
            case SplitFetched():
                return self._after_look(now)
            case _:
                return []

    def after_probes(self, now: UnixMs) -> list[Effect]:
        """Go on with the runs whose probes are all answered; call after each step of the probes."""
        effects: list[Effect] = []
        for run in [run for run in self._runs.values() if run.is_probing]:
            assert run.look is not None
            if self._choosing.is_ready(run.look):
                run.is_probing = False
                want = build_want(run.wanted, self._splits.epoch)
                run.order = list(self._choosing.rank(run.look, want, now))
                effects += self._try_next(run, now)
        return effects

    def _choose(self, run: Run, now: UnixMs) -> list[Effect]:
        if len(self._runs) >= RUNS_MAX or run.job in self._runs:
            return [Emit(run.build_failure("busy", "too many runs at once"))]
        self._runs[run.job] = run
        self._retries.on_run()
        return self._select(run, now)

    def _select(self, run: Run, now: UnixMs) -> list[Effect]:
        look = self._choosing.look(build_want(run.wanted, self._splits.epoch), now)
        if not look.selection.kept:
            if look.is_behind and not run.has_looked:
                return self._look(run, now)
            return self._end(run, run.build_failure("no_provider", look.selection.why_none))
        run.look = look
        run.is_probing = True
        return [*self._choosing.ask(look, now), *self.after_probes(now)]

    def _try_next(self, run: Run, now: UnixMs) -> list[Effect]:
        """Order at the next candidate that can be paid. Passing one over is no attempt."""
        may_try = self._may_try(run)
        while may_try and run.order:
            run.current = run.order.pop(0)
            try:
                return self._order(run, run.current, now)
            except PaymentError as error:
                run.last = run.build_failure("no_channel", str(error))
        return self._end(run, run.last or run.build_failure("no_provider", "none is left"))

    def _may_try(self, run: Run) -> bool:
        """Whether the run has attempts left, and all runs together have one to spare (RTE-25)."""
        is_left = bool(run.order) and run.tried < run.wanted.attempts
        return is_left and (not run.tried or self._retries.spend())

    def _order(
        self, run: Run, candidate: Candidate, now: UnixMs, *, is_funded: bool = False
    ) -> list[Effect]:
        """Reserve money and open the stream, or first have a deposit made; PaymentError."""
        payee = Address(candidate.advertisement.accounts[0].ownership.operator)
        offer = move_offer(candidate.offer, self._splits.epoch)  # it may have split since
        ceiling = compute_ceiling(run.wanted, offer)
        epoch = Epoch(offer.epoch)
        lane = self._funding.reserve(payee, ceiling, epoch)
        if lane is not None:
            return self._begin(run, candidate, offer, lane, now)
        if is_funded:
            raise PaymentError("the channel has too little left even after the deposit for it")
        if self._splits.paused_until:
            raise PaymentError(
                "no channel has enough left, and transfers are paused for a split until block "
                f"{self._splits.paused_until}"
            )
        return self._funding.ask(run.job, payee, ceiling, epoch)

    def _begin(
        self, run: Run, candidate: Candidate, offer: Offer, lane: ReservedLane, now: UnixMs
    ) -> list[Effect]:
        effects: list[Effect] = []
        if run.last is not None and run.tried:
            effects.append(Emit(RunRestarted(run.job, candidate.peer, run.last)))
        purchase = Purchase(
            job=run.next_job(),
            # By weights, as the provider may have swapped its model since it advertised this one.
            request=msgspec.structs.replace(run.wanted.request, weights=offer.weights),
            offer=offer,
            ownership=candidate.advertisement.accounts[0],
            max_cost=compute_ceiling(run.wanted, offer),
            max_window=compute_window_max(run.wanted, offer),
            network=self._network,
            registry_domain=self._registry_domain,
            is_fast=run.wanted.is_fast,
        )
        run.tried += 1
        run.move(lane.epoch)
        stream = self._next_stream()
        self._circuits.begin_trial(candidate.peer, now)
        assert run.look is not None
        self._choosing.router.on_order(run.job, candidate.peer, now, run.look.want.turns)
        run.exchange = RequesterExchange(stream, candidate.peer, purchase, lane)
        run.channel = lane.channel
        self._by_stream[stream] = run, run.exchange
        addresses = candidate.advertisement.addresses
        return [*effects, OpenStream(stream, candidate.peer, addresses, parameters.PROTOCOL)]

    def _on_opened(self, opened: ChannelOpened, now: UnixMs) -> list[Effect]:
        try:
            rows = self._ledger.note_channel(opened.state, None)
        except PaymentError as error:
            return self._on_deposit(opened.payee, str(error), now)
        self._funding.note_opened(opened.state)
        return [Persist(rows), *self._on_deposit(opened.payee, "", now)]

    def _on_deposit(self, payee: Address, failure: str, now: UnixMs) -> list[Effect]:
        """A deposit was made, or failed: those who waited for it go on, the asker first.

        The asker is served or fails, so each deposit brings at least one run on.
        """
        deposit = self._funding.settle(payee)
        if deposit is None:
            return []
        effects: list[Effect] = (
            [self._fetch(deposit.channel)] if failure and deposit.channel else []
        )
        for job in deposit.waiting:
            run = self._runs[job]
            assert run.current is not None
            try:
                if failure:
                    raise PaymentError(failure)
                # A split halves what was asked for before it.
                is_funded = job == deposit.asker and deposit.epoch == self._splits.epoch
                effects += self._order(run, run.current, now, is_funded=is_funded)
            except PaymentError as error:
                run.tried += 0 if self._splits.paused_until else 1
                run.last = run.build_failure("no_channel", str(error))
                effects += self._try_next(run, now)
        return effects

    def _fetch(self, channel: ChannelId) -> FetchChannel:
        return FetchChannel(channel, self._ledger.get_terms(channel))

    def _look(self, run: Run, now: UnixMs) -> list[Effect]:
        """Somebody knows a later split epoch than we: ask the chain, and then choose again."""
        run.is_looking = run.has_looked = True
        return self._splits.look(now)

    def _after_look(self, now: UnixMs) -> list[Effect]:
        effects: list[Effect] = []
        for run in [run for run in self._runs.values() if run.is_looking]:
            run.is_looking = False
            effects += self._select(run, now)
        return effects

    def _on_fetched(self, state: ChannelState | None) -> list[Effect]:
        """The chain's word on a channel; one of ours that is closing is used no more."""
        for known in self._ledger.get_channels():
            if state is not None and state.channel == known.channel:
                return [Persist(self._ledger.note_channel(state, None))]
        return []

    def step_stream(self, stream: StreamId, happened: Input, now: UnixMs) -> list[Effect]:
        """Take one input about a stream that `owns` says is ours, its timers included."""
        run, exchange = self._by_stream[stream]
        if isinstance(happened, StreamReady):
            effects = exchange.start(now)
        elif isinstance(happened, StreamFailed):
            effects = exchange.abandon("dial", happened.reason, now)
        else:
            effects = exchange.step(happened, now)
        return self._translate(run, exchange, effects, now)

    def _translate(
        self, run: Run, exchange: RequesterExchange, effects: Iterable[Effect], now: UnixMs
    ) -> list[Effect]:
        """Turn an exchange's events into its run's; a failed one leads to the next."""
        passed: list[Effect] = []
        for effect in effects:
            if isinstance(effect, Emit):
                passed += self._on_event(run, effect.event, now)
            else:
                passed.append(effect)
        if exchange.is_over:
            self._by_stream.pop(exchange.stream, None)
        return passed

    def _on_event(self, run: Run, event: RunEvent, now: UnixMs) -> list[Effect]:
        event = msgspec.structs.replace(event, job=run.job)
        if isinstance(event, RunText):
            self._choosing.router.on_text(run.job, now)
        if isinstance(event, RunFailed):
            return self._on_failed(run, event, now)
        if isinstance(event, RunFinished):
            assert run.current is not None
            self._circuits.on_success(run.current.peer)
            self._choosing.router.on_end(run.job, run.current.peer, is_good=True)
            del self._runs[run.job]
            event = msgspec.structs.replace(event, paid=Wei(event.paid + run.spent))
        return [Emit(event)]

    def _on_failed(self, run: Run, failed: RunFailed, now: UnixMs) -> list[Effect]:
        current = run.current
        assert current is not None
        run.spent += failed.paid
        run.last = failed
        is_good = False if is_at_fault(failed) else None
        self._choosing.router.on_end(run.job, current.peer, is_good=is_good)
        if is_at_fault(failed):
            unreached = current.advertisement.sequence if failed.code == "dial" else None
            self._circuits.on_failure(current.peer, now, unreached=unreached)
        else:
            self._circuits.end_trial(current.peer)
        if failed.code == "cancelled" or run.is_cancelled:
            return self._end(run, failed)
        effects: list[Effect] = []
        if failed.code in STALE and run.channel is not None:
            effects.append(self._fetch(run.channel))
        if failed.code == "wrong_epoch" and not run.has_looked:
            run.tried -= 1
            return effects + self._look(run, now)
        if failed.code == "debt" and run.debtor_of != current.peer:
            # The exchange noted the debt; the next order's first voucher covers it (EXC-7).
            run.debtor_of = current.peer
            run.order.insert(0, current)
            run.tried -= 1
        return effects + self._try_next(run, now)

    def _end(self, run: Run, failed: RunFailed) -> list[Effect]:
        del self._runs[run.job]
        return [Emit(msgspec.structs.replace(failed, job=run.job, paid=Wei(run.spent)))]

    def _cancel(self, job: JobId, now: UnixMs) -> list[Effect]:
        run = self._runs.get(job)
        if run is None:
            return []
        run.is_cancelled = True
        self._funding.forget(job)
        exchange = run.exchange
        if exchange is None or exchange.is_over:
            return self._end(run, run.build_failure("cancelled", "by the caller"))
        effects = exchange.step(CancelRun(exchange.job), now)
        return self._translate(run, exchange, effects, now)
