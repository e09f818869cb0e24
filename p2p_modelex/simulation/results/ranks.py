"""Whether two groups of runs differ beyond chance: the rank test of Mann and Whitney (1947).

By their ranks, since measures are rarely normal; exact where few runs allow it, ties and all.
"""

import math
from collections.abc import Sequence
from itertools import combinations

EXACT_MAX = 20_000
"""Ways to deal the runs out that are all looked at: two groups of 8 have 12,870."""
RUNS_MIN = 3
"""Of fewer runs a side nothing can be told: 3 and 3 stand apart by chance once in ten times."""


def compute_chance(one: Sequence[float], other: Sequence[float]) -> float | None:
    """Return how likely a difference of ranks as great as this one is, either way, if both groups
    are of one kind; None with too few.
    """
    if min(len(one), len(other)) < RUNS_MIN:
        return None
    ranks = _rank([*one, *other])
    size, many = len(one), len(one) + len(other)
    middle = size * (many + 1) / 2
    distance = abs(sum(ranks[:size]) - middle)
    if math.comb(many, size) <= EXACT_MAX:
        deals = [abs(sum(deal) - middle) for deal in combinations(ranks, size)]
        return sum(deal >= distance - 1e-9 for deal in deals) / len(deals)
    mean = sum(ranks) / many
    spread = sum((rank - mean) ** 2 for rank in ranks) / (many - 1)
    deviation = math.sqrt(size * len(other) / many * spread)
    return math.erfc(max(0.0, distance - 0.5) / deviation / math.sqrt(2)) if deviation else 1.0


def _rank(values: Sequence[float]) -> list[float]:
    """Return the place of each, from 1; equal ones share the mean of theirs."""
    order = sorted(values)
    first = {value: at for at, value in reversed(list(enumerate(order, start=1)))}
    last = {value: at for at, value in enumerate(order, start=1)}
    return [(first[value] + last[value]) / 2 for value in values]
