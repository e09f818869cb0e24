"""Spreading: one queue, from which each member takes the next prompt as soon as it has room.

So a member that is three times slower gets a third, one that joins gets its share at once, and what
one that dies had in hand goes back to the front. A prompt is at two members only if the first is
late: the first answer counts, and the other order is cancelled.
"""

from collections import deque
from collections.abc import Iterable, Iterator

from p2p_modelex.core.mapping.acts import (
    Act,
    Begin,
    Cancel,
    GiveUp,
    Happened,
    Keep,
    Leave,
    MembersSeen,
    OrderDone,
    OrderFailed,
    SourceEnded,
    Stop,
    TaskCame,
)
from p2p_modelex.core.mapping.members import (
    BUSY_PAUSE_MS,
    UNPAID_PAUSE_MS,
    Member,
    Members,
)
from p2p_modelex.core.mapping.orders import Orders, Task
from p2p_modelex.core.mapping.pace import Pace
from p2p_modelex.units import UnixMs, Wei

ATTEMPTS = 4
"""Members that may fail a prompt before it is given up: it may be what they fail at."""
EXTRAS_FLOOR = 8
EXTRAS_SHARE = 20
"""Orders of what is under way already: 8, and one in 20 of all begun. Lateness may cost so much and
no more.
"""
EXTRAS_PER_TASK = 2
PATIENCE_MS = 60_000
"""How long nobody may be at work while there is work, before the map stops."""
READY = 16
"""Prompts that wait beside those that all members may have in hand."""

PUT_BACK = ("busy", "lane_in_use", "shutting_down", "wrong_epoch")
"""Failures that say nothing of the prompt: the member cannot now."""
UNPAID = ("no_channel", "channel_exhausted")


class MappingMachine:
    """Decides who is asked what. The caller tells it of prompts while there is `room`, and wakes it
    at `get_timer`.
    """

    def __init__(self, max_cost: Wei, budget: Wei | None, at_once: int, now: UnixMs) -> None:
        """max_cost, budget, at_once: as `Orders` has them."""
        self._members = Members()
        self._pace = Pace()
        self._waiting: deque[Task] = deque()
        self._orders = Orders(max_cost, budget, at_once)
        self._extras = 0
        self._is_drained = False
        self._is_over = False
        self._was_seen = False
        self._why_none = ""
        self._is_short = False
        self._idle_since = now

    @property
    def room(self) -> int:
        """How many more prompts may come now."""
        if self._is_over:
            return 0
        most = min(self._members.goal, self._orders.at_once) + READY
        return max(most - len(self._waiting) - len(self._orders), 0)

    @property
    def in_hand(self) -> int:
        """Orders under way."""
        return len(self._orders)

    @property
    def members(self) -> int:
        """Members that may be asked."""
        return len(self._members.here)

    @property
    def is_done(self) -> bool:
        """Whether nothing is in hand and nothing more will be begun."""
        is_empty = self._is_drained and not self._waiting
        return not self._orders and (self._is_over or is_empty)

    def step(self, happened: Happened, now: UnixMs) -> list[Act]:
        """Take one input."""
        acts: list[Act] = []
        match happened:
            case TaskCame(number, prompt_tokens, max_tokens):
                if not self._waiting:
                    self._idle_since = now
                self._waiting.append(Task(number, prompt_tokens, max_tokens))
            case SourceEnded():
                self._is_drained = True
            case MembersSeen(members, why):
                self._members.see(members)
                self._why_none = why
                self._was_seen = self._was_seen or bool(members)
            case OrderDone():
                acts += self._on_done(happened, now)
            case OrderFailed():
                acts += self._on_failed(happened, now)
            case Leave(at_once):
                self._end()
                acts += self._cancel(self._orders) if at_once else ()
        if not self._is_over:
            self._is_short = False
            acts += self._begin_late(now)
            acts += self._begin_waiting(now)
            acts += self._check(now)
        return acts

    def get_timer(self, now: UnixMs) -> UnixMs | None:
        """Return when time alone may change something, None if it cannot."""
        if self._is_over:
            return None
        is_stuck = self._waiting and not self._orders and (self._members.here or self._why_none)
        times = [UnixMs(self._idle_since + PATIENCE_MS)] if is_stuck else []
        end_of_rest = self._members.next_end_of_rest(now)
        if end_of_rest is not None:
            times.append(end_of_rest)
        late_ms = self._late_ms
        if late_ms is not None:
            order = self._orders.find_next_late(late_ms, now)
            times += [] if order is None else [UnixMs(order.began + late_ms)]
        return min(times, default=None)

    def _on_done(self, done: OrderDone, now: UnixMs) -> Iterator[Act]:
        order = self._orders.end(done.order, done.paid)
        self._idle_since = now
        order.member.grow()
        task = order.task
        if not order.is_cancelled:
            self._pace.note(order.began, now)
            yield Keep(task.number, done.order)
            for number in task.orders:
                if number < done.order:
                    self._orders[number].member.strike(now)
            yield from self._cancel(task.orders)

    def _on_failed(self, failed: OrderFailed, now: UnixMs) -> Iterator[Act]:
        order = self._orders.end(failed.order, failed.paid)
        self._idle_since = now
        member, task = order.member, order.task
        if order.is_cancelled:
            return
        if failed.code in PUT_BACK:
            member.shrink()
            member.rest(now + max(failed.retry_after_ms, BUSY_PAUSE_MS))
        elif failed.code in UNPAID:
            self._on_unpaid(member, failed.reason, now)
        else:
            if failed.is_fault:
                member.strike(now)
            task.tried[member.seen.peer] = None
            task.failures += 1
        if task.orders or self._is_over:
            return
        if task.failures >= ATTEMPTS:
            yield GiveUp(task.number, failed.code, failed.reason)
        else:
            self._waiting.appendleft(task)

    def _on_unpaid(self, member: Member, reason: str, now: UnixMs) -> None:
        """What others have reserved there is free again once they end; if there are none, no money
        is left for it.
        """
        if member.orders:
            member.shrink()
            member.rest(now + BUSY_PAUSE_MS)
        else:
            member.unpaid = reason
            member.rest(now + UNPAID_PAUSE_MS)

    def _cancel(self, numbers: Iterable[int]) -> Iterator[Act]:
        for number in numbers:
            order = self._orders[number]
            if not order.is_cancelled:
                order.is_cancelled = True
                yield Cancel(number)

    def _begin_waiting(self, now: UnixMs) -> Iterator[Act]:
        """Give what waits to whom has room; what was tried already may have to wait for others."""
        passed: list[Task] = []
        while self._waiting and not self._orders.is_full:
            task = self._waiting.popleft()
            member = self._members.pick(now, task.tried)
            begun = None if member is None else self._begin(task, member, now, is_extra=False)
            if begun is not None:
                yield begun
                continue
            passed.append(task)
            if not task.tried:
                break  # as it is with this one, so it is with all that are new
        self._waiting.extendleft(reversed(passed))

    def _begin_late(self, now: UnixMs) -> Iterator[Act]:
        """Begin what is late once more, at another member."""
        late_ms = self._late_ms
        for order in self._orders.find_late(late_ms, now) if late_ms is not None else ():
            task = order.task
            if not self._may_repeat(task) or self._orders.is_full:
                continue
            at_it = [self._orders[number].member.seen.peer for number in task.orders]
            member = self._members.pick(now, task.tried, at_it)
            begun = None if member is None else self._begin(task, member, now, is_extra=True)
            if begun is not None:
                task.extras += 1
                self._extras += 1
                yield begun

    def _may_repeat(self, task: Task) -> bool:
        most = EXTRAS_FLOOR + self._orders.begun // EXTRAS_SHARE
        return len(task.orders) == 1 and task.extras < EXTRAS_PER_TASK and self._extras < most

    @property
    def _late_ms(self) -> int | None:
        return self._pace.compute_late_ms(is_drained=self._is_drained and not self._waiting)

    def _begin(self, task: Task, member: Member, now: UnixMs, *, is_extra: bool) -> Begin | None:
        """Order it, or return None where the budget may not suffice."""
        order = self._orders.begin(task, member, now)
        if order is None:
            self._is_short = True
            return None
        return Begin(order.number, task.number, member.seen.peer, Wei(order.reserved), is_extra)

    def _check(self, now: UnixMs) -> Iterator[Act]:
        """Stop if there is work that nobody can be given, and none that is under way."""
        if self._orders or not self._waiting:
            return
        here = self._members.here
        is_patient = now - self._idle_since < PATIENCE_MS
        if self._is_short:
            yield Stop("budget", "what is left of it may not suffice for one more prompt")
        elif here and all(member.unpaid for member in here):
            yield Stop("no_channel", here[0].unpaid)
        elif not here and self._why_none and not (self._was_seen and is_patient):
            yield Stop("no_provider", self._why_none)
        elif here and not is_patient:
            yield Stop("stalled", "for a minute nobody could take a prompt")
        else:
            return
        self._end()

    def _end(self) -> None:
        self._is_over = True
        self._waiting.clear()
