"""Choose providers: filter, draw a shortlist, (probe it, elsewhere,) score, order."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

from p2p_modelex.core.routing.candidate import Candidate, Want, compute_cost
from p2p_modelex.core.routing.circuits import Circuits
from p2p_modelex.core.routing.filters import Sight
from p2p_modelex.core.routing.loads import ProbeBook
from p2p_modelex.core.routing.profile import PROFILES, Profile
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
    one and what would have passed ("the cheapest is ...", "nearest: ..."); else empty.
    """

    kept: tuple[Candidate, ...]
    removed: tuple[tuple[str, int], ...]
    why_none: str


class Router:
    """Chooses among candidates by a Profile, with what the ProbeBook and the Circuits know."""

    def __init__(
        self,
        rng: Rng,
        circuits: Circuits,
        loads: ProbeBook,
        profile: Profile = PROFILES["balanced"],
    ) -> None:
        self._rng = rng
        self._circuits = circuits
        self._loads = loads
        self._profile = profile

    def select(self, candidates: Iterable[Candidate], want: Want, now: UnixMs) -> Selection:
        """Apply the profile's filters in order."""
        sight = Sight(self._circuits, self._loads, now)
        kept = list(candidates)
        removed: list[tuple[str, int]] = []
        if not kept:
            return Selection((), (), "no other peer offers anything yet")
        for one in self._profile.filters:
            before, kept = kept, []
            gone: list[Candidate] = []
            for candidate in before:
                (kept if one.keeps(candidate, want, sight) else gone).append(candidate)
            if gone:
                removed.append((one.name, len(gone)))
            if not kept:
                return Selection((), tuple(removed), f"{one.rule}: {one.explain(gone, want)}")
        return Selection(tuple(kept), tuple(removed), "")

    def shortlist(self, kept: Sequence[Candidate], want: Want) -> tuple[Candidate, ...]:
        """Draw the power-of-d candidates to probe, without replacement, one a peer (RTE-12).

        A candidate's chance falls with its cost (weighted sampling of Efraimidis and Spirakis
        2006), so that a crowd of dear offers does not hide a cheap one.
        """
        cheapest: dict[bytes, Candidate] = {}
        for candidate in kept:
            known = cheapest.get(candidate.peer)
            if known is None or compute_cost(candidate.offer, want) < compute_cost(
                known.offer, want
            ):
                cheapest[candidate.peer] = candidate
        chosen = list(cheapest.values())
        # Key random() ** (cost / lowest), the greatest win; the index breaks ties.
        lowest = max(min((compute_cost(c.offer, want) for c in chosen), default=1), 1)
        keys = [
            (-(self._rng.random() ** max(compute_cost(c.offer, want) / lowest, 1.0)), at)
            for at, c in enumerate(chosen)
        ]
        return tuple(chosen[at] for _, at in sorted(keys)[: self._profile.choices])

    def rank(
        self, shortlist: Sequence[Candidate], kept: Sequence[Candidate], want: Want, now: UnixMs
    ) -> tuple[Candidate, ...]:
        """Order of trying: the shortlist by score with fresh load, then the others for failover."""
        listed = {candidate.peer: None for candidate in shortlist}
        others = [candidate for candidate in kept if candidate.peer not in listed]
        return (*self._order(shortlist, want, now), *self._order(others, want, now))

    def _order(
        self, candidates: Sequence[Candidate], want: Want, now: UnixMs
    ) -> tuple[Candidate, ...]:
        sight = Sight(self._circuits, self._loads, now)
        totals = [0.0] * len(candidates)
        for scorer, weight in self._profile.scorers:
            for at, score in enumerate(scorer.scores(candidates, want, sight)):
                totals[at] += weight * score
        keys = [(-total, self._rng.random(), at) for at, total in enumerate(totals)]
        return tuple(candidates[at] for _, _, at in sorted(keys))
