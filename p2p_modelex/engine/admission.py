"""Who may run now: slots, a bounded queue before them, and the counters that come of it."""

import statistics
from collections import deque

import trio

from p2p_modelex.errors import EngineBusy

# Enough for a steady median, few enough to follow a change of load within seconds.
_SAMPLES = 64
_RETRY_MIN_MS, _RETRY_MAX_MS = 100, 60_000


class Admission:
    """First come, first served. A slot is given back when the work has stopped, not before."""

    def __init__(self, slots: int, waiting_max: int) -> None:
        self._slots = trio.Semaphore(slots, max_value=slots)
        self._slot_count = slots
        self._waiting_max = waiting_max
        self._first_ms: deque[float] = deque(maxlen=_SAMPLES)
        self._whole_ms: deque[float] = deque(maxlen=_SAMPLES)
        self.waiting = 0

    @property
    def running(self) -> int:
        """Slots in use."""
        return self._slot_count - self._slots.value

    async def acquire(self) -> None:
        """Wait for a slot; EngineBusy at once if the queue is full."""
        if self.waiting >= self._waiting_max and self._slots.value == 0:
            raise EngineBusy(
                f"{self.running} running and {self.waiting} waiting",
                retry_after_ms=self._estimate_wait_ms(),
            )
        self.waiting += 1
        try:
            await self._slots.acquire()
        finally:
            self.waiting -= 1

    def release(self) -> None:
        """Give the slot back."""
        self._slots.release()

    def note_first_token(self, began: float) -> None:
        """Record the latency of a request that came at `began` (trio.current_time)."""
        self._first_ms.append(1000 * (trio.current_time() - began))

    def note_finished(self, began: float) -> None:
        """Record how long a request took that came at `began`."""
        self._whole_ms.append(1000 * (trio.current_time() - began))

    @property
    def first_token_ms(self) -> int:
        """The median over the last requests, 0 if none."""
        return round(statistics.median(self._first_ms)) if self._first_ms else 0

    def _estimate_wait_ms(self) -> int:
        whole = statistics.median(self._whole_ms) if self._whole_ms else _RETRY_MIN_MS
        ahead = (self.waiting + 1) / self._slot_count
        return round(min(max(whole * ahead, _RETRY_MIN_MS), _RETRY_MAX_MS))
