"""Two directories meet: they agree afterwards, and only differences travelled."""

import random
from contextlib import suppress
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from p2p_modelex import limits
from p2p_modelex.core import effects as fx
from p2p_modelex.core import inputs as inp
from p2p_modelex.core.directory.comparison import OPEN_RANGES_MAX, Comparison
from p2p_modelex.core.directory.directory import Directory
from p2p_modelex.core.directory.initiator import (
    EMPTY_BATCHES_MAX,
    Order,
    Outcome,
    Plan,
    ReconcileInitiator,
)
from p2p_modelex.core.directory.responder import (
    FRAMES_MAX,
    SESSION_BYTES_MAX,
    ReconcileResponder,
)
from p2p_modelex.core.effects import Effect, StreamId
from p2p_modelex.errors import RemoteProtocolError
from p2p_modelex.ids import peer_id_of
from p2p_modelex.records import codec
from p2p_modelex.records import reconciliation as wire
from p2p_modelex.records.reconciliation import Compared, Held, Listing, Range, Split
from p2p_modelex.units import UnixMs
from tests.core.directory.worlds import NOW, Key, advertisement, directory, no_limit, offer, sealed

STREAM = StreamId(2)
EVERYTHING = Plan()
KEYS = [Key(100 + number) for number in range(400)]
RECORDS = [[sealed(key, advertisement(NOW + at * 1000)) for at in range(2)] for key in KEYS]


def filled(own: int, versions: dict[int, int]) -> Directory:
    held = directory(own)
    for number, version in versions.items():
        assert held.judge(RECORDS[number][version], UnixMs(NOW + 5_000)).accepted
    return held


class Pair:
    """An initiator and a responder, and everything that passed between them."""

    def __init__(self, ours: Directory, theirs: Directory, plan: Plan = EVERYTHING) -> None:
        self.initiator = ReconcileInitiator(ours, STREAM, Key(2).peer, plan)
        self.responder = ReconcileResponder(theirs, STREAM, Key(1).peer, no_limit)
        self.messages: list[object] = []
        self.rows = 0
        # Over a second after all records were received, for ADV-8.
        self.now = UnixMs(NOW + 10_000)

    def run(self) -> "Pair":
        frames = self._sent(self.initiator.step(inp.StreamReady(STREAM), self.now))
        while frames:
            question = codec.decode(wire.InitiatorMessage, frames[0], limit=10**6)
            answers = self._sent(self.responder.step(_frame(frames[0]), self.now))
            answer = codec.decode(wire.ResponderMessage, answers[0], limit=10**6)
            self.messages += [question, answer]
            frames = self._sent(self.initiator.step(_frame(answers[0]), self.now))
        assert self.initiator.outcome is Outcome.DONE
        return self

    def _sent(self, effects: tuple[Effect, ...]) -> list[bytes]:
        sent: list[bytes] = []
        for effect in effects:
            assert isinstance(effect, fx.Send | fx.Persist | fx.CloseStream), effect
            if isinstance(effect, fx.Persist):
                assert not sent  # durable before anything is said
                self.rows += len(effect.rows)
            elif isinstance(effect, fx.Send):
                assert len(effect.payload) <= limits.RECONCILE_FRAME_BYTES
                sent.append(effect.payload)
        return sent


def _frame(payload: bytes) -> inp.FrameReceived:
    return inp.FrameReceived(STREAM, payload)


def contents() -> st.SearchStrategy[dict[int, int]]:
    return st.dictionaries(st.integers(0, len(KEYS) - 1), st.integers(0, 1), max_size=60)


@settings(max_examples=25)
@given(contents(), contents(), st.sampled_from([0, 20, 150]))
def test_any_two_directories_agree_afterwards(
    one: dict[int, int], other: dict[int, int], common: int
) -> None:
    shared = dict.fromkeys(range(common), 0)
    check_agreement(shared | one, shared | other)


def check_agreement(one: dict[int, int], other: dict[int, int]) -> Pair:
    ours, theirs = filled(1, one), filled(2, other)
    differing = {n for n in one.keys() | other.keys() if one.get(n) != other.get(n)}
    pair = Pair(ours, theirs).run()
    assert ours.index.describe() == theirs.index.describe()
    assert len(ours) == len(theirs) == len(one.keys() | other.keys())
    assert pair.rows == len(differing)
    moved = sum(
        len(message.envelopes)
        for message in pair.messages
        if isinstance(message, wire.Records | wire.Offered | wire.Pulled)
    )
    assert moved == len(differing)
    assert pair.initiator.rounds <= 8 + 2 * (1 + len(differing) // 64)
    return pair


def test_a_newcomer_and_a_responder_that_has_nothing() -> None:
    everything = dict.fromkeys(range(400), 1)
    check_agreement({}, everything)
    check_agreement(everything, {})
    equal = check_agreement(everything, everything)
    assert len(equal.messages) == 2


def test_a_newcomer_pulls_everything() -> None:
    pair = check_agreement({}, dict.fromkeys(range(400), 1))
    assert all(isinstance(one, wire.Pull | wire.Pulled) for one in pair.messages)
    assert len(pair.messages) == 2 * 7


def test_who_holds_little_pulls_what_lies_between() -> None:
    pair = check_agreement({0: 1, 200: 0}, dict.fromkeys(range(400), 1))
    pulled = [len(one.envelopes) for one in pair.messages if isinstance(one, wire.Pulled)]
    assert sum(pulled) > 360
    assert len(pulled) == 6


def test_answers_and_questions_come_in_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever is left over of a question, later ones keep the order of ranges (REC-3)."""
    monkeypatch.setattr("p2p_modelex.core.directory.responder._ANSWER_BYTES", 2_000)
    monkeypatch.setattr(limits, "RECONCILE_RANGES_MAX", 5)
    ours, theirs = filled(1, dict.fromkeys(range(400), 0)), filled(2, dict.fromkeys(range(400), 1))
    pair = Pair(ours, theirs).run()
    assert ours.index.describe() == theirs.index.describe()
    compared = [one for one in pair.messages if isinstance(one, Compared)]
    assert any(one.answered < 5 for one in compared)


def test_announced_records_are_fetched_without_comparing() -> None:
    ours, theirs = filled(1, {}), filled(2, {3: 1, 4: 1})
    wanted = (KEYS[3].public_key, KEYS[5].public_key)
    pair = Pair(ours, theirs, Plan(compares=False, fetch=wanted)).run()
    assert [type(one) for one in pair.messages] == [wire.Fetch, wire.Records]
    assert ours.get(KEYS[3].peer)
    assert len(ours) == 1


def test_news_are_pushed_and_expired_ones_kept_back() -> None:
    ours, theirs = filled(1, {3: 1}), filled(2, {})
    gone = Key(50)
    short = sealed(gone, advertisement(NOW, ttl_ms=10_000))
    assert ours.judge(short, NOW).accepted
    offers = (KEYS[3].public_key, gone.public_key, Key(51).public_key)
    Pair(ours, theirs, Plan(compares=False, offer=offers)).run()
    assert len(theirs) == 1
    nothing = Pair(ours, theirs, Plan(compares=False, offer=offers[1:])).run()
    assert nothing.messages == []


def test_records_from_the_future_are_not_fetched() -> None:
    comparison = Comparison(filled(1, {0: 0}))
    assert comparison.next_question() is not None
    items = (Held(bytes(32), NOW + limits.CLOCK_SKEW_MS + 1), Held(bytes(31) + b"\1", NOW))
    comparison.on_answer(Compared(1, (Listing(b"", b"", items),)), NOW)
    assert list(comparison.need) == [bytes(31) + b"\1"]


ZERO = bytes(16)
AT = [bytes([n]) for n in range(256)]


def part(lower: bytes, upper: bytes, count: int = 5) -> Range:
    return Range(lower, upper, count, ZERO)


WHOLE = Split((part(b"", AT[9]), part(AT[9], b"")))


@pytest.mark.parametrize(
    ("answer", "rule"),
    [
        (Compared(0, ()), "REC-4"),
        (Compared(2, ()), "REC-4"),
        (Compared(1, (Listing(b"", AT[1], ()),)), "REC-4"),
        (Compared(1, (WHOLE, WHOLE)), "REC-4"),
        (Compared(1, (Split((part(b"", AT[9]), part(AT[10], b""))),)), "REC-4"),
        (Compared(1, (Split((part(b"", b""), part(b"", b""))),)), "REC-4"),
        (
            Compared(1, (Split((part(b"", AT[9]), part(AT[9], AT[8]), part(AT[8], b""))),)),
            "REC-4",
        ),
        (
            Compared(1, (Listing(b"", b"", (Held(bytes(32), 1), Held(bytes(32), 1))),)),
            "REC-5",
        ),
    ],
)
def test_a_bad_comparison_is_an_offence(answer: Compared, rule: str) -> None:
    offends(Plan(), codec.encode(answer), rule)


def offends(plan: Plan, frame: bytes, rule: str, offence: str = "protocol") -> None:
    initiator = ReconcileInitiator(filled(1, {9: 0}), STREAM, Key(2).peer, plan)
    initiator.step(inp.StreamReady(STREAM), NOW)
    effects = initiator.step(_frame(frame), NOW)
    *_, blame, reset = effects
    assert reset == fx.ResetStream(STREAM)
    assert isinstance(blame, fx.Penalize)
    assert (blame.peer, blame.offence) == (Key(2).peer, offence)
    assert blame.reason.startswith(rule)
    assert initiator.outcome is Outcome.FAILED


FETCH = Plan(compares=False, fetch=(KEYS[0].public_key,))


def test_bad_answers_to_a_fetch() -> None:
    record, other = RECORDS[0][0], RECORDS[1][0]
    offends(FETCH, b"", "REC-1")
    offends(FETCH, codec.encode(wire.Took(1)), "REC-2")
    offends(FETCH, codec.encode(wire.Records((other,))), "REC-6")
    offends(FETCH, codec.encode(wire.Records((record, record))), "REC-6")
    tampered = record[:-1] + bytes([record[-1] ^ 1])
    offends(FETCH, codec.encode(wire.Records((tampered,))), "REC-7", "bad_signature")
    offends(FETCH, codec.encode(wire.Records((b"x",))), "REC-7", "bad_record")


def pulls_badly(answer: wire.Pulled, rule: str) -> None:
    initiator = ReconcileInitiator(directory(), STREAM, Key(2).peer, Plan())
    initiator.step(inp.StreamReady(STREAM), NOW)
    *_, blame, reset = initiator.step(_frame(codec.encode(answer)), NOW)
    assert reset == fx.ResetStream(STREAM)
    assert isinstance(blame, fx.Penalize)
    assert blame.reason.startswith(rule)


def test_bad_answers_to_a_pull() -> None:
    one, other = sorted(KEYS[:2], key=lambda key: key.public_key)
    first, second = sealed(one), sealed(other)
    pulls_badly(wire.Pulled((second, first), b""), "REC-12")
    pulls_badly(wire.Pulled((first, first), b""), "REC-12")
    pulls_badly(wire.Pulled((first, second), one.public_key), "REC-12")
    pulls_badly(wire.Pulled((), one.public_key), "REC-12")
    pulls_badly(wire.Pulled((b"x",), b""), "REC-7")


def test_what_is_pulled_is_of_the_ranges() -> None:
    """REC-12."""
    keys = [key.public_key for key in sorted(KEYS[:6], key=lambda key: key.public_key)]
    peers = [peer_id_of(key) for key in keys]
    ranges = (wire.Bounds(keys[1], keys[2]), wire.Bounds(keys[4], keys[5]))
    for good in (peers[1:2], peers[4:5], [peers[1], peers[4]]):
        order = Order(ranges)
        for peer in good:
            order.check(peer)
    for bad in (peers[:1], peers[3:4], peers[5:6], [peers[4], peers[1]]):
        order = Order(ranges)
        with pytest.raises(RemoteProtocolError, match="REC-12"):
            for peer in bad:
                order.check(peer)


def test_a_pull_goes_on_within_its_ranges() -> None:
    low, middle, high = sorted(KEYS[:3], key=lambda key: key.public_key)
    initiator = ReconcileInitiator(filled(1, {5: 0}), STREAM, Key(2).peer, Plan())
    initiator.step(inp.StreamReady(STREAM), NOW)
    ours = KEYS[5].public_key
    assert low.public_key < middle.public_key < ours < high.public_key
    after = ours[:-1] + bytes([ours[-1] + 1])
    bounds = [b"", low.public_key, middle.public_key, ours, after, high.public_key, b""]
    split = Split(tuple(part(one, other) for one, other in pairwise(bounds)))
    initiator.step(_frame(codec.encode(Compared(1, (split,)))), NOW)
    listing = Listing(ours, after, ())
    effects = initiator.step(_frame(codec.encode(Compared(1, (listing,)))), NOW)
    asked = codec.decode(wire.InitiatorMessage, _sent(effects), limit=10**6)
    assert [one.lower for one in asked.ranges] == [b"", *bounds[1:3], after, high.public_key]
    pulled = wire.Pulled((sealed(low),), middle.public_key[:1])
    effects = initiator.step(_frame(codec.encode(pulled)), NOW)
    asked = codec.decode(wire.InitiatorMessage, _sent(effects), limit=10**6)
    assert asked.ranges[0] == wire.Bounds(middle.public_key[:1], middle.public_key)
    assert [one.lower for one in asked.ranges[1:]] == [middle.public_key, after, high.public_key]


def _sent(effects: tuple[Effect, ...]) -> bytes:
    (payload,) = (effect.payload for effect in effects if isinstance(effect, fx.Send))
    return payload


def test_listing_out_of_the_range() -> None:
    comparison = Comparison(filled(1, dict.fromkeys(range(400), 0)))
    comparison.next_question()
    comparison.on_answer(Compared(1, (WHOLE,)), NOW)
    comparison.next_question()
    for upper, item in ((AT[9], AT[9]), (b"", AT[8])):
        lower = b"" if upper else AT[9]
        listing = Listing(lower, upper, (Held(item.ljust(32, b"\0"), 1),))
        with pytest.raises(RemoteProtocolError, match="REC-5"):
            comparison.on_answer(Compared(2, (listing,)), NOW)


def test_what_the_other_end_lacks_is_offered_without_asking_on() -> None:
    comparison = Comparison(filled(1, {0: 0, 1: 0}))
    comparison.next_question()
    empty = Split((part(b"", AT[9], 0), part(AT[9], b"", 0)))
    comparison.on_answer(Compared(1, (empty,)), NOW)
    assert comparison.next_question() is None
    assert sorted(comparison.have) == sorted(key.public_key for key in KEYS[:2])


def test_answers_keep_the_order_of_questions() -> None:
    comparison = Comparison(filled(1, {0: 0}))
    comparison.next_question()
    comparison.on_answer(Compared(1, (WHOLE,)), NOW)
    comparison.next_question()
    with pytest.raises(RemoteProtocolError, match="REC-4"):
        comparison.on_answer(Compared(2, (Listing(AT[9], b"", ()), Listing(b"", AT[9], ()))), NOW)


def split_evenly(one: Range, count: int) -> Split:
    low = int.from_bytes(one.lower.ljust(32, b"\0"), "big")
    high = int.from_bytes(one.upper.ljust(32, b"\0"), "big") if one.upper else 2**256
    cuts = [(low + (high - low) * n // count).to_bytes(32, "big") for n in range(1, count)]
    return Split(tuple(part(a, b) for a, b in pairwise([one.lower, *cuts, one.upper])))


@pytest.mark.parametrize(
    ("ways", "answered", "reason"),
    [(2, 1, "REC-8: too many rounds"), (16, 256, "REC-8: too many open ranges")],
)
def test_splitting_for_ever_ends(ways: int, answered: int, reason: str) -> None:
    comparison = Comparison(filled(1, dict.fromkeys(range(400), 0)))
    with pytest.raises(RemoteProtocolError, match=reason):
        for _ in range(limits.RECONCILE_ROUNDS_MAX + 1):
            asked = comparison.next_question()
            assert asked is not None
            ranges = asked.ranges[:answered]
            splits = tuple(split_evenly(one, ways) for one in ranges)
            comparison.on_answer(Compared(len(ranges), splits), NOW)
    assert OPEN_RANGES_MAX == 8192


def test_listing_what_one_does_not_hold_is_an_offence() -> None:
    """REC-9."""
    initiator = ReconcileInitiator(filled(1, {9: 0}), STREAM, Key(2).peer, Plan())
    initiator.step(inp.StreamReady(STREAM), NOW)
    items = tuple(Held(n.to_bytes(32, "big"), NOW) for n in range(1, 1000))
    frame = codec.encode(Compared(1, (Listing(b"", b"", items),)))
    for _ in range(EMPTY_BATCHES_MAX):
        assert isinstance(initiator.step(_frame(frame), NOW)[0], fx.Send)
        frame = codec.encode(wire.Records(()))
    effects = initiator.step(_frame(frame), NOW)
    assert isinstance(effects[0], fx.Penalize)
    assert effects[0].reason.startswith("REC-9")


def test_a_session_stops_at_its_bytes() -> None:
    initiator = ReconcileInitiator(filled(1, {9: 0}), STREAM, Key(2).peer, Plan())
    initiator.bytes_moved = SESSION_BYTES_MAX + 1
    assert initiator.step(inp.StreamReady(STREAM), NOW) == (fx.CloseStream(STREAM),)
    assert initiator.outcome is Outcome.DONE


def test_more_taken_than_offered() -> None:
    ours = filled(1, {0: 0})
    plan = Plan(compares=False, offer=(KEYS[0].public_key,))
    initiator = ReconcileInitiator(ours, STREAM, Key(2).peer, plan)
    initiator.step(inp.StreamReady(STREAM), NOW)
    effects = initiator.step(_frame(codec.encode(wire.Took(2))), NOW)
    assert isinstance(effects[0], fx.Penalize)
    assert effects[0].reason.startswith("REC-2")


def test_an_ended_or_failed_stream_ends_the_session() -> None:
    for last, effects in (
        (inp.StreamEnded(STREAM, True, ""), (fx.CloseStream(STREAM),)),
        (inp.StreamEnded(STREAM, False, "x"), ()),
        (inp.StreamFailed(STREAM, "x"), ()),
        (inp.ShutDown(), ()),
    ):
        initiator = ReconcileInitiator(filled(1, {9: 0}), STREAM, Key(2).peer, Plan())
        assert initiator.step(last, NOW) == effects
        assert initiator.outcome is (None if isinstance(last, inp.ShutDown) else Outcome.FAILED)


def responder() -> ReconcileResponder:
    return ReconcileResponder(filled(2, {0: 1}), STREAM, Key(1).peer, no_limit)


@pytest.mark.parametrize(
    ("frame", "rule"),
    [
        (b"", "REC-1"),
        (codec.encode(wire.Took(1)), "REC-1"),
        (codec.encode(wire.Compare((part(AT[2], AT[2]),))), "REC-3"),
        (codec.encode(wire.Compare((part(AT[2], AT[4]), part(AT[3], AT[5])))), "REC-3"),
        (codec.encode(wire.Compare((part(AT[2], b""), part(AT[3], AT[5])))), "REC-3"),
        (codec.encode(wire.Offered((b"x",))), "REC-7"),
    ],
)
def test_a_bad_question_is_an_offence(frame: bytes, rule: str) -> None:
    one = responder()
    blame, reset = one.step(_frame(frame), NOW)
    assert reset == fx.ResetStream(STREAM)
    assert isinstance(blame, fx.Penalize)
    assert blame.reason.startswith(rule)
    assert one.done


def test_an_equivocation_is_charged_to_its_signer() -> None:
    one = responder()
    double = sealed(KEYS[0], advertisement(NOW + 1000, offers=(offer("x"),)))
    offered = codec.encode(wire.Offered((double, RECORDS[1][1])))
    persist, blame, took = one.step(_frame(offered), UnixMs(NOW + 10_000))
    assert isinstance(persist, fx.Persist)
    assert isinstance(blame, fx.Penalize)
    assert (blame.peer, blame.offence) == (KEYS[0].peer, "equivocation")
    assert took == fx.Send(STREAM, codec.encode(wire.Took(1)))


def test_a_stream_of_questions_ends() -> None:
    """REC-8."""
    frames = [(codec.encode(wire.Fetch((bytes(32),))), FRAMES_MAX)]
    frames.append((codec.encode(wire.Compare((part(b"", b""),))), limits.RECONCILE_ROUNDS_MAX))
    for frame, allowed in frames:
        one = responder()
        for _ in range(allowed):
            assert isinstance(one.step(_frame(frame), NOW)[0], fx.Send)
        blame, _ = one.step(_frame(frame), NOW)
        assert isinstance(blame, fx.Penalize)
        assert blame.reason.startswith("REC-8")


def test_a_responder_stops_at_its_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    """REC-8."""
    monkeypatch.setattr("p2p_modelex.core.directory.responder.SESSION_BYTES_MAX", 100)
    one = responder()
    frame = codec.encode(wire.Pull((wire.Bounds(b"", b""),)))
    assert isinstance(one.step(_frame(frame), NOW)[0], fx.Send)
    blame, _ = one.step(_frame(frame), NOW)
    assert isinstance(blame, fx.Penalize)
    assert blame.reason.startswith("REC-8")


def test_the_responder_closes_what_ended_cleanly() -> None:
    assert responder().step(inp.StreamEnded(STREAM, True, ""), NOW) == (fx.CloseStream(STREAM),)
    assert responder().step(inp.StreamEnded(STREAM, False, ""), NOW) == ()
    assert responder().step(inp.ShutDown(), NOW) == ()


@given(st.binary(max_size=300), st.booleans())
def test_any_frame_is_answered_or_blamed(frame: bytes, asks: bool) -> None:
    machine: ReconcileInitiator | ReconcileResponder = responder()
    if asks:
        machine = ReconcileInitiator(filled(1, {9: 0}), STREAM, Key(2).peer, Plan())
        machine.step(inp.StreamReady(STREAM), NOW)
    kinds = fx.Send | fx.Penalize | fx.ResetStream | fx.CloseStream | fx.Persist
    assert all(isinstance(effect, kinds) for effect in machine.step(_frame(frame), NOW))


@settings(max_examples=80)
@given(st.randoms(use_true_random=False))
def test_any_well_formed_answer_is_taken_or_blamed(rng: random.Random) -> None:
    def bound() -> bytes:
        return rng.choice([b"", *AT[:6]])

    def item() -> Split | Listing:
        if rng.random() < 0.5:
            count = rng.randrange(2, 5)
            return Split(tuple(part(bound(), bound(), rng.randrange(2)) for _ in range(count)))
        held = tuple(Held(bound().ljust(32, b"\0"), NOW) for _ in range(rng.randrange(4)))
        return Listing(bound(), bound(), held)

    comparison = Comparison(filled(1, {0: 0, 1: 1}))
    with suppress(RemoteProtocolError):
        while comparison.next_question() is not None:
            answer = Compared(rng.randrange(4), tuple(item() for _ in range(rng.randrange(3))))
            comparison.on_answer(answer, NOW)
