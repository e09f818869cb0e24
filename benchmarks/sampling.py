"""A sampling profiler of this process's CPU time: what is called costs nothing, unlike cProfile."""

import signal
import sys
import threading
from collections import Counter
from collections.abc import Generator
from contextlib import contextmanager
from types import FrameType

_PERIOD_S = 0.002
_OURS = "/p2p_modelex/"
# Where Trio's thread waits: the CPU time is then some worker thread's.
_WAITING = "get_events"


class Samples:
    """How often each function was found running."""

    def __init__(self) -> None:
        self.total = 0
        self.ours: Counter[str] = Counter()
        """By the innermost module of ours on the stack, what it calls in libraries included."""
        self.leaves: Counter[str] = Counter()
        """By the name of the innermost function in Python, what it calls in C included."""

    def take(self, _number: int, frame: FrameType | None) -> None:
        """Count the stack at `frame`: a signal handler."""
        self.total += 1
        if frame is not None and frame.f_code.co_name == _WAITING:
            frame = _busy_thread() or frame
        if frame is not None:
            self.leaves[frame.f_code.co_name] += 1
        while frame is not None and _OURS not in frame.f_code.co_filename:
            frame = frame.f_back
        self.ours["Trio" if frame is None else _name_of(frame)] += 1

    def top(self, count: int = 5) -> list[tuple[str, float]]:
        """Return the modules of ours with the most samples, and their share."""
        return [(name, number / self.total) for name, number in self.ours.most_common(count)]


def _busy_thread() -> FrameType | None:
    """Return where a worker thread is that works for us, None if there is none."""
    main = threading.main_thread().ident
    for thread, leaf in sys._current_frames().items():
        frame: FrameType | None = leaf if thread != main else None
        while frame is not None:
            if _OURS in frame.f_code.co_filename:
                return leaf
            frame = frame.f_back
    return None


def _name_of(frame: FrameType) -> str:
    return frame.f_code.co_filename.rpartition(_OURS)[2].removesuffix(".py")


@contextmanager
def sampling() -> Generator[Samples, None, None]:
    """Sample the block, every 2 ms of CPU time."""
    samples = Samples()
    before = signal.signal(signal.SIGPROF, samples.take)
    signal.setitimer(signal.ITIMER_PROF, _PERIOD_S, _PERIOD_S)
    try:
        yield samples
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, before)
