"""Members lend each other of their lines."""

import pytest

from p2p_modelex.core import effects as fx
from p2p_modelex.core import inputs as given
from p2p_modelex.core.effects import TimerId
from p2p_modelex.core.ledger import lending
from p2p_modelex.core.ledger.amount import Amount
from p2p_modelex.core.members import borrowing
from p2p_modelex.core.members.parameters import (
    CALL_TIMEOUT_MS,
    NEED_MS,
)
from p2p_modelex.ids import ChannelId
from p2p_modelex.records.rows import LoanRow
from p2p_modelex.units import UINT128_MAX, Epoch, Wei
from tests.core.exchange.pair import Account, build_state
from tests.core.members.scene import (
    CEILING,
    CHANNEL,
    PAYEE,
    TERMS,
    Farm,
    build_terms,
)


def test_a_job_begins_within_the_own_line_without_a_word_to_others() -> None:
    farm = Farm(5_000, 5_000)
    farm.gossip()
    first = farm.members[0]
    stream = first.order(1)
    farm.pump()
    assert first.told(stream) == "Started"
    assert first.lines.get_taken(CHANNEL, farm.members[1].key.peer).wei == 0


def test_who_lacks_borrows_and_the_job_begins() -> None:
    """MEM-6: the second knows nothing of the channel, and reads it first."""
    farm = Farm(5_000, 5_000, deposit=1_000)
    farm.gossip()
    first, second = farm.members
    stream = first.order(1)
    farm.pump()
    assert first.told(stream) == "Started"
    assert first.lines.get_taken(CHANNEL, second.key.peer).wei == 500 // 2
    again = second.order(2)
    farm.pump()
    assert second.told(again) == "channel_exhausted", "the first cannot spare what its job needs"
    assert second.lines.get_taken(CHANNEL, first.key.peer).wei == 100


def test_all_of_a_deposit_can_be_spent_at_one_member() -> None:
    farm = Farm(1_000, 3_000, 2_000, 4_000)
    farm.gossip()
    first = farm.members[0]
    jobs = 10_000 // CEILING
    told = []
    for number in range(jobs + 1):
        stream = first.order(number, CEILING, lane=number)
        farm.pump()
        told.append(first.told(stream))
    assert told == ["Started"] * jobs + ["channel_exhausted"]
    assert first.promised == jobs * CEILING


def test_a_job_begins_only_if_the_line_covers_all_it_may_cost() -> None:
    """MEM-5: its window is not enough, since the rest may be lent away meanwhile."""
    farm = Farm(5_000, deposit=2 * CEILING - 2)
    alone = farm.members[0]
    stream = alone.order(1)
    farm.pump()
    assert alone.told(stream) == "channel_exhausted"
    farm.deposit += 2
    stream = alone.order(2)
    farm.pump()
    assert alone.told(stream) == "Started"


def test_who_has_most_to_spare_is_asked_first_and_who_has_nothing_is_not() -> None:
    """MEM-4, MEM-6: by what was told last."""
    farm = Farm(1_000, 3_000, 3_000, 3_000)
    farm.gossip()
    first, second, third, _ = farm.members
    for number in range(4):
        second.order(10 + number, CEILING, lane=number)
        farm.pump()
    for number in range(2):
        third.order(20 + number, CEILING, lane=number)
        farm.pump()
    farm.gossip()
    stream = first.order(1, CEILING)
    farm.pump()
    stream = first.order(2, CEILING, lane=1)
    farm.pump()
    assert first.told(stream) == "Started"
    taken = [first.lines.get_taken(CHANNEL, one.key.peer).wei for one in farm.members[1:]]
    assert taken == [0, 0, 1_500]
    assert first.promised == 2 * CEILING


def test_a_dead_member_freezes_its_own_part_alone() -> None:
    farm = Farm(2_000, 4_000, 4_000)
    farm.gossip()
    farm.dead.add(2)
    first = farm.members[0]
    began = 0
    for number in range(20):
        stream = first.order(number, CEILING, lane=number)
        farm.pump()
        began += first.told(stream) == "Started"
    assert began == 6_000 // CEILING


def test_a_job_waits_for_a_slow_member_only_so_long_and_what_comes_late_is_good() -> None:
    """MEM-6: the lender has to read the channel, and the chain is slow."""
    farm = Farm(500, 9_500)
    farm.gossip()
    first, second = farm.members
    first.step(given.ChannelFetched(CHANNEL, build_state(TERMS)))
    farm.is_chain_slow = True
    stream = first.order(1, CEILING)
    farm.pump()
    first.step(given.ChannelFetched(CHANNEL, build_state(TERMS)))
    farm.pump()
    assert first.told(stream) == "NoneType"
    farm.pass_time(NEED_MS)
    assert first.told(stream) == "channel_exhausted"
    second.step(given.ChannelFetched(CHANNEL, build_state(TERMS)))
    farm.pump()
    assert first.lines.get_taken(CHANNEL, second.key.peer).wei == 9_500 // 2
    stream = first.order(2, CEILING)
    farm.pump()
    assert first.told(stream) == "Started"


def test_who_cannot_read_the_channel_gives_nothing() -> None:
    farm = Farm(500, 9_500)
    farm.gossip()
    first, second = farm.members
    first.step(given.ChannelFetched(CHANNEL, build_state(TERMS)))
    farm.is_chain_slow = True
    stream = first.order(1, CEILING)
    farm.pump()
    first.step(given.ChannelFetched(CHANNEL, build_state(TERMS)))
    farm.pump()
    second.step(given.ChannelFetched(ChannelId(b"x" * 32), None))
    second.step(given.ChannelFetched(CHANNEL, None))
    farm.pump()
    assert first.told(stream) == "channel_exhausted"


def test_a_grant_outlives_a_crash_of_either_side() -> None:
    """MEM-7 to MEM-9."""
    farm = Farm(500, 9_500)
    farm.gossip()
    first, second = farm.members
    stream = first.order(1, CEILING)
    farm.pump()
    assert first.told(stream) == "Started"
    assert (
        sum(isinstance(row, LoanRow) for row in [*first.disk.values(), *second.disk.values()]) == 2
    )
    for member in farm.members:
        farm.restart(member)
    assert first.lines.get_taken(CHANNEL, second.key.peer).wei == 9_500 // 2
    assert [member.line for member in farm.members] == [500 + 4_750, 9_500 - 4_750]


def test_a_fellow_that_vanishes_in_mid_question_is_passed_over() -> None:
    farm = Farm(500, 5_500, 4_000)
    farm.gossip()
    first, second, third = farm.members
    stream = first.order(1, CEILING)
    while not any(isinstance(one, given.FrameReceived) for _, one in farm.under_way):
        farm.deliver()
    farm.dead.add(1)
    for place, end in list(farm.ends):
        if place == second.place:
            farm.carry(second, fx.ResetStream(end))
    farm.pump()
    assert first.told(stream) == "Started"
    assert first.lines.get_taken(CHANNEL, third.key.peer).wei == 2_000


def test_a_silent_fellow_is_hung_up_on() -> None:
    farm = Farm(500, 9_500)
    farm.gossip()
    first = farm.members[0]
    first.order(1, CEILING)
    farm.dead.add(1)
    farm.pump()
    farm.pass_time(NEED_MS)
    calls = [timer for timer in first.timers if timer.startswith("members/call/")]
    farm.pass_time(CALL_TIMEOUT_MS)
    assert not [timer for timer in calls if timer in first.timers]
    first.step(given.TimerFired(TimerId("members/call/88")))


def test_only_so_many_channels_are_borrowed_on_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(borrowing, "NEEDS_MAX", 1)
    farm = Farm(500, 9_500)
    farm.gossip()
    first = farm.members[0]
    payers = [Account(f"payer {number}") for number in (1, 2)]
    streams = [first.order(n, CEILING, lane=n, payer=payer) for n, payer in enumerate(payers)]
    farm.pump()
    assert sorted(map(first.told, streams)) == ["Started", "channel_exhausted"]


def test_jobs_that_wait_for_one_channel_ask_once_for_all() -> None:
    farm = Farm(500, 9_500)
    farm.gossip()
    first, second = farm.members
    streams = [first.order(number, CEILING, lane=number) for number in range(3)]
    farm.pump()
    assert [first.told(stream) for stream in streams] == ["Started"] * 3
    assert first.lines.get_taken(CHANNEL, second.key.peer).wei == 9_500 // 2
    more = [first.order(number, CEILING, lane=number) for number in range(3, 9)]
    farm.pump()
    assert [first.told(stream) for stream in more] == ["Started"] * 6


def test_nobody_borrows_for_a_voucher_that_the_payer_did_not_sign() -> None:
    """MEM-6: the terms of a channel are public, and its members' lines are not to be moved."""
    farm = Farm(500, 9_500)
    farm.gossip()
    first, second = farm.members
    stream = first.order(1, CEILING, signer=Account("payer 1"))
    farm.pump()
    assert first.told(stream) == "channel_exhausted"
    assert first.lines.get_taken(CHANNEL, second.key.peer).wei == 0


def test_vouchers_of_absurd_amounts_are_only_refused() -> None:
    """Together they are of more than an amount can say."""
    farm = Farm(500, 9_500)
    farm.gossip()
    first = farm.members[0]
    streams = [first.order(number, UINT128_MAX, lane=number) for number in range(2)]
    farm.pump()
    assert [first.told(stream) for stream in streams] == ["channel_exhausted"] * 2


def test_a_fellow_that_says_to_have_lent_an_absurd_amount_is_believed_up_to_the_deposit() -> None:
    farm = Farm(500, 9_500)
    farm.gossip()
    first, second = farm.members
    first.step(given.ChannelFetched(CHANNEL, build_state(TERMS)))
    first.lines.take(CHANNEL, second.key.peer, Amount(Wei(UINT128_MAX), Epoch(0)))
    assert first.line == farm.deposit
    farm.gossip()


def test_who_waited_may_be_gone_by_then() -> None:
    farm = Farm(500, 9_500)
    farm.gossip()
    first = farm.members[0]
    stream = first.order(1, CEILING)
    while not any(isinstance(one, given.FrameReceived) for _, one in farm.under_way):
        farm.deliver()
    first.step(given.StreamEnded(stream, clean=False, reason="gone"))
    farm.pump()
    assert first.promised == 0


def test_the_channels_used_last_are_told_of(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lending, "RECENT_MAX", 2)
    farm = Farm(5_000, 5_000)
    first = farm.members[0]
    payers = [Account(f"payer {number}") for number in (1, 2, 3)]
    for number, payer in enumerate(payers):
        first.order(number, CEILING, payer=payer)
        farm.pump()
    books = first.around.lending
    newest = [build_state(build_terms(payer)).channel for payer in reversed(payers)]
    spares = books.get_spares(PAYEE, 9)
    assert [(channel, spare.wei) for channel, spare in spares] == [
        (channel, 5_000 - CEILING) for channel in newest[:2]
    ]
    assert [channel for channel, _ in books.get_spares(PAYEE, 1)] == newest[:1]
    assert books.compute_lack(ChannelId(b"x" * 32), ()).wei == 0
    assert books.get_part(ChannelId(b"x" * 32), 10_000).wei == 0
    nothing = first.lines.get_taken(CHANNEL, farm.members[1].key.peer)
    given_, rows = books.lend(ChannelId(b"x" * 32), farm.members[1].key.peer, nothing, nothing)
    assert (given_.wei, rows) == (0, ())
