"""How long orders take, and from when on one is late."""

from collections import deque

from p2p_modelex.units import UnixMs

SEEN_MAX = 256
"""Durations remembered: what was long ago says little of now."""
SEEN_MIN = 16
"""With fewer a percentile means nothing, and nothing is late."""
QUANTILE = 0.95
LATER, MUCH_LATER = 1.5, 4.0
"""So many times later than nearly all is late: the first where slots are free, as nothing is left
to be begun; while there is fresh work only what seems to hang is worth a slot.
"""
LATE_MIN_MS = 50
"""Less is the noise of a network."""


class Pace:
    """The durations of the latest orders that brought an answer, in ms."""

    def __init__(self) -> None:
        self._seen: deque[int] = deque(maxlen=SEEN_MAX)
        self._late_ms: int | None = None

    def note(self, began: UnixMs, now: UnixMs) -> None:
        """An order that began then is done."""
        self._seen.append(max(now - began, 0))
        self._late_ms = None

    def compute_late_ms(self, *, is_drained: bool) -> int | None:
        """Return the age from which an order is late; None while too few are known.

        is_drained: whether nothing but late orders is left to be begun.
        """
        if len(self._seen) < SEEN_MIN:
            return None
        if self._late_ms is None:
            ordered = sorted(self._seen)
            self._late_ms = max(ordered[int(QUANTILE * len(ordered))], LATE_MIN_MS)
        return int(self._late_ms * (LATER if is_drained else MUCH_LATER))
