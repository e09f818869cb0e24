"""Members take turns as one farm, and say when the first of them has room."""

import pytest

from p2p_modelex.core import inputs as given
from p2p_modelex.core import line, pace
from p2p_modelex.core.members.parameters import (
    FRESH_MS,
)
from p2p_modelex.records import codec
from p2p_modelex.records.job import Refused
from p2p_modelex.records.members import ServedPayer, Told
from p2p_modelex.units import UnixMs
from tests.core.exchange.pair import Account, build_job
from tests.core.members.scene import (
    CEILING,
    Farm,
    Member,
)


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
