"""Trying: from the candidates of a run to an order at one that can be paid, or to its end.

A deposit is waited for where it must be: at most one for each payee, made once (LED-14).
"""

from collections.abc import MutableMapping

from p2p_modelex.core.choosing import Choosing, Look
from p2p_modelex.core.effects import Effect, Emit, Persist, RunFailed, RunFinished, RunRouted
from p2p_modelex.core.funding import LATE_DEPOSIT
from p2p_modelex.core.inputs import ChannelOpened, ChannelOpenFailed
from p2p_modelex.core.ordering import Ordering
from p2p_modelex.core.racing import DEADLINE, DEPOSITS, LATE, LINE, Racing, stop
from p2p_modelex.core.routing.retries import RetryBudget
from p2p_modelex.core.runs import Run
from p2p_modelex.core.split_watch import SplitWatch
from p2p_modelex.core.wants import build_want
from p2p_modelex.errors import PaymentError
from p2p_modelex.ids import Address, JobId
from p2p_modelex.records.rows import Row
from p2p_modelex.units import UnixMs

RANKED_TOLD = 8
"""Candidates in a RunRouted."""


class Trying:
    """Takes each run of `runs` to its next order; those that end leave it."""

    def __init__(
        self,
        runs: MutableMapping[JobId, Run],
        choosing: Choosing,
        ordering: Ordering,
        racing: Racing,
        retries: RetryBudget,
        splits: SplitWatch,
    ) -> None:
        self._runs = runs
        self._choosing = choosing
        self._ordering = ordering
        self._racing = racing
        self._retries = retries
        self._splits = splits

    def begin(self, run: Run, look: Look, now: UnixMs) -> list[Effect]:
        """It is known who could serve a run."""
        return [*self._rank(run, look, now), *self.try_next(run, now)]

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

    def try_next(self, run: Run, now: UnixMs) -> list[Effect]:
        """Order at the next candidate that can be paid. Passing one over is no attempt."""
        may_try = self._may_try(run)
        while may_try and run.order:
            run.payable = run.order.pop(0)
            try:
                return self._order(run, now)
            except PaymentError as error:
                run.last = run.build_failure("no_channel", str(error))
        return self.end(run, run.last or run.build_failure("no_provider", "none is left"))

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

    def on_opened(self, opened: ChannelOpened, now: UnixMs) -> list[Effect]:
        """A deposit was made."""
        try:
            rows = self._ordering.note_opened(opened.state)
        except PaymentError as error:
            return self._settle(opened.payee, (), str(error), now)
        return self._settle(opened.payee, rows, "", now)

    def on_failed(self, failed: ChannelOpenFailed, now: UnixMs) -> list[Effect]:
        """A deposit was not made, or nobody can say: then no run waits for it any more."""
        if not failed.is_pending:
            return self._settle(failed.payee, (), failed.reason, now)
        effects: list[Effect] = []
        for job in self._ordering.delay(failed.payee):
            effects += self._pass_over(self._runs[job], failed.reason, now)
        return effects

    def _settle(
        self, payee: Address, rows: tuple[Row, ...], failure: str, now: UnixMs
    ) -> list[Effect]:
        """It is known how a deposit ended: those who waited for it go on, the asker first.

        The asker is served or fails, so each deposit brings at least one run on.
        """
        deposit, settled = self._ordering.settle(payee, now, is_made=not failure)
        kept = (*rows, *settled)
        effects: list[Effect] = [Persist(kept)] if kept else []
        if deposit is None:
            return effects
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
                effects += self._pass_over(run, str(error), now)
        return effects

    def _pass_over(self, run: Run, why: str, now: UnixMs) -> list[Effect]:
        """The run goes on without the one whose channel it waited for."""
        run.tried += 0 if self._splits.paused_until else 1
        run.last = run.build_failure("no_channel", why)
        return self.try_next(run, now)

    def on_patience(self, run: Run, now: UnixMs) -> list[Effect]:
        """A run has waited for deposits long enough: it goes on where it can pay at once, or fails.
        A deposit under way goes on, for those that come later (RTE-51).
        """
        # It may have fired just before it was cancelled, while the disk was being written.
        if run.waits_from is None or now - run.waits_from < run.patience_ms:
            return []
        self._ordering.leave(run.job)
        run.patience_ms = 0
        run.tried += 1
        run.last = run.build_failure("no_channel", LATE_DEPOSIT)
        return self.try_next(run, now)

    def end(self, run: Run, failed: RunFailed) -> list[Effect]:
        """The run has failed."""
        return self.close(run, run.build_end(failed))

    def close(self, run: Run, last: RunFinished | RunFailed) -> list[Effect]:
        """The run is over."""
        del self._runs[run.job]
        return [*stop(run, LINE, LATE, DEADLINE, DEPOSITS), Emit(last)]
