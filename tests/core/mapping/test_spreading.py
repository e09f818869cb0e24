"""Whole maps in virtual time: shares, deaths, arrivals, stragglers; everything answered once."""

import pytest

from tests.core.mapping.floor import Floor, Worker


def test_all_slots_are_busy_until_the_work_is_done() -> None:
    floor = Floor([Worker(0), Worker(1), Worker(2), Worker(3)], 400).run()
    assert sorted(floor.kept) == list(range(400))
    assert floor.took_ms <= 400 * 100 / 8 * 1.05
    assert sum(floor.served.values()) == 400
    assert floor.extras == 0


def test_a_member_three_times_slower_gets_a_third() -> None:
    floor = Floor([Worker(0), Worker(1, work_ms=300)], 400).run()
    assert len(floor.kept) == 400
    assert floor.served[0] / floor.served[1] == pytest.approx(3, rel=0.1)


def test_what_one_that_dies_had_in_hand_is_done_by_others() -> None:
    floor = Floor([Worker(0), Worker(1, dies_ms=1_030), Worker(2)], 300).run()
    assert sorted(floor.kept) == list(range(300))
    assert floor.given_up == []
    assert 18 <= floor.served[1] <= 22
    assert sum(floor.served.values()) == 300


def test_one_that_joins_gets_its_share_from_then_on() -> None:
    floor = Floor([Worker(0), Worker(1, comes_ms=5_000)], 300).run()
    assert len(floor.kept) == 300
    # 100 were done without it, and of the other 200 each does a half.
    assert floor.served[1] == pytest.approx(100, rel=0.1)


def test_what_hangs_is_begun_again_elsewhere_and_costs_little() -> None:
    floor = Floor([Worker(0), Worker(1, hangs=True)], 300).run()
    assert sorted(floor.kept) == list(range(300))
    # What it may have in hand, all at once, and then one for every rest, each twice as long.
    assert 3 <= floor.extras <= 6
    assert floor.served[1] == 0


def test_the_last_prompts_do_not_wait_for_a_slow_member() -> None:
    fast, slow = Worker(0, slots=4), Worker(1, work_ms=380)
    floor = Floor([fast, slow], 200).run()
    assert len(floor.kept) == 200
    assert floor.served[1] > 0
    together = 4 / 100 + 2 / 380
    assert 200 / together <= floor.took_ms <= 200 / together + 1.5 * 570
    hopeless = Floor([fast, Worker(1, slots=1, work_ms=4_000)], 1_000).run()
    assert len(hopeless.kept) == 1_000
    assert 1_000 * 25 <= hopeless.took_ms <= 1_000 * 25 + 400
    assert 1 <= hopeless.extras <= 8


def test_a_map_without_members_stops_at_once_and_says_why() -> None:
    floor = Floor([Worker(0, comes_ms=10**6)], 5).run()
    assert floor.stop is not None
    assert (floor.stop.code, floor.stop.reason) == ("no_provider", "nobody is there")
    assert floor.took_ms == 0


def test_one_whose_members_leave_waits_a_minute_for_others() -> None:
    floor = Floor([Worker(0, dies_ms=1_000)], 100).run()
    assert floor.stop is not None
    assert floor.stop.code == "no_provider"
    assert 60_900 <= floor.took_ms <= 61_200
    back = Floor([Worker(0, dies_ms=1_000), Worker(1, comes_ms=50_000)], 100).run()
    assert back.stop is None
    assert sorted(back.kept) == list(range(100))
