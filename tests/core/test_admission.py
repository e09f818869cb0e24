"""EXC-19: floods crowd themselves out, payers come first, nobody risks more than it paid."""

from collections.abc import Sequence

import msgspec
import pytest

from p2p_modelex.core import admission, line, pace
from p2p_modelex.core.admission import Admission
from p2p_modelex.core.crowd import Crowd
from p2p_modelex.core.effects import StreamId
from p2p_modelex.core.exchange.sale import Stake
from p2p_modelex.core.line import Line, Place
from p2p_modelex.core.pace import Pace
from p2p_modelex.core.patrons import Patrons, compute_worth
from p2p_modelex.core.turns import QUANTUM
from p2p_modelex.ids import Address, ChannelId, JobId, PeerId
from p2p_modelex.records.channel import ChannelState
from p2p_modelex.records.rows import ChannelRow, JobRow, ReceivedVoucherRow, Row
from p2p_modelex.records.voucher import SignedVoucher, Voucher
from p2p_modelex.units import Epoch, UnixMs, Wei
from tests.core.exchange.pair import REQUEST, STATE

NOW = UnixMs(1_000_000)
WINDOW = 100
TOKENS = 50
FARM = Address(b"F" * 20)


def job(number: int) -> JobId:
    return JobId(number.to_bytes(16, "big"))


def peer(number: int) -> PeerId:
    return PeerId(bytes([number]) * 38)


def payer(number: int) -> Address:
    return Address(bytes([number]) * 20)


def channel(number: int, lane: int = 0) -> ChannelState:
    name = bytes([number, lane]) * 16
    return msgspec.structs.replace(STATE, channel=name, payer=payer(number))


def paid(number: int, amount: int, earned: int = 0, lane: int = 0) -> Sequence[Row]:
    state = channel(number)
    signed = SignedVoucher(Voucher(state.channel, lane, Wei(amount), 0), bytes(65))
    known = ChannelRow(state, is_payer=False, peer=None)
    return known, ReceivedVoucherRow(signed, Wei(earned or amount))


def job_row(number: int, state: str, *, is_provider: bool = True, owed: int = 5) -> JobRow:
    return JobRow(job(1), is_provider, peer(number), state, Wei(owed), Wei(0), NOW)


# The crowd.


def test_a_crowd_bounds_each_owner() -> None:
    crowd: Crowd[int, str] = Crowd(10, 2)
    assert [crowd.enter(item, "a") for item in (1, 2, 3)] == [None, None, 3]
    assert 3 not in crowd
    crowd.leave(1)
    crowd.leave(1)
    assert crowd.enter(3, "a") is None
    assert len(crowd) == 2


def test_a_full_crowd_takes_from_whoever_has_most_its_oldest() -> None:
    crowd: Crowd[int, str] = Crowd(3, 3)
    for item in (1, 2, 3):
        crowd.enter(item, "flood")
    assert crowd.enter(4, "flood") == 4
    assert crowd.enter(5, "honest") == 1
    assert 5 in crowd
    crowd.leave(5)
    assert crowd.enter(6, "other") is None


def test_among_many_owners_of_one_item_the_oldest_goes_and_nobody_gets_two() -> None:
    crowd: Crowd[int, int] = Crowd(2, 2)
    assert [crowd.enter(item, item) for item in (1, 2, 3)] == [None, None, 1]
    assert crowd.enter(4, 3) == 4


# The payers.


def test_what_a_payer_paid_and_owes_counts_over_all_its_lanes() -> None:
    patrons = Patrons()
    patrons.note((*paid(1, 50), *paid(1, 70), *paid(1, 30, earned=45, lane=1)))
    assert patrons.get_payer(ChannelId(channel(1).channel)) == payer(1)
    assert patrons.get_paid(payer(1)) == compute_worth(100, 0)
    assert patrons.get_debt(payer(1)) == compute_worth(15, 0)
    patrons.note(paid(1, 45, lane=1))
    assert patrons.get_paid(payer(1)) == compute_worth(115, 0)
    assert patrons.get_debt(payer(1)) == 0


def test_rows_of_channels_that_do_not_pay_us_say_nothing() -> None:
    patrons = Patrons()
    ours = ChannelRow(channel(1), is_payer=True, peer=None)
    patrons.note((ours, job_row(1, "paid"), paid(1, 50)[1]))
    assert patrons.get_paid(payer(1)) == 0
    assert patrons.get_payer(ChannelId(channel(1).channel)) == channel(1).channel[:20]


# The line.


def place(number: int, of: int, window: int = WINDOW, tokens: int = QUANTUM) -> Place:
    return Place(job(number), payer(of), FARM, compute_worth(window, 0), tokens)


def build_line(slots: int = 1, **history: int) -> Line:
    """A line of one place and the ready one; history: what payers p1, p2 ... have paid."""
    patrons = Patrons()
    for name, amount in history.items():
        patrons.note(paid(int(name[1:]), amount))
    return Line(slots, patrons)


def test_an_engine_gets_what_it_has_room_for_in_order() -> None:
    line = build_line(p1=WINDOW, p2=WINDOW, p3=WINDOW)
    for number in (1, 2, 3):
        assert line.enter(place(number, number)) is None
    assert list(line.grant()) == [job(1), job(2)]
    assert (line.running, line.waiting) == (2, 1)
    assert list(line.grant()) == []
    line.finish(job(1))
    assert list(line.grant()) == [job(3)]


def test_who_never_paid_risks_one_window_until_it_is_paid_or_over() -> None:
    line = build_line(slots=10)
    line.enter(place(1, 1))
    line.enter(place(2, 1))
    assert list(line.grant()) == [job(1)]
    line.finish(job(1))  # generated, and not yet paid
    assert list(line.grant()) == []
    assert not line.leave(job(1))
    assert list(line.grant()) == [job(2)]


def test_who_owes_gets_nothing_that_it_has_not_paid_for_before() -> None:
    patrons = Patrons()
    patrons.note(paid(1, 0, earned=100))
    line = Line(10, patrons)
    line.enter(place(1, 1))
    assert list(line.grant()) == []
    patrons.note(paid(1, 100))
    assert list(line.grant()) == [job(1)]


def test_who_has_paid_may_risk_as_much_again() -> None:
    line = build_line(slots=10, p1=250)
    for number in (1, 2, 3):
        line.enter(place(number, 1))
    assert list(line.grant()) == [job(1), job(2)]


def test_payers_with_a_history_go_first_but_not_always() -> None:
    line = build_line(p9=100 * WINDOW)
    for number in range(1, 5):
        line.enter(place(number, number))
    for number in range(5, 10):
        line.enter(place(number, 9))
    assert run_dry(line) == [5, 6, 7, 1, 8, 9, 2, 3, 4]


def test_payers_without_a_history_never_get_every_slot() -> None:
    line = build_line(slots=3, p9=WINDOW)
    for number in (1, 2, 3, 4):
        line.enter(place(number, number))
    assert list(line.grant()) == [job(1), job(2)]
    line.enter(place(9, 9))
    assert list(line.grant()) == [job(9)]
    line.finish(job(1))
    assert list(line.grant()) == [job(3)]


def test_payers_take_turns() -> None:
    line = build_line(slots=3, p1=1000, p2=1000)
    for number in (1, 2, 3):
        line.enter(place(number, 1))
    line.enter(place(4, 2))
    assert list(line.grant()) == [job(1), job(4), job(2), job(3)]


def run_dry(line: Line) -> list[int]:
    """Let everything in line run, one after the other; returns the jobs' order."""
    order = []
    while line.waiting:
        for granted in line.grant():
            order.append(int.from_bytes(granted, "big"))
            line.finish(granted)
            line.leave(granted)
    return order


def test_turns_are_by_tokens_so_large_jobs_bring_no_more_than_small_ones() -> None:
    line = build_line(p1=10**6, p2=10**6)
    for number in range(1, 5):
        line.enter(place(number, 1, tokens=4 * QUANTUM))
    for number in range(11, 27):
        line.enter(place(number, 2, tokens=QUANTUM))
    assert line.tokens == 32 * QUANTUM
    order = run_dry(line)
    first_half = order[: len(order) // 2]
    assert [sum(number < 10 for number in half) for half in (first_half, order)] == [2, 4]
    assert line.tokens == 0


def test_who_was_served_elsewhere_goes_behind_and_what_is_held_against_it_fades() -> None:
    line = build_line(p1=10**6, p2=10**6)
    line.charge({payer(1): 3 * QUANTUM, payer(7): QUANTUM})
    for number in (1, 2):
        line.enter(place(number, 1))
    for number in range(11, 16):
        line.enter(place(number, 2))
    assert run_dry(line) == [11, 12, 13, 1, 14, 2, 15]
    line.charge({payer(1): 3 * QUANTUM})
    for _ in range(300):
        line.fade()
    line.enter(place(3, 1))
    line.enter(place(21, 2))
    assert run_dry(line) == [3, 21]


def test_a_full_line_sends_the_latest_of_whoever_has_most(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(line, "WAITING_MAX", 3)
    full = build_line(p7=WINDOW)
    for number in (1, 2, 3):
        full.enter(place(number, 1))
    assert full.enter(place(4, 1)) == job(4)
    assert full.enter(place(5, 2)) == job(3)
    assert full.enter(place(6, 3)) == job(2)
    assert full.enter(place(7, 4)) == job(7)  # all have one
    assert full.enter(place(8, 7)) == job(1)  # and it has paid before
    assert full.leave(job(8))


# All together.


def desk(slots: int = 1) -> Admission:
    return Admission(slots, {"small": 2})


def enter(
    desk: Admission, number: int, of: int, model: str = "m", payee: bytes = FARM
) -> JobId | None:
    request = msgspec.structs.replace(REQUEST, model=model)
    state, nothing = channel(of), Wei(0)
    stake = Stake(
        terms=msgspec.structs.replace(state.terms, payee=payee),
        signed=SignedVoucher(Voucher(state.channel, 0, nothing, 0), bytes(65)),
        window=Wei(WINDOW),
        ceiling=nothing,
        epoch=Epoch(0),
        tokens=TOKENS,
    )
    return desk.enter(job(number), request, stake, NOW)


def test_silent_streams_are_forgotten_when_something_comes() -> None:
    one = desk()
    for number in range(admission.SILENT_PER_PEER_MAX):
        assert one.open_stream(StreamId(number), peer(1)) is None
    assert one.open_stream(StreamId(999), peer(1)) == 999
    one.forget_stream(StreamId(0))
    assert one.open_stream(StreamId(999), peer(1)) is None


def test_strangers_are_bounded_and_slowed() -> None:
    one = desk()
    allowed = [one.count(job(number), peer(1), NOW) is None for number in range(20)]
    assert allowed.count(True) == admission.STRANGERS_PER_PEER_MAX
    for number in range(20):
        one.counted(job(number))
        one.leave(job(number))
    for number in range(20, 100):
        if one.count(job(number), peer(1), NOW) is None:
            one.counted(job(number))
            one.leave(job(number))
    assert one.count(job(100), peer(1), NOW) == job(100)
    later = UnixMs(NOW + admission.ASKING_INTERVAL_MS)
    assert one.count(job(101), peer(1), later) is None


def test_peers_that_have_paid_have_places_of_their_own() -> None:
    one = desk()
    for number in range(admission.STRANGERS_MAX):
        assert one.count(job(number), peer(number), NOW) is None
    one.note((job_row(200, "paid"), job_row(201, "paid", owed=0)))
    for number in range(200, 264):
        assert one.count(job(number), peer(200), NOW) is None
    assert one.count(job(264), peer(200), NOW) == job(264)
    assert one.count(job(265), peer(201), NOW) == job(0)  # who paid nothing is a stranger


def test_who_does_not_pay_is_a_stranger_again() -> None:
    one = desk()
    one.note((job_row(1, "paid"), job_row(1, "lost"), job_row(1, "paid", is_provider=False)))
    for number in range(20):
        assert one.count(job(number), peer(1), NOW) is None
    one.note((job_row(1, "unpaid"),))
    for number in range(20, 28):
        one.count(job(number), peer(1), NOW)
    assert one.count(job(28), peer(1), NOW) == job(28)


def test_the_oldest_regulars_are_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(admission, "PEERS_MAX", 1)
    one = desk()
    one.note((job_row(1, "paid"), job_row(2, "paid")))
    counted = [one.count(job(number), peer(1), NOW) is None for number in range(20)]
    assert counted.count(True) == admission.STRANGERS_PER_PEER_MAX


def test_hanging_up_while_counting_is_bounded() -> None:
    one = desk()
    for number in range(admission.GHOSTS_MAX):
        assert one.count(job(number), peer(number), NOW) is None
        one.leave(job(number))
        assert one.is_awaited(job(number))
    assert one.count(job(99), peer(99), NOW) == job(99)
    one.counted(job(0))
    assert one.count(job(99), peer(99), NOW) is None


def test_each_model_has_a_line_of_its_own() -> None:
    one = desk()
    for number in range(6):
        one.note(paid(number, WINDOW))
        assert enter(one, number, number, "small" if number % 2 else "m") is None
    granted = [effect.job for effect in one.advance(NOW)]
    assert granted == [job(0), job(2), job(1), job(3), job(5)]
    load = one.get_load()
    assert (load.running, load.waiting, load.slots) == (1, 5, 1)


def test_a_job_that_left_is_awaited_until_its_engine_is_done() -> None:
    one = desk()
    enter(one, 1, 1)
    one.advance(NOW)
    one.leave(job(1))
    assert one.is_awaited(job(1))
    assert one.has_engine(job(1))
    one.finished(job(1), NOW)
    one.finished(job(1), NOW)
    assert not one.is_awaited(job(1))


@pytest.mark.parametrize("is_left_first", [False, True])
def test_nothing_is_kept_of_a_job_once_both_ends_are_done_with_it(is_left_first: bool) -> None:
    one = desk()
    enter(one, 1, 1)
    one.advance(NOW)
    if is_left_first:
        one.leave(job(1))
    one.finished(job(1), NOW)
    if not is_left_first:
        one.leave(job(1))
    assert (one._jobs, one._came_at, one._granted_at, one._gone) == ({}, {}, {}, {})


def test_a_job_that_leaves_the_line_is_forgotten() -> None:
    one = desk()
    for number in (1, 2, 3):
        enter(one, number, number)
    one.advance(NOW)
    one.leave(job(3))
    assert not one.is_awaited(job(3))
    assert one.get_load().waiting == 1


def test_a_job_crowded_out_at_once_is_not_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(line, "WAITING_MAX", 0 + 1)
    one = desk()
    enter(one, 1, 1)
    assert enter(one, 2, 1) == job(2)
    assert [effect.job for effect in one.advance(NOW)] == [job(1)]


def test_the_latency_is_what_was_seen() -> None:
    one = desk()
    enter(one, 1, 1)
    one.advance(NOW)
    one.produced(job(1), UnixMs(NOW + 40))
    one.produced(job(1), UnixMs(NOW + 90))
    assert one.get_load().latency_ms == 40


def test_when_to_come_again_follows_the_pace_and_what_stands_before() -> None:
    one = desk()
    for number in (1, 2, 3):
        one.note(paid(number, WINDOW))
    assert one.compute_retry_ms() == pace.WAIT_FIRST_MS
    enter(one, 1, 1)
    one.advance(NOW)
    one.finished(job(1), UnixMs(NOW + 2_000))
    assert one.compute_retry_ms() == pace.WAIT_MIN_MS, "nothing stands before it"
    for number in (2, 3):
        enter(one, number, number)
    assert one.compute_retry_ms() == 4_000
    one.advance(UnixMs(NOW + 2_000))
    # Two side by side where there is one slot: each had half of the engine.
    for number in (2, 3):
        one.finished(job(number), UnixMs(NOW + 3_000))
    enter(one, 4, 4)
    assert one.compute_retry_ms() == round((2_000 + 500 + 1_000) / 3)
    for number in range(10, 60):
        enter(one, number, number)
    assert one.compute_retry_ms() == round((2_000 + 500 + 1_000) / 3 * 51)


def test_a_new_job_waits_for_nothing_while_a_slot_is_free() -> None:
    one = desk()
    assert one.compute_wait_ms() == 0
    enter(one, 1, 1)
    assert one.compute_wait_ms() == pace.WAIT_FIRST_MS


def test_what_began_is_told_once_by_whom_it_pays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(admission, "SERVED_MAX", 2)
    one = Admission(8, {})
    for number in (1, 2, 3):
        one.note(paid(number, 10 * WINDOW))
    for number, of in enumerate((1, 1, 2, 3), 1):
        enter(one, number, of)
    enter(one, 5, 1, payee=b"o" * 20)
    assert one.take_served(FARM) == {}, "nothing began"
    one.advance(NOW)
    assert one.take_served(FARM) == {payer(1): 2 * TOKENS, payer(2): TOKENS}
    assert one.take_served(FARM) == {}
    assert one.take_served(Address(b"o" * 20)) == {payer(1): TOKENS}


def test_what_others_served_counts_in_every_line() -> None:
    """MEM-10."""
    one = desk()
    for number in (1, 2):
        one.note(paid(number, 10 * WINDOW))
    enter(one, 1, 1)
    enter(one, 2, 1)
    one.advance(NOW)
    one.charge({payer(1): 10 * QUANTUM})
    one.fade()
    enter(one, 3, 1)
    enter(one, 4, 2)
    one.finished(job(1), NOW)
    assert [effect.job for effect in one.advance(NOW)] == [job(4)]


def test_a_wait_is_bounded() -> None:
    seen = Pace(1)
    seen.note(1, 10**9, 1)
    assert seen.compute_wait_ms(10) == pace.WAIT_MAX_MS
