"""Ratings: what those whom the operator believes say on chain of the providers that are known."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from p2p_modelex.core.directory.directory import Directory
from p2p_modelex.core.effects import Effect, ReadRatings, SetTimer, TimerId
from p2p_modelex.core.inputs import RatingsRead, TimerFired
from p2p_modelex.core.routing.rating_book import RatingBook
from p2p_modelex.ids import Address, PeerId, PublicKey, peer_id_of, public_key_of
from p2p_modelex.records.advertisement import Advertisement
from p2p_modelex.records.registry import Standing
from p2p_modelex.units import Millis, UnixMs

READ_TIMER = TimerId("ratings/read")
FIRST_MS = Millis(30_000)
"""After the start: the directory and the registry are read by then."""
AGAIN_MS = Millis(10 * 60_000)
"""Ratings change by people's judgement, so rarely."""
NODES_MAX = 1_000
"""Rated nodes asked for at a time, 20 requests to the chain; more take turns."""


@dataclass(frozen=True, slots=True)
class RatingsPolicy:
    """evaluators: whose ratings count, each alike; empty for reading none."""

    evaluators: tuple[Address, ...] = ()


class RatingWatch:
    """Has the ratings of registered providers read, and keeps them in a book. One timer."""

    def __init__(
        self,
        policy: RatingsPolicy,
        directory: Directory,
        get_standing: Callable[[PeerId, Advertisement], Standing],
        book: RatingBook,
    ) -> None:
        self._policy = policy
        self._directory = directory
        self._get_standing = get_standing
        self._book = book
        self._last: PeerId | None = None

    def start(self, now: UnixMs) -> list[Effect]:
        """Read for the first time in a while."""
        return [SetTimer(READ_TIMER, UnixMs(now + FIRST_MS))] if self._policy.evaluators else []

    def step(self, happened: TimerFired | RatingsRead, now: UnixMs) -> list[Effect]:
        """Take one input: the timer's, or what was read. What cannot be read stands as it was."""
        if isinstance(happened, RatingsRead):
            for peer, rating in happened.ratings:
                self._book.put(peer_id_of(peer), rating)
            return []
        again = SetTimer(READ_TIMER, UnixMs(now + AGAIN_MS))
        nodes = self._choose()
        return [ReadRatings(nodes, self._policy.evaluators), again] if nodes else [again]

    def _choose(self) -> tuple[tuple[PublicKey, Address], ...]:
        """The next of those registered: only of these are there ratings."""
        registered = [
            (entry.peer, Address(entry.advertisement.accounts[0].ownership.operator))
            for entry in self._directory.entries()
            if entry.advertisement.offers
            and entry.advertisement.accounts
            and self._get_standing(entry.peer, entry.advertisement) in _RATED
        ]
        chosen = _turn(registered, self._last)[:NODES_MAX]
        self._last = chosen[-1][0] if chosen else None
        return tuple((public_key_of(peer), operator) for peer, operator in chosen)


_RATED = (Standing.REGISTERED, Standing.WHITELISTED)


def _turn(
    nodes: Sequence[tuple[PeerId, Address]], last: PeerId | None
) -> list[tuple[PeerId, Address]]:
    """Those after `last` first, in the order of their ids."""
    return sorted(nodes, key=lambda one: (last is not None and one[0] <= last, one[0]))
