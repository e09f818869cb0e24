"""Timers: one task, one heap; a name is set, moved or cancelled, and fires once."""

import heapq
from collections.abc import Awaitable, Callable

import trio

from p2p_modelex.core.effects import TimerId
from p2p_modelex.units import UnixMs

LOOK_S = 60.0
"""The longest sleep: the clock may be set forward meanwhile."""


class Timers:
    """Fires each timer's name into `fire` when its time has come."""

    def __init__(
        self, clock: Callable[[], UnixMs], fire: Callable[[TimerId], Awaitable[None]]
    ) -> None:
        self._clock = clock
        self._fire = fire
        self._due: dict[TimerId, UnixMs] = {}
        # May hold superseded times; `_due` says which one counts.
        self._heap: list[tuple[UnixMs, TimerId]] = []
        self._changed = trio.Event()

    def set(self, timer: TimerId, at: UnixMs) -> None:
        """Set or move a timer."""
        self._due[timer] = at
        heapq.heappush(self._heap, (at, timer))
        if self._heap[0] == (at, timer):
            self._changed.set()
        if len(self._heap) > 2 * len(self._due) + 64:
            self._heap = [(at, timer) for timer, at in self._due.items()]
            heapq.heapify(self._heap)

    def cancel(self, timer: TimerId) -> None:
        """Forget a timer, if set."""
        self._due.pop(timer, None)

    async def run(self) -> None:
        """Fire timers until cancelled."""
        while True:
            self._changed = trio.Event()
            wait_s = await self._fire_due()
            with trio.move_on_after(wait_s):
                await self._changed.wait()

    async def _fire_due(self) -> float:
        """Fire what is due; return the seconds to the next one."""
        while self._heap:
            at, timer = self._heap[0]
            if self._due.get(timer) != at:
                heapq.heappop(self._heap)
                continue
            wait_ms = at - self._clock()
            if wait_ms > 0:
                return min(wait_ms / 1000, LOOK_S)
            heapq.heappop(self._heap)
            del self._due[timer]
            await self._fire(timer)
        return LOOK_S
