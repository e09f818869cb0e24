"""Random numbers: one stream for each purpose and node, each derived from the seed by hash.

So a node that is added, or a model that draws once more, changes no other stream.
"""

import hashlib
import random


def derive(seed: int, *names: str | int) -> bytes:
    """Return 32 bytes that belong to this seed and purpose."""
    text = "/".join(map(str, ("modelex/simulation", seed, *names)))
    return hashlib.sha256(text.encode()).digest()


def open_stream(seed: int, *names: str | int) -> random.Random:
    """Return the stream of a purpose, such as `("links", 3)` for node 3."""
    # Not for secrets: whoever knows the seed is meant to know every number.
    return random.Random(derive(seed, *names))  # noqa: S311
