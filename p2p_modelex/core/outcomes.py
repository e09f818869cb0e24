"""Outcomes: what an order's end costs its run, and what it says of its provider."""

from p2p_modelex.core.effects import Effect, RunFailed, RunFinished
from p2p_modelex.core.ordering import Ordering
from p2p_modelex.core.routing.circuits import Circuits
from p2p_modelex.core.routing.router import Router
from p2p_modelex.core.runs import Attempt, Run
from p2p_modelex.units import UnixMs, Wei, rescale

FAULTS = ("dial", "stream", "timeout", "protocol", "price_changed", "unknown_model")
"""Failures that are the provider's even where nothing was begun: it is not there, it breaks the
rules, or it refuses what it advertised itself. The other refusals are honest answers."""

STALE = ("no_channel", "channel_exhausted")
"""Refusals that may mean that the chain knows more of our channel than we do."""


class Outcomes:
    """Keeps circuits and history by how orders end."""

    def __init__(self, ordering: Ordering, circuits: Circuits, router: Router) -> None:
        self._ordering = ordering
        self._circuits = circuits
        self._router = router

    def finish(self, run: Run, attempt: Attempt, finished: RunFinished) -> Wei:
        """An order served its run; return what the run cost, in the order's split epoch."""
        self._circuits.on_success(attempt.peer)
        self._router.on_end(attempt.exchange.job, attempt.peer, is_good=True)
        return Wei(finished.paid + run.sum_spent(attempt.epoch))

    def fail(self, run: Run, attempt: Attempt, failed: RunFailed, now: UnixMs) -> list[Effect]:
        """An order failed, wanted or not; look at its channel if that may help."""
        run.spent += rescale(failed.paid, attempt.epoch, run.epoch)
        peer = attempt.peer
        # Its first order offered what it says we owe; who wants more still is worth no further try.
        is_insatiable = failed.code == "debt" and run.debtor_of == peer
        is_fault = is_insatiable or is_at_fault(failed)
        self._router.on_end(attempt.exchange.job, peer, is_good=False if is_fault else None)
        if is_fault:
            advertised = attempt.candidate.advertisement.sequence
            unreached = advertised if failed.code == "dial" else None
            is_foul = failed.code == "protocol"
            self._circuits.on_failure(peer, now, unreached=unreached, is_foul=is_foul)
        else:
            self._circuits.end_trial(peer)
        return [self._ordering.fetch(attempt.channel)] if failed.code in STALE else []

    def lose(self, run: Run, attempt: Attempt, finished: RunFinished, now: UnixMs) -> None:
        """An order that was no longer wanted has its receipt.

        Once in a while a start crosses our Cancel; who starts whatever is withdrawn wants money.
        """
        run.spent += rescale(finished.paid, attempt.epoch, run.epoch)
        is_good = None if attempt.had_started else False
        self._router.on_end(attempt.exchange.job, attempt.peer, is_good=is_good)
        if attempt.had_started:
            self._circuits.end_trial(attempt.peer)
        else:
            self._circuits.on_failure(attempt.peer, now)


def is_at_fault(failed: RunFailed) -> bool:
    """Whether the provider's circuit counts this failure."""
    return failed.code in FAULTS or (not failed.refused and failed.code != "cancelled")
