"""Choosing the next token from logits: greedy, or temperature, top-k and top-p with a seed.

Ours rather than ctransformers' own, which seeds its generator anew for each token with the same
number. The random number of step i comes from (seed, i) alone, so a run repeats exactly.
"""

import hashlib
import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

Logits = npt.NDArray[np.float32]


def choose_token(
    logits: Logits,
    *,
    step: int,
    seed: int,
    temperature: float,
    top_k: int,
    top_p: float,
    allowed: Sequence[int] = (),
) -> int:
    """Return the token.

    temperature 0 is greedy, and the lowest id wins a tie; top_k 0 and top_p 1 are off. allowed:
    the only ids to choose from, or empty for all.
    """
    ids = np.asarray(allowed) if allowed else np.arange(len(logits))
    scores = logits[ids].astype(np.float64)
    if temperature == 0.0:
        return int(ids[int(np.argmax(scores))])
    return int(ids[_draw(scores / temperature, top_k, top_p, _uniform(seed, step))])


def compute_logprobs(
    logits: Logits, token: int, most: int
) -> tuple[float, list[tuple[int, float]]]:
    """Return a token's log probability under the unchanged logits, and the `most` likeliest tokens
    with theirs.
    """
    wide = logits.astype(np.float64)
    top = float(wide.max())
    logprobs = wide - top - math.log(float(np.exp(wide - top).sum()))
    if not most:
        return float(logprobs[token]), []
    likeliest = np.argsort(-logprobs, kind="stable")[:most]
    return float(logprobs[token]), [(int(one), float(logprobs[one])) for one in likeliest]


def _draw(scores: npt.NDArray[np.float64], top_k: int, top_p: float, uniform: float) -> int:
    order = np.argsort(-scores, kind="stable") if top_k or top_p < 1 else np.arange(len(scores))
    order = order[:top_k] if top_k else order
    weights = np.exp(scores[order] - scores[order].max())
    cumulative = np.cumsum(weights / weights.sum())
    if top_p < 1:
        kept = int(np.searchsorted(cumulative, top_p)) + 1
        cumulative = cumulative[:kept] / cumulative[min(kept, len(cumulative)) - 1]
    place = min(int(np.searchsorted(cumulative, uniform, side="right")), len(cumulative) - 1)
    return int(order[place])


def _uniform(seed: int, step: int) -> float:
    digest = hashlib.sha256(seed.to_bytes(8, "big") + step.to_bytes(8, "big")).digest()
    return int.from_bytes(digest[:8], "big") / 2.0**64
