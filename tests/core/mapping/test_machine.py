"""The machine step by step: refusals, failures, money, lateness, leaving."""

from typing import Any

import pytest

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
    SourceEnded,
    Stop,
    TaskCame,
    Woke,
)
from p2p_modelex.core.mapping.machine import ATTEMPTS, PATIENCE_MS, READY, MappingMachine
from p2p_modelex.core.mapping.members import FAULT_PAUSE_MS, MEMBERS_MAX, Members
from p2p_modelex.core.mapping.pace import SEEN_MIN
from p2p_modelex.units import UnixMs, Wei
from tests.core.mapping.floor import COST, START, failure, machine, peer, sighting


class Desk:
    """Tells a machine what happens, `now` ms after the start."""

    def __init__(self, **terms: Any) -> None:
        self.machine: MappingMachine = machine(**terms)
        self.now = 0

    def tell(self, happened: Happened) -> list[Act]:
        return self.machine.step(happened, UnixMs(START + self.now))

    def see(self, *sightings: Any, why: str = "") -> list[Act]:
        return self.tell(MembersSeen(sightings, why))

    def task(self, number: int = 0) -> list[Act]:
        return self.tell(TaskCame(number, 5, 5))

    def done(self, order: int) -> list[Act]:
        return self.tell(OrderDone(order, Wei(COST)))

    def fail(self, order: int, code: str = "engine", **other: Any) -> list[Act]:
        return self.tell(failure(order, code, **other))

    def wake_at(self) -> int | None:
        at = self.machine.get_timer(UnixMs(START + self.now))
        return None if at is None else at - START

    def warm(self, took_ms: int = 100, peers: int = 1) -> int:
        """Have so many orders done that lateness means something; returns the next order."""
        for number in range(SEEN_MIN):
            self.task(1000 + number)
            self.now += took_ms
            self.done(number + 1)
        return SEEN_MIN + 1


def begin(
    order: int, number: int = 0, at: int = 1, cost: int = 10, *, extra: bool = False
) -> Begin:
    return Begin(order, number, peer(at), Wei(cost), extra)


def test_a_prompt_goes_to_the_cheapest_of_the_least_busy() -> None:
    desk = Desk()
    desk.see(sighting(1, price=2), sighting(2, price=1), sighting(3, slots=4, price=3))
    peers = [act.peer[0] for number in range(5) for act in desk.task(number)]  # type: ignore[union-attr]
    assert peers == [2, 1, 3, 3, 2]


def test_each_may_have_twice_what_it_runs_at_once() -> None:
    desk = Desk()
    desk.see(sighting(1, slots=3), sighting(2, slots=None))
    begun = [act for number in range(10) for act in desk.task(number)]
    assert len(begun) == 6 + 2
    assert desk.machine.in_hand == 8
    # What a probe left out is as it was before.
    desk.see(sighting(1, slots=None), sighting(2, slots=1))
    assert desk.machine.in_hand == 8
    more = desk.see(sighting(1, slots=4), sighting(2, slots=1))
    assert more == [begin(9, 8), begin(10, 9)]


def test_there_is_room_for_what_members_may_have_and_a_little_more() -> None:
    desk = Desk(at_once=4)
    assert desk.machine.room == READY
    desk.see(sighting(1, slots=2))
    assert desk.machine.room == READY + 4
    for number in range(2):
        desk.task(number)
    assert desk.machine.room == READY + 2
    desk.see(sighting(1, slots=2), sighting(2, slots=20))
    assert desk.machine.room == READY + 2
    assert [desk.task(number) for number in range(2, 5)][-1] == []
    assert desk.machine.in_hand == 4


def test_a_busy_member_gets_fewer_until_it_serves_again() -> None:
    desk = Desk()
    desk.see(sighting(1, slots=3))
    for number in range(6):
        desk.task(number)
    assert desk.fail(6, "busy", retry_after_ms=700) == []
    assert desk.wake_at() == 700
    desk.now = 700
    assert desk.tell(Woke()) == []  # it has the five that it could take
    assert desk.done(1) == [Keep(0, 1), begin(7, 5)]
    desk.task(6)
    assert desk.machine.in_hand == 6  # and one more after each that it served


def test_a_refusal_is_no_failure_of_the_prompt() -> None:
    desk = Desk()
    desk.see(sighting(1))
    desk.task()
    for order in range(1, 2 * ATTEMPTS):
        assert desk.fail(order, "busy") == []
        desk.now += 100
        assert desk.tell(Woke()) == [begin(order + 1)]


def test_who_failed_a_prompt_gets_it_again_only_after_all_others() -> None:
    desk = Desk()
    desk.see(sighting(1), sighting(2, price=9))
    assert desk.task() == [begin(1)]
    assert desk.fail(1) == [begin(2, at=2, cost=90)]
    assert desk.fail(2) == [begin(3)]
    assert desk.fail(3) == [begin(4)]
    assert desk.fail(4, "engine", reason="oh") == [GiveUp(0, "engine", "oh")]


def test_what_was_tried_waits_for_others_while_new_prompts_go_on() -> None:
    desk = Desk()
    desk.see(sighting(1, slots=1), sighting(2, slots=1, price=9))
    for number in range(4):
        desk.task(number)
    # The second is full, so what the first failed at waits, and the next prompt is begun.
    assert desk.task(4) == []
    assert desk.fail(1) == [begin(5, 4)]
    assert desk.done(2) == [Keep(1, 2), begin(6, 0, at=2, cost=90)]


def test_a_faulty_member_rests() -> None:
    desk = Desk()
    desk.see(sighting(1))
    desk.task()
    assert desk.fail(1, "stream", is_fault=True) == []
    assert desk.wake_at() == FAULT_PAUSE_MS
    desk.now = FAULT_PAUSE_MS
    assert desk.tell(Woke()) == [begin(2)]


def test_a_rest_is_longer_each_time_and_forgotten_once_one_is_served() -> None:
    desk = Desk()
    desk.see(sighting(1))
    for number in range(4):
        desk.task(number)
    # All that it had fails with it, which counts once; then it is tried with one.
    for order in range(1, 5):
        assert desk.fail(order, "stream", is_fault=True) == []
    assert desk.wake_at() == FAULT_PAUSE_MS
    desk.now = FAULT_PAUSE_MS
    assert len(desk.tell(Woke())) == 1
    desk.fail(5, "stream", is_fault=True)
    assert desk.wake_at() == 3 * FAULT_PAUSE_MS
    desk.now = 3 * FAULT_PAUSE_MS
    desk.tell(Woke())
    assert len(desk.done(6)) == 3  # its answer, and two more
    desk.fail(7, "stream", is_fault=True)
    assert desk.wake_at() == 4 * FAULT_PAUSE_MS


def test_what_is_served_while_others_fail_hides_no_failure() -> None:
    desk = Desk()
    desk.see(sighting(1))
    for number in range(3):
        desk.task(number)
    desk.fail(1, "stream", is_fault=True)
    desk.now = 500
    desk.done(2)
    assert desk.fail(3, "stream", is_fault=True) == []
    assert desk.wake_at() == 500 + FAULT_PAUSE_MS
    desk.now += FAULT_PAUSE_MS
    assert desk.see(sighting(1, slots=None)) == []


def test_one_that_died_gets_nothing_until_it_answers_and_then_one() -> None:
    desk = Desk()
    desk.see(sighting(1))
    for number in range(5):
        desk.task(number)
    for order in range(1, 5):
        desk.fail(order, "stream", is_fault=True)
    # It is out of sight for a while, as its circuit is open, and then stands in line for a trial.
    desk.see(why="it rests")
    desk.now = 30_000
    assert desk.see(sighting(1, slots=None)) == []
    assert desk.tell(Woke()) == []
    desk.now += 100
    assert desk.see(sighting(1)) == [begin(5, 3)]
    assert len(desk.done(5)) == 3  # its answer, and two more


def test_a_member_that_never_answers_probes_is_tried_again_after_its_rest() -> None:
    desk = Desk()
    desk.see(sighting(1, slots=None))
    desk.task()
    desk.fail(1, "stream", is_fault=True)
    desk.now = FAULT_PAUSE_MS
    assert desk.see(sighting(1, slots=None)) == [begin(2)]


def test_a_prompt_waits_for_nobody_who_is_dead() -> None:
    desk = Desk()
    desk.see(sighting(1), sighting(2, price=9))
    desk.task()
    desk.task(1)
    assert desk.fail(1, "stream", is_fault=True) == [begin(3, at=2, cost=90)]
    desk.now = FAULT_PAUSE_MS
    desk.see(sighting(1, slots=None), sighting(2, price=9))
    # The other has failed at it too, and is asked again all the same.
    assert desk.fail(3) == [begin(4, at=2, cost=90)]


def test_a_budget_is_never_exceeded_and_what_is_left_of_it_is_used() -> None:
    desk = Desk(budget=35)
    desk.see(sighting(1))
    assert [len(desk.task(number)) for number in range(4)] == [1, 1, 1, 0]
    desk.tell(OrderDone(1, Wei(2)))  # it was reserved ten
    assert desk.machine.in_hand == 3
    assert desk.task(4) == []
    desk.tell(OrderDone(2, Wei(10)))
    desk.tell(OrderDone(3, Wei(10)))
    last = desk.tell(OrderDone(4, Wei(10)))
    assert last == [Keep(3, 4), Stop("budget", last[1].reason)]  # type: ignore[union-attr]
    assert desk.machine.is_done
    assert desk.machine.room == 0
    assert desk.wake_at() is None


def test_no_order_may_cost_more_than_one_prompt_may() -> None:
    desk = Desk(max_cost=7)
    desk.see(sighting(1))
    assert desk.task() == [begin(1, cost=7)]


def test_who_cannot_be_paid_now_is_tried_when_others_orders_free_its_money() -> None:
    desk = Desk()
    desk.see(sighting(1))
    desk.task()
    desk.task(1)
    assert desk.fail(2, "no_channel") == []
    assert desk.wake_at() == 100
    assert desk.done(1) == [Keep(0, 1)]
    desk.now = 100
    assert desk.tell(Woke()) == [begin(3, 1)]


def test_a_map_whose_members_can_all_not_be_paid_stops() -> None:
    desk = Desk()
    desk.see(sighting(1), sighting(2, price=9))
    desk.task()
    assert desk.fail(1, "no_channel", reason="no money") == [begin(2, at=2, cost=90)]
    assert desk.fail(2, "channel_exhausted") == [Stop("no_channel", "no money")]


def test_without_members_a_map_waits_to_be_told_why() -> None:
    desk = Desk()
    assert desk.task() == []
    assert desk.wake_at() is None
    assert desk.see(why="nobody sells that") == [Stop("no_provider", "nobody sells that")]
    assert desk.task(1) == []


def test_one_where_nobody_can_take_anything_gives_up_after_a_minute() -> None:
    desk = Desk()
    desk.see(sighting(1))
    desk.now = 5_000
    desk.task()
    desk.fail(1, "busy", retry_after_ms=10**6)
    assert desk.wake_at() == 5_000 + PATIENCE_MS
    desk.now = 5_000 + PATIENCE_MS
    [stop] = desk.tell(Woke())
    assert isinstance(stop, Stop)
    assert stop.code == "stalled"


def test_nothing_is_late_before_enough_is_known() -> None:
    desk = Desk()
    desk.see(sighting(1), sighting(2))
    desk.task()
    desk.now = 10**6
    assert desk.tell(Woke()) == []
    assert desk.wake_at() is None


def test_the_first_answer_counts_and_the_other_order_is_cancelled() -> None:
    desk = Desk()
    desk.see(sighting(1), sighting(2, price=9))
    order = desk.warm()
    desk.task()
    began = desk.now
    assert desk.wake_at() == began + 400
    desk.now += 399
    assert desk.tell(Woke()) == []
    desk.now += 1
    assert desk.tell(Woke()) == [begin(order + 1, at=2, cost=90, extra=True)]
    assert desk.tell(Woke()) == []  # twice at once is enough
    assert desk.done(order + 1) == [Keep(0, order + 1), Cancel(order)]
    # It rests, as one that hangs; the next goes to the other.
    assert desk.task(1) == [begin(order + 2, 1, at=2, cost=90)]
    # A whole answer that came all the same is nobody's.
    assert desk.done(order) == []


def test_who_was_late_and_yet_first_is_not_blamed() -> None:
    desk = Desk()
    desk.see(sighting(1), sighting(2, price=9))
    order = desk.warm()
    desk.task()
    desk.tell(SourceEnded())
    assert desk.wake_at() == desk.now + 150  # sooner, as nothing else is left to do
    desk.now += 150
    desk.tell(Woke())
    assert desk.done(order) == [Keep(0, order), Cancel(order + 1)]
    assert not desk.machine.is_done
    assert desk.fail(order + 1, "cancelled") == []
    assert desk.machine.is_done


def test_what_fails_while_it_is_elsewhere_too_is_left_to_that() -> None:
    desk = Desk()
    desk.see(sighting(1), sighting(2, price=9))
    order = desk.warm()
    desk.task()
    desk.now += 400
    desk.tell(Woke())
    assert desk.fail(order, "stream", is_fault=True) == []
    assert desk.done(order + 1) == [Keep(0, order + 1)]


def test_what_lateness_may_cost_is_bounded() -> None:
    desk = Desk(budget=10**6)
    desk.see(*(sighting(number, slots=8) for number in range(1, 5)))
    desk.warm()
    for number in range(20):
        desk.task(number)
    desk.now += 400
    # Eight, and one in twenty of all 46 begun.
    again = desk.tell(Woke())
    assert len(again) == 8 + (SEEN_MIN + 20 + 10) // 20
    first = again[0]
    assert isinstance(first, Begin)
    desk.fail(first.order)
    assert desk.tell(Woke()) == []


def test_a_prompt_is_begun_again_twice_at_most() -> None:
    desk = Desk()
    desk.see(*(sighting(number) for number in range(1, 6)))
    order = desk.warm()
    desk.task()
    desk.now += 400
    again = [*desk.tell(Woke()), *desk.fail(order + 1), *desk.fail(order + 2)]
    assert [(act.order, act.is_extra) for act in again if isinstance(act, Begin)] == [
        (order + 1, True),
        (order + 2, True),
    ]


def test_a_late_prompt_needs_somebody_else_with_room_and_money() -> None:
    desk = Desk(budget=SEEN_MIN * COST + 10)
    desk.see(sighting(1))
    desk.warm()
    desk.task()
    desk.now += 400
    assert desk.tell(Woke()) == []
    assert desk.see(sighting(1), sighting(2)) == []  # what is left of the budget is reserved
    full = Desk(at_once=1)
    full.see(sighting(1), sighting(2))
    full.warm()
    full.task()
    full.now += 400
    assert full.tell(Woke()) == []


@pytest.mark.parametrize("at_once", [False, True])
def test_leaving_begins_nothing_more(at_once: bool) -> None:
    desk = Desk()
    desk.see(sighting(1))
    for number in range(3):
        desk.task(number)
    cancels = [Cancel(1), Cancel(2), Cancel(3)] if at_once else []
    assert desk.tell(Leave(at_once)) == cancels
    assert desk.tell(Leave(at_once)) == []
    assert desk.fail(1, "cancelled" if at_once else "engine") == []
    assert desk.done(2) == ([] if at_once else [Keep(1, 2)])
    assert not desk.machine.is_done
    assert desk.fail(3) == []
    assert desk.machine.is_done


def test_a_member_that_is_gone_gets_nothing_more_and_its_orders_may_end() -> None:
    desk = Desk()
    desk.see(sighting(1), sighting(2, price=9))
    desk.task()
    assert desk.machine.members == 2
    desk.see(sighting(2, price=9))
    assert desk.machine.members == 1
    assert desk.task(1) == [begin(2, 1, at=2, cost=90)]
    assert desk.done(1) == [Keep(0, 1)]
    desk.see(sighting(1), sighting(2, price=9))
    assert desk.task(2) == [begin(3, 2)]


def test_members_are_bounded() -> None:
    desk = Desk()
    desk.see(*(sighting(number) for number in range(MEMBERS_MAX + 1)))
    assert desk.machine.members == MEMBERS_MAX


def test_who_failed_and_left_longest_ago_is_forgotten_first() -> None:
    members = Members()
    for number in range(MEMBERS_MAX + 1):
        members.see([sighting(number)])
        members.here[0].strike(START)
        members.see([])
    members.see([sighting(1), sighting(0)])
    assert [(one.strikes, one.limit) for one in members.here] == [(1, 1), (0, 4)]
