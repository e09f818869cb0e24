"""A process's timers: a name is set, moved or cancelled, and fires once."""

from collections.abc import Callable

import msgspec

from p2p_modelex.core.effects import TimerId
from p2p_modelex.simulation.kernel import Kernel, Target


class TimerDue(msgspec.Struct, frozen=True, gc=False):
    """The time a timer was set to has come; it may have been moved since."""

    timer: TimerId


class Alarms:
    """Fires each timer's name into `fire`. Times in microseconds."""

    def __init__(self, kernel: Kernel, process: Target, fire: Callable[[TimerId], None]) -> None:
        self._kernel = kernel
        self._process = process
        self._fire = fire
        self._due: dict[TimerId, int] = {}
        # When the next event of each comes, which may be before it is due.
        self._armed: dict[TimerId, int] = {}

    def set(self, timer: TimerId, at: int) -> None:
        """Set or move a timer."""
        self._due[timer] = at
        armed = self._armed.get(timer)
        # One that is moved later rides on the event it has: most deadlines are moved often.
        if armed is None or armed > at:
            self._armed[timer] = at
            self._kernel.at(at, self._process, TimerDue(timer))

    def cancel(self, timer: TimerId) -> None:
        """Forget a timer, if set."""
        self._due.pop(timer, None)

    def on_due(self, event: TimerDue) -> None:
        """Take an event: fire, or wait for the time that it was moved to."""
        timer, now = event.timer, self._kernel.now
        if self._armed.get(timer, 0) > now:
            return  # set anew, with an event of its own
        self._armed.pop(timer, None)
        at = self._due.get(timer)
        if at is None:
            return
        if at > now:
            self._armed[timer] = at
            self._kernel.at(at, self._process, event)
            return
        del self._due[timer]
        self._fire(timer)
