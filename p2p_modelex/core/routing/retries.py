"""A budget for failover (as in Finagle): when everything fails, trying on makes it worse."""

RUNS_PER_RETRY = 5
"""Runs that earn one more attempt: in the long run one in five may have another."""
RETRIES_MAX = 1024
"""Kept for bad days, and there at the start: as many as there can be runs, so that all of them come
through the loss of the provider that they are at."""


class RetryBudget:
    """Attempts after a run's first, of all runs together (RTE-25)."""

    def __init__(self) -> None:
        self._earned = RETRIES_MAX * RUNS_PER_RETRY

    def on_run(self) -> None:
        """A run begins."""
        self._earned = min(self._earned + 1, RETRIES_MAX * RUNS_PER_RETRY)

    def spend(self) -> bool:
        """Take one attempt out; False if there is none."""
        if self._earned < RUNS_PER_RETRY:
            return False
        self._earned -= RUNS_PER_RETRY
        return True
