"""Which peers offer what, so that finding does not scan everybody.

Features are not indexed: an advertisement may invent 256 of them, and each would be a table.
"""

from bisect import bisect_left, insort
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Protocol, TypeVar

from p2p_modelex.ids import PeerId, public_key_of
from p2p_modelex.records.advertisement import Advertisement, Kind, Offer
from p2p_modelex.records.family import family_of
from p2p_modelex.units import SPLITS_MAX

_Key = tuple[str, str]
T = TypeVar("T", PeerId, tuple[int, PeerId])


class Rng(Protocol):
    """The part of random.Random that is used."""

    def random(self) -> float:
        """Return a number in [0, 1)."""
        ...


def _keys(models: Sequence[str], kinds: Sequence[str]) -> Iterator[_Key]:
    yield from (("model", name) for name in models)
    yield from (("kind", name) for name in kinds)


def _prices_of(advertisement: Advertisement) -> dict[_Key, int]:
    """Return, for each key, the lowest price of a prompt and a completion token together."""
    prices: dict[_Key, int] = {}
    for offer in advertisement.offers:
        price = _compare_price(offer)
        family = ("family", family_of(offer.model))
        for key in (*_keys((offer.model,), offer.kinds), family):
            prices[key] = min(price, prices.get(key, price))
    return prices


def _compare_price(offer: Offer) -> int:
    """Return a price that can be compared over split epochs: each doubles those before it."""
    return (offer.prompt_price + offer.completion_price) << max(SPLITS_MAX - offer.epoch, 0)


def serves(
    offer: Offer,
    model: str | None,
    kind: Kind | None,
    features: Sequence[str],
    family: str | None = None,
) -> bool:
    """Whether one offer has all of it."""
    return (
        (model is None or offer.model == model)
        and (family is None or family_of(offer.model) == family)
        and (kind is None or kind in offer.kinds)
        and all(feature in offer.features for feature in features)
    )


@dataclass(frozen=True, slots=True)
class Group:
    """The peers of one key: in the order of their ids, which is that of their keys, and by price.

    Each way of drawing a few costs the same however many there are.
    """

    ring: list[PeerId] = field(default_factory=list)
    prices: list[tuple[int, PeerId]] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.ring)

    def sample(self, limit: int, rng: Rng) -> list[PeerId]:
        """Return at most `limit` at random; fewer where one was drawn twice."""
        many = len(self.ring)
        return [self.ring[at] for at in {int(rng.random() * many): None for _ in range(limit)}]

    def cheapest(self, limit: int) -> list[PeerId]:
        """Return the cheapest."""
        return [peer for _, peer in self.prices[:limit]]

    def after(self, point: bytes, limit: int) -> list[PeerId]:
        """Return those whose keys come first after a point (its first 8 bytes), going round."""
        start = bisect_left(self.ring, point[:8], key=lambda peer: public_key_of(peer)[:8])
        return (self.ring[start : start + limit] + self.ring[:start])[:limit]


class CapabilityIndex:
    """Peers by model, family and kind. An advertisement adds at most 16 + 16 + 4 small entries."""

    def __init__(self) -> None:
        self._groups: dict[_Key, Group] = {}

    def add(self, peer: PeerId, advertisement: Advertisement) -> None:
        """Enter a peer's offers."""
        for key, price in _prices_of(advertisement).items():
            group = self._groups.setdefault(key, Group())
            insort(group.ring, peer)
            insort(group.prices, (price, peer))

    def remove(self, peer: PeerId, advertisement: Advertisement) -> None:
        """Take out what `add` entered, if it did."""
        for key, price in _prices_of(advertisement).items():
            group = self._groups.get(key, Group())
            _discard(group.ring, peer)
            _discard(group.prices, (price, peer))
            if not group.ring:
                self._groups.pop(key, None)

    def get_group(self, model: str | None, kind: Kind, family: str | None = None) -> Group:
        """Return the smallest of the groups in which every match is."""
        return min(self._find(model, kind, family), key=len)

    def candidates(
        self, model: str | None, kind: Kind | None, family: str | None = None
    ) -> list[PeerId] | None:
        """Return the peers of the smallest such group, sorted; None if nothing is asked."""
        groups = self._find(model, kind, family)
        return list(min(groups, key=len).ring) if groups else None

    def _find(self, model: str | None, kind: Kind | None, family: str | None) -> list[Group]:
        asked = (("model", model), ("kind", kind), ("family", family))
        keys = [(what, name) for what, name in asked if name is not None]
        return [self._groups.get(key, Group()) for key in keys]

    def models(self) -> tuple[str, ...]:
        """Return every model name, sorted."""
        return tuple(sorted(name for group, name in self._groups if group == "model"))


def _discard(held: list[T], one: T) -> None:
    at = bisect_left(held, one)
    if at < len(held) and held[at] == one:
        del held[at]
