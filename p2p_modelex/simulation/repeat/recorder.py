"""What is kept of a run while it runs: digests by the way, its last events, and those asked for."""

import platform
from collections import deque

import msgspec

from p2p_modelex.simulation.kernel import Trace
from p2p_modelex.simulation.opening import Run
from p2p_modelex.simulation.repeat.telling import tell_event
from p2p_modelex.simulation.repeat.trace_file import (
    EVENTS_MAX,
    MARKS_MAX,
    VERSION,
    End,
    Event,
    Head,
    Mark,
    TraceFile,
)
from p2p_modelex.simulation.scenario.plugins import list_loaded
from p2p_modelex.simulation.scenario.writing import write_scenario

FIRST_PERIOD = 64
"""Events from one mark to the next, at first; it doubles whenever there are MARKS_MAX."""
LAST_EVENTS = 200
"""Kept in any case: what came before the end."""
PYTHON = platform.python_version()

_Noted = tuple[int, int, int, msgspec.Struct]
"""How many events there were with it, its time, whose it is, and itself."""


class Wanted(msgspec.Struct, frozen=True, kw_only=True):
    """Which events are kept: of a span of time (microseconds), of a node, of a span of counts."""

    from_us: int = 0
    until_us: int = 2**63
    node: int | None = None
    after: int = 0
    up_to: int = 2**63

    def covers(self, count: int, at_us: int, number: int) -> bool:
        """Whether an event is meant; count: of all so far, with it."""
        if not self.after < count <= self.up_to or not self.from_us <= at_us <= self.until_us:
            return False
        return self.node is None or self.node == number


class Recorder(Trace):
    """Stands in for a kernel's trace from the start of a run. period: keep marks so far apart,
    however many, instead of ever farther.
    """

    def __init__(self, wanted: Wanted | None = None, *, period: int | None = None) -> None:
        super().__init__()
        self.marks: list[Mark] = []
        self.period = period or FIRST_PERIOD
        self.count = 0
        self.is_full = False
        """Whether more events were wanted than are kept."""
        self._thins = period is None
        self._next = self.period
        self._wanted = wanted
        self._kept: list[_Noted] = []
        self._last: deque[_Noted] = deque(maxlen=LAST_EVENTS)

    def note(self, at_us: int, number: int, event: msgspec.Struct) -> None:
        """See Trace."""
        super().note(at_us, number, event)
        self.count += 1
        noted = self.count, int(at_us), number, event
        self._last.append(noted)
        if self._wanted is not None and self._wanted.covers(self.count, at_us, number):
            self.is_full = len(self._kept) >= EVENTS_MAX
            if not self.is_full:
                self._kept.append(noted)
        if self.count == self._next:
            self._mark(at_us)

    def _mark(self, at_us: int) -> None:
        self.marks.append(Mark(self.count, int(at_us), self.compute_digest()))
        if self._thins and len(self.marks) >= MARKS_MAX:
            self.period *= 2
            self.marks = self.marks[1::2]
        self._next = self.count + self.period

    def attach(self, run: Run) -> None:
        """Record a run that has not begun."""
        run.kernel.trace = self

    def conclude(
        self, run: Run, code: str, *, broke: str = "", unmet: tuple[str, ...] = ()
    ) -> TraceFile:
        """Return the trace of a run that has ended, or was stopped by what broke.

        code: what this version is called. unmet: what the scenario asks in vain.
        """
        kept = {noted[0]: noted for noted in (*self._kept, *self._last)}
        plugins = list_loaded(run.scenario.plugin.files)
        head = Head(VERSION, write_scenario(run.scenario), code, PYTHON, self.period, plugins)
        end = End(self.count, int(run.kernel.now), self.compute_digest(), broke, unmet)
        events = _tell([kept[count] for count in sorted(kept)], run)
        return TraceFile(head, tuple(self.marks), tuple(events), end)


def _tell(kept: list[_Noted], run: Run) -> list[Event]:
    peers = run.name_peers()
    told = []
    for count, at_us, number, event in kept:
        alone = Trace()
        alone.note(at_us, number, event)
        text = tell_event(at_us, number, event, peers)
        told.append(Event(count, at_us, number, alone.compute_digest(), text))
    return told
