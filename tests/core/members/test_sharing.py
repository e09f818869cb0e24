"""Members lend each other of their lines, tell whom they served, and when there is room."""

from typing import Any

import pytest

from p2p_modelex.core import effects as fx
from p2p_modelex.core import inputs as given
from p2p_modelex.core import line, pace
from p2p_modelex.core.effects import StreamId, TimerId
from p2p_modelex.core.ledger import lending
from p2p_modelex.core.members import borrowing, parameters
from p2p_modelex.core.members.hearsay import Fellow, Hearsay, choose_neighbours
from p2p_modelex.core.members.parameters import (
    CALL_TIMEOUT_MS,
    CALLS_PER_PEER_MAX,
    FELLOWS_MAX,
    FRESH_MS,
    MEMBERS_PROTOCOL,
    NEED_MS,
)
from p2p_modelex.ids import ChannelId, PeerId, PublicKey
from p2p_modelex.records import codec
from p2p_modelex.records.job import Refused
from p2p_modelex.records.members import Borrow, Lent, ServedPayer, SpareLine, Told
from p2p_modelex.records.rows import LoanRow
from p2p_modelex.units import UnixMs, Wei
from tests.core.exchange.pair import NOW, OTHER_KEY, Account, build_job, build_state
from tests.core.members.scene import (
    CEILING,
    CHANNEL,
    FARM,
    PAYEE,
    TERMS,
    Farm,
    Member,
    build_terms,
)

# Lines.


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


# Who is heard.


def opened(stream: int, peer: PeerId) -> given.StreamOpened:
    return given.StreamOpened(StreamId(stream), peer, MEMBERS_PROTOCOL)


def watch(member: Member, happened: given.Input) -> list[fx.Effect]:
    """What a member does with an input, and nothing comes of it."""
    if isinstance(happened, given.StreamOpened):
        return member.selling.step(happened, member.farm.now)
    stream: Any = getattr(happened, "stream", None)
    return member.selling.step_stream(stream, happened, member.farm.now)


def frame(stream: int, message: Any) -> given.FrameReceived:
    payload = message if isinstance(message, bytes) else codec.encode(message)
    return given.FrameReceived(StreamId(stream), payload)


def test_nobody_but_members_is_heard() -> None:
    """MEM-1."""
    farm = Farm(5_000, 5_000)
    first, second = farm.members
    assert watch(first, opened(1, second.key.peer)) == [fx.ResetStream(StreamId(1))], "not yet"
    farm.gossip()
    assert watch(first, opened(3, OTHER_KEY.peer)) == [fx.ResetStream(StreamId(3))]
    watch(first, opened(5, second.key.peer))
    effects = watch(first, frame(5, Told(b"x" * 32, 0, (), ())))
    assert fx.ResetStream(StreamId(5)) in effects
    assert not [effect for effect in effects if isinstance(effect, fx.Penalize)]
    assert not first.selling.owns(StreamId(5))


def test_garbage_costs_the_sender_score() -> None:
    """MEM-3: to who accepted the stream, and to who opened it."""
    farm = Farm(500, 9_500)
    farm.gossip()
    first, second = farm.members
    watch(first, opened(5, second.key.peer))
    blame, *_ = watch(first, frame(5, Lent(Wei(1), 0)))
    assert isinstance(blame, fx.Penalize)
    assert (blame.peer, blame.reason[:5]) == (second.key.peer, "MEM-3")
    order = first.order(1, CEILING)
    while not any(isinstance(one, given.StreamReady) for _, one in farm.under_way):
        farm.deliver()
    [asked] = [one.stream for _, one in farm.under_way if isinstance(one, given.StreamReady)]
    farm.under_way.clear()
    first.step(frame(asked, Told(FARM, 0, (), ())))
    assert [one.reason[:5] for one in first.penalties] == ["MEM-3"]
    assert first.told(order) == "channel_exhausted"


def test_streams_of_members_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    farm = Farm(3_000, 3_000, 4_000)
    farm.gossip()
    first, second, third = farm.members
    for number in range(CALLS_PER_PEER_MAX):
        watch(first, opened(2 * number + 1, second.key.peer))
    assert watch(first, opened(101, second.key.peer)) == [fx.ResetStream(StreamId(101))]
    farm = Farm(3_000, 3_000, 4_000)
    farm.gossip()
    first, second, third = farm.members
    first.selling._sharing._members._crowd._limit = 1
    watch(first, opened(1, second.key.peer))
    effects = watch(first, opened(3, third.key.peer))
    assert fx.ResetStream(StreamId(3)) in effects or fx.ResetStream(StreamId(1)) in effects


def test_those_who_wait_for_the_chain_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parameters, "UNREAD_MAX", 1)
    farm = Farm(500, 9_500)
    farm.gossip()
    farm.is_chain_slow = True
    first, second = farm.members
    ask = Borrow(FARM, TERMS.of_payer, Wei(0), Wei(1), 0)
    for stream in (1, 3):
        watch(second, opened(stream, first.key.peer))
    assert [type(effect) for effect in watch(second, frame(1, ask))] == [fx.FetchChannel]
    assert fx.ResetStream(StreamId(3)) in watch(second, frame(3, ask))
    watch(second, given.StreamEnded(StreamId(1), clean=False, reason="gone"))
    assert second.selling.step(given.ChannelFetched(CHANNEL, None), NOW) == []


def test_a_stream_that_opens_too_late_is_closed() -> None:
    farm = Farm(5_000, 5_000)
    farm.gossip()
    first = farm.members[0]
    sharing = first.selling._sharing
    assert sharing.step(given.StreamReady(StreamId(99)), NOW) == [fx.ResetStream(StreamId(99))]
    assert sharing.step(given.PeerConnected(OTHER_KEY.peer), NOW) == []


def build_fellow(number: int, farm: PublicKey = FARM) -> Fellow:
    return Fellow(farm, PAYEE, PeerId(bytes([number]) * 38), (), 100)


def test_neighbours_are_mutual() -> None:
    """MEM-2."""
    everyone = [build_fellow(number) for number in range(1, 3 * FELLOWS_MAX)]
    chosen = {
        one.peer: {
            other.peer
            for other in choose_neighbours(one.peer, [two for two in everyone if two != one])
        }
        for one in everyone
    }
    for peer, theirs in chosen.items():
        assert len(theirs) == FELLOWS_MAX
        assert all(peer in chosen[other] for other in theirs)
    few = everyone[:5]
    assert sorted(few, key=lambda one: one.peer) == choose_neighbours(PeerId(b""), few)


def test_what_was_told_holds_for_a_while_and_of_fellows_alone() -> None:
    """MEM-4."""
    heard, one, other = Hearsay(), build_fellow(1), build_fellow(2, PublicKey(b"o" * 32))
    spare = SpareLine(CHANNEL, Wei(5), 0)
    heard.put(one, Told(one.farm, 70, (), (spare,)), NOW)
    heard.put(other, Told(other.farm, 30, (), ()), NOW)
    assert heard.get_least_wait_ms(one.farm, NOW) == 70
    assert heard.get_spare(one, CHANNEL, NOW) is not None
    assert heard.get_spare(one, ChannelId(b"x" * 32), NOW) is None
    late = UnixMs(NOW + FRESH_MS + 1)
    assert heard.get_least_wait_ms(one.farm, late) is None
    assert heard.get_spare(one, CHANNEL, late) is None
    heard.keep([other])
    assert heard.get_least_wait_ms(one.farm, NOW) is None
    assert heard.get_least_wait_ms(other.farm, NOW) == 30


# The lines before the engines.


def test_who_uses_two_members_goes_behind_at_the_third() -> None:
    """MEM-10: a flood over the whole farm beside a payer that uses one member."""
    farm = Farm(3_000, 3_000, 4_000, deposit=10**6, slots=1)
    farm.gossip()
    flood, small = Account("payer 1"), Account("payer 2")
    numbers = iter(range(1, 1000))
    for member in farm.members:
        for lane in range(6):
            member.order(next(numbers), CEILING, lane=lane, payer=flood)
            farm.pump()
    for _ in range(4):
        for member in farm.members[:2]:
            member.finish()
            farm.pump()
    farm.gossip()
    third = farm.members[2]
    theirs = {build_job(1000 + lane) for lane in range(4)}
    for lane in range(4):
        third.order(1000 + lane, CEILING, lane=lane, payer=small)
        farm.pump()
    order = []
    while third.generating:
        order.append(third.generating[0].job in theirs)
        third.finish()
        farm.pump()
    assert order[:2] == [False, False], "with the engine already"
    assert order[2:6] == [True] * 4
    assert sum(order) == 4


def test_a_full_member_says_when_the_first_of_its_farm_has_room(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """MEM-11."""
    monkeypatch.setattr(line, "WAITING_MAX", 1)
    farm = Farm(5_000, 5_000, deposit=10**6, slots=1)
    first, second = farm.members

    def refuse(number: int) -> int:
        stream = first.order(number, CEILING, lane=number)
        farm.pump()
        last = first.answers[stream][-1]
        assert isinstance(last, Refused)
        assert last.code == "busy"
        return last.retry_after_ms

    for number in range(4):
        first.order(number, CEILING, lane=number)
        farm.pump()
    assert refuse(5) == pace.WAIT_FIRST_MS, "nobody told anything yet"
    farm.gossip()
    assert refuse(6) == pace.WAIT_MIN_MS, "the second has room"
    second.order(20, CEILING)
    farm.pump()
    second.finish(took_ms=400)
    for number in (21, 22):
        second.order(number, CEILING, lane=number)
        farm.pump()
    farm.gossip()
    assert refuse(7) == 800, "two as long as the last stand before the second's engine"
    farm.now = UnixMs(farm.now + FRESH_MS + 1)
    assert refuse(8) == pace.WAIT_FIRST_MS, "nobody told anything lately"


def test_tokens_are_told_once_and_of_the_heaviest() -> None:
    farm = Farm(5_000, 5_000, deposit=10**6)
    farm.gossip()
    first = farm.members[0]
    for number in range(1, 36):
        payer = Account(f"payer {number}")
        first.order(number, CEILING, payer=payer, tokens=64 if number == 33 else 32)
        farm.pump()
    first.tell()
    [told] = [codec.decode(Told, one.payload, limit=4_096) for one in _sent_by(farm, first)]
    assert len(told.served) == 32
    assert told.served[0] == ServedPayer(Account("payer 33").address, 5 + 64)
    assert {one.tokens for one in told.served[1:]} == {5 + 32}
    assert len(told.spares) == 32
    first.tell()
    [told] = [codec.decode(Told, one.payload, limit=4_096) for one in _sent_by(farm, first)]
    assert told.served == ()


def _sent_by(farm: Farm, sender: Member) -> list[given.FrameReceived]:
    """Deliver what is under way; returns the frames that reach others."""
    seen = []
    while farm.under_way:
        member, happened = farm.under_way[0]
        if isinstance(happened, given.FrameReceived) and member is not sender:
            seen.append(happened)
        farm.deliver()
    return seen
