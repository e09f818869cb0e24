"""Profiles: which filters, which scorers with which weights, and the one picker."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from p2p_modelex.core.routing.filters import (
    ByContext,
    ByEpoch,
    ByEvidence,
    ByFarm,
    ByHealth,
    ByKind,
    ByList,
    ByModel,
    ByPeer,
    ByPrice,
    ByRating,
    BySection,
    ByTokenPrice,
    Filter,
)
from p2p_modelex.core.routing.pickers.at_random import AtRandom
from p2p_modelex.core.routing.pickers.cheapest import Cheapest
from p2p_modelex.core.routing.pickers.hot_cold import HotCold
from p2p_modelex.core.routing.pickers.power_of_d import PowerOfD
from p2p_modelex.core.routing.pickers.prefix_affinity import PrefixAffinity
from p2p_modelex.core.routing.pickers.weighted import Weighted
from p2p_modelex.core.routing.picking import Picker
from p2p_modelex.core.routing.scorers import SCORERS, Scorer
from p2p_modelex.errors import BadInput
from p2p_modelex.ids import PeerId


@dataclass(frozen=True, slots=True)
class Profile:
    """A routing policy. scorers: with their weights, at least one of which is above 0. farm: the
    name or id of the one to buy from where a request names none, empty for anybody.

    binds_late: order at two where the first has no free slot, and keep who starts first (RTE-40).
    hedges: order at another as well where the first text is late, unless a request says otherwise
    (RTE-41).
    """

    name: str
    filters: tuple[Filter, ...]
    scorers: tuple[tuple[Scorer, int], ...]
    picker: Picker
    farm: str = ""
    binds_late: bool = True
    hedges: bool = False


# In the order in which a person would want to be told what is missing.
FILTERS: tuple[Filter, ...] = (
    ByModel(),
    ByKind(),
    ByContext(),
    ByPeer(),
    ByFarm(),
    BySection(),
    ByEpoch(),
    ByTokenPrice(),
    ByPrice(),
    ByHealth(),
)


def _build_pickers(choices: int, bound_ms: int) -> dict[str, Picker]:
    pickers: tuple[Picker, ...] = (
        AtRandom(),
        Weighted(),
        PowerOfD(choices),
        HotCold(),
        PrefixAffinity(choices),
        Cheapest(choices, bound_ms),
    )
    return {picker.name: picker for picker in pickers}


CHOICES = 4
HEDGES = False
"""Unless a profile or a request says otherwise."""
BOUND_MS = 5_000
PICKERS = tuple(_build_pickers(CHOICES, BOUND_MS))
"""The names of all."""


def build_profile(
    name: str,
    picker: str,
    weights: Mapping[str, int],
    *,
    choices: int = CHOICES,
    bound_ms: int = BOUND_MS,
    allow: tuple[PeerId, ...] = (),
    deny: tuple[PeerId, ...] = (),
    needs_evidence: bool = False,
    farm: str = "",
    least_rating: int = 0,
    binds_late: bool = True,
    hedges: bool = HEDGES,
) -> Profile:
    """Return a profile; weights are by the names of SCORERS, the picker is one of PICKERS.

    choices: how many are drawn, where a picker draws. bound_ms: what is soon enough, to the first
    token. least_rating: hundredths of a per cent, 0 for no matter. binds_late, hedges: as in
    Profile. Raises BadInput if no weight is above 0.
    """
    scorers = tuple((SCORERS[scorer], weight) for scorer, weight in weights.items() if weight)
    if not scorers:
        raise BadInput(f"profile {name!r} weighs nothing", hint="give one of " + ", ".join(SCORERS))
    lists = (ByList(allow, deny),) if allow or deny else ()
    evidence = (ByEvidence(),) if needs_evidence else ()
    rating = (ByRating(least_rating),) if least_rating else ()
    filters = (*FILTERS[:-1], *lists, *evidence, *rating, FILTERS[-1])
    drawing = _build_pickers(choices, bound_ms)[picker]
    return Profile(name, filters, scorers, drawing, farm, binds_late=binds_late, hedges=hedges)


PROFILES: Mapping[str, Profile] = MappingProxyType(
    {
        one.name: one
        for one in (
            build_profile(
                "default",
                "power_of_d",
                {"price": 1, "latency": 1, "load": 2, "record": 1, "cache": 1},
            ),
            build_profile("cheapest", "cheapest", {"price": 1, "load": 4, "record": 1}),
            build_profile(
                # Not `hot_cold`, which is behind it at every load (simulations/results/engines.md).
                "fastest",
                "power_of_d",
                {"latency": 1, "load": 2, "record": 1},
                hedges=True,
            ),
            build_profile("sticky", "affinity", {"affinity": 4, "load": 2, "record": 1}),
        )
    }
)
"""Those shipped, by name."""
