"""Who makes room in a full directory: ADV-14.

Keys are free, and what an advertisement says of itself (offers, addresses, an owner's proof) is
as free, so no flood can be told from news by reading it. What is not free is a connection. So each
entry counts for the neighbour that introduced it, and the neighbour that introduced most pays for
newcomers of others; and who is, or was, connected to us itself makes no room for hearsay.

Most directories are never full, and nobody counts in those.
"""

from collections.abc import Iterable

from p2p_modelex.core.directory.entry import Entry
from p2p_modelex.ids import PeerId

RANKS = 4
"""Withdrawn, without offers, with offers, with offers and an owner."""

TRUSTED_MAX = 4096
"""Peers remembered for having been connected; the one that was so longest ago is forgotten."""


class Places:
    """The entries of a directory by rank and introducer, each list in order of arrival."""

    def __init__(self) -> None:
        self.is_counting = False
        """Whether places are kept: since the directory was full for the first time."""
        self._trusted: dict[PeerId, None] = {}
        self._place_of: dict[PeerId, tuple[int, PeerId]] = {}
        # Twice the ranks: hearsay first, then those that were connected.
        self._lists: tuple[dict[PeerId, dict[PeerId, None]], ...] = tuple(
            {} for _ in range(2 * RANKS)
        )

    def trust(self, peer: PeerId) -> None:
        """A peer was connected: a handshake has proved that it is there."""
        self._trusted.pop(peer, None)
        self._trusted[peer] = None
        if len(self._trusted) > TRUSTED_MAX:
            del self._trusted[next(iter(self._trusted))]
        known = self._place_of.get(peer)
        if known is not None and known[0] < RANKS:
            self.put(peer, known[0], known[1])

    def begin(self, entries: Iterable[Entry]) -> None:
        """Count from now on, and first those that are there, in the order in which they came."""
        self.is_counting = True
        for entry in entries:
            self.put(entry.peer, entry.rank, entry.introducer)

    def put(self, peer: PeerId, rank: int, introducer: PeerId) -> None:
        """Give a peer a place, or another one for its new rank; who introduced it first stays."""
        known = self._place_of.get(peer)
        introducer = known[1] if known is not None else introducer
        level = self._find_level(peer, rank)
        if known == (level, introducer):
            return
        self.remove(peer)
        self._place_of[peer] = level, introducer
        self._lists[level].setdefault(introducer, {})[peer] = None

    def remove(self, peer: PeerId) -> None:
        """Free a peer's place, if it has one."""
        level, introducer = self._place_of.pop(peer, (0, peer))
        peers = self._lists[level].get(introducer)
        if peers is not None:
            peers.pop(peer, None)
            if not peers:
                del self._lists[level][introducer]

    def find_loser(self, peer: PeerId, rank: int, introducer: PeerId) -> PeerId | None:
        """Return who would make room for a newcomer; None if nobody has to.

        The lowest rank below the newcomer's loses, and of that the latest that the neighbour with
        most of them brought. In its own rank the newcomer must be of a neighbour with fewer.
        """
        level = self._find_level(peer, rank)
        for lists in self._lists[:level]:
            if lists:
                return _latest_of_largest(lists)
        lists = self._lists[level]
        theirs = len(lists.get(introducer, ()))
        if lists and theirs + 1 < max(map(len, lists.values())):
            return _latest_of_largest(lists)
        return None

    def _find_level(self, peer: PeerId, rank: int) -> int:
        return rank + RANKS if peer in self._trusted else rank


def _latest_of_largest(lists: dict[PeerId, dict[PeerId, None]]) -> PeerId:
    largest = max(lists.values(), key=len)
    return next(reversed(largest))
