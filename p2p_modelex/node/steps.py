"""Takes the steps of a core one after another, and has their effects carried out.

A step and its effects wait for nothing, so they happen at once, in whatever task asked: there are
no locks and no torn state. A `Persist` is the exception: it is awaited by a task of its own, before
the effects after it are begun and another step is taken. Nothing is promised to a peer before it is
durable here.
"""

from collections import deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import trio

from p2p_modelex.core.effects import Effect, Persist
from p2p_modelex.core.inputs import Input
from p2p_modelex.records.rows import Row
from p2p_modelex.store.abc import Store
from p2p_modelex.units import UnixMs

INPUTS_MAX = 1024
"""Inputs waiting for the core; when it is full, readers wait and TCP pushes back on peers."""

_TURNS = 8
"""A peer's frames let other tasks run every so often; a task switch costs 5 us."""

Effects = Iterable[Effect]
Step = Callable[[UnixMs], Effects]


@dataclass(slots=True)
class Commit:
    """Rows to write, the effects held back until then, and who waits for them."""

    rows: list[Row]
    held: list[Effect]
    taken: list[trio.Event]
    failure: Exception | None = None


class Steps:
    """Steps one core. None is taken before `open`, and none after `close`."""

    def __init__(
        self,
        answer: Callable[[Input, UnixMs], Effects],
        store: Store,
        clock: Callable[[], UnixMs],
    ) -> None:
        """answer: the core's step for an input."""
        self._answer = answer
        self._store = store
        self._clock = clock
        # Any: each takes its own effect's type, which a mapping cannot say.
        self._carry: Mapping[type, Callable[[Any], None]] = {}
        # Steps asked for, each with the event that says it was taken, if somebody waits for that.
        self._waiting: deque[tuple[Input | Step, trio.Event | None]] = deque()
        self._room = trio.lowlevel.ParkingLot()
        # Whether steps may be taken: not before `open`, and not while rows are written.
        self._is_open = False
        self._is_over = False
        self._is_writing = False
        self._turns = 0
        self._commits, self._commit_queue = trio.open_memory_channel[Commit](1)
        self._stepped: trio.Event | None = None

    async def tell(self, happened: Input) -> None:
        """Hand an input to the core; waits only if too many wait already. No checkpoint."""
        while len(self._waiting) >= INPUTS_MAX:
            await self._room.park()
        self._waiting.append((happened, None))
        self._advance()

    async def tell_in_turn(self, happened: Input) -> None:
        """Hand over an input and wait until the core has taken it.

        A peer's frames come so: none of its streams has more than one waiting, whatever it
        sends, and so they take turns with everybody else's.
        """
        self._turns += 1
        if self._turns % _TURNS == 0:
            await trio.lowlevel.checkpoint()
        if self._is_open and not self._waiting:
            self._waiting.append((happened, None))
            self._advance()
            return
        await self._ask_and_wait(happened)

    async def perform(self, step: Step) -> None:
        """Take a step of the core that is no input; returns once its effects are carried out."""
        await self._ask_and_wait(step)

    async def _ask_and_wait(self, step: Input | Step) -> None:
        taken = trio.Event()
        while len(self._waiting) >= INPUTS_MAX:
            await self._room.park()
        self._waiting.append((step, taken))
        self._advance()
        await taken.wait()

    async def wait_until(self, condition: Callable[[], bool]) -> None:
        """Wait until a condition on the core holds; it is looked at after each step, and once what
        the step wanted kept is kept.
        """
        while self._is_writing or not condition():
            if self._stepped is None:
                self._stepped = trio.Event()
            await self._stepped.wait()

    async def open(self, first: Step, carry: Mapping[type, Callable[[Any], None]]) -> None:
        """Take the first step, before whatever was told by now. carry: what begins an effect, by
        the effect's type; each waits for nothing.
        """
        self._carry = carry
        started = trio.Event()
        self._waiting.appendleft((first, started))
        self._is_open = True
        self._advance()
        await started.wait()

    def close(self) -> None:
        """Take no more; what is being written now is still carried out."""
        self._is_over, self._is_open = True, False

    def _advance(self) -> None:
        """Take the steps that wait, in the task of whoever asked for one: no task switch.

        What comes after rows to be kept is held back until they are; steps that wait by then are
        taken too, so that their rows share one write.
        """
        commit = Commit([], [], [])
        try:
            while self._is_open and self._waiting:
                step, taken = self._waiting.popleft()
                now = self._clock()
                effects = step(now) if callable(step) else self._answer(step, now)
                for effect in effects:
                    if isinstance(effect, Persist):
                        commit.rows.extend(effect.rows)
                    elif commit.rows:
                        commit.held.append(effect)
                    else:
                        self._carry[type(effect)](effect)
                if taken is not None:
                    commit.taken.append(taken)
        except Exception as error:
            # Whose task this is has nothing to do with it: the node's own task raises it.
            commit.failure = error
        if commit.rows or commit.failure is not None:
            self._is_open, self._is_writing = False, True
            self._commits.send_nowait(commit)
            return
        self._end_steps(commit)

    def _end_steps(self, commit: Commit) -> None:
        for taken in commit.taken:
            taken.set()
        if self._room:  # seldom; to find out in `unpark_all` is nine calls a step
            self._room.unpark_all()
        if self._stepped is not None:
            self._stepped.set()
            self._stepped = None

    async def write_for_ever(self) -> None:
        """Write what steps want kept, then go on. StoreError if the store fails: what was held back
        is not begun; the failure of a step comes out here as it is.
        """
        async for commit in self._commit_queue:
            if commit.failure is not None:
                raise commit.failure
            await self._store.apply(tuple(commit.rows))
            for effect in commit.held:
                self._carry[type(effect)](effect)
            self._is_open, self._is_writing = not self._is_over, False
            self._end_steps(commit)
            self._advance()
