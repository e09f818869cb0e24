"""Reconciliations under way: how many, how often and how much, ours and a stranger's."""

from itertools import pairwise

import pytest

from p2p_modelex.core import effects as fx
from p2p_modelex.core import inputs as inp
from p2p_modelex.core.directory import sessions
from p2p_modelex.core.directory.initiator import Plan
from p2p_modelex.core.directory.sessions import RECONCILE_PROTOCOL, Sessions
from p2p_modelex.core.directory.settings import DirectorySettings
from p2p_modelex.core.effects import StreamId
from p2p_modelex.ids import PeerId
from p2p_modelex.records import codec
from p2p_modelex.records.reconciliation import Compare, Range
from p2p_modelex.units import UnixMs
from tests.core.directory.worlds import NOW, Key, directory

FETCH = Plan(compares=False, fetch=(bytes(32),))


def build_sessions(held: int = 1) -> Sessions:
    numbers = iter(range(2, 10_000, 2))
    return Sessions(directory(held), lambda: StreamId(next(numbers)), DirectorySettings())


def test_inbound_streams_are_bounded() -> None:
    """REC-10."""
    bounded = build_sessions()
    numbers = iter(range(1, 10_000, 2))

    def admitted(peer: PeerId, now: int = NOW) -> bool:
        stream = StreamId(next(numbers))
        effects = bounded.admit(inp.StreamOpened(stream, peer, RECONCILE_PROTOCOL), UnixMs(now))
        return effects != (fx.ResetStream(stream),)

    assert [admitted(Key(2).peer) for _ in range(5)] == [True] * 4 + [False]
    assert all(admitted(Key(3 + at // 4).peer) for at in range(sessions.INBOUND_MAX - 4))
    assert bounded.owns(StreamId(1))
    assert admitted(Key(90).peer)
    assert not bounded.owns(StreamId(1))  # the oldest of whoever has most makes room
    assert sum(bounded.owns(StreamId(at)) for at in range(200)) == sessions.INBOUND_MAX


def test_a_peer_that_begins_too_often_is_refused() -> None:
    """REC-10."""
    bounded = build_sessions()
    for number in range(1, 2 * sessions._SESSIONS_BURST, 2):
        stream = StreamId(number)
        opened = inp.StreamOpened(stream, Key(2).peer, RECONCILE_PROTOCOL)
        assert isinstance(bounded.admit(opened, NOW)[0], fx.SetTimer)
        bounded.feed(inp.StreamEnded(stream, True, ""), NOW)
    opened = inp.StreamOpened(StreamId(999), Key(2).peer, RECONCILE_PROTOCOL)
    assert bounded.admit(opened, NOW) == (fx.ResetStream(StreamId(999)),)
    assert isinstance(bounded.admit(opened, UnixMs(NOW + 2_500))[0], fx.SetTimer)


def test_a_peer_that_has_too_much_compared_is_reset_and_not_blamed() -> None:
    """REC-10: however it spreads its questions over sessions."""
    bounded = build_sessions()
    bounds = [b"", *(bytes([at]) for at in range(1, 256)), b""]
    ranges = tuple(Range(one, other, 9, b"x" * 16) for one, other in pairwise(bounds))
    question, now = codec.encode(Compare(ranges)), NOW
    answers: list[fx.Effect] = []
    for number in range(1, 12, 2):
        stream = StreamId(number)
        bounded.admit(inp.StreamOpened(stream, Key(2).peer, RECONCILE_PROTOCOL), now)
        for _ in range(8):
            if bounded.owns(stream):
                answers += bounded.feed(inp.FrameReceived(stream, question), now)
        if bounded.owns(stream):
            bounded.feed(inp.StreamEnded(stream, True, ""), now)
    compared = sum(isinstance(one, fx.Send) for one in answers)
    assert compared == sessions._RANGES_BURST // len(ranges)
    assert any(isinstance(one, fx.ResetStream) for one in answers)
    assert not any(isinstance(one, fx.Penalize) for one in answers)
    later = UnixMs(now + sessions._RANGES_INTERVAL_MS * len(ranges))
    stream = StreamId(99)
    bounded.admit(inp.StreamOpened(stream, Key(2).peer, RECONCILE_PROTOCOL), later)
    answer, *_ = bounded.feed(inp.FrameReceived(stream, question), later)
    assert isinstance(answer, fx.Send)


def test_one_wide_range_counts_for_what_is_held(monkeypatch: pytest.MonkeyPatch) -> None:
    """REC-10: to compare all of a full directory costs as much as dozens of narrow ranges."""
    monkeypatch.setattr(sessions, "_RANGES_BURST", 40)
    monkeypatch.setattr(sessions, "_HELD_PER_RANGE", 2)
    own = directory(1)
    for number in range(18):
        own.index.put(bytes([number]) * 32, 1)
    bounded = Sessions(own, lambda: StreamId(2), DirectorySettings())
    bounded.admit(inp.StreamOpened(StreamId(1), Key(2).peer, RECONCILE_PROTOCOL), NOW)
    question = codec.encode(Compare((Range(b"", b"", 9, b"x" * 16),)))
    answers = [bounded.feed(inp.FrameReceived(StreamId(1), question), NOW)[0] for _ in range(5)]
    assert [type(one) for one in answers] == [fx.Send] * 4 + [fx.ResetStream]


def test_outbound_streams_are_bounded() -> None:
    bounded = build_sessions()
    assert bounded.begin(Key(2).peer, Plan(), NOW)
    assert bounded.begin(Key(2).peer, Plan(), NOW) == ()
    peers = [Key(2 + at).peer for at in range(sessions.OUTBOUND_MAX)]
    begun = [bounded.begin(peer, FETCH, NOW) for peer in peers]
    assert begun[-1] == ()
    assert begun[-2] != ()
    later = UnixMs(NOW + 15_000)
    dropped, reset, opening, _ = bounded.begin(Key(3).peer, Plan(), later)
    assert isinstance(dropped, fx.CancelTimer)
    assert reset == fx.ResetStream(StreamId(2))  # who drags on holds no place that others want
    assert isinstance(opening, fx.OpenStream)


def test_a_peer_is_asked_for_announced_records_once_at_a_time() -> None:
    """On links where that takes longer than the pause between two, a flood of announcements would
    fill all places with fetches, and nothing would be compared."""
    bounded = build_sessions()
    assert bounded.begin(Key(2).peer, FETCH, NOW)
    assert bounded.begin(Key(2).peer, FETCH, UnixMs(NOW + 5_000)) == ()
    for other in (Plan(), Plan(compares=False, offer=(bytes(32),))):
        assert bounded.begin(Key(2).peer, other, NOW)
    bounded.feed(inp.StreamFailed(StreamId(2), "gone"), NOW)
    assert bounded.begin(Key(2).peer, FETCH, UnixMs(NOW + 10_000))
