"""Trio's run loop in virtual time, on one CPU: how hosts in one process wait for one another."""

import random
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import chain
from statistics import fmean

import msgspec

from p2p_modelex.simulation.kernel import Kernel

Step = Callable[[], None]
"""What a task does until it waits again."""


@dataclass(frozen=True, slots=True)
class StepCosts:
    """What each kind of step keeps a CPU busy for, microseconds: any of those measured.

    write: a frame, encrypting it and the system call, on top of the step that does it. read: what
    a socket has, up to the stream. first, known, control: a frame taken from the stream, with a
    message that is new there, with one that is not, and with none. publish, heartbeat.
    """

    write: Sequence[float] = (0.0,)
    read: Sequence[float] = (0.0,)
    first: Sequence[float] = (0.0,)
    known: Sequence[float] = (0.0,)
    control: Sequence[float] = (0.0,)
    publish: Sequence[float] = (0.0,)
    heartbeat: Sequence[float] = (0.0,)


def average(runs: Iterable[Sequence[StepCosts]]) -> dict[str, float]:
    """Return the mean cost of each kind of step over the messages of several runs."""
    costs = list(chain.from_iterable(runs))
    return {
        kind: fmean(chain.from_iterable(getattr(one, kind) for one in costs))
        for kind in StepCosts.__slots__
    }


class Loop:
    """Runs the steps of all nodes: here each at once, and it takes no time."""

    costs = StepCosts()
    """Of steps at this time."""

    def __init__(self, kernel: Kernel) -> None:
        self._kernel = kernel

    @property
    def now(self) -> int:
        """When the step at hand has got to where it is, microseconds."""
        return self._kernel.now

    def spend(self, measured: Sequence[float]) -> None:
        """Be busy for as long as one of those was."""

    def on_arrival(self, step: Step) -> None:
        """A socket can be read or a time has come: have the task that waits for it go on."""
        step()

    def wake(self, step: Step) -> None:
        """Have a task go on that waits for another."""
        step()

    def begin_message(self) -> None:
        """The next message is published."""


class Pass(msgspec.Struct, frozen=True, gc=False):
    """The next pass over what can run is due."""


class RunLoop(Loop):
    """One process. It looks at its sockets and clocks, runs all tasks that can go on then, in
    their order or from the last to the first by a throw of a coin, and looks again. So what a task
    sends is read in the next pass at the soonest, however short the step that reads it.

    costs: of steps from each message's publication to the next one's. A machine's pace changes, so
    what the steps of one moment cost goes together; before the first message they cost nothing.
    """

    number = -1

    def __init__(self, kernel: Kernel, costs: Iterable[StepCosts], chance: random.Random) -> None:
        super().__init__(kernel)
        self._coming = iter(costs)
        self._chance = chance
        self._now = 0.0
        self._is_running = False
        self._woken: list[Step] = []
        self._arrived: list[Step] = []

    @property
    def now(self) -> int:
        """When the step at hand has got to where it is, microseconds."""
        return int(max(self._now, self._kernel.now))

    def spend(self, measured: Sequence[float]) -> None:
        """Be busy for as long as one of those was."""
        self._now += self._chance.choice(measured)

    def on_arrival(self, step: Step) -> None:
        """Have a task go on in the next pass, after those that are awake."""
        self._arrived.append(step)
        if not self._is_running:
            self._is_running = True
            self._kernel.at(self._kernel.now, self, Pass())

    def wake(self, step: Step) -> None:
        """Have a task go on in the next pass."""
        self._woken.append(step)

    def begin_message(self) -> None:
        """Charge what was measured of the next message."""
        self.costs = next(self._coming)

    def receive(self, event: Pass) -> None:
        """Run what can run now, and come back when that is done."""
        batch = [*self._woken, *self._arrived]
        self._woken, self._arrived = [], []
        if self._chance.random() < 0.5:
            batch.reverse()
        self._now = self._kernel.now
        for step in batch:
            step()
        self._is_running = bool(batch)
        if batch:
            self._kernel.at(self.now, self, event)
