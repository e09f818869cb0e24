"""Asking for load, and answering."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from p2p_modelex.core import effects as fx
from p2p_modelex.core import inputs as inp
from p2p_modelex.core.effects import StreamId, TimerId
from p2p_modelex.core.routing import probes
from p2p_modelex.core.routing.loads import ProbeBook
from p2p_modelex.core.routing.probes import PROBE_PROTOCOL, PROBE_TIMEOUT_MS, ProbeMachine
from p2p_modelex.ids import PeerId, PublicKey, peer_id_of
from p2p_modelex.records import codec
from p2p_modelex.records.job import Load, Probe
from p2p_modelex.units import UnixMs

NOW = UnixMs(1_800_000_000_000)
ONE, OTHER = (peer_id_of(PublicKey(bytes([n]) * 32)) for n in (1, 2))
LOAD = Load(0, 1, 2, 3, 40, 0)
TARGET: tuple[PeerId, tuple[str, ...]] = (OTHER, ("/memory/1",))
ASKED, ANSWERED = StreamId(2), StreamId(1)
OUR_TIMER, THEIR_TIMER = TimerId("probe/2"), TimerId("probe/1")


def machine() -> tuple[ProbeMachine, ProbeBook]:
    numbers = iter(range(2, 10_000, 2))
    book = ProbeBook()
    return ProbeMachine(lambda: LOAD, lambda: StreamId(next(numbers)), book), book


def asking() -> tuple[ProbeMachine, ProbeBook]:
    one, book = machine()
    assert one.ask([TARGET], NOW) == (
        fx.OpenStream(ASKED, *TARGET, PROBE_PROTOCOL),
        fx.SetTimer(OUR_TIMER, UnixMs(NOW + PROBE_TIMEOUT_MS)),
    )
    return one, book


def answering() -> ProbeMachine:
    one, _ = machine()
    (timer,) = one.step(inp.StreamOpened(ANSWERED, ONE, PROBE_PROTOCOL), NOW)
    assert timer == fx.SetTimer(THEIR_TIMER, UnixMs(NOW + 10_000))
    return one


def test_a_probe_and_its_answer() -> None:
    asker, book = asking()
    answerer = answering()
    assert asker.is_waiting((OTHER,))
    assert asker.owns(ASKED)
    assert asker.ask([TARGET], NOW) == ()
    (question,) = asker.step(inp.StreamReady(ASKED), UnixMs(NOW + 300))  # it was dialled
    assert isinstance(question, fx.Send)
    answer, *rest = answerer.step(inp.FrameReceived(ANSWERED, question.payload), NOW)
    assert rest == [fx.CloseStream(ANSWERED), fx.CancelTimer(THEIR_TIMER)]
    assert not answerer.owns(ANSWERED)
    assert isinstance(answer, fx.Send)
    assert len(answer.payload) <= probes.PROBE_FRAME_BYTES
    heard = UnixMs(NOW + 340)
    effects = asker.step(inp.FrameReceived(ASKED, answer.payload), heard)
    assert effects == (fx.CloseStream(ASKED), fx.CancelTimer(OUR_TIMER))
    assert not asker.is_waiting((OTHER,))
    assert book.get_trip(OTHER) == 40
    assert book.get(OTHER, NOW) == Load(ASKED, 1, 2, 3, 40, 0)
    assert asker.ask([TARGET], heard) == ()  # known
    assert asker.ask([TARGET], UnixMs(NOW + 10_000))  # stale


@pytest.mark.parametrize(
    ("frame", "rule"),
    [
        (b"", "PRB-1"),
        (bytes(65), "PRB-1"),
        (codec.encode(Probe(2)), "PRB-1"),
        (codec.encode(Load(3, 0, 0, 0, 0, 0)), "PRB-2"),
    ],
)
def test_a_bad_answer_is_an_offence(frame: bytes, rule: str) -> None:
    asker, book = asking()
    blame, *rest = asker.step(inp.FrameReceived(ASKED, frame), NOW)
    assert isinstance(blame, fx.Penalize)
    assert (blame.peer, blame.offence) == (OTHER, "protocol")
    assert blame.reason.startswith(rule)
    assert rest == [fx.ResetStream(ASKED), fx.CancelTimer(OUR_TIMER)]
    assert book.get(OTHER, NOW) is None
    assert not asker.is_waiting((OTHER,))


@given(st.binary(max_size=80))
def test_any_question_is_answered_or_blamed(frame: bytes) -> None:
    effects = answering().step(inp.FrameReceived(ANSWERED, frame), NOW)
    assert isinstance(effects[0], fx.Send | fx.Penalize)


def test_silence_ends_a_probe_at_both_ends() -> None:
    asker, _ = asking()
    assert asker.step(inp.TimerFired(OUR_TIMER), NOW) == (fx.ResetStream(ASKED),)
    assert asker.step(inp.TimerFired(OUR_TIMER), NOW) == ()
    assert not asker.is_waiting((OTHER,))
    answerer = answering()
    assert answerer.step(inp.TimerFired(THEIR_TIMER), NOW) == (fx.ResetStream(ANSWERED),)


def test_ended_and_failed_streams_are_forgotten() -> None:
    for last in (inp.StreamEnded(ASKED, True, ""), inp.StreamFailed(ASKED, "")):
        asker, _ = asking()
        assert asker.step(last, NOW) == (fx.CloseStream(ASKED), fx.CancelTimer(OUR_TIMER))
        assert not asker.owns(ASKED)
        assert asker.step(last, NOW) == ()


def test_other_inputs_are_not_ours() -> None:
    one, _ = machine()
    for other in (
        inp.StreamOpened(ANSWERED, ONE, "/other/1"),
        inp.StreamReady(ANSWERED),
        inp.FrameReceived(ANSWERED, b""),
        inp.TimerFired(TimerId("directory/expire")),
        inp.ShutDown(),
    ):
        assert one.step(other, NOW) == ()


def test_both_ends_are_bounded() -> None:
    one, _ = machine()
    peers = [peer_id_of(PublicKey(n.to_bytes(32, "big"))) for n in range(probes.PROBES_MAX + 5)]
    effects = one.ask([(peer, ()) for peer in peers], NOW)
    assert sum(isinstance(effect, fx.OpenStream) for effect in effects) == probes.PROBES_MAX
    askers = iter(range(1, 10_000, 2))

    def ask(peer: PeerId) -> tuple[fx.Effect, ...]:
        return one.step(inp.StreamOpened(StreamId(next(askers)), peer, PROBE_PROTOCOL), NOW)

    for peer in peers[: probes.ASKERS_MAX // probes.ASKERS_PER_PEER_MAX]:
        for _ in range(probes.ASKERS_PER_PEER_MAX):
            assert isinstance(ask(peer)[0], fx.SetTimer)
    (refused,) = ask(peers[0])
    assert isinstance(refused, fx.ResetStream)
    assert fx.ResetStream(StreamId(1)) in ask(peers[-1])  # whoever has most makes room
    assert not one.owns(StreamId(1))
