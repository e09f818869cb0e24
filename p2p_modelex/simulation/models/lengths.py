"""Lengths of requests: log-normal, or by a published trace's quantiles (lengths.toml)."""

import math
import random
import tomllib
from importlib import resources
from itertools import pairwise
from typing import NamedTuple

LENGTH_MAX = 60_000


class Lengths(NamedTuple):
    """Of one request, in tokens."""

    prompt: int
    completion: int


class Quantiles:
    """A distribution by some of its quantiles; even between two of them."""

    def __init__(self, table: dict[str, int]) -> None:
        """table: per cent, as text, to the length that so many are not over."""
        self._steps = sorted((int(share) / 100, length) for share, length in table.items())

    def get(self, share: float) -> int:
        """Return the length that this share of all is not over."""
        for (low, short), (high, long) in pairwise(self._steps):
            if share <= high:
                return round(short + (long - short) * (share - low) / (high - low))
        return self._steps[-1][1]


_TABLES = tomllib.loads(
    resources.files("p2p_modelex.simulation.models")
    .joinpath("lengths.toml")
    .read_text(encoding="utf-8")
)
PUBLISHED: dict[str, tuple[Quantiles, Quantiles]] = {
    name: (Quantiles(table["prompt"]), Quantiles(table["completion"]))
    for name, table in _TABLES.items()
}


def draw_published(name: str, rng: random.Random) -> Lengths:
    """Draw a request of a published trace."""
    prompts, completions = PUBLISHED[name]
    return Lengths(prompts.get(rng.random()), completions.get(rng.random()))


def draw_log_normal(rng: random.Random, median: int, spread: float) -> int:
    """Draw a length by its median and the sigma of its logarithm."""
    return max(1, min(LENGTH_MAX, round(median * math.exp(rng.gauss(0.0, spread)))))
