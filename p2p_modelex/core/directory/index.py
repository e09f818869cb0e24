"""Which peers offer what, so that finding does not scan everybody.

Features are not indexed: an advertisement may invent 256 of them, and each would be a table.
"""

from collections.abc import Iterator, Sequence

from p2p_modelex.ids import PeerId
from p2p_modelex.records.advertisement import Advertisement, Kind, Offer

_Key = tuple[str, str]


def _keys(models: Sequence[str], kinds: Sequence[str]) -> Iterator[_Key]:
    yield from (("model", name) for name in models)
    yield from (("kind", name) for name in kinds)


def _keys_of(advertisement: Advertisement) -> Iterator[_Key]:
    for offer in advertisement.offers:
        yield from _keys((offer.model,), offer.kinds)


def serves(offer: Offer, model: str | None, kind: Kind | None, features: Sequence[str]) -> bool:
    """Whether one offer has all of it."""
    return (
        (model is None or offer.model == model)
        and (kind is None or kind in offer.kinds)
        and all(feature in offer.features for feature in features)
    )


class CapabilityIndex:
    """Peers by model and kind. An advertisement adds at most 16 * 5 small entries."""

    def __init__(self) -> None:
        self._peers: dict[_Key, dict[PeerId, None]] = {}

    def add(self, peer: PeerId, advertisement: Advertisement) -> None:
        """Enter a peer's offers."""
        for key in _keys_of(advertisement):
            self._peers.setdefault(key, {})[peer] = None

    def remove(self, peer: PeerId, advertisement: Advertisement) -> None:
        """Take out what `add` entered."""
        for key in _keys_of(advertisement):
            peers = self._peers.get(key, {})
            peers.pop(peer, None)
            if not peers:
                self._peers.pop(key, None)

    def candidates(self, model: str | None, kind: Kind | None) -> list[PeerId] | None:
        """Return the fewest peers among which every match is, sorted; None if nothing is asked."""
        models = () if model is None else (model,)
        kinds = () if kind is None else (kind,)
        groups = [self._peers.get(key, {}) for key in _keys(models, kinds)]
        if not groups:
            return None
        _, fewest = min((len(group), at) for at, group in enumerate(groups))
        return sorted(groups[fewest])

    def models(self) -> tuple[str, ...]:
        """Return every model name, sorted."""
        return tuple(sorted(name for group, name in self._peers if group == "model"))
