"""Random numbers: one stream for each purpose and node, each derived from the seed by hash.

So a node that is added, or a model that draws once more, changes no other stream.
"""

import hashlib
import math
import random


def derive(seed: int, *names: str | int) -> bytes:
    """Return 32 bytes that belong to this seed and purpose."""
    text = "/".join(map(str, ("modelex/simulation", seed, *names)))
    return hashlib.sha256(text.encode()).digest()


def open_stream(seed: int, *names: str | int) -> random.Random:
    """Return the stream of a purpose, such as `("links", 3)` for node 3."""
    # Not for secrets: whoever knows the seed is meant to know every number.
    return random.Random(derive(seed, *names))  # noqa: S311


def draw_time(rng: random.Random, mean_us: int, shape: float = 1.0) -> int:
    """Return a time of Weibull's distribution with this mean; with a shape of 1 it is exponential,
    and under 1 most are short and a few very long.
    """
    return int(rng.weibullvariate(1.0, shape) / math.gamma(1 + 1 / shape) * mean_us)
