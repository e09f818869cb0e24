"""Whom a member hears and believes, and for how long."""

from typing import Any

import pytest

from p2p_modelex.core import effects as fx
from p2p_modelex.core import inputs as given
from p2p_modelex.core.effects import StreamId
from p2p_modelex.core.members import parameters
from p2p_modelex.core.members.hearsay import Fellow, Hearsay, choose_neighbours
from p2p_modelex.core.members.parameters import (
    CALLS_PER_PEER_MAX,
    FELLOWS_MAX,
    FRESH_MS,
    MEMBERS_PROTOCOL,
)
from p2p_modelex.ids import ChannelId, PeerId, PublicKey
from p2p_modelex.records import codec
from p2p_modelex.records.members import Borrow, Lent, SpareLine, Told
from p2p_modelex.units import UnixMs, Wei
from tests.core.exchange.pair import NOW, OTHER_KEY
from tests.core.members.scene import (
    CEILING,
    CHANNEL,
    FARM,
    PAYEE,
    TERMS,
    Farm,
    Member,
)


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
