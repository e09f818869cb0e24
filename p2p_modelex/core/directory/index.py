"""Which peers offer what, so that finding does not scan everybody.

Features are not indexed: an advertisement may invent 256 of them, and each would be a table.
"""

from bisect import bisect_left, insort
from collections.abc import Iterator, Mapping, Sequence
from typing import Protocol, TypeVar

from p2p_modelex.ids import PeerId, public_key_of
from p2p_modelex.records.advertisement import Advertisement, Kind, Offer
from p2p_modelex.records.family import family_of
from p2p_modelex.records.farm import names_of, open_certificate
from p2p_modelex.units import SPLITS_MAX

_Key = tuple[str, str]
_Place = tuple[int, PeerId]
T = TypeVar("T", PeerId, _Place)
# So many that came are put in their place one by one; more of them by sorting.
_FEW = 32


class Rng(Protocol):
    """The part of random.Random that is used."""

    def random(self) -> float:
        """Return a number in [0, 1)."""
        ...


def _keys(models: Sequence[str], kinds: Sequence[str], farms: Sequence[str] = ()) -> Iterator[_Key]:
    yield from (("model", name) for name in models)
    yield from (("kind", name) for name in kinds)
    yield from (("farm", name) for name in farms)


def _prices_of(advertisement: Advertisement) -> dict[_Key, int]:
    """Return, for each key, the lowest price of a prompt and a completion token together."""
    prices: dict[_Key, int] = {}
    farms = [farm for _, farm in _farms_of(advertisement)]
    for offer in advertisement.offers:
        price = _compare_price(offer)
        keys = (*_keys((offer.model,), offer.kinds, farms), ("family", family_of(offer.model)))
        for key in keys:
            prices[key] = min(price, prices.get(key, price))
    return prices


def _farms_of(advertisement: Advertisement) -> tuple[tuple[str, str], ...]:
    """Return the name and the id of each farm that a peer which sells something is a member of."""
    farms = advertisement.farms if advertisement.offers else ()
    return tuple(names_of(open_certificate(one)) for one in farms)


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


def belongs(advertisement: Advertisement, farm: str) -> bool:
    """Whether a peer shows a certificate of a farm, by its id."""
    return any(farm == id_ for _, id_ in _farms_of(advertisement))


class Group:
    """The peers of one key: in the order of their ids, which is that of their keys, and by price.

    Each way of drawing a few costs the same however many there are. What came is put in its place
    when somebody asks: a newcomer that takes over a whole directory sorts once.
    """

    def __init__(self) -> None:
        self._ring: list[PeerId] = []
        self._prices: list[_Place] = []
        self._came: list[_Place] = []

    def __len__(self) -> int:
        return len(self._ring) + len(self._came)

    def add(self, place: _Place) -> None:
        """Enter a peer that is not in, with its price."""
        self._came.append(place)

    def discard(self, place: _Place) -> None:
        """Take a peer out, if it is in at that price."""
        self._settle()
        _discard(self._ring, place[1])
        _discard(self._prices, place)

    @property
    def ring(self) -> list[PeerId]:
        """The peers in the order of their ids."""
        self._settle()
        return self._ring

    def _settle(self) -> None:
        came, self._came = self._came, []
        if len(came) > _FEW:
            self._ring += [peer for _, peer in came]
            self._ring.sort()
            self._prices += came
            self._prices.sort()
            return
        for place in came:
            insort(self._ring, place[1])
            insort(self._prices, place)

    def sample(self, limit: int, rng: Rng) -> list[PeerId]:
        """Return at most `limit` at random; fewer where one was drawn twice."""
        ring = self.ring
        many = len(ring)
        return [ring[at] for at in {int(rng.random() * many): None for _ in range(limit)}]

    def cheapest(self, limit: int) -> list[PeerId]:
        """Return the cheapest."""
        self._settle()
        return [peer for _, peer in self._prices[:limit]]

    def after(self, point: bytes, limit: int) -> list[PeerId]:
        """Return those whose keys come first after a point (its first 8 bytes), going round."""
        ring = self.ring
        start = bisect_left(ring, point[:8], key=lambda peer: public_key_of(peer)[:8])
        return (ring[start : start + limit] + ring[:start])[:limit]


class CapabilityIndex:
    """Peers by model, family, kind and farm (by its id). An advertisement adds at most
    16 + 16 + 4 + 4 small entries.
    """

    def __init__(self) -> None:
        self._groups: dict[_Key, Group] = {}
        # By name, then by id.
        self._members: dict[str, dict[str, dict[PeerId, None]]] = {}

    def put(self, peer: PeerId, before: Advertisement | None, after: Advertisement | None) -> None:
        """Enter a peer's offers, and the farms it offers them through, in the place of those that
        it had before. Most advertisements say what they said.
        """
        old = _prices_of(before) if before is not None else {}
        new = _prices_of(after) if after is not None else {}
        if old != new:
            self._remove_prices(peer, old)
            places: dict[int, _Place] = {}
            for key, price in new.items():
                place = places.setdefault(price, (price, peer))
                self._groups.setdefault(key, Group()).add(place)
        had = _farms_of(before) if before is not None else ()
        has = _farms_of(after) if after is not None else ()
        if had != has:
            self._remove_farms(peer, had)
            for name, farm in has:
                self._members.setdefault(name, {}).setdefault(farm, {})[peer] = None

    def _remove_prices(self, peer: PeerId, prices: Mapping[_Key, int]) -> None:
        for key, price in prices.items():
            group = self._groups.get(key, Group())
            group.discard((price, peer))
            if not len(group):
                self._groups.pop(key, None)

    def _remove_farms(self, peer: PeerId, held: Sequence[tuple[str, str]]) -> None:
        for name, farm in held:
            farms = self._members.get(name, {})
            farms.get(farm, {}).pop(peer, None)
            if not farms.get(farm):
                farms.pop(farm, None)
            if not farms:
                self._members.pop(name, None)

    def get_group(
        self, model: str | None, kind: Kind | None, farm: str = "", family: str | None = None
    ) -> Group | None:
        """Return the smallest of the groups in which every match is; None if nothing is asked."""
        asked = (("model", model), ("kind", kind), ("farm", farm or None), ("family", family))
        keys = [(what, name) for what, name in asked if name is not None]
        groups = [self._groups.get(key, Group()) for key in keys]
        return min(groups, key=len, default=None)

    def models(self) -> tuple[str, ...]:
        """Return every model name, sorted."""
        return tuple(sorted(name for group, name in self._groups if group == "model"))

    def get_farm_ids(self, farm: str) -> tuple[str, ...]:
        """Return the ids of the farms of a name; of an id, itself if somebody is a member."""
        called = tuple(sorted(self._members.get(farm, ())))
        return called or ((farm,) if ("farm", farm) in self._groups else ())

    def farms(self) -> Mapping[str, tuple[str, ...]]:
        """Return the names of farms, sorted, with the ids of those that are called so."""
        return {name: tuple(sorted(ids)) for name, ids in sorted(self._members.items())}


def _discard(held: list[T], one: T) -> None:
    at = bisect_left(held, one)
    if at < len(held) and held[at] == one:
        del held[at]
