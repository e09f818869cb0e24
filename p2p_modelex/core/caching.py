"""How much of what prompts have in common the engines still have when it comes again (RTE-50)."""

from collections import deque

from p2p_modelex.core.inputs import EngineFinished
from p2p_modelex.core.prefixes import ReadBook, Turn, compute_turns
from p2p_modelex.ids import JobId
from p2p_modelex.records.job import Request

KEPT = 32
"""Jobs that the mean is of."""

TOKENS_MIN = 16
"""Fewer that should come from a cache say little: engines keep whole blocks."""

JOBS_MAX = 1024
"""Jobs under way; there are never so many."""

WHOLE, UNMEASURED = 10_000, 2_500
"""All of it, in basis points; and what is said before anything came again, without which nobody
would try."""


class Caching:
    """Measures it: where an engine tells of no cache, it comes to nothing."""

    def __init__(self) -> None:
        self._book: ReadBook[str] = ReadBook()
        self._jobs: dict[JobId, tuple[str, tuple[Turn, ...]]] = {}
        self._kept: deque[float] = deque(maxlen=KEPT)

    @property
    def share(self) -> int:
        """The mean share, in basis points."""
        return round(WHOLE * sum(self._kept) / len(self._kept)) if self._kept else UNMEASURED

    def begin(self, job: JobId, request: Request) -> None:
        """An engine is to run a job."""
        self._jobs[job] = request.model, compute_turns(request)
        if len(self._jobs) > JOBS_MAX:
            del self._jobs[next(iter(self._jobs))]

    def drop(self, job: JobId) -> None:
        """A job's engine has failed, or never ran it."""
        self._jobs.pop(job, None)

    def finish(self, ended: EngineFinished) -> None:
        """An engine is done with a job."""
        model, turns = self._jobs.pop(ended.job, ("", ()))
        found = self._book.find(turns)
        expected = ended.prompt_tokens * found[1] if found is not None else 0.0
        if expected >= TOKENS_MIN:
            self._kept.append(min(ended.cached_tokens / expected, 1.0))
        self._book.note(turns, model)
