"""Pickers: who is asked for its load, and who of the scored is tried first. One file each."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

from p2p_modelex.core.routing.candidate import Candidate, Want, compute_cost
from p2p_modelex.core.routing.filters import Sight
from p2p_modelex.core.routing.scorers import score_rating, score_record

Reach = Literal["any", "known", "cheap", "near"]
"""Whom a picker wants to see of a mesh that is too large to see all: a random few; those whose load
is fresh, and a random few; the cheapest; those that come first after a point on the ring."""


class Rng(Protocol):
    """The part of random.Random that is used."""

    def random(self) -> float:
        """Return a number in [0, 1)."""
        ...


@dataclass(frozen=True, slots=True)
class Draw:
    """shortlist: whom to choose from. asked: whom to probe. waits: until they have answered."""

    shortlist: tuple[Candidate, ...]
    asked: tuple[Candidate, ...] = ()
    waits: bool = False


@dataclass(frozen=True, slots=True)
class Scored:
    """A candidate, its scores in the order of the profile's scorers, and their weighted mean."""

    candidate: Candidate
    scores: tuple[float, ...]
    total: float


class Picker(Protocol):
    """One way to choose."""

    rule: str
    name: str

    @property
    def reach(self) -> Reach:
        """Whom it wants to see."""
        ...

    def draw(self, candidates: Sequence[Candidate], want: Want, sight: Sight, rng: Rng) -> Draw:
        """Draw from candidates that are of one peer each."""
        ...

    def order(
        self, shortlist: Sequence[Scored], want: Want, sight: Sight, rng: Rng
    ) -> list[Scored]:
        """Return the shortlist in the order of trying."""
        ...

    def explain(self, order: Sequence[Scored], want: Want, sight: Sight) -> str:
        """Say why the first (of at least one) is the first."""
        ...


TRUST_MIN = 0.01
"""Of the lowest rating: who has it can still be drawn."""


def draw_by_weight(weights: Sequence[float], rng: Rng, count: int) -> list[int]:
    """Draw places without replacement by weights over 0 (Efraimidis and Spirakis 2006)."""
    # Key random() ** (1 / weight), the greatest win; the index breaks ties.
    keys = [(-(rng.random() ** (1 / weight)), at) for at, weight in enumerate(weights)]
    return [at for _, at in sorted(keys)[:count]]


def draw_by_cost(
    candidates: Sequence[Candidate], want: Want, rng: Rng, count: int
) -> tuple[Candidate, ...]:
    """Draw without replacement; a candidate's chance falls with its cost, so that a crowd of dear
    offers does not hide a cheap one.
    """
    costs = [compute_cost(candidate.offer, want) for candidate in candidates]
    lowest = max(min(costs, default=1), 1)
    weights = [min(lowest / max(cost, 1), 1.0) for cost in costs]
    return tuple(candidates[at] for at in draw_by_weight(weights, rng, count))


def draw_by_trust(
    candidates: Sequence[Candidate], sight: Sight, rng: Rng, count: int
) -> tuple[Candidate, ...]:
    """Draw without replacement by our own record there times its rating on chain, so that a crowd
    of baits does not hide who serves: a price is free to claim.
    """
    weights = [
        score_record(one.peer, sight) * max(score_rating(one.peer, sight), TRUST_MIN)
        for one in candidates
    ]
    return tuple(candidates[at] for at in draw_by_weight(weights, rng, count))


def order_by_total(scored: Sequence[Scored], rng: Rng) -> list[Scored]:
    """Return the best first, ties broken at random."""
    keys = [(-one.total, rng.random(), at) for at, one in enumerate(scored)]
    return [scored[at] for _, _, at in sorted(keys)]


def count_load(candidate: Candidate, sight: Sight) -> float | None:
    """Return requests running and waiting for each slot; None if unknown or without slots."""
    load = sight.loads.get(candidate.peer, sight.now)
    if load is None or not load.slots:
        return None
    return (load.running + load.waiting) / load.slots
