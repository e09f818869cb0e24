"""The line before an engine: payers with a history first, among each other in turn by tokens.

Only jobs whose first voucher the ledger took stand here, so every place has a deposit behind it.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from p2p_modelex.core.patrons import Patrons
from p2p_modelex.core.turns import Turns
from p2p_modelex.ids import Address, JobId

WAITING_MAX = 64
"""Jobs that wait for an engine. Beyond, the payer with the most waiting makes room."""

READY = 1
"""Jobs handed to an engine over its slots, so that it is not idle between two."""

TURN = 4
"""Each so many-th place goes to a payer without a history if one waits: late, but not never."""


@dataclass(frozen=True, slots=True)
class Place:
    """A job in line or with the engine. payee: the account it pays, ours or a farm's. window: the
    worth of what it may come to owe us. tokens: its prompt's and the most it may generate, which is
    what it takes of a payer's turn.
    """

    job: JobId
    payer: Address
    payee: Address
    window: int
    tokens: int


class Line:
    """Decides which job an engine gets next."""

    def __init__(self, slots: int, patrons: Patrons) -> None:
        self._room = slots + READY
        # Whoever has no history may stall for PAY_TIMEOUT_MS, so it never gets every slot.
        self._room_for_new = max(1, slots - 1)
        self._patrons = patrons
        self._granted = 0
        self._turns: Turns[Address] = Turns()
        self._waiting: dict[JobId, Place] = {}
        self._running: dict[JobId, Place] = {}
        # Of those, the ones whose payer had no history when they began.
        self._of_new: dict[JobId, None] = {}
        # Granted, and not yet paid or given up: what we risk.
        self._risked: dict[JobId, Place] = {}

    @property
    def waiting(self) -> int:
        """How many stand in line."""
        return len(self._waiting)

    @property
    def running(self) -> int:
        """How many the engine has."""
        return len(self._running)

    @property
    def tokens(self) -> int:
        """What stands in line and what the engine has, in tokens."""
        places = [*self._waiting.values(), *self._running.values()]
        return sum(place.tokens for place in places)

    def enter(self, place: Place) -> JobId | None:
        """Stand in line. Returns the job that must go: another, this one (it is not in), or None.

        The payer with the most in line makes room with its latest; among equals one without a
        history.
        """
        gone: JobId | None = None
        if len(self._waiting) >= WAITING_MAX:
            crowded = max(self._waiting.values(), key=self._measure)
            count, is_new = self._measure(place)
            if (count + 1, is_new) >= self._measure(crowded):
                return place.job
            gone = [one.job for one in self._waiting.values() if one.payer == crowded.payer][-1]
            self._remove(gone)
        self._waiting[place.job] = place
        return gone

    def _measure(self, place: Place) -> tuple[int, bool]:
        payer = place.payer
        waiting = sum(one.payer == payer for one in self._waiting.values())
        return waiting, not self._is_known(place)

    def _is_known(self, place: Place) -> bool:
        """Whether the payer has paid us a window's worth before."""
        return self._patrons.get_paid(place.payer) >= place.window

    def finish(self, job: JobId) -> None:
        """The engine is done with a job, or never had it."""
        self._running.pop(job, None)
        self._of_new.pop(job, None)

    def leave(self, job: JobId) -> bool:
        """A job is over for us. Returns whether it was still waiting."""
        self._risked.pop(job, None)
        is_waiting = job in self._waiting
        if is_waiting:
            self._remove(job)
        return is_waiting

    def _remove(self, job: JobId) -> None:
        payer = self._waiting.pop(job).payer
        if all(one.payer != payer for one in self._waiting.values()):
            self._turns.leave(payer)

    def grant(self) -> Iterator[JobId]:
        """Give the engine what it has room for, and yield it."""
        while len(self._running) < self._room:
            able = [one for one in self._waiting.values() if self._may_run(one)]
            if not able:
                return
            self._granted += 1
            chosen = self._choose(able)
            self._remove(chosen.job)
            if not self._is_known(chosen):
                self._of_new[chosen.job] = None
            self._running[chosen.job] = self._risked[chosen.job] = chosen
            yield chosen.job

    def _choose(self, able: list[Place]) -> Place:
        """Of those with a history, or each TURN-th time of the others, whose turn it is; of one
        payer's jobs the first to come.
        """
        is_known = self._granted % TURN != 0
        favoured = [one for one in able if self._is_known(one) is is_known] or able
        firsts: dict[Address, Place] = {}
        for one in favoured:
            firsts.setdefault(one.payer, one)
        payer = self._turns.choose({payer: one.tokens for payer, one in firsts.items()})
        return firsts[payer]

    def charge(self, served: Mapping[Address, int]) -> None:
        """Count what payers were served elsewhere, in tokens."""
        for payer, tokens in served.items():
            self._turns.charge(payer, tokens)

    def fade(self) -> None:
        """Forgive a part of what payers had too much; call it now and then."""
        self._turns.fade()

    def _may_run(self, place: Place) -> bool:
        has_room = self._is_known(place) or len(self._of_new) < self._room_for_new
        return has_room and self._is_trusted(place)

    def _is_trusted(self, place: Place) -> bool:
        """Whether what the payer owes and may come to owe is one window, or was ever paid us.

        So a payer that never pays gets one window, whatever the number of its lanes and channels.
        """
        owed = self._patrons.get_debt(place.payer) + sum(x.window for x in self._of(place.payer))
        return not owed or owed + place.window <= self._patrons.get_paid(place.payer)

    def _of(self, payer: Address) -> list[Place]:
        return [one for one in self._risked.values() if one.payer == payer]
