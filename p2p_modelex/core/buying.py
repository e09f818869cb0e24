"""Buying: each local request's way from candidates over orders to a receipt.

A run goes choose -> probe -> order (trying.py, and a second order beside it: racing.py) ->
finished, or the next order.
"""

from collections.abc import Callable, Iterable, Sequence

import msgspec

from p2p_modelex.core.choosing import Choosing
from p2p_modelex.core.effects import (
    Effect,
    Emit,
    Persist,
    RunEvent,
    RunFailed,
    RunFinished,
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
from p2p_modelex.core.ordering import Ordering
from p2p_modelex.core.outcomes import Outcomes
from p2p_modelex.core.racing import DEADLINE, DEPOSITS, Racing, tell
from p2p_modelex.core.routing.circuits import Circuits
from p2p_modelex.core.routing.retries import RetryBudget
from p2p_modelex.core.runs import Attempt, Run
from p2p_modelex.core.split_watch import SplitWatch
from p2p_modelex.core.trying import Trying
from p2p_modelex.core.wants import build_want
from p2p_modelex.ids import ChannelId, Digest, JobId, NetworkId
from p2p_modelex.records.channel import ChannelState
from p2p_modelex.records.rows import Row
from p2p_modelex.units import UnixMs

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
        self._trying = Trying(
            self._runs, choosing, self._ordering, self._racing, self._retries, splits
        )

    @property
    def is_idle(self) -> bool:
        """Whether no run is in hand, and none of their orders either."""
        return not self._runs and self._ordering.is_idle

    def restore(self, rows: Sequence[Row]) -> None:
        """Take over what is on disk; call before `start`."""
        self._ledger.restore(rows)
        self._ordering.restore(rows)

    def start(self) -> list[Effect]:
        """Look at our channels on chain, which may have been closed from beside us; and have the
        deposits looked after that we did not live to see the end of.
        """
        channels = self._ledger.get_channels()
        looks = [self._ordering.fetch(ChannelId(state.channel)) for state in channels]
        return [*looks, *self._ordering.resume()]

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
            case ChannelOpened():
                return self._trying.on_opened(happened, now)
            case ChannelOpenFailed():
                return self._trying.on_failed(happened, now)
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
                effects += self._trying.begin(run, run.look, now)
        return effects

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
            return self._trying.end(run, run.build_failure("no_provider", look.selection.why_none))
        run.look, run.is_probing = look, True
        return [*self._choosing.ask(look, now), *self.after_probes(now)]

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
                return [*won, *self._trying.close(run, msgspec.structs.replace(event, paid=paid))]
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
            last = run.cancelled if failed.code == "cancelled" else failed
            return effects + self._trying.end(run, last)
        if failed.code == "wrong_epoch" and not run.has_looked:
            run.tried -= 1
            return effects + self._look(run, now)
        if failed.code == "debt" and run.debtor_of != attempt.peer:
            # The exchange noted the debt; the next order's first voucher covers it (EXC-7).
            run.debtor_of = attempt.peer
            run.order.insert(0, attempt.candidate)
            run.tried -= 1
        return effects + self._trying.try_next(run, now)

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
            return self._trying.end(run, run.cancelled)
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
            return self._trying.on_patience(run, now)
        return self._racing.on_timer(run, name[2], now)
