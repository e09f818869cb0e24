"""Turns by tokens: deficit round robin (Shreedhar and Varghese, 1995).

Each round gives everybody who waits the same quantum, and a job goes as soon as what its owner was
given covers it: in the long run all get the same tokens, however they cut them into jobs. All are
given their quantum as a round begins, so rounds in which nobody can go pass at once.
"""

from collections.abc import Hashable, Mapping
from typing import Generic, TypeVar

Owner = TypeVar("Owner", bound=Hashable)

QUANTUM = 256
"""Tokens a round: a short chat. More lets who has small jobs wait behind more of others'; less
would only interleave finer than most jobs are.
"""

DEBT_MAX = 64 * QUANTUM
"""The most that is held against anybody for what it had elsewhere: 64 rounds. What others tell must
not keep anybody from its turn for good.
"""

OWNERS_MAX = 256
"""Owners that wait or had too much. Beyond, what one had elsewhere is forgotten, the longest known
first: fewer wait than that.
"""

FORGIVEN = 32
"""Of what is held against anybody one part in so many is forgiven each time: half in 22 times."""


class Turns(Generic[Owner]):
    """Whose turn it is. What an owner had over its turns is negative: it has to wait for it."""

    def __init__(self) -> None:
        # In the order in which they came to wait: who is first goes first in a round.
        self._deficits: dict[Owner, int] = {}

    def choose(self, costs: Mapping[Owner, int]) -> Owner:
        """Return who goes next, and count its job as had.

        costs: the tokens of the next job of each who may go; there is at least one.
        """
        for owner in costs:
            self._deficits.setdefault(owner, 0)
        waiting = [owner for owner in self._deficits if owner in costs]
        short = {owner: costs[owner] - self._deficits[owner] for owner in waiting}
        rounds = max(0, -(-min(short.values()) // QUANTUM))
        for owner in waiting:
            self._deficits[owner] += rounds * QUANTUM
        chosen = next(owner for owner, lack in short.items() if lack <= rounds * QUANTUM)
        self._deficits[chosen] -= costs[chosen]
        return chosen

    def leave(self, owner: Owner) -> None:
        """Nothing of this owner waits any more: it keeps no claim, but what it had too much."""
        if self._deficits.get(owner, 0) >= 0:
            self._deficits.pop(owner, None)

    def charge(self, owner: Owner, tokens: int) -> None:
        """Count tokens that an owner had elsewhere."""
        self._deficits[owner] = max(self._deficits.get(owner, 0) - tokens, -DEBT_MAX)
        if len(self._deficits) > OWNERS_MAX:
            debtors = (one for one, had in self._deficits.items() if had < 0)
            del self._deficits[next(debtors, owner)]

    def fade(self) -> None:
        """Forgive a part of what anybody had too much; call it now and then."""
        for owner, had in list(self._deficits.items()):
            if had < 0:
                self._deficits[owner] = had - had // FORGIVEN
            if not self._deficits[owner]:
                del self._deficits[owner]
