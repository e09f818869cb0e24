"""Asking members for a farm's record, answering, and gossip."""

import random

import pytest

from p2p_modelex.core import effects as fx
from p2p_modelex.core import inputs as inp
from p2p_modelex.core.effects import StreamId, TimerId
from p2p_modelex.core.farm import machine as module
from p2p_modelex.core.farm.book import FarmBook
from p2p_modelex.core.farm.machine import (
    ANSWER_MS,
    FARM_PROTOCOL,
    FARMS_TOPIC,
    LATE_MS,
    REFRESH_MS,
    STALE_MS,
    TELL_MS,
    TOLD_AGAIN_MS,
    FarmMachine,
    Members,
)
from p2p_modelex.ids import format_peer_id
from p2p_modelex.records import codec
from p2p_modelex.records.farm import FarmAnswer, FarmQuestion
from p2p_modelex.records.rows import FarmRow
from p2p_modelex.units import UnixMs
from tests.core.directory.worlds import NETWORK, NOW, Key
from tests.core.farm.farms import DAY, FARM, OTHER_FARM

AT = UnixMs(NOW)
THEIRS = StreamId(1)
PEERS = [Key(number).peer for number in range(71, 76)]
TELL, REFRESH = TimerId("farm/tell"), TimerId("farm/refresh")


class Scene:
    """A machine and its mesh of members."""

    def __init__(self, members: int = 5) -> None:
        numbers = iter(range(2, 10_000, 2))
        self.book = FarmBook(NETWORK)
        self.members: Members = [(peer, ("/memory/1",)) for peer in PEERS[:members]]
        self.machine = FarmMachine(
            self.book, self.find, lambda: StreamId(next(numbers)), random.Random(1)
        )

    def find(self, farm: str) -> Members:
        assert farm == format_peer_id(FARM.peer)
        return self.members

    def ask(self, now: int = NOW) -> list[StreamId]:
        effects = self.machine.ask(FARM.public_key, UnixMs(now))
        return [effect.stream for effect in effects if isinstance(effect, fx.OpenStream)]

    def hold(self, record: bytes) -> None:
        self.book.want(FARM.public_key)
        assert self.book.judge(record, AT).accepted

    def answer(self, question: FarmQuestion) -> tuple[list[fx.Effect], FarmAnswer]:
        """What it does on being asked, and the answer."""
        self.machine.step(inp.StreamOpened(THEIRS, PEERS[0], FARM_PROTOCOL), AT)
        effects = self.machine.step(inp.FrameReceived(THEIRS, codec.encode(question)), AT)
        [send] = [effect for effect in effects if isinstance(effect, fx.Send)]
        assert effects[-2:] == [fx.CloseStream(THEIRS), fx.CancelTimer(TimerId("farm/stream/1"))]
        return effects, codec.decode(FarmAnswer, send.payload, limit=5000)


def row(record: bytes, made: int = NOW) -> FarmRow:
    return FarmRow(FARM.public_key, UnixMs(made + 7 * DAY), record)


def test_some_members_are_asked_and_waited_for() -> None:
    scene = Scene()
    streams = scene.ask()
    assert len(streams) == module.ASKED_MEMBERS
    assert scene.machine.is_waiting(FARM.public_key)
    assert scene.ask() == []
    [send] = scene.machine.step(inp.StreamReady(streams[0]), AT)
    assert send == fx.Send(streams[0], codec.encode(FarmQuestion(FARM.public_key, b"")))
    record = FARM.record()
    effects = scene.machine.step(
        inp.FrameReceived(streams[0], codec.encode(FarmAnswer(record))), AT
    )
    assert effects == [
        fx.Persist((row(record),)),
        fx.CloseStream(streams[0]),
        fx.CancelTimer(TimerId(f"farm/stream/{streams[0]}")),
    ]
    assert scene.machine.is_waiting(FARM.public_key), "who answers first may be revoked"
    later = FARM.record(NOW + 1, revoked=(3,))
    scene.machine.step(inp.FrameReceived(streams[1], codec.encode(FarmAnswer(later))), AT)
    scene.machine.step(inp.FrameReceived(streams[2], codec.encode(FarmAnswer(record))), AT)
    held = scene.book.get(FARM.public_key, AT)
    assert held is not None
    assert held.envelope == later
    assert not any(map(scene.machine.owns, streams))
    assert not scene.machine.is_waiting(FARM.public_key)


def test_members_that_do_not_answer_are_not_waited_for() -> None:
    scene = Scene(3)
    streams = scene.ask()
    scene.machine.step(inp.StreamFailed(streams[0], "no route"), AT)
    scene.machine.step(inp.StreamEnded(streams[1], clean=True, reason=""), AT)
    assert scene.machine.is_waiting(FARM.public_key)
    late, over = UnixMs(NOW + ANSWER_MS), UnixMs(NOW + ANSWER_MS + LATE_MS)
    timer = TimerId(f"farm/stream/{streams[2]}")
    assert scene.machine.step(inp.TimerFired(timer), late) == [fx.SetTimer(timer, over)]
    assert not scene.machine.is_waiting(FARM.public_key)
    assert not scene.machine.is_asking(FARM.public_key)
    assert scene.machine.step(inp.TimerFired(timer), over) == [fx.ResetStream(streams[2])]
    assert scene.machine.step(inp.TimerFired(timer), over) == []
    assert scene.ask(NOW + REFRESH_MS), "asked again after a while"


def test_a_late_answer_counts_where_the_quick_ones_were_old() -> None:
    """Those that were revoked have an old record, and may be nearer."""
    scene = Scene(2)
    quick, slow = scene.ask()
    old, new = FARM.record(), FARM.record(NOW + 1, revoked=(3,))
    scene.machine.step(inp.FrameReceived(quick, codec.encode(FarmAnswer(old))), AT)
    late = UnixMs(NOW + ANSWER_MS)
    scene.machine.step(inp.TimerFired(TimerId(f"farm/stream/{slow}")), late)
    scene.machine.step(inp.FrameReceived(slow, codec.encode(FarmAnswer(new))), late)
    held = scene.book.get(FARM.public_key, late)
    assert held is not None
    assert held.envelope == new


def test_a_bad_answer_is_none_and_others_are_asked_with_the_next_request(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    scene = Scene(1)
    bad = codec.encode(FarmAnswer(OTHER_FARM.record()))
    [stream] = scene.ask()
    effects = scene.machine.step(inp.FrameReceived(stream, bad), AT)
    assert any(isinstance(effect, fx.Penalize) for effect in effects)
    [stream] = scene.ask()
    assert scene.machine.is_waiting(FARM.public_key)
    scene.machine.step(inp.FrameReceived(stream, codec.encode(FarmAnswer(FARM.record()))), AT)
    assert scene.ask() == []
    monkeypatch.setattr(module, "WANTED_MAX", 0)
    [stream] = scene.ask(NOW + REFRESH_MS)
    scene.machine.step(inp.FrameReceived(stream, bad), AT)
    assert not scene.machine._asked_at, "a bad answer about a farm that was forgotten adds none"


def test_a_farm_without_members_is_asked_when_there_are_some(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    scene = Scene(0)
    assert scene.ask() == []
    scene.members = [(PEERS[0], ("/memory/1",))]
    assert len(scene.ask()) == 1
    monkeypatch.setattr(module, "WANTED_MAX", 0)
    assert scene.ask(NOW + REFRESH_MS)
    assert scene.ask(NOW + REFRESH_MS), "who asks for too many farms forgets when it asked"
    monkeypatch.setattr(module, "ASKING_MAX", 3)
    assert scene.ask(NOW + 2 * REFRESH_MS) == [], "and has so many questions under way"


def test_a_refresh_is_not_waited_for_unless_what_is_known_is_old() -> None:
    scene = Scene(1)
    scene.hold(FARM.record())
    for now, is_waiting in (
        (NOW, True),  # kept from before a restart: who knows what has been since
        (NOW + REFRESH_MS, False),
        (NOW + REFRESH_MS + STALE_MS, True),
    ):
        [stream] = scene.ask(now)
        assert scene.machine.is_asking(FARM.public_key)
        assert scene.machine.is_waiting(FARM.public_key) is is_waiting
        scene.machine.step(inp.StreamFailed(stream, "no route"), UnixMs(now))


def test_the_newer_record_of_both_goes_to_the_other() -> None:
    scene, old, new = Scene(), FARM.record(), FARM.record(NOW + 1)
    question = FarmQuestion(FARM.public_key, b"")
    assert scene.answer(question)[1].record == b""
    scene.hold(old)
    assert scene.answer(question)[1].record == old
    assert scene.answer(FarmQuestion(FARM.public_key, old))[1].record == b""
    effects, answer = scene.answer(FarmQuestion(FARM.public_key, new))
    assert effects[0] == fx.Persist((row(new, NOW + 1),))
    assert answer.record == b""
    assert scene.answer(FarmQuestion(FARM.public_key, old))[1].record == new
    other = FarmQuestion(OTHER_FARM.public_key, OTHER_FARM.record())
    effects, answer = scene.answer(other)
    assert not any(isinstance(effect, fx.Persist) for effect in effects), "no farm of ours"


@pytest.mark.parametrize(
    "frame",
    [
        b"\xc1",
        codec.encode(FarmAnswer(b"")),
        codec.encode(FarmQuestion(FARM.public_key, OTHER_FARM.record())),
        codec.encode(FarmQuestion(FARM.public_key, FARM.record(revoked=(2, 1)))),
    ],
)
def test_a_bad_question_costs_its_asker(frame: bytes) -> None:
    """FRM-14, and the rules of the record in it."""
    scene = Scene()
    scene.machine.step(inp.StreamOpened(THEIRS, PEERS[0], FARM_PROTOCOL), AT)
    blame, *rest = scene.machine.step(inp.FrameReceived(THEIRS, frame), AT)
    assert isinstance(blame, fx.Penalize)
    assert blame.peer == PEERS[0]
    assert rest == [fx.ResetStream(THEIRS), fx.CancelTimer(TimerId("farm/stream/1"))]
    assert scene.machine.step(inp.FrameReceived(THEIRS, b"more"), AT) == []


def test_a_bad_answer_costs_its_member() -> None:
    """FRM-6: another farm's record."""
    scene = Scene(1)
    [stream] = scene.ask()
    answer = codec.encode(FarmAnswer(OTHER_FARM.record()))
    blame, *_ = scene.machine.step(inp.FrameReceived(stream, answer), AT)
    assert isinstance(blame, fx.Penalize)
    assert "FRM-6" in blame.reason


def test_askers_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    scene = Scene()
    opened = [inp.StreamOpened(StreamId(2 * n + 1), PEERS[0], FARM_PROTOCOL) for n in range(9)]
    effects = [scene.machine.step(one, AT) for one in opened]
    assert effects[-1] == [fx.ResetStream(StreamId(17))]
    small = Scene()
    small.machine._crowd._limit = 2
    for one in opened[:2]:
        small.machine.step(one, AT)
    another = inp.StreamOpened(StreamId(99), PEERS[1], FARM_PROTOCOL)
    assert fx.ResetStream(StreamId(1)) in small.machine.step(another, AT)
    assert not small.machine.owns(StreamId(1))


def test_what_an_owner_writes_is_told_to_the_mesh_once_it_is_there() -> None:
    scene, record = Scene(), FARM.record()
    assert scene.machine.start(AT) == [
        fx.SetTimer(TELL, UnixMs(NOW + TELL_MS)),
        fx.SetTimer(REFRESH, UnixMs(NOW + TELL_MS)),
    ]
    ours = [FARM.public_key]
    assert scene.machine.set_ours(ours, [record, OTHER_FARM.record(), b"\xc1"], AT) == [
        fx.Persist((row(record),)),
        fx.SetTimer(TELL, UnixMs(NOW + TELL_MS)),
    ]
    assert scene.machine.set_ours(ours, [record], AT) == [], "nothing new"
    assert scene.machine.step(inp.TimerFired(TELL), AT) == [
        fx.Publish(FARMS_TOPIC, record),
        fx.SetTimer(TELL, UnixMs(NOW + TOLD_AGAIN_MS)),
    ]
    *asked, timer = scene.machine.step(inp.TimerFired(REFRESH), AT)
    assert timer == fx.SetTimer(REFRESH, UnixMs(NOW + REFRESH_MS))
    assert len([one for one in asked if isinstance(one, fx.OpenStream)]) == module.ASKED_MEMBERS


def test_gossip_is_taken_over_where_the_farm_is_cared_for() -> None:
    scene, record = Scene(), FARM.record()
    heard = inp.GossipArrived(FARMS_TOPIC, PEERS[0], PEERS[1], record)
    assert scene.machine.judge_gossip(PEERS[0], record, AT).accepted
    assert scene.machine.step(heard, AT) == []
    later = FARM.record(NOW + 1)
    scene.book.want(FARM.public_key)
    assert scene.machine.judge_gossip(PEERS[0], later, UnixMs(NOW + 10_000)).accepted
    heard = inp.GossipArrived(FARMS_TOPIC, PEERS[0], PEERS[1], later)
    assert scene.machine.step(heard, AT) == [fx.Persist((row(later, NOW + 1),))]
    foreign = inp.GossipArrived("/another", PEERS[0], PEERS[1], later)
    assert scene.machine.step(foreign, AT) == []
