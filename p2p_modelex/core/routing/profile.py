"""Profiles: which filters, which scorers with which weights, how many to probe."""

from dataclasses import dataclass

from p2p_modelex.core.routing.filters import (
    ByContext,
    ByEpoch,
    ByHealth,
    ByKind,
    ByModel,
    ByPeer,
    ByPrice,
    BySection,
    ByTokenPrice,
    Filter,
)
from p2p_modelex.core.routing.scorers import FreeSlots, Latency, Price, Scorer


@dataclass(frozen=True, slots=True)
class Profile:
    """A routing policy.

    choices: how many are drawn and probed, the d of power-of-d-choices (M. Mitzenmacher 2001):
    2 gives most of the gain, more costs probes and herds towards the momentarily best.
    """

    filters: tuple[Filter, ...]
    scorers: tuple[tuple[Scorer, float], ...]
    choices: int


# In the order in which a person would want to be told what is missing.
FILTERS: tuple[Filter, ...] = (
    ByModel(),
    ByKind(),
    ByContext(),
    ByPeer(),
    BySection(),
    ByEpoch(),
    ByTokenPrice(),
    ByPrice(),
    ByHealth(),
)

PROFILES: dict[str, Profile] = {
    "balanced": Profile(FILTERS, ((Price(), 1.0), (Latency(), 1.0), (FreeSlots(), 2.0)), 3),
    "cheap": Profile(FILTERS, ((Price(), 4.0), (FreeSlots(), 1.0)), 3),
    "fast": Profile(FILTERS, ((Latency(), 2.0), (FreeSlots(), 2.0), (Price(), 0.25)), 4),
}
