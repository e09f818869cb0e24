"""How fast the engines have been serving: what a wait is reckoned by."""

from collections import deque
from dataclasses import dataclass, field

KEPT = 32
"""Jobs that tell the pace: enough to even them out, few enough to follow a change."""

WAIT_FIRST_MS, WAIT_MIN_MS, WAIT_MAX_MS = 1_000, 100, 60_000
"""A wait before anything is known, and its bounds: less costs more in asking than it gains, and
what takes longer is better sought elsewhere.
"""


@dataclass(slots=True)
class Pace:
    """Tokens a second of all engines together. A job counts by what it might have come to, as
    those in line do, so that jobs which end early bring the others forward by as much as they do.

    slots: jobs that run side by side.
    """

    slots: int
    _jobs: deque[tuple[int, float]] = field(default_factory=lambda: deque(maxlen=KEPT))

    def note(self, tokens: int, took_ms: int, running: int) -> None:
        """A job is done; so many, itself among them, were with the engines."""
        # More than there are slots wait for each other in an engine: that is none of its time.
        self._jobs.append((tokens, took_ms / max(running, self.slots)))

    def compute_wait_ms(self, tokens: int) -> int:
        """Return how long it takes until so many tokens have gone by."""
        if not self._jobs:
            return WAIT_FIRST_MS
        served = sum(tokens for tokens, _ in self._jobs)
        took_ms = sum(took for _, took in self._jobs)
        return round(min(max(took_ms * tokens / max(served, 1), WAIT_MIN_MS), WAIT_MAX_MS))
