"""Prequal's rule (Wydrowski et al., "Load is not what you should balance", NSDI 2024).

A pool of answers to probes that are sent along with requests, not waited for. Who has more requests
than most of the pool, or no free slot, is hot; of the cold the quickest serves, of the hot the
least busy.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil
from typing import ClassVar

from p2p_modelex.core.routing.candidate import Candidate, Want
from p2p_modelex.core.routing.filters import Sight
from p2p_modelex.core.routing.picking import (
    Draw,
    Reach,
    Rng,
    Scored,
    count_load,
    draw_by_cost,
    order_by_total,
)
from p2p_modelex.core.routing.scorers import expect_latency

POOL_MAX = 16
"""m of the paper: more grow stale before they are used."""
POOL_MIN = 2
"""With fewer the few would be overrun: answers are waited for instead."""
PROBES = 3
"""r_probe of the paper, 1 to 3 for each request."""
REMOVED = 1
"""r_remove of the paper: each request takes out the oldest or the worst answer."""
DELTA = 1.0
"""Of the paper's bound on reuse: by how much the pool may grow a request."""
USES_MAX = 16
HOT_QUANTILE = 0.84
"""Q_RIF of the paper, 2 ** -0.25: about the busiest sixth is hot."""


@dataclass(frozen=True, slots=True)
class HotCold:
    """RTE-20: of the pool's cold ones the quickest, else of its hot ones the least busy."""

    rule = "RTE-20"
    name = "hot_cold"
    reach: ClassVar[Reach] = "known"

    def draw(self, candidates: Sequence[Candidate], want: Want, sight: Sight, rng: Rng) -> Draw:
        """Take the pool and refresh it; where it is too small, wait for a drawn few instead."""
        pool = self._tend(candidates, sight, rng)
        asked = draw_by_cost(candidates, want, rng, PROBES)
        if len(pool) < POOL_MIN:
            return Draw(asked, asked, waits=True)
        return Draw(pool, asked)

    def _tend(
        self, candidates: Sequence[Candidate], sight: Sight, rng: Rng
    ) -> tuple[Candidate, ...]:
        """Take out what was used up, and the oldest or the worst; return the pool."""
        loads, uses_max = sight.loads, compute_reuse(len(candidates))
        newest = {peer: at for at, peer in enumerate(loads.get_newest(sight.now, POOL_MAX))}
        pool = sorted(
            (one for one in candidates if one.peer in newest), key=lambda one: newest[one.peer]
        )
        gone = [one for one in pool if loads.get_uses(one.peer) >= uses_max]
        pool = [one for one in pool if loads.get_uses(one.peer) < uses_max]
        if len(pool) > POOL_MIN:
            is_worst = rng.random() < 0.5
            worst = max(range(len(pool)), key=lambda at: _badness(pool[at], sight))
            gone.append(pool.pop(worst if is_worst else -1))
        for one in gone:
            loads.drop(one.peer)
        return tuple(pool)

    def order(
        self, shortlist: Sequence[Scored], want: Want, sight: Sight, rng: Rng
    ) -> list[Scored]:
        """Cold by latency, then hot by load, then by score those who did not answer."""
        loads = [(count_load(one.candidate, sight), one) for one in shortlist]
        known = [(load, one) for load, one in loads if load is not None]
        limit = compute_limit([load for load, _ in known])
        keys = []
        for at, (load, one) in enumerate(known):
            is_hot = _is_hot(load, limit)
            worth = load if is_hot else _latency(one, load, sight)
            keys.append((is_hot, worth, rng.random(), at))
        silent = [one for load, one in loads if load is None]
        return [known[at][1] for *_, at in sorted(keys)] + order_by_total(silent, rng)

    def explain(self, order: Sequence[Scored], want: Want, sight: Sight) -> str:
        """Say whether it is hot or cold, and by what it won."""
        loads = [count_load(one.candidate, sight) for one in order]
        if loads[0] is None:
            return f"none of {len(order)} has told its load; the highest score"
        limit = compute_limit([load for load in loads if load is not None])
        if _is_hot(loads[0], limit):
            return f"all of {len(order)} are hot; the least busy, {loads[0]:.2f} requests a slot"
        latency_ms = _latency(order[0], loads[0], sight)
        return f"the quickest, {latency_ms:.0f} ms at its load, of the cold among {len(order)}"


def compute_reuse(peers: int) -> int:
    """Return how many orders may go by one answer (the paper's b_reuse): with more peers than
    probes to refresh them, fewer would leave the pool empty.
    """
    pool = min(POOL_MAX, peers // 2)
    net = (1 - pool / max(peers, 1)) * PROBES - REMOVED
    return min(ceil(max(1.0, (1 + DELTA) / net)), USES_MAX)


def compute_limit(loads: Sequence[float]) -> float:
    """Return the load above which one is hot: the quantile of those in the pool."""
    return sorted(loads)[min(int(HOT_QUANTILE * len(loads)), len(loads) - 1)] if loads else 0.0


def _is_hot(load: float, limit: float) -> bool:
    """Busier than most, or without a free slot: in a small pool everybody may be so."""
    return load > limit or load >= 1


def _latency(one: Scored, load: float, sight: Sight) -> float:
    """Return the ms to expect at a load: what is told is the median of all that were served.

    Without the load all requesters would run to the same one until it says otherwise.
    """
    expected = expect_latency(one.candidate.peer, sight) or 0.0
    return (1.0 + expected) * (1.0 + load)


def _badness(candidate: Candidate, sight: Sight) -> float:
    load = count_load(candidate, sight)
    return float("inf") if load is None else load
