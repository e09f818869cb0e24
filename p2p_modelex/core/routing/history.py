"""What we saw ourselves: when first texts came, how jobs ended, how long deposits took."""

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import islice

from p2p_modelex.core.prefixes import ReadBook, Turn
from p2p_modelex.ids import JobId, PeerId
from p2p_modelex.units import Millis, UnixMs

PEERS_MAX = 4096
"""Peers remembered; the one that served us longest ago is forgotten first."""
JOBS_MAX = 1024
"""Jobs under way that are timed; as many as there can be runs."""
MEMORY = 32
"""Jobs that count: beyond so many all counts are halved, so that what is long ago fades."""
SMOOTHING = 0.25
"""Share of the newest time in a mean: four make most of it."""


@dataclass(slots=True)
class Past:
    """A peer's record. first_ms: mean time to the first text, None before there was any."""

    good: float = 0.0
    bad: float = 0.0
    first_ms: float | None = None


@dataclass(slots=True)
class _Job:
    peer: PeerId
    ordered_at: UnixMs
    turns: tuple[Turn, ...]
    is_heard: bool = False


class History:
    """Our own experience, one record a peer."""

    def __init__(self) -> None:
        self.readers: ReadBook[PeerId] = ReadBook()
        """Who has read which prompts of ours."""
        self.deposit_ms = 0.0
        """Mean time from asking for a deposit until it is made; 0 before there was one."""
        self._pasts: dict[PeerId, Past] = {}
        self._jobs: dict[JobId, _Job] = {}

    def get(self, peer: PeerId) -> Past | None:
        """Return the peer's record, if it ever served us."""
        return self._pasts.get(peer)

    def get_newest(self, count: int) -> Iterable[PeerId]:
        """Return those that served us last, the newest first."""
        return islice(reversed(self._pasts), count)

    def on_deposit(self, took: Millis) -> None:
        """A deposit was made."""
        self.deposit_ms = _smooth(self.deposit_ms or None, took)

    def on_order(self, job: JobId, peer: PeerId, now: UnixMs, turns: tuple[Turn, ...] = ()) -> None:
        """A job of this prompt goes to a peer; an earlier one of its name counts no more."""
        self._jobs.pop(job, None)
        self._jobs[job] = _Job(peer, now, turns)
        if len(self._jobs) > JOBS_MAX:
            del self._jobs[next(iter(self._jobs))]

    def on_text(self, job: JobId, now: UnixMs) -> None:
        """Text of a job came; only the first counts."""
        known = self._jobs.get(job)
        if known is None or known.is_heard:
            return
        known.is_heard = True
        self._learn(known, now)

    def on_lost(self, job: JobId, now: UnixMs) -> None:
        """A job is given up; if no text had come, it would have taken longer than until now."""
        known = self._jobs.get(job)
        if known is not None and not known.is_heard:
            self._learn(known, now, at_least=True)

    def _learn(self, job: _Job, now: UnixMs, *, at_least: bool = False) -> None:
        past = self._past(job.peer)
        took = float(max(now - job.ordered_at, 0))
        if at_least and past.first_ms is not None:
            took = max(took, past.first_ms)
        past.first_ms = _smooth(past.first_ms, took)

    def on_end(self, job: JobId, *, is_good: bool | None) -> None:
        """A job is over: well, badly, or (None) in a way that says nothing of the peer."""
        known = self._jobs.pop(job, None)
        if known is None or is_good is None:
            return
        if is_good:
            self.readers.note(known.turns, known.peer)
        past = self._past(known.peer)
        past.good += is_good
        past.bad += not is_good
        if past.good + past.bad > MEMORY:
            past.good, past.bad = past.good / 2, past.bad / 2

    def _past(self, peer: PeerId) -> Past:
        past = self._pasts.pop(peer, None) or Past()
        self._pasts[peer] = past
        if len(self._pasts) > PEERS_MAX:
            del self._pasts[next(iter(self._pasts))]
        return past


def _smooth(mean: float | None, newest: float) -> float:
    return newest if mean is None else mean + SMOOTHING * (newest - mean)
