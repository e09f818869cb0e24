"""Filters: what a candidate must have (RTE-n); each says what would have passed."""

import difflib
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

from p2p_modelex.core.routing.candidate import Candidate, CanPay, Want, compute_cost
from p2p_modelex.core.routing.circuits import Circuits
from p2p_modelex.core.routing.history import History
from p2p_modelex.core.routing.loads import ProbeBook
from p2p_modelex.core.routing.rating_book import RatingBook
from p2p_modelex.ids import PeerId
from p2p_modelex.records.family import family_of
from p2p_modelex.units import UnixMs, format_ai

NAMES_SHOWN = 3


@dataclass(frozen=True, slots=True)
class Sight:
    """What filters and scorers may look at besides the candidate."""

    circuits: Circuits
    loads: ProbeBook
    history: History
    now: UnixMs
    ratings: RatingBook = field(default_factory=RatingBook)
    can_pay: CanPay = lambda *_: False


class Filter(Protocol):
    """One requirement."""

    rule: str
    name: str

    def keeps(self, candidate: Candidate, want: Want, sight: Sight) -> bool:
        """Whether the candidate has it."""
        ...

    def explain(self, removed: Sequence[Candidate], want: Want) -> str:
        """Say what was lacking, given the candidates (at least one) that failed here."""
        ...


class ByModel:
    """RTE-1: the model asked for, or one of its family, and the weights if they are named."""

    rule = "RTE-1"
    name = "model"

    def keeps(self, candidate: Candidate, want: Want, sight: Sight) -> bool:
        """Whether name and digest are those asked for."""
        offer = candidate.offer
        is_named = want.model in (None, offer.model) and want.weights in (None, offer.weights)
        return is_named and want.family in (None, family_of(offer.model))

    def explain(self, removed: Sequence[Candidate], want: Want) -> str:
        """Name the models most like the one asked for."""
        names = sorted({candidate.offer.model for candidate in removed})
        asked = want.model
        if want.family is not None:
            names, asked = sorted({family_of(name) for name in names}), want.family
        if asked is None or asked in names:
            return "the model is offered with other weights only"
        near = difflib.get_close_matches(asked, names, NAMES_SHOWN, cutoff=0.5)
        shown = ", ".join(near or names[:NAMES_SHOWN])
        what = asked if want.family is None else f"a model of the family {asked}"
        return f"nobody offers {what}; {'nearest' if near else 'on offer'}: {shown}"


class ByKind:
    """RTE-2: serves the kind of request, with the features it needs."""

    rule = "RTE-2"
    name = "capability"

    def keeps(self, candidate: Candidate, want: Want, sight: Sight) -> bool:
        """Whether the offer has kind and features."""
        offer = candidate.offer
        return want.kind in offer.kinds and all(one in offer.features for one in want.features)

    def explain(self, removed: Sequence[Candidate], want: Want) -> str:
        """Name what the offers can do."""
        kinds = sorted({kind for one in removed for kind in one.offer.kinds})
        features = sorted({feature for one in removed for feature in one.offer.features})
        needs = " with ".join((want.kind, *want.features))
        has = f" with {', '.join(features)}" if want.features and features else ""
        return f"no offer serves {needs}; offers serve: {', '.join(kinds)}{has}"


class ByContext:
    """RTE-3: prompt and completion fit the context, the completion fits what it generates."""

    rule = "RTE-3"
    name = "context"

    def keeps(self, candidate: Candidate, want: Want, sight: Sight) -> bool:
        """Whether the tokens fit."""
        offer = candidate.offer
        fits = want.prompt_tokens + want.max_tokens <= offer.context_length
        return fits and want.max_tokens <= offer.max_tokens

    def explain(self, removed: Sequence[Candidate], want: Want) -> str:
        """Name the most on offer."""
        context = max(candidate.offer.context_length for candidate in removed)
        most = max(candidate.offer.max_tokens for candidate in removed)
        return (
            f"{want.prompt_tokens} prompt and {want.max_tokens} completion tokens fit no offer; "
            f"the longest context is {context}, the longest completion {most}"
        )


class ByEpoch:
    """RTE-4: prices are in the token's present split epoch."""

    rule = "RTE-4"
    name = "epoch"

    def keeps(self, candidate: Candidate, want: Want, sight: Sight) -> bool:
        """Whether the epochs agree."""
        return candidate.offer.epoch == want.epoch

    def explain(self, removed: Sequence[Candidate], want: Want) -> str:
        """Name the epoch."""
        return f"no price is in split epoch {want.epoch}"


class ByPrice:
    """RTE-5: the whole job costs no more than the ceiling."""

    rule = "RTE-5"
    name = "price"

    def keeps(self, candidate: Candidate, want: Want, sight: Sight) -> bool:
        """Whether the cost is under the ceiling."""
        return want.max_cost is None or compute_cost(candidate.offer, want) <= want.max_cost

    def explain(self, removed: Sequence[Candidate], want: Want) -> str:
        """Name the cheapest."""
        cheapest = min(compute_cost(candidate.offer, want) for candidate in removed)
        return (
            f"nobody is under the ceiling of {format_ai(want.max_cost or 0)}; "
            f"the cheapest is {format_ai(cheapest)}"
        )


class ByTokenPrice:
    """RTE-13: a token costs no more than the ceilings for prompt and completion."""

    rule = "RTE-13"
    name = "token price"

    def keeps(self, candidate: Candidate, want: Want, sight: Sight) -> bool:
        """Whether both prices are under their ceilings."""
        offer = candidate.offer
        return _is_under(offer.prompt_price, want.max_prompt_price) and _is_under(
            offer.completion_price, want.max_completion_price
        )

    def explain(self, removed: Sequence[Candidate], want: Want) -> str:
        """Name the lowest of each."""
        prompt = min(candidate.offer.prompt_price for candidate in removed)
        completion = min(candidate.offer.completion_price for candidate in removed)
        return (
            "nobody is under the ceilings for a token's price; the lowest for 1,000 tokens are "
            f"{format_ai(prompt * 1000)} prompt and {format_ai(completion * 1000)} "
            "completion"
        )


def _is_under(price: int, ceiling: int | None) -> bool:
    return ceiling is None or price <= ceiling


class BySection:
    """RTE-14: in a section of the registry that is asked for, as this node reads the registry."""

    rule = "RTE-14"
    name = "section"

    def keeps(self, candidate: Candidate, want: Want, sight: Sight) -> bool:
        """Whether the registry's word on the peer is one of those asked for."""
        return candidate.standing in want.standings

    def explain(self, removed: Sequence[Candidate], want: Want) -> str:
        """Name what is asked for and what there is."""
        asked = " or ".join(standing.name.lower() for standing in want.standings)
        there = sorted({candidate.standing for candidate in removed})
        return f"nobody is {asked}; there are: {', '.join(one.name.lower() for one in there)}"


class ByPeer:
    """RTE-7: among the peers named, and not denied."""

    rule = "RTE-7"
    name = "peer"

    def keeps(self, candidate: Candidate, want: Want, sight: Sight) -> bool:
        """Whether the peer may be used."""
        allowed = not want.only or candidate.peer in want.only
        return allowed and candidate.peer not in want.denied

    def explain(self, removed: Sequence[Candidate], want: Want) -> str:
        """Say how many were left out."""
        return f"{_count_offers(removed)} of peers that were denied or not named"


class ByFarm:
    """RTE-26: a member of the farm asked for, by a certificate that holds."""

    rule = "RTE-26"
    name = "farm"

    def keeps(self, candidate: Candidate, want: Want, sight: Sight) -> bool:
        """Whether it is a member, if a farm is asked for."""
        return not want.farm or candidate.membership is not None

    def explain(self, removed: Sequence[Candidate], want: Want) -> str:
        """Say how many were left out."""
        return f"{_count_offers(removed)} of peers that are not, or no more, of farm {want.farm}"


@dataclass(frozen=True, slots=True)
class ByList:
    """RTE-23: on the profile's list of the allowed, if it has one, and not among its denied."""

    allow: tuple[PeerId, ...]
    deny: tuple[PeerId, ...]
    rule = "RTE-23"
    name = "list"

    def keeps(self, candidate: Candidate, want: Want, sight: Sight) -> bool:
        """Whether the profile lets the peer be used."""
        allowed = not self.allow or candidate.peer in self.allow
        return allowed and candidate.peer not in self.deny

    def explain(self, removed: Sequence[Candidate], want: Want) -> str:
        """Say how many were left out."""
        return f"{_count_offers(removed)} of peers that the profile denies or does not allow"


class ByEvidence:
    """RTE-24: the advertisement names evidence."""

    rule = "RTE-24"
    name = "evidence"

    def keeps(self, candidate: Candidate, want: Want, sight: Sight) -> bool:
        """Whether there is a digest of some."""
        return any(candidate.advertisement.evidence)

    def explain(self, removed: Sequence[Candidate], want: Want) -> str:
        """Say how many have none."""
        return f"{_count_offers(removed)} of peers that show no evidence, and the profile wants it"


@dataclass(frozen=True, slots=True)
class ByRating:
    """RTE-48: rated on chain, by those whom the operator believes, and not under `least`."""

    least: int
    rule = "RTE-48"
    name = "rating"

    def keeps(self, candidate: Candidate, want: Want, sight: Sight) -> bool:
        """Whether there is a rating, and it is high enough."""
        rating = sight.ratings.get(candidate.peer)
        return rating is not None and rating >= self.least

    def explain(self, removed: Sequence[Candidate], want: Want) -> str:
        """Say what is wanted."""
        least = f"{self.least / 100:g} %"
        return (
            f"{_count_offers(removed)} of peers that nobody who is believed rates {least} or more"
        )


class ByHealth:
    """RTE-8: the advertisement holds, and the peer's circuit is closed."""

    rule = "RTE-8"
    name = "health"

    def keeps(self, candidate: Candidate, want: Want, sight: Sight) -> bool:
        """Whether the peer can be tried now."""
        alive = candidate.expires_at > sight.now
        sequence = candidate.advertisement.sequence
        return alive and not sight.circuits.is_open(candidate.peer, sight.now, sequence)

    def explain(self, removed: Sequence[Candidate], want: Want) -> str:
        """Say how many failed lately."""
        return f"{_count_offers(removed)} of peers that failed lately or have gone; try later"


def _count_offers(removed: Sequence[Candidate]) -> str:
    return "1 offer is" if len(removed) == 1 else f"{len(removed)} offers are"
