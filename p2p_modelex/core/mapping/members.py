"""Who serves a map, and how much each may have in hand."""

from collections.abc import Collection, Iterable
from dataclasses import dataclass, field, replace

from p2p_modelex.core.mapping.acts import Sighting
from p2p_modelex.ids import PeerId
from p2p_modelex.limits import LANES_MAX
from p2p_modelex.units import UnixMs

MEMBERS_MAX = 64
"""Members at once: each is probed every second or two. And those who left after they had failed."""
SLOTS_UNKNOWN = 1
FAULT_PAUSE_MS = 2_000
"""Longer than it takes to see who is there."""
BUSY_PAUSE_MS = 100
"""Where a refusal does not say when to ask again."""
DOUBLINGS_MAX = 8
"""A rest is twice as long as the one before so often, to nine minutes."""
UNPAID_PAUSE_MS = 30_000
"""What cannot be paid now has its channel looked at, or topped up, by then."""


@dataclass(slots=True)
class Member:
    """limit: orders that it may have in hand now. rests_until: it is not asked before.
    unpaid: why it could not be paid, until it could. strikes: how often it had to rest since it
    served one. is_silent: it has answered probes, and the last one it has not.
    """

    seen: Sighting
    limit: int
    is_here: bool = True
    orders: dict[int, None] = field(default_factory=dict)
    rests_until: UnixMs = UnixMs(0)  # noqa: RUF009  # a NewType of int
    unpaid: str = ""
    strikes: int = 0
    is_silent: bool = False

    @property
    def slots(self) -> int:
        """Requests that it runs at once."""
        return max(self.seen.slots or SLOTS_UNKNOWN, 1)

    @property
    def goal(self) -> int:
        """What keeps all its slots busy: as much again waits there, so that none is idle while the
        end of one order and the next one travel, if that takes no longer than the work.
        """
        return min(2 * self.slots, LANES_MAX)

    @property
    def is_lost(self) -> bool:
        """Whether it is likely dead: an order would only show what a probe has shown."""
        return self.strikes > 0 and self.is_silent

    @property
    def load(self) -> float:
        """Orders in hand for each slot."""
        return len(self.orders) / self.slots

    def see(self, sighting: Sighting) -> None:
        """It is here. What it does not say this time is as it was."""
        is_grown = self.limit >= self.goal
        self.is_silent = sighting.slots is None and self.seen.slots is not None
        slots = self.seen.slots if sighting.slots is None else sighting.slots
        self.seen, self.is_here = replace(sighting, slots=slots), True
        self.limit = self.goal if is_grown else min(self.limit, self.goal)

    def has_room(self, now: UnixMs) -> bool:
        """Whether it may be asked now."""
        return self.is_here and now >= self.rests_until and len(self.orders) < self.limit

    def rest(self, until: int) -> None:
        """Ask it no more before then."""
        self.rests_until = UnixMs(max(self.rests_until, until))

    def shrink(self) -> None:
        """It can take no more than it has."""
        self.limit = max(len(self.orders), 1)

    def grow(self) -> None:
        """It has served one: it may have one more."""
        self.limit = min(self.limit + 1, self.goal)
        self.unpaid, self.strikes = "", 0

    def strike(self, now: UnixMs) -> None:
        """It failed, or hangs, or might as well: it is tried with one order, ever more seldom. What
        else it has in hand may fail with that, and counts once.
        """
        self.limit = 1
        if not self.strikes or now >= self.rests_until:
            self.rest(now + (FAULT_PAUSE_MS << min(self.strikes, DOUBLINGS_MAX)))
            self.strikes += 1


class Members:
    """Those that were seen; who has left is kept for as long as something is in hand there, and who
    had failed is remembered, so that it is tried with one order if it comes back.
    """

    def __init__(self) -> None:
        self._members: dict[PeerId, Member] = {}
        self._struck: dict[PeerId, Member] = {}

    def see(self, sightings: Iterable[Sighting]) -> None:
        """Take these and no others."""
        for member in self._members.values():
            member.is_here = False
        for sighting in sightings:
            peer = sighting.peer
            if peer not in self._members and len(self._members) >= MEMBERS_MAX:
                continue
            known = self._members.get(peer) or self._struck.pop(peer, None)
            if known is None:
                member = self._members[peer] = Member(sighting, 0)
                member.limit = member.goal
            else:
                self._members[peer] = known
                known.see(sighting)
        for member in [*self._members.values()]:
            if not member.is_here and not member.orders:
                self._part(member)

    def _part(self, member: Member) -> None:
        del self._members[member.seen.peer]
        if member.strikes:
            self._struck[member.seen.peer] = member
            if len(self._struck) > MEMBERS_MAX:
                del self._struck[next(iter(self._struck))]

    @property
    def here(self) -> list[Member]:
        """Those that may be asked, now or after a rest."""
        return [member for member in self._members.values() if member.is_here]

    @property
    def goal(self) -> int:
        """What all of them may have in hand."""
        return sum(member.goal for member in self.here)

    def pick(
        self, now: UnixMs, tried: Collection[PeerId], busy_with: Collection[PeerId] = ()
    ) -> Member | None:
        """Return whom to ask: of those with room the one with least in hand for its slots, then
        the cheapest. busy_with: who is at it already. Who has failed at it is asked again only if
        all that are here have.
        """
        asked = (member for member in self.here if not member.is_lost)
        here = [member for member in asked if member.seen.peer not in busy_with]
        untried = [member for member in here if member.seen.peer not in tried]
        free = [member for member in untried or here if member.has_room(now)]
        return min(free, key=_order, default=None)

    def next_end_of_rest(self, now: UnixMs) -> UnixMs | None:
        """Return when the first that rests may be asked again."""
        ends = [member.rests_until for member in self.here if member.rests_until > now]
        return min(ends, default=None)


def _order(member: Member) -> tuple[float, int]:
    return member.load, member.seen.completion_price + member.seen.prompt_price
