"""The provider's end alone: refusals, windows, timers, endings."""

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
    Finished,
    Pay,
    ProviderMessage,
    Quoted,
    Refused,
    Request,
    Started,
)
from p2p_modelex.records.receipt import Finish
from p2p_modelex.records.rows import JobRow, ReceivedVoucherRow
from p2p_modelex.records.voucher import SignedVoucher, Voucher
from p2p_modelex.units import Epoch, UnixMs, Wei
from tests.core.exchange.cases import JOB, build_accept, build_order, build_voucher
from tests.core.exchange.pair import (
    CHANNEL,
    CHANNELS,
    CHAT,
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


class Counter(Pair):
    """A provider whose requester is this test."""

    def send(self, *messages: object) -> None:
        for message in messages:
            self.to_provider(given.FrameReceived(P_STREAM, codec.encode(message)))
            self._count()

    def received(self) -> list[ProviderMessage]:
        frames = [f for f in self.r.inbox if isinstance(f, bytes)]
        self.r.inbox.clear()
        return [codec.decode(ProviderMessage, frame, limit=10**6) for frame in frames]

    def admit(self) -> None:
        self.to_provider(given.EngineStarted(JOB, self.prompt_tokens))

    def run(self) -> None:
        """Until Started went out."""
        self.to_provider(given.TimerFired(fx.TimerId("other")))
        self.carry(self.p, self.r, self.provider.start(self.now))
        self.send(build_order())
        self.admit()
        assert isinstance(self.received()[-1], Started)

    def last_state(self) -> str:
        return [row.state for row in self.p.rows if isinstance(row, JobRow)][-1]


UNOPENED = msgspec.structs.replace(TERMS, salt=b"x" * 32)
_UNKNOWN = build_voucher(channel=compute_id(UNOPENED, CHANNELS))


def changed(**changes: object) -> Request:
    return msgspec.structs.replace(REQUEST, **changes)


@pytest.mark.parametrize(
    ("order", "code"),
    [
        (build_order(changed(model="other")), "unknown_model"),
        (build_order(changed(weights=b"o" * 32)), "unknown_model"),
        (build_order(changed(kind="score")), "unsupported"),
        (build_order(changed(max_tokens=1025)), "unsupported"),
        (build_order(changed(grammar="root ::= x")), "unsupported"),
        (build_order(changed(text="x" * (32 * 4096 + 1))), "prompt_too_long"),
        (build_order(prompt_price=Wei(1)), "price_changed"),
        (build_order(completion_price=Wei(11)), "price_changed"),
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


def test_output_is_held_back_until_it_is_paid() -> None:
    """EXC-9: 80 wei of window, 10 of them for the prompt: 7 tokens, then a voucher."""
    counter = Counter()
    counter.run()
    for _ in range(10):
        counter.produce("x")
        counter.now = UnixMs(counter.now + 50)
    assert [chunk.tokens for chunk in counter.received()] == list(range(1, 8))  # type: ignore[union-attr]
    counter.send(Pay(JOB, build_voucher(5)))
    assert counter.received() == []
    counter.send(Pay(JOB, build_voucher(30)))
    assert isinstance(counter.p.rows[-1], ReceivedVoucherRow)
    assert [chunk.tokens for chunk in counter.received()] == [10]  # type: ignore[union-attr]


def test_a_piece_over_the_window_is_billed_in_parts() -> None:
    """EXC-10."""
    counter = Counter()
    counter.run()
    counter.produce("twenty", 20)
    assert counter.received() == [Chunk(JOB, 0, "", 7)]
    counter.send(Pay(JOB, build_voucher(80)))
    assert counter.received() == [Chunk(JOB, 1, "", 15)]
    counter.send(Pay(JOB, build_voucher(160)))
    assert counter.received() == [Chunk(JOB, 2, "twenty", 20)]


def test_chunks_are_coalesced() -> None:
    """EXC-10."""
    counter = Counter()
    counter.run()
    for word in ("a", "b", "c"):
        counter.produce(word)
    assert counter.received() == [Chunk(JOB, 0, "a", 1)]
    counter.fire(counter.p, "chunk")
    assert counter.received() == [Chunk(JOB, 1, "bc", 3)]
    counter.produce("d" * 256)
    assert counter.received() == [Chunk(JOB, 2, "d" * 256, 4)]
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


def test_an_unpaid_job_stops_and_leaves_a_debt() -> None:
    """EXC-9, EXC-15."""
    counter = Counter()
    counter.run()
    counter.produce("x", 20)
    counter.produce("y", 1)
    counter.elapse(counter.p, "serve")
    assert counter.received()[-1].code == "unpaid"  # type: ignore[union-attr]
    assert counter.payee.get_debt(CHANNEL) == 80
    assert counter.p.penalties[0].offence == "unpaid"
    again = Counter(payee=counter.payee)
    again.send(build_order())
    (refused,) = again.received()
    assert (refused.code, refused.reason) == ("debt", "earned=80")  # type: ignore[union-attr]


@pytest.mark.parametrize("is_silent", [True, False])
def test_a_failing_engine_is_forgiven(is_silent: bool) -> None:
    """EXC-14, EXC-15."""
    counter = Counter()
    counter.run()
    counter.produce("x", 2)
    if is_silent:
        counter.elapse(counter.p, "serve")
    else:
        counter.to_provider(given.EngineFailed(JOB, "engine", "crash", 0))
    failed = counter.received()[-1]
    assert isinstance(failed, Failed)
    assert failed.code == ("timeout" if is_silent else "engine")
    assert counter.payee.get_debt(CHANNEL) == 0


def test_cancel_ends_with_what_the_window_lets_out() -> None:
    """EXC-12."""
    counter = Counter()
    counter.run()
    counter.produce("a")
    counter.produce("b", 20)
    counter.send(Cancel(JOB))
    sent = counter.received()
    assert isinstance(sent[-1], Finished)
    made = sent[-1].receipt.receipt
    assert (made.finish, made.completion_tokens, made.price) == (Finish.CANCELLED, 7, 80)
    counter.to_provider(given.EngineFinished(JOB, Finish.CANCELLED, 5, 9))
    counter.send(Cancel(JOB), Pay(JOB, build_voucher(80)))
    counter.to_provider(given.StreamEnded(P_STREAM, clean=True, reason=""))
    assert counter.last_state() == "paid"
    assert counter.payee.get_debt(CHANNEL) == 0


def test_a_receipt_that_is_not_paid_is_a_debt() -> None:
    """EXC-13."""
    counter = Counter()
    counter.run()
    counter.produce("a")
    counter.produce("b")
    counter.finish(3)
    assert isinstance(counter.received()[-1], Finished)
    counter.fire(counter.p, "serve")
    counter.elapse(counter.p, "serve")
    assert counter.last_state() == "unpaid"
    assert counter.payee.get_debt(CHANNEL) == 40
    assert counter.p.penalties[0].reason.startswith("EXC-13")


def test_a_lost_receipt_stream() -> None:
    counter = Counter()
    counter.run()
    counter.finish(0)
    counter.to_provider(given.StreamEnded(P_STREAM, clean=False, reason=""))
    assert counter.r.inbox[-1] is False


def test_a_bad_voucher_breaks_the_job_off() -> None:
    """EXC-8: what was delivered stays owed."""
    counter = Counter()
    counter.run()
    counter.produce("a")
    counter.send(Pay(JOB, build_voucher(5, signer=STRANGER)))
    assert counter.p.penalties[0].reason.startswith("EXC-8: bad_voucher: LED-8")
    assert fx.StopGenerating(JOB) in counter.p.asked
    assert counter.payee.get_debt(CHANNEL) == 20


def test_another_job_on_the_stream_breaks_it_off() -> None:
    """EXC-3."""
    counter = Counter()
    counter.run()
    counter.send(Cancel(b"o" * 16))
    assert counter.p.penalties[0].reason.startswith("EXC-3")


def test_free_models_need_no_vouchers() -> None:
    offer = msgspec.structs.replace(OFFER, prompt_price=Wei(0), completion_price=Wei(0))
    counter = Counter(seller=build_seller(offer))
    counter.send(build_order(prompt_price=Wei(0), completion_price=Wei(0)))
    counter.admit()
    counter.produce("x", 64)
    assert counter.received()[-1] == Chunk(JOB, 0, "x", 64)


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
