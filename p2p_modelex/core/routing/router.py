"""Choose providers: filter, shortlist at random, probe (elsewhere), score, order."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

from p2p_modelex.core.routing.candidate import Candidate, Want
from p2p_modelex.units import UnixMs


class Rng(Protocol):
    """The part of random.Random that is used."""

    def random(self) -> float:
        """Return a number in [0, 1)."""
        ...


@dataclass(frozen=True, slots=True)
class Selection:
    """What the filters left, and which filter took how many.

    why_none: if nothing is left, a sentence for NoProvider that names the filter that took the last
    one and what would have passed ("the cheapest is ...", "nearest names: ..."); else empty.
    """

    kept: tuple[Candidate, ...]
    removed: tuple[tuple[str, int], ...]
    why_none: str


class Router:
    """Chooses among candidates by a Profile, with what the ProbeBook and the Circuits know."""

    def select(self, candidates: Iterable[Candidate], want: Want, now: UnixMs) -> Selection:
        """Apply the profile's filters in order."""
        raise NotImplementedError

    def shortlist(self, kept: Sequence[Candidate], want: Want, now: UnixMs) -> tuple[Candidate, ...]:
        """Draw the power-of-d candidates to probe, without replacement."""
        raise NotImplementedError

    def rank(
        self, shortlist: Sequence[Candidate], kept: Sequence[Candidate], want: Want, now: UnixMs
    ) -> tuple[Candidate, ...]:
        """Order of trying: the shortlist by score with fresh load, then the others for failover."""
        raise NotImplementedError
