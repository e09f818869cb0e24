"""The orders under way: of which prompt, at whom, since when, and what they may cost."""

from collections.abc import Iterator
from dataclasses import dataclass, field

from p2p_modelex.core.mapping.members import Member
from p2p_modelex.ids import PeerId
from p2p_modelex.units import UnixMs, Wei


@dataclass(slots=True)
class Task:
    """A prompt in hand. tried: who has failed at it. orders: those under way, by number."""

    number: int
    prompt_tokens: int
    max_tokens: int
    tried: dict[PeerId, None] = field(default_factory=dict)
    failures: int = 0
    extras: int = 0
    orders: dict[int, None] = field(default_factory=dict)


@dataclass(slots=True)
class Order:
    """reserved: wei that it may cost."""

    number: int
    task: Task
    member: Member
    began: UnixMs
    reserved: int
    is_cancelled: bool = False


class Orders:
    """They are numbered as they begin, from 1, and cost no more than the budget in all."""

    def __init__(self, max_cost: Wei, budget: Wei | None, at_once: int) -> None:
        """max_cost: wei for one order. budget: wei for all that are begun, None for no bound.
        at_once: orders in hand at most.
        """
        self.at_once = at_once
        self.begun = 0
        self._max_cost = max_cost
        self._budget = budget
        self._orders: dict[int, Order] = {}
        self._spent = self._reserved = 0

    def __len__(self) -> int:
        return len(self._orders)

    def __getitem__(self, number: int) -> Order:
        return self._orders[number]

    def __iter__(self) -> Iterator[int]:
        return iter(self._orders)

    @property
    def is_full(self) -> bool:
        """Whether no more may be begun now."""
        return len(self._orders) >= self.at_once

    def begin(self, task: Task, member: Member, now: UnixMs) -> Order | None:
        """Return a new order, or None where the budget may not suffice."""
        seen = member.seen
        most = task.prompt_tokens * seen.prompt_price + task.max_tokens * seen.completion_price
        reserved = min(most, self._max_cost)
        if self._budget is not None and self._spent + self._reserved + reserved > self._budget:
            return None
        self.begun += 1
        order = Order(self.begun, task, member, now, reserved)
        self._orders[order.number] = order
        member.orders[order.number] = task.orders[order.number] = None
        self._reserved += reserved
        return order

    def end(self, number: int, paid: Wei) -> Order:
        """An order is over and has cost so much; return it."""
        order = self._orders.pop(number)
        del order.member.orders[number]
        del order.task.orders[number]
        self._reserved -= order.reserved
        self._spent += paid
        return order

    def find_late(self, late_ms: int, now: UnixMs) -> list[Order]:
        """Return those begun so long ago or longer that nobody cancelled, the oldest first."""
        late: list[Order] = []
        for order in self._orders.values():
            if now - order.began < late_ms:
                break
            if not order.is_cancelled:
                late.append(order)
        return late

    def find_next_late(self, late_ms: int, now: UnixMs) -> Order | None:
        """Return the one that will be late first, of those that are not."""
        younger = (order for order in self._orders.values() if now - order.began < late_ms)
        return next(younger, None)
