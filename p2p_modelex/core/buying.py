"""Buying: each local request's way from candidates over orders to a receipt.

A run goes choose -> probe -> order (ordering.py, and a second order beside it: racing.py) ->
finished, or the next order.
"""

from collections.abc import Callable, Iterable, Sequence

import msgspec

from p2p_modelex.core.choosing import Choosing, Look
from p2p_modelex.core.effects import (
    Effect,
    Emit,
    Persist,
    RunEvent,
    RunFailed,
    RunFinished,
    RunRouted,
    RunStarted,
    RunText,
    StreamId,
    TimerId,
)
from p2p_modelex.core.funding import Budget
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
    TimerFired,
)
from p2p_modelex.core.ledger.payer import PayerLedger
from p2p_modelex.core.ordering import LATE_DEPOSIT, Ordering
from p2p_modelex.core.outcomes import Outcomes
from p2p_modelex.core.racing import DEADLINE, DEPOSITS, LATE, LINE, Racing, stop, tell
from p2p_modelex.core.routing.circuits import Circuits
from p2p_modelex.core.routing.retries import RetryBudget
from p2p_modelex.core.runs import Attempt, Run
from p2p_modelex.core.split_watch import SplitWatch
from p2p_modelex.core.wants import build_want
from p2p_modelex.errors import PaymentError
from p2p_modelex.ids import Address, ChannelId, Digest, JobId, NetworkId
from p2p_modelex.records.channel import ChannelState
from p2p_modelex.records.rows import Row
from p2p_modelex.units import UnixMs

RANKED_TOLD = 8
"""Candidates in a RunRouted."""
RUNS_MAX = 1024
"""Local requests in hand; a caller that wants more waits for some to end."""


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
        self._choosing = choosing
        self._ledger = ledger
        self._splits = splits
        self._ordering = Ordering(
            network, registry_domain, choosing, circuits, ledger, budget, next_stream, splits
        )
        self._retries = RetryBudget()
        self._outcomes = Outcomes(self._ordering, circuits, choosing.router)
        self._racing = Racing(self._ordering, choosing.router, self._retries)
        self._runs: dict[JobId, Run] = {}

    @property
    def is_idle(self) -> bool:
        """Whether no run is in hand, and none of their orders either."""
        return not self._runs and self._ordering.is_idle

    def restore(self, rows: Sequence[Row]) -> None:
        """Take over what is on disk; call before `start`."""
        self._ledger.restore(rows)
        self._ordering.restore(rows)

    def start(self) -> list[Effect]:
        """Look at our channels on chain: a deposit may have been made that we did not live to
        note, and a channel be closed from beside us.
        """
        channels = self._ledger.get_channels()
        return [self._ordering.fetch(ChannelId(state.channel)) for state in channels]

    def owns(self, stream: StreamId) -> bool:
        """Whether inputs about this stream belong here."""
        return self._ordering.get(stream) is not None

    def step(self, happened: Input, now: UnixMs) -> list[Effect]:
        """Take one input about runs and channels."""
        match happened:
            case RunRequested():
                return self._choose(Run(happened), now)
            case CancelRun(job):
                return self._cancel(job, "cancelled", "by the caller", now)
            case TimerFired(timer):
                return self._on_timer(timer.split("/"), now)
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
        """Go on with the runs whose probes are all answered; call after each step of the probes and
        of the farms.
        """
        effects: list[Effect] = []
        for run in [run for run in self._runs.values() if run.is_probing]:
            assert run.look is not None
            if not self._choosing.is_ready(run.look):
                continue
            run.is_probing = False
            if self._choosing.is_past(run.look, now):
                effects += self._select(run, now)
            else:
                effects += [*self._rank(run, run.look, now), *self._try_next(run, now)]
        return effects

    def _rank(self, run: Run, look: Look, now: UnixMs) -> list[Effect]:
        """Order those found; whoever asks for it is told why so (RTE-47)."""
        if not run.wanted.explains:
            want = build_want(run.wanted, self._splits.epoch)
            run.order = list(self._choosing.rank(look, want, now))
            return []
        decision = self._choosing.explain(look, now)
        run.order = [one.candidate for one in decision.ranked]
        ranked = tuple((one.candidate.peer, one.total) for one in decision.ranked[:RANKED_TOLD])
        told = RunRouted(run.job, decision.profile, decision.picker, ranked, decision.why)
        return [Emit(told)]

    def _choose(self, run: Run, now: UnixMs) -> list[Effect]:
        if len(self._runs) >= RUNS_MAX or run.job in self._runs:
            return [Emit(run.build_failure("busy", "too many runs at once"))]
        self._runs[run.job] = run
        self._retries.on_run()
        return [*self._racing.start(run, now), *self._select(run, now)]

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
            run.payable = run.order.pop(0)
            try:
                return self._order(run, now)
            except PaymentError as error:
                run.last = run.build_failure("no_channel", str(error))
        return self._end(run, run.last or run.build_failure("no_provider", "none is left"))

    def _may_try(self, run: Run) -> bool:
        """Whether the run has attempts left, and all runs together have one to spare (RTE-25)."""
        is_left = bool(run.order) and run.tried < run.wanted.attempts
        return is_left and (not run.tried or self._retries.spend())

    def _order(self, run: Run, now: UnixMs, *, is_funded: bool = False) -> list[Effect]:
        assert run.payable is not None
        ordered = self._ordering.order(run, run.payable, now, is_funded=is_funded)
        if run.payable is not None:  # a deposit comes first
            return [*ordered, *self._racing.wait(run, now)]
        return [*ordered, *self._racing.watch(run, now)]

    def _on_opened(self, opened: ChannelOpened, now: UnixMs) -> list[Effect]:
        try:
            rows = self._ordering.note_opened(opened.state)
        except PaymentError as error:
            return self._on_deposit(opened.payee, str(error), now)
        return [Persist(rows), *self._on_deposit(opened.payee, "", now)]

    def _on_deposit(self, payee: Address, failure: str, now: UnixMs) -> list[Effect]:
        """A deposit was made, or failed: those who waited for it go on, the asker first.

        The asker is served or fails, so each deposit brings at least one run on.
        """
        deposit = self._ordering.settle(payee)
        if deposit is None:
            return []
        effects: list[Effect] = []
        if failure and deposit.channel:
            effects.append(self._ordering.fetch(deposit.channel))
        for job in deposit.waiting:
            run = self._runs[job]
            try:
                if failure:
                    raise PaymentError(failure)
                # A split halves what was asked for before it.
                is_funded = job == deposit.asker and deposit.epoch == self._splits.epoch
                effects += self._order(run, now, is_funded=is_funded)
            except PaymentError as error:
                run.tried += 0 if self._splits.paused_until else 1
                run.last = run.build_failure("no_channel", str(error))
                effects += self._try_next(run, now)
        return effects

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
        found = self._ordering.get(stream)
        assert found is not None
        run, attempt = found
        exchange = attempt.exchange
        if isinstance(happened, StreamReady):
            effects = exchange.start(now)
        elif isinstance(happened, StreamFailed):
            effects = exchange.abandon("dial", happened.reason, now)
        else:
            effects = exchange.step(happened, now)
        return self._translate(run, attempt, effects, now)

    def _translate(
        self, run: Run, attempt: Attempt, effects: Iterable[Effect], now: UnixMs
    ) -> list[Effect]:
        """Turn an order's events into its run's; a failed one leads to the next."""
        passed: list[Effect] = []
        if attempt.exchange.is_over:
            self._ordering.forget(attempt)
        for effect in effects:
            if isinstance(effect, Emit):
                passed += self._on_event(run, attempt, effect.event, now)
            else:
                passed.append(effect)
        return passed

    def _on_event(self, run: Run, attempt: Attempt, event: RunEvent, now: UnixMs) -> list[Effect]:
        event = msgspec.structs.replace(event, job=run.job)
        if attempt.is_lost:
            return self._on_lost(run, attempt, event, now)
        match event:
            case RunStarted():
                begun = self._racing.begin(run, attempt, event, now)
                behind = [one for one in run.attempts if one.started is None]
                return [*begun, *self._drop(run, behind, now), *tell(run)]
            case RunText():
                return [*self._win(run, attempt, now), Emit(run.note_text(event))]
            case RunFinished():
                won = self._win(run, attempt, now)
                paid = self._outcomes.finish(run, attempt, event)
                return [*won, *self._close(run, msgspec.structs.replace(event, paid=paid))]
            case _:
                assert isinstance(event, RunFailed)
                return self._on_failed(run, attempt, event, now)

    def _win(self, run: Run, attempt: Attempt, now: UnixMs) -> list[Effect]:
        """An order has text: it serves the run, and the others are no longer wanted (RTE-42)."""
        if run.winner is attempt:
            return []
        told = self._racing.win(run, attempt, now)
        others = [one for one in run.attempts if one is not attempt]
        return [*self._drop(run, others, now), *told, *tell(run)]

    def _drop(self, run: Run, attempts: Iterable[Attempt], now: UnixMs) -> list[Effect]:
        effects: list[Effect] = []
        for attempt in attempts:
            self._racing.lose(run, attempt, now)
            effects += self._translate(run, attempt, attempt.exchange.withdraw(now), now)
        return effects

    def _on_lost(self, run: Run, attempt: Attempt, event: RunEvent, now: UnixMs) -> list[Effect]:
        """What an order says that the run goes on without is no longer told, but it may cost."""
        if not isinstance(event, RunFinished | RunFailed):
            return []
        run.lost.remove(attempt)
        if isinstance(event, RunFailed):
            return self._outcomes.fail(run, attempt, event, now)
        self._outcomes.lose(run, attempt, event, now)
        return []

    def _on_failed(
        self, run: Run, attempt: Attempt, failed: RunFailed, now: UnixMs
    ) -> list[Effect]:
        run.attempts.remove(attempt)
        effects = self._outcomes.fail(run, attempt, failed, now)
        run.last = failed
        if failed.code == "protocol" and run.winner is attempt:
            run.said.clear()  # of what breaks the rules nothing is believed
        if run.attempts:  # another is at it
            return effects + tell(run)
        run.winner = None
        if run.cancelled is not None:
            return effects + self._end(run, run.cancelled if failed.code == "cancelled" else failed)
        if failed.code == "wrong_epoch" and not run.has_looked:
            run.tried -= 1
            return effects + self._look(run, now)
        if failed.code == "debt" and run.debtor_of != attempt.peer:
            # The exchange noted the debt; the next order's first voucher covers it (EXC-7).
            run.debtor_of = attempt.peer
            run.order.insert(0, attempt.candidate)
            run.tried -= 1
        return effects + self._try_next(run, now)

    def _end(self, run: Run, failed: RunFailed) -> list[Effect]:
        return self._close(run, run.build_end(failed))

    def _close(self, run: Run, last: RunFinished | RunFailed) -> list[Effect]:
        del self._runs[run.job]
        return [*stop(run, LINE, LATE, DEADLINE, DEPOSITS), Emit(last)]

    def _cancel(self, job: JobId, code: str, reason: str, now: UnixMs) -> list[Effect]:
        """End a run early: who serves it, or is nearest to it, is cancelled, others withdrawn."""
        run = self._runs.get(job)
        if run is None or run.cancelled is not None:
            return []
        run.cancelled = run.build_failure(code, reason)
        self._ordering.leave(job)
        started = [one for one in run.attempts if one.started is not None]
        nearest = run.winner or next(iter(started or run.attempts), None)
        if nearest is None:
            return self._end(run, run.cancelled)
        others = [one for one in run.attempts if one is not nearest]
        effects = self._drop(run, others, now)
        cancelled = nearest.exchange.step(CancelRun(nearest.exchange.job), now)
        return effects + self._translate(run, nearest, cancelled, now)

    def _on_timer(self, name: Sequence[str], now: UnixMs) -> list[Effect]:
        job = JobId(bytes.fromhex(name[1]))
        run = self._runs.get(job)
        if run is None:
            return []
        if name[2] == DEADLINE:
            return self._cancel(job, "deadline", "no whole answer in time", now)
        run.timers.pop(TimerId("/".join(name)), None)
        if name[2] == DEPOSITS:
            # It may have fired just before it was cancelled, while the disk was being written.
            is_due = run.waits_from is not None and now - run.waits_from >= run.patience_ms
            return self._stop_waiting(run, now) if is_due else []
        return self._racing.on_timer(run, name[2], now)

    def _stop_waiting(self, run: Run, now: UnixMs) -> list[Effect]:
        """A run has waited for deposits long enough: it goes on where it can pay at once, or fails.
        A deposit under way goes on, for those that come later (RTE-51).
        """
        self._ordering.leave(run.job)
        run.patience_ms = 0
        run.tried += 1
        run.last = run.build_failure("no_channel", LATE_DEPOSIT)
        return self._try_next(run, now)
