"""Racing: when a run orders at a second provider beside the first, and who of them serves it.

Where the first has no free slot, or does not start in time, the second is another line to stand in
(Ousterhout et al., "Sparrow", SOSP 2013: late binding); where its first text is late, a hedge (Dean
and Barroso, "The tail at scale", 2013). Who starts first has those withdrawn that only stand in
line; who has text first has all others cancelled.
"""

from p2p_modelex.core.effects import CancelTimer, Effect, Emit, RunStarted, SetTimer, TimerId
from p2p_modelex.core.ordering import Ordering
from p2p_modelex.core.routing.delays import Delays
from p2p_modelex.core.routing.retries import RetryBudget
from p2p_modelex.core.routing.router import Router
from p2p_modelex.core.runs import Attempt, Run
from p2p_modelex.units import Millis, UnixMs

LINE_MS = Millis(25)
"""How long a provider that seemed full may take to start before a second line is entered. What was
known of its load is up to a tenth of a second old: without the pause one in ten of such orders
would start at both (`python -m benchmarks balance`)."""
START_MS = Millis(2_000)
"""How long a provider that seemed free may take to start, until enough is known to say when others
do. A dial and an order around the world take less; without it a newcomer stood for a minute in the
line of whoever only claimed to be idle (`modelex simulate loadliars`)."""

LINE, LATE, DEADLINE, DEPOSITS = "line", "late", "deadline", "deposits"
_PREFIX = "run"


class Racing:
    """The timers of runs, and the orders beside others."""

    def __init__(self, ordering: Ordering, router: Router, retries: RetryBudget) -> None:
        self._ordering = ordering
        self._router = router
        self._retries = retries
        self._starts = Delays()
        self._firsts = Delays()

    def start(self, run: Run, now: UnixMs) -> list[Effect]:
        """A run begins, with a deadline or without (RTE-44)."""
        if not run.wanted.deadline_ms:
            return []
        run.until = UnixMs(now + run.wanted.deadline_ms)
        return [_set(run, DEADLINE, run.until)]

    def wait(self, run: Run, now: UnixMs) -> list[Effect]:
        """A run waits for a deposit, or for the next one (RTE-51)."""
        if run.waits_from is not None:
            return []
        run.waits_from = now
        return [_set(run, DEPOSITS, UnixMs(now + run.patience_ms))]

    def watch(self, run: Run, now: UnixMs) -> list[Effect]:
        """An order was made: say when another may be."""
        effects = stop(run, DEPOSITS)
        if run.waits_from is not None:
            run.patience_ms -= now - run.waits_from
            run.waits_from = None
        profile, hedge, model = self._router.profile, run.wanted.hedge, run.wanted.request.model
        for attempt in run.attempts:
            if profile.binds_late:
                usual_ms = self._starts.compute_late_ms(model) or START_MS
                late_ms = LINE_MS if attempt.was_full else usual_ms
                effects.append(_set(run, LINE, UnixMs(now + late_ms)))
            first_ms = self._firsts.compute_late_ms(model)
            if (profile.hedges if hedge is None else hedge) and first_ms is not None:
                effects.append(_set(run, LATE, UnixMs(now + first_ms)))
        return effects

    def on_timer(self, run: Run, name: str, now: UnixMs) -> list[Effect]:
        """Order beside what is late, unless two are at it: RTE-40, RTE-41."""
        is_left = run.tried < run.wanted.attempts and run.order
        if run.winner is not None or len(run.attempts) != 1 or not is_left:
            return []
        if name == LINE:
            has_started = run.attempts[0].started is not None
            return [] if has_started else self._ordering.order_beside(run, now)
        return self._ordering.order_beside(run, now) if self._retries.spend() else []

    def begin(self, run: Run, attempt: Attempt, started: RunStarted, now: UnixMs) -> list[Effect]:
        """An order has started."""
        attempt.started = started
        self._starts.note(run.wanted.request.model, now - attempt.ordered_at)
        return stop(run, LINE)

    def win(self, run: Run, attempt: Attempt, now: UnixMs) -> list[Effect]:
        """An order has text."""
        run.winner = attempt
        self._router.on_text(attempt.exchange.job, now)
        self._firsts.note(run.wanted.request.model, now - attempt.ordered_at)
        return stop(run, LINE, LATE)

    def lose(self, run: Run, attempt: Attempt, now: UnixMs) -> None:
        """The run goes on without an order, which was not tried in vain.

        It would have taken longer: uncounted, what is late would seem ever sooner so.
        """
        attempt.is_lost = True
        attempt.had_started = attempt.started is not None
        delays = self._firsts if attempt.had_started else self._starts
        delays.note(run.wanted.request.model, now - attempt.ordered_at)
        self._router.on_lost(attempt.exchange.job, now)
        run.attempts.remove(attempt)
        run.lost.append(attempt)
        run.tried -= 1


def tell(run: Run) -> list[Effect]:
    """Say who serves a run, once it is clear."""
    serving = run.winner or (run.attempts[0] if len(run.attempts) == 1 else None)
    if serving is None or serving.started is None or serving.is_told:
        return []
    serving.is_told = True
    return [Emit(serving.started)]


def stop(run: Run, *names: str) -> list[Effect]:
    """Forget timers of a run, those that are set."""
    timers = [timer for name in names if (timer := _name(run, name)) in run.timers]
    for timer in timers:
        del run.timers[timer]
    return [CancelTimer(timer) for timer in timers]


def _set(run: Run, name: str, at: UnixMs) -> SetTimer:
    timer = _name(run, name)
    run.timers[timer] = None
    return SetTimer(timer, at)


def _name(run: Run, name: str) -> TimerId:
    return TimerId(f"{_PREFIX}/{run.job.hex()}/{name}")
