"""A bounded crowd: when it is full, whoever crowds most makes room, and of that the oldest.

For what strangers may begin for nothing. A flood under one name costs only that name its places. A
flood under many names pushes out the oldest, so an honest item stays for as long as it takes the
flood to bring as many new ones as there are places: longer than an honest item needs.
"""

from collections.abc import Hashable
from typing import Generic, TypeVar

Item = TypeVar("Item", bound=Hashable)
Owner = TypeVar("Owner", bound=Hashable)


class Crowd(Generic[Item, Owner]):
    """Items by owner: at most `limit` in all and `per_owner` of one."""

    def __init__(self, limit: int, per_owner: int) -> None:
        self._limit = limit
        self._per_owner = per_owner
        self._owner_of: dict[Item, Owner] = {}
        # The owners in the order of their oldest item, roughly; items in order of arrival.
        self._items_of: dict[Owner, dict[Item, None]] = {}

    def __len__(self) -> int:
        return len(self._owner_of)

    def __contains__(self, item: object) -> bool:
        return item in self._owner_of

    def enter(self, item: Item, owner: Owner) -> Item | None:
        """Let an item in. Returns which one must go: another, itself (it is not in), or None."""
        theirs = len(self._items_of.get(owner, ()))
        if theirs >= self._per_owner:
            return item
        gone: Item | None = None
        if len(self._owner_of) >= self._limit:
            largest = max(self._items_of.values(), key=len)
            if theirs + 1 > len(largest):
                return item
            gone = next(iter(largest))
            self.leave(gone)
        self._owner_of[item] = owner
        self._items_of.setdefault(owner, {})[item] = None
        return gone

    def leave(self, item: Item) -> None:
        """Let an item go, if it is here."""
        if item not in self._owner_of:
            return
        owner = self._owner_of.pop(item)
        items = self._items_of[owner]
        del items[item]
        if not items:
            del self._items_of[owner]
