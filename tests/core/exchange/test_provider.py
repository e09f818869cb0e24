"""The provider's end alone: refusals, timers, chunks."""

from typing import Any

import msgspec
import pytest

from p2p_modelex.core import effects as fx
from p2p_modelex.core import inputs as given
from p2p_modelex.core.exchange import parameters
from p2p_modelex.ids import ChannelId
from p2p_modelex.records import codec
from p2p_modelex.records.channel import compute_id
from p2p_modelex.records.job import (
    Ask,
    Cancel,
    Chunk,
    Failed,
    Pay,
    Quoted,
    Refused,
)
from p2p_modelex.records.voucher import SignedVoucher, Voucher
from p2p_modelex.units import Epoch, UnixMs, Wei
from tests.core.exchange.cases import JOB, build_accept, build_order, build_voucher
from tests.core.exchange.counter import Counter, changed
from tests.core.exchange.pair import (
    CHANNEL,
    CHANNELS,
    CHAT,
    NOW,
    OFFER,
    P_STREAM,
    REQUEST,
    STATE,
    STRANGER,
    TERMS,
    WAIT_MS,
    Pair,
    build_jobs,
    build_payee,
    build_seller,
)

UNOPENED = msgspec.structs.replace(TERMS, salt=b"x" * 32)
_UNKNOWN = build_voucher(channel=compute_id(UNOPENED, CHANNELS))


@pytest.mark.parametrize(
    ("order", "code"),
    [
        (build_order(changed(model="other")), "unknown_model"),
        (build_order(changed(weights=b"o" * 32)), "unknown_model"),
        (build_order(changed(kind="score")), "unsupported"),
        (build_order(changed(max_tokens=1025)), "unsupported"),
        (build_order(changed(grammar="root ::= x")), "unsupported"),
        (build_order(changed(logprobs=1)), "unsupported"),
        (build_order(changed(text="x" * (32 * 4096 + 1))), "prompt_too_long"),
        (build_order(prompt_price=Wei(1)), "price_changed"),
        (build_order(completion_price=Wei(9)), "price_changed"),
        (build_order(max_cost=Wei(649)), "over_ceiling"),
        (build_order(terms=UNOPENED.of_payer, voucher=_UNKNOWN), "no_channel"),
        (build_order(voucher=_UNKNOWN), "bad_voucher"),
        (build_order(terms=UNOPENED.of_payer), "bad_voucher"),
        (build_order(voucher=build_voucher(signer=STRANGER)), "bad_voucher"),
    ],
)
def test_an_order_is_refused(order: object, code: str) -> None:
    """EXC-6, EXC-8: refused with a code, closed in good order; only a bad voucher costs more."""
    counter = Counter()
    counter.send(order)
    for asked in counter.p.asked:
        if isinstance(asked, fx.FetchChannel):
            counter.to_provider(given.ChannelFetched(asked.channel, None))
    (refused,) = counter.received()
    assert isinstance(refused, Refused)
    assert refused.code == code
    assert counter.provider.is_over
    is_bad = code == "bad_voucher"
    assert [one.offence for one in counter.p.penalties] == ["bad_voucher"] * is_bad


def test_an_order_at_more_than_is_asked_is_served_at_what_it_names() -> None:
    """EXC-6: its requester has an older, dearer advertisement."""
    counter = Counter()
    counter.send(build_order(completion_price=Wei(11), max_cost=Wei(10**4)))
    assert counter.has_generate
    assert counter.provider.job is not None


@pytest.mark.parametrize(
    ("since", "change", "is_served"),
    [
        (0, {}, True),
        (parameters.PRICES_HELD_MS, {}, True),
        (parameters.PRICES_HELD_MS + 1, {}, False),
        (0, {"weights": b"o" * 32}, False),
        (0, {"prompt_price": Wei(3)}, False),
    ],
)
def test_prices_are_held_for_a_while(since: int, change: dict[str, Any], is_served: bool) -> None:
    """EXC-6: of what is sold still, and each price by itself."""
    former = build_seller(msgspec.structs.replace(OFFER, **change))
    dearer = build_seller(msgspec.structs.replace(OFFER, completion_price=Wei(20)))
    replaced_at = UnixMs(NOW - since)
    counter = Counter(seller=former.give_way(dearer, replaced_at))
    counter.send(build_order())
    assert counter.has_generate is is_served


def test_prices_of_many_advertisements_are_held_and_old_ones_dropped() -> None:
    seller = build_seller(OFFER)
    for second in range(100):
        seller = seller.give_way(build_seller(OFFER), UnixMs(NOW + 1000 * second))
    assert len(seller.former) == parameters.FORMER_MAX
    later = seller.give_way(build_seller(OFFER), UnixMs(NOW + 10**6))
    assert len(later.former) == 1


def test_a_pinned_model_is_served() -> None:
    counter = Counter()
    counter.send(build_order(changed(weights=OFFER.weights)))
    assert counter.has_generate


def test_what_runs_are_the_weights_of_the_receipt() -> None:
    """EXC-6: the engine may have others by then, and must not run them in their place."""
    counter = Counter()
    counter.send(build_order())
    (run,) = [asked for asked in counter.p.asked if isinstance(asked, fx.Generate)]
    assert run.request == changed(weights=OFFER.weights)


def test_a_schema_and_a_grammar_are_features_apart() -> None:
    """EXC-6."""
    offer = msgspec.structs.replace(OFFER, features=("json_schema",))
    for schema in ('{"type": "null"}', ' {"a": 1}', "{"):
        counter = Counter(seller=build_seller(offer))
        counter.send(build_order(changed(grammar=schema)))
        assert counter.has_generate
    counter = Counter(seller=build_seller(offer))
    counter.send(build_order(changed(grammar='root ::= "{"')))
    assert counter.received()[-1].code == "unsupported"  # type: ignore[union-attr]


def test_a_prompt_that_does_not_fit_is_refused() -> None:
    counter = Counter(prompt_tokens=4096 - 63)
    counter.send(build_order(max_cost=Wei(10**9)))
    assert counter.received()[-1].code == "prompt_too_long"  # type: ignore[union-attr]


def test_an_unknown_channel_is_looked_up_once() -> None:
    """EXC-8."""
    counter = Counter(payee=build_payee(None))
    counter.send(build_order())
    counter.to_provider(given.ChannelFetched(ChannelId(b"z" * 32), None))
    assert not counter.has_generate
    counter.payee.note_channel(STATE)
    counter.to_provider(given.ChannelFetched(CHANNEL, STATE))
    assert counter.has_generate


def test_a_job_is_not_taken_twice_and_not_too_many() -> None:
    """EXC-7."""
    jobs = build_jobs(limit=1)
    first, second = Counter(jobs=jobs), Counter(jobs=jobs)
    first.send(build_order())
    second.send(build_order())
    refused = second.received()[-1]
    assert isinstance(refused, Refused)
    assert (refused.code, refused.retry_after_ms) == ("busy", WAIT_MS)
    first.to_provider(given.StreamEnded(P_STREAM, clean=False, reason=""))
    assert first.last_state() == "lost"
    third = Counter(jobs=jobs)
    third.send(build_order())
    assert third.has_generate


@pytest.mark.parametrize("is_quoted", [True, False])
def test_a_leaving_node_refuses(is_quoted: bool) -> None:
    """EXC-7."""
    counter = Counter()
    if is_quoted:
        counter.send(Ask(JOB, REQUEST))
        counter.received()
    counter.to_provider(given.ShutDown())
    counter.send(build_accept() if is_quoted else build_order())
    assert counter.received()[-1].code == "shutting_down"  # type: ignore[union-attr]


def test_a_leaving_node_finishes_what_runs() -> None:
    counter = Counter()
    counter.run()
    counter.to_provider(given.ShutDown())
    counter.produce("x")
    assert isinstance(counter.received()[-1], Chunk)


def test_a_quote_binds_for_its_time() -> None:
    """EXC-5."""
    late, wrong, silent = Counter(), Counter(), Counter()
    for counter in (late, wrong, silent):
        counter.send(Ask(JOB, CHAT))
        (quoted,) = counter.received()
        assert isinstance(quoted, Quoted)
    accept = build_accept(late.provider._sale.quote_digest)  # type: ignore[union-attr,arg-type]
    late.now = UnixMs(late.now + parameters.QUOTE_VALID_MS + 1)
    late.send(accept)
    assert late.received()[-1].code == "quote_expired"  # type: ignore[union-attr]
    wrong.send(build_accept())
    assert wrong.p.penalties[0].reason.startswith("EXC-5")
    silent.elapse(silent.p, "wait")
    assert silent.received()[-1].code == "quote_expired"  # type: ignore[union-attr]


def test_silence_before_the_start_ends() -> None:
    """EXC-14."""
    counter = Counter()
    counter.carry(counter.p, counter.r, counter.provider.start(counter.now))
    counter.elapse(counter.p, "wait")
    assert counter.p.penalties[0].offence == "stalled"
    slow = Counter()
    slow.carry(slow.p, slow.r, slow.provider.start(slow.now))
    slow.send(build_order())
    slow.elapse(slow.p, "wait")
    assert slow.received()[-1].code == "busy"  # type: ignore[union-attr]
    assert fx.StopGenerating(JOB) in slow.p.asked
    assert slow.last_state() == "failed"
    assert slow.provider.step(given.ShutDown(), slow.now) == []


def test_the_answer_is_due_from_the_order_on() -> None:
    """EXC-14: what the job waited for meanwhile does not put it off."""
    counter = Counter()
    counter.carry(counter.p, counter.r, counter.provider.start(counter.now))
    due = counter.now + parameters.ANSWER_TIMEOUT_MS
    counter.to_provider(given.FrameReceived(P_STREAM, codec.encode(build_order())))
    counter.now = UnixMs(counter.now + 50_000)
    counter.provider.step(given.TokensCounted(JOB, 4), counter.now)
    wait = given.TimerFired(counter.provider._deadline.timer)
    refused = counter.provider.step(wait, UnixMs(due))
    assert any(isinstance(one, fx.CloseStream) for one in refused)


@pytest.mark.parametrize("is_in_line", [True, False])
def test_a_job_is_withdrawn_before_it_starts(is_in_line: bool) -> None:
    """EXC-31."""
    counter = Counter()
    counter.carry(counter.p, counter.r, counter.provider.start(counter.now))
    frames = [codec.encode(build_order()), codec.encode(Cancel(JOB))]
    counter.to_provider(given.FrameReceived(P_STREAM, frames[0]))
    if is_in_line:
        counter.pump()
        assert counter.has_generate
    counter.to_provider(given.FrameReceived(P_STREAM, frames[1]))
    (refused,) = counter.received()
    assert isinstance(refused, Refused)
    assert (refused.code, refused.retry_after_ms) == ("withdrawn", 0)
    assert counter.payee.get_debt(CHANNEL) == 0
    assert counter.provider.is_over


def test_who_waits_no_longer_is_not_served() -> None:
    """EXC-32."""
    counter = Counter()
    counter.carry(counter.p, counter.r, counter.provider.start(counter.now))
    counter.send(build_order(deadline_ms=2_000))
    assert counter.p.timers[counter.provider._deadline.timer] == counter.now + 2_000
    counter.elapse(counter.p, "wait")
    (refused,) = counter.received()
    assert isinstance(refused, Refused)
    assert refused.code == "deadline"


@pytest.mark.parametrize(
    ("code", "expected"),
    [("busy", "busy"), ("prompt_too_long", "prompt_too_long"), ("engine", "busy")],
)
def test_an_engine_that_will_not_start_is_a_refusal(code: str, expected: str) -> None:
    counter = Counter()
    counter.send(build_order())
    counter.to_provider(given.EngineFailed(JOB, code, "no", 2**40))
    (refused,) = counter.received()
    assert isinstance(refused, Refused)
    assert (refused.code, refused.retry_after_ms) == (expected, 2**32 - 1)


def test_early_engine_words_are_ignored() -> None:
    counter = Counter()
    counter.to_provider(given.StreamEnded(P_STREAM, clean=True, reason=""))
    assert counter.provider.is_over
    other = Counter()
    other.send(Ask(JOB, REQUEST))
    other.produce("x")
    other.admit()
    other.to_provider(given.TokensCounted(JOB, 9))
    assert len(other.received()) == 1


def test_chunks_are_coalesced() -> None:
    """EXC-10."""
    counter = Counter()
    counter.run()
    for word in ("a", "b", "c"):
        counter.produce(word)
    assert counter.received() == [Chunk(JOB, 0, "a", 1, ())]
    counter.fire(counter.p, "chunk")
    assert counter.received() == [Chunk(JOB, 1, "bc", 3, ())]
    counter.produce("d" * 256)
    assert counter.received() == [Chunk(JOB, 2, "d" * 256, 4, ())]
    counter.produce("", 0)
    assert "exchange/3/chunk" not in counter.p.timers


def test_long_text_is_split_and_endless_text_is_cut() -> None:
    """EXC-11."""
    counter = Counter()
    counter.run()
    counter.produce("\u00e9" * 20_000, 1)
    chunks = counter.received()
    assert [len(chunk.text) for chunk in chunks] == [8192, 8192, 3616]  # type: ignore[union-attr]
    assert [chunk.tokens for chunk in chunks] == [0, 0, 1]  # type: ignore[union-attr]
    counter.produce("\u00e9" * 20_000, 1)
    (failed,) = counter.received()
    assert isinstance(failed, Failed)
    assert failed.code == "engine"


def test_a_bad_voucher_breaks_the_job_off() -> None:
    """EXC-8: what was delivered stays owed."""
    counter = Counter()
    counter.run()
    counter.produce("a")
    counter.send(Pay(JOB, build_voucher(5, signer=STRANGER)))
    assert counter.p.penalties[0].reason.startswith("EXC-8: bad_voucher: LED-8")
    assert fx.StopGenerating(JOB) in counter.p.asked
    assert counter.payee.get_debt(CHANNEL) == 20


def test_a_voucher_over_the_deposit_that_is_known_blames_nobody() -> None:
    """EXC-8: the payer has topped up, and the chain was out of reach when the provider looked."""
    counter = Counter(payee=build_payee(msgspec.structs.replace(STATE, deposit=Wei(100))))
    counter.carry(counter.p, counter.r, counter.provider.start(counter.now))
    counter.send(build_order())
    counter.to_provider(given.ChannelFetched(CHANNEL, None))
    counter.admit()
    counter.produce("a")
    counter.send(Pay(JOB, build_voucher(101)))
    assert counter.p.penalties == []
    assert not counter.provider.is_over
    counter.payee.note_channel(STATE)
    counter.send(Pay(JOB, build_voucher(101)))
    assert counter.payee.get_paid(JOB) == 101


def test_another_job_on_the_stream_breaks_it_off() -> None:
    """EXC-3."""
    counter = Counter()
    counter.run()
    counter.send(Cancel(b"o" * 16))
    assert counter.p.penalties[0].reason.startswith("EXC-3")


def test_a_prompt_has_a_bound_in_bytes() -> None:
    """EXC-4."""
    counter = Counter()
    counter.send(Ask(JOB, changed(text="\u00e9" * 100_000)))
    assert counter.p.penalties[0].reason.startswith("EXC-4")


def test_timers_that_moved_or_are_not_ours() -> None:
    counter = Counter()
    counter.run()
    counter.now = UnixMs(counter.now + 10)
    counter.produce("x")
    assert counter.to_provider(given.TimerFired(fx.TimerId("exchange/3/other"))) == []
    counter.fire(counter.p, "serve")
    assert "exchange/3/serve" in counter.p.timers
    assert not counter.provider.is_over


def test_numbers_are_finite() -> None:
    counter = Counter()
    counter.send(Ask(JOB, changed(temperature=float("nan"))))
    assert counter.p.penalties


def test_a_provider_looks_again_when_its_view_of_the_deposit_may_be_too_small() -> None:
    """EXC-8: a payer that topped its channel up is not broken off in mid-job."""
    old = msgspec.structs.replace(STATE, deposit=Wei(100))
    pair = Pair(payee=build_payee(old))
    pair.start()
    pair.pump()
    assert pair.p.asked == [fx.FetchChannel(CHANNEL, TERMS)]
    pair.p.asked.clear()
    pair.payee.note_channel(STATE)
    pair.to_provider(given.ChannelFetched(CHANNEL, STATE))
    assert pair.has_generate


def test_a_channel_of_a_later_epoch_is_not_called_short() -> None:
    """The deposit is half the number in the epoch of the job."""
    payee = build_payee(msgspec.structs.replace(STATE, epoch=1))
    signed = SignedVoucher(Voucher(CHANNEL, 0, Wei(1), 0), bytes(65))
    assert not payee.is_short(signed, Epoch(0), Wei(4_999))
    assert payee.is_short(signed, Epoch(0), Wei(5_000))
