"""The asking end's bookkeeping: which ranges are still open, what to get, what to offer."""

import heapq
from itertools import pairwise

from p2p_modelex import limits
from p2p_modelex.core.directory.directory import Directory
from p2p_modelex.errors import RemoteProtocolError
from p2p_modelex.records.reconciliation import (
    SPLIT_MAX,
    Bounds,
    Compare,
    Compared,
    Listing,
    Range,
    Split,
)
from p2p_modelex.units import UnixMs

# A directory of 50,000 that differs everywhere leaves some 3,500 open; hostile ones stop here.
OPEN_RANGES_MAX = SPLIT_MAX * limits.RECONCILE_RANGES_MAX * 2


class Comparison:
    """One comparison of our directory with a peer's, from the asking end."""

    def __init__(self, directory: Directory) -> None:
        self.need: dict[bytes, None] = {}
        """Ed25519 keys of peers whose advertisement is newer at the other end."""
        self.have: dict[bytes, None] = {}
        """Ed25519 keys of peers whose advertisement is newer at ours."""
        self.pull: list[Bounds] = []
        """Ranges in which we hold nothing and the other end something."""
        self._directory = directory
        # A heap: ranges are disjoint, so the first ones of all are always in order (REC-3).
        self._open: list[tuple[bytes, bytes]] = []
        if len(directory.index):
            self._open.append((b"", b""))
        else:
            self.pull.append(Bounds(b"", b""))
        self._asked: tuple[Range, ...] = ()
        self._rounds = 0

    def next_question(self) -> Compare | None:
        """Return the next ranges to compare, as we hold them now; None once all are settled.

        Raises RemoteProtocolError REC-8 if there are too many rounds.
        """
        if not self._open:
            return None
        self._rounds += 1
        if self._rounds > limits.RECONCILE_ROUNDS_MAX:
            raise RemoteProtocolError("REC-8", "too many rounds")
        count = min(len(self._open), limits.RECONCILE_RANGES_MAX)
        bounds = [heapq.heappop(self._open) for _ in range(count)]
        self._asked = tuple(self._directory.index.describe(*pair) for pair in bounds)
        return Compare(self._asked)

    def on_answer(self, answer: Compared, now: UnixMs) -> None:
        """Take the answer to the last question. Raises RemoteProtocolError REC-4, REC-5, REC-8."""
        if not 1 <= answer.answered <= len(self._asked):
            raise RemoteProtocolError("REC-4", "more or fewer ranges answered than asked")
        asked = {(one.lower, one.upper): None for one in self._asked[: answer.answered]}
        for difference in answer.differences:
            bounds = _bounds_of(difference)
            if bounds not in asked:
                raise RemoteProtocolError("REC-4", "an answer to a range that was not asked")
            # Dropping what came before it too makes answers keep the order of the questions.
            while next(iter(asked)) != bounds:
                del asked[next(iter(asked))]
            del asked[bounds]
            if isinstance(difference, Split):
                self._on_split(difference.parts)
            else:
                self._on_listing(difference, now)
        for one in self._asked[answer.answered :]:
            heapq.heappush(self._open, (one.lower, one.upper))
        # Honest directories lack no more than the largest one holds.
        lacking = len(self.need) > limits.DIRECTORY_ENTRIES_MAX
        if lacking or len(self._open) + len(self.pull) > OPEN_RANGES_MAX:
            raise RemoteProtocolError("REC-8", "too many open ranges or missing records")

    def _on_split(self, parts: tuple[Range, ...]) -> None:
        ordered = all(part.lower < part.upper for part in parts[:-1])
        last = parts[-1]
        joined = all(one.upper == other.lower for one, other in pairwise(parts))
        if not ordered or not joined or (last.upper and last.lower >= last.upper):
            raise RemoteProtocolError("REC-4", "parts do not tile the range")
        for part in parts:
            ours = self._directory.index.describe(part.lower, part.upper)
            if part.count == 0:
                self.have.update(dict.fromkeys(self._directory.index.keys(part.lower, part.upper)))
            elif ours.count == 0:
                self.pull.append(Bounds(part.lower, part.upper))
            elif part != ours:
                heapq.heappush(self._open, (part.lower, part.upper))

    def _on_listing(self, listing: Listing, now: UnixMs) -> None:
        index = self._directory.index
        held = dict.fromkeys(index.keys(listing.lower, listing.upper))
        last = b""
        for item in listing.items:
            inside = listing.lower <= item.peer and (not listing.upper or item.peer < listing.upper)
            if not inside or item.peer <= last:
                raise RemoteProtocolError("REC-5", "a listing out of its range or order")
            last = item.peer
            ours = index.get(item.peer)
            if ours is None or ours < item.sequence:
                held.pop(item.peer, None)
                if item.sequence <= now + limits.CLOCK_SKEW_MS:
                    self.need[item.peer] = None
            elif ours == item.sequence:
                del held[item.peer]
        self.have.update(held)


def _bounds_of(difference: Split | Listing) -> tuple[bytes, bytes]:
    if isinstance(difference, Split):
        return difference.parts[0].lower, difference.parts[-1].upper
    return difference.lower, difference.upper
