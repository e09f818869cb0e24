"""A map in virtual time: members with slots and speeds, which may come, die, hang and refuse."""

import heapq
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from itertools import count
from typing import Any

from p2p_modelex.core.mapping.acts import (
    Act,
    Begin,
    Cancel,
    GiveUp,
    Happened,
    Keep,
    MembersSeen,
    OrderDone,
    OrderFailed,
    Sighting,
    SourceEnded,
    Stop,
    TaskCame,
    Woke,
)
from p2p_modelex.core.mapping.machine import MappingMachine
from p2p_modelex.ids import PeerId
from p2p_modelex.units import UnixMs, Wei

START = UnixMs(1_700_000_000_000)
SURVEY_MS = 1_000
TICK_MS = 50
COST = 10


def peer(number: int) -> PeerId:
    return PeerId(bytes([number]))


def sighting(number: int, slots: int | None = 2, price: int = 1) -> Sighting:
    return Sighting(peer(number), slots, Wei(price), Wei(price))


def machine(
    *, budget: int | None = None, at_once: int = 64, max_cost: int = 1000
) -> MappingMachine:
    return MappingMachine(Wei(max_cost), None if budget is None else Wei(budget), at_once, START)


def failure(order: int, code: str = "engine", **other: Any) -> OrderFailed:
    said: dict[str, Any] = {
        "reason": "why",
        "is_fault": False,
        "retry_after_ms": 0,
        "paid": Wei(0),
    } | other
    return OrderFailed(order, code, **said)


@dataclass
class Worker:
    """dies_at, hangs: ms after the start, and whether it says nothing ever."""

    number: int
    slots: int = 2
    work_ms: int = 100
    comes_ms: int = 0
    dies_ms: int | None = None
    hangs: bool = False
    running: list[int] = field(default_factory=list)
    waiting: list[int] = field(default_factory=list)


@dataclass
class Floor:
    """Runs `many` prompts over the workers; see `served`, `kept`, `took_ms`."""

    workers: list[Worker]
    many: int
    now: int = START
    served: Counter[int] = field(default_factory=Counter)
    kept: dict[int, int] = field(default_factory=dict)
    given_up: list[int] = field(default_factory=list)
    extras: int = 0
    stop: Stop | None = None

    def __post_init__(self) -> None:
        self.machine = machine()
        self._events: list[tuple[int, int, Callable[[], None]]] = []
        self._numbers = count()
        self._orders: dict[int, tuple[Worker, Begin]] = {}
        self._next = 0

    @property
    def took_ms(self) -> int:
        return self.now - START

    def run(self) -> "Floor":
        self._survey()
        self._tick()
        while self._events and not self.machine.is_done:
            self.now, _, do = heapq.heappop(self._events)
            do()
        return self

    def _later(self, delay_ms: int, do: Callable[[], None]) -> None:
        heapq.heappush(self._events, (self.now + delay_ms, next(self._numbers), do))

    def _is_alive(self, worker: Worker) -> bool:
        age = self.now - START
        return worker.comes_ms <= age and (worker.dies_ms is None or age < worker.dies_ms)

    def _survey(self) -> None:
        here = [sighting(w.number, w.slots) for w in self.workers if self._is_alive(w)]
        self.tell(MembersSeen(tuple(here), "" if here else "nobody is there"))
        self._later(SURVEY_MS, self._survey)

    def _tick(self) -> None:
        at = self.machine.get_timer(UnixMs(self.now))
        if at is not None and at <= self.now:
            self.tell(Woke())
        self._later(TICK_MS, self._tick)

    def tell(self, happened: Happened) -> None:
        for act in self.machine.step(happened, UnixMs(self.now)):
            self._carry(act)
        while self._next < self.many and self.machine.room:
            self._next += 1
            self.tell(TaskCame(self._next - 1, 5, 5))
            if self._next == self.many:
                self.tell(SourceEnded())

    def _carry(self, act: Act) -> None:
        match act:
            case Begin():
                self._order(act)
            case Cancel(order):
                self._later(1, lambda: self._cancel(order))
            case Keep(number, order):
                assert number not in self.kept
                self.kept[number] = order
            case GiveUp(number):
                self.given_up.append(number)
            case Stop():
                self.stop = act

    def _order(self, begin: Begin) -> None:
        self.extras += begin.is_extra
        worker = self.workers[begin.peer[0]]
        self._orders[begin.order] = worker, begin
        worker.waiting.append(begin.order)
        self._serve(worker)
        if worker.dies_ms is not None:
            left = max(worker.dies_ms - (self.now - START), 0)
            self._later(left, lambda: self._fail(begin.order))

    def _serve(self, worker: Worker) -> None:
        while worker.waiting and len(worker.running) < worker.slots:
            order = worker.waiting.pop(0)
            worker.running.append(order)
            if not worker.hangs:
                self._later(worker.work_ms, partial(self._finish, worker, order))

    def _leave(self, order: int) -> bool:
        worker, _ = self._orders.pop(order, (None, None))
        if worker is None:
            return False
        for where in (worker.running, worker.waiting):
            if order in where:
                where.remove(order)
        self._serve(worker)
        return True

    def _finish(self, worker: Worker, order: int) -> None:
        if self._is_alive(worker) and self._leave(order):
            self.served[worker.number] += 1
            self.tell(OrderDone(order, Wei(COST)))

    def _cancel(self, order: int) -> None:
        if self._leave(order):
            self.tell(failure(order, "cancelled"))

    def _fail(self, order: int) -> None:
        if self._leave(order):
            self.tell(failure(order, "stream", is_fault=True))
