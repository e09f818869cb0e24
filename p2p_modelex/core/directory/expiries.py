"""What expires when: peers by the second in which their advertisements expire."""

from collections.abc import Iterable
from itertools import chain

from p2p_modelex.ids import PeerId
from p2p_modelex.units import UnixMs

_SLOT_MS = 1000
"""What expires within this time is dealt with together, at its end."""
# Superseded times tolerated before all is put in anew.
_SLACK = 64


class Expiries:
    """A list of peers for each second: 8 bytes an entry, where a heap of pairs takes 80.

    A peer may also stand under a time that its newest advertisement has moved.
    """

    def __init__(self) -> None:
        self._slots: dict[int, list[PeerId]] = {}
        self._many = 0
        self.next_at: UnixMs | None = None
        """When `take` has something."""

    def __len__(self) -> int:
        return self._many

    def put(self, peer: PeerId, expires_at: UnixMs) -> None:
        """Note when what is held of a peer expires."""
        slot = -(-expires_at // _SLOT_MS)
        peers = self._slots.get(slot)
        if peers is None:
            self._slots[slot] = [peer]
            at = UnixMs(slot * _SLOT_MS)
            self.next_at = at if self.next_at is None else min(at, self.next_at)
        else:
            peers.append(peer)
        self._many += 1

    def is_loose(self, held: int) -> bool:
        """Whether most of what stands here is superseded, of so many that are held."""
        return self._many > 2 * held + _SLACK

    def clear(self) -> None:
        """Forget everything."""
        self._slots, self._many, self.next_at = {}, 0, None

    def take(self, now: UnixMs) -> Iterable[PeerId]:
        """Take out everyone whose time has come; the caller knows whether it still holds."""
        due = [self._slots.pop(slot) for slot in sorted(self._slots) if slot * _SLOT_MS <= now]
        self.next_at = UnixMs(min(self._slots) * _SLOT_MS) if self._slots else None
        self._many -= sum(map(len, due))
        return chain.from_iterable(due)
