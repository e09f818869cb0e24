"""The smallest scenario that fails like one that is given: delta debugging (Zeller, 2002).

What can go goes, in halves, quarters and so on down to single tables and settings; then counts and
times get smaller. Each candidate is read as a file would be, and counts if it fails alike, and no
worse: it would soon be a world where nothing works, and nothing that is asked holds.
"""

from collections.abc import Callable, Sequence
from typing import TypeVar

import msgspec

from p2p_modelex.errors import BadInput, SimulationError
from p2p_modelex.simulation.repeat import simpler
from p2p_modelex.simulation.repeat.failure import Failure, find_failure
from p2p_modelex.simulation.scenario.plugins import list_loaded
from p2p_modelex.simulation.scenario.reading import parse_scenario
from p2p_modelex.simulation.scenario.tables import Scenario
from p2p_modelex.simulation.scenario.writing import write_scenario

TRIES_MAX = 500
SEEDS = 3
"""Seeds tried for a candidate: a table less is another world, in which the same may need luck."""
PATIENCE, EVENTS_MIN = 2, 5_000
"""A candidate that has not failed after so many times the events of the last, and these, is given
up.
"""
ROUNDS_MAX = 8

T = TypeVar("T")


class Shrunk(msgspec.Struct, frozen=True):
    """scenario: fails by `failure`. tries: runs it took. is_whole: nothing simpler was found, and
    not only not yet.
    """

    scenario: Scenario
    failure: Failure
    tries: int
    is_whole: bool


class _Enough(Exception):
    """Tries or time are used up."""


Progress = Callable[[int, Scenario, Failure], None]
"""Told the number of tries and the smallest yet, whenever there is one."""


def shrink(
    scenario: Scenario,
    *,
    tries_max: int = TRIES_MAX,
    is_late: Callable[[], bool] = lambda: False,
    progress: Progress = lambda *_: None,
) -> Shrunk:
    """Return the smallest that is found; SimulationError if the scenario does not fail.

    The same scenario shrinks the same way; how far may hang on `is_late`, asked before each try.
    """
    failure = find_failure(scenario)
    if failure is None:
        raise SimulationError("it does not fail: nothing to shrink", hint="another --seed?")
    search = _Search(scenario, failure, tries_max, is_late, progress)
    is_whole = search.run()
    return Shrunk(search.best, search.failure, search.tries, is_whole)


class _Search:
    def __init__(
        self,
        scenario: Scenario,
        failure: Failure,
        tries_max: int,
        is_late: Callable[[], bool],
        progress: Progress,
    ) -> None:
        self.best, self.failure = scenario, failure
        self._first = failure
        self.tries = 0
        self._tries_max = tries_max
        self._is_late = is_late
        self._progress = progress
        self._known: dict[str, None] = {}

    def run(self) -> bool:
        """Go round until nothing changes; False if that was not to be."""
        try:
            for _ in range(ROUNDS_MAX):
                before = self.best
                self._cut()
                self._thin_out(simpler.list_tables, simpler.remove)
                self._thin_out(simpler.list_settings, simpler.reset)
                self._lessen()
                if self.best == before:
                    return True
        except _Enough:
            pass
        return False

    def _try(self, candidate: Scenario) -> bool:
        """Take a candidate if it fails alike."""
        if candidate == self.best:
            return False
        for seed in range(candidate.seed, candidate.seed + SEEDS):
            tried = msgspec.structs.replace(candidate, seed=seed)
            text = _write(tried)
            if text is None or text in self._known:
                continue
            self._known[text] = None
            if self.tries >= self._tries_max or self._is_late():
                raise _Enough
            self.tries += 1
            most = max(EVENTS_MIN, PATIENCE * self.failure.events)
            failure = find_failure(tried, events_max=most)
            if failure is not None and failure.is_like(self._first):
                self.best, self.failure = tried, failure
                self._progress(self.tries, tried, failure)
                return True
        return False

    def _cut(self) -> None:
        """End it where it fails, which makes all that follows quicker."""
        self._try(simpler.cut(self.best, self.failure.at_us))

    def _thin_out(
        self,
        listed: Callable[[Scenario], Sequence[T]],
        without: Callable[[Scenario, Sequence[T]], Scenario],
    ) -> None:
        """Take away as much as can be, in ever smaller parts."""
        size = max(1, len(listed(self.best)) // 2)
        while True:
            at = 0
            while at < len(left := listed(self.best)):
                if not self._try(without(self.best, left[at : at + size])):
                    at += size
            if size == 1:
                return
            size //= 2

    def _lessen(self) -> None:
        for path in simpler.list_numbers(self.best):
            if path == ("settle",) and self._first.short is not None:
                continue  # too short, and nothing has come to its end that is measured
            while any(
                self._try(simpler.put(self.best, path, less))
                for less in simpler.list_less(path, simpler.get(self.best, path))
            ):
                pass


def _write(scenario: Scenario) -> str | None:
    """Return the text of a candidate; None if it is refused."""
    try:
        text = write_scenario(scenario)
        parse_scenario(text, plugins=list_loaded(scenario.plugin.files))
    except BadInput:
        return None
    return text
