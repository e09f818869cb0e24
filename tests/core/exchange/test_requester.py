"""The requester's end alone: its limits, its doubts, and how its jobs end."""

from dataclasses import replace
from typing import Any

import msgspec
import pytest

from p2p_modelex.core import effects as fx
from p2p_modelex.core import inputs as given
from p2p_modelex.core.exchange import parameters
from p2p_modelex.core.exchange.sale import compute_request_digest
from p2p_modelex.core.exchange.terms import Purchase
from p2p_modelex.core.ledger.payer import PayerLedger
from p2p_modelex.core.ledger.seat import Seat
from p2p_modelex.errors import BadInput
from p2p_modelex.records import codec, envelope
from p2p_modelex.records.embedding import encode_vector
from p2p_modelex.records.job import (
    Accept,
    Ask,
    Cancel,
    Chunk,
    Failed,
    Order,
    Pay,
    Refused,
    RequesterMessage,
    Started,
)
from p2p_modelex.records.receipt import Finish
from p2p_modelex.records.rows import ChannelRow, IssuedVoucherRow, JobRow
from p2p_modelex.units import Epoch, UnixMs, Wei
from tests.core.exchange.cases import (
    CHUNKS,
    JOB,
    STARTED,
    build_finished,
    build_quote,
)
from tests.core.exchange.pair import (
    CHANNEL,
    CHANNELS,
    CHAT,
    NOW,
    OFFER,
    PAYER,
    PROVIDER_KEY,
    R_STREAM,
    REQUEST,
    STATE,
    Pair,
    build_purchase,
)


class Buyer(Pair):
    """A requester whose provider is this test."""

    def begin(self) -> None:
        self.carry(self.r, self.p, self.requester.start(self.now))

    def send(self, *messages: object) -> None:
        for message in messages:
            self.to_requester(given.FrameReceived(R_STREAM, codec.encode(message)))

    def received(self) -> list[RequesterMessage]:
        frames = [f for f in self.p.inbox if isinstance(f, bytes)]
        self.p.inbox.clear()
        return [codec.decode(RequesterMessage, frame, limit=10**6) for frame in frames]

    def ended(self) -> fx.RunFailed:
        failed = self.r.events[-1]
        assert isinstance(failed, fx.RunFailed)
        assert self.requester.is_over
        assert self.requester.step(given.CancelRun(JOB), self.now) == []
        return failed


def begun(purchase: Purchase | None = None) -> Buyer:
    buyer = Buyer(purchase)
    buyer.begin()
    return buyer


@pytest.mark.parametrize(
    ("change", "words"),
    [({"max_window": Wei(79)}, "ahead"), ({"max_cost": Wei(639)}, "may cost")],
)
def test_terms_over_our_limits_are_not_even_tried(change: dict[str, Wei], words: str) -> None:
    buyer = begun(build_purchase(**change))
    failed = buyer.ended()
    assert (failed.code, failed.refused) == ("over_ceiling", True)
    assert words in failed.reason
    assert buyer.received() == []
    assert not buyer.r.rows


def test_a_dial_that_fails_frees_the_lane() -> None:
    buyer = Buyer()
    buyer.carry(buyer.r, buyer.p, buyer.requester.abandon("dial", "no route", NOW))
    assert buyer.ended().code == "dial"
    assert buyer.payer.get_left(CHANNEL, Epoch(0)) == 10_000


def test_a_prompt_that_might_be_dear_is_asked_about() -> None:
    """The window limit allows the credit but not every plausible prompt."""
    buyer = begun(build_purchase(max_window=Wei(100)))
    assert isinstance(buyer.received()[0], Ask)
    chat = begun(build_purchase(request=CHAT))
    assert isinstance(chat.received()[0], Order)


@pytest.mark.parametrize(
    ("changes", "limits"),
    [
        ({"prompt_tokens": 60, "window": Wei(120)}, {"max_window": Wei(100)}),
        ({"prompt_tokens": 31}, {"max_cost": Wei(700)}),
    ],
)
def test_a_quote_over_our_limits_is_not_accepted(
    changes: dict[str, Any], limits: dict[str, Wei]
) -> None:
    buyer = begun(build_purchase(is_fast=False, **limits))
    buyer.send(build_quote(**changes))
    failed = buyer.ended()
    assert (failed.code, failed.refused) == ("over_ceiling", True)
    assert not buyer.r.penalties


def test_a_quote_that_comes_late_is_nobodys_fault() -> None:
    """EXC-5: as refused, and the promise that a quote would have brought is not made."""
    buyer = begun(build_purchase(is_fast=False))
    buyer.send(build_quote(valid_until=NOW - 1))
    failed = buyer.ended()
    assert (failed.code, failed.refused) == ("quote_expired", True)
    assert not buyer.r.penalties
    assert not buyer.r.rows


@pytest.mark.parametrize("price", [{"prompt_price": Wei(3)}, {"completion_price": Wei(11)}])
def test_a_quote_over_an_older_advertisement_is_nobodys_fault(price: dict[str, Any]) -> None:
    """EXC-5: prices may have changed since; it is as refused."""
    buyer = begun(build_purchase(is_fast=False))
    buyer.send(build_quote(**price))
    failed = buyer.ended()
    assert (failed.code, failed.refused) == ("price_changed", True)
    assert not buyer.r.penalties


def test_a_job_may_not_cost_more_than_was_allowed() -> None:
    """EXC-6."""
    buyer = begun(build_purchase(max_cost=Wei(645)))
    buyer.send(STARTED)
    assert buyer.ended().reason.startswith("EXC-6")


def test_text_without_end_is_cut() -> None:
    """EXC-11."""
    buyer = begun()
    buyer.send(STARTED, *(Chunk(JOB, i, "x" * 16_000, 1, ()) for i in range(5)))
    assert buyer.ended().reason.startswith("EXC-11")


def test_a_drip_without_tokens_is_cut() -> None:
    """EXC-10: a character at a time would keep a job open for as long as the provider likes."""
    buyer = begun()
    buyer.send(STARTED, *(Chunk(JOB, at, "x", 1, ()) for at in range(parameters.CHUNKS_SLACK + 3)))
    assert buyer.ended().reason.startswith("EXC-10")


def test_a_drip_of_tokens_is_silence() -> None:
    """EXC-14: a token just before each timeout would hold a request for hours."""
    buyer = begun()
    buyer.send(STARTED, Chunk(JOB, 0, "x", 1, ()))
    for index in range(1, parameters.PACE_TOKENS):
        buyer.now = UnixMs(buyer.now + parameters.IDLE_TIMEOUT_MS // parameters.PACE_TOKENS)
        buyer.send(Chunk(JOB, index, "x", index + 1, ()))
    buyer.fire(buyer.r, "wait")
    assert buyer.now == NOW + parameters.IDLE_TIMEOUT_MS
    assert buyer.ended().code == "timeout"


def test_a_long_prompt_takes_nothing_from_the_pace() -> None:
    """EXC-14: it is read for almost a minute, and the other tokens come as fast as they must."""
    buyer = begun()
    buyer.send(STARTED)
    buyer.now = UnixMs(NOW + parameters.IDLE_TIMEOUT_MS - 1)
    buyer.send(Chunk(JOB, 0, "x", 1, ()))
    buyer.fire(buyer.r, "wait")
    assert not buyer.requester.is_over
    buyer.fire(buyer.r, "wait")
    assert buyer.now == NOW + 2 * parameters.IDLE_TIMEOUT_MS - 1
    assert buyer.ended().code == "timeout"


def test_who_keeps_the_pace_is_waited_for() -> None:
    """EXC-14."""
    buyer, pace = begun(), parameters.PACE_TOKENS
    buyer.send(STARTED)
    buyer.now = UnixMs(NOW + parameters.IDLE_TIMEOUT_MS // 2)
    buyer.send(Chunk(JOB, 0, "x" * pace, pace, ()))
    buyer.fire(buyer.r, "wait")
    assert not buyer.requester.is_over
    buyer.fire(buyer.r, "wait")
    assert buyer.now == NOW + parameters.IDLE_TIMEOUT_MS * 3 // 2
    assert buyer.ended().code == "timeout"


def test_tokens_without_text_are_not_paid_for() -> None:
    """EXC-11: a token shows a byte, but for a few."""
    request = msgspec.structs.replace(CHAT, max_tokens=400)
    offer = msgspec.structs.replace(OFFER, credit_tokens=1000)
    rich = Wei(5_000)
    terms = build_purchase(request=request, offer=offer, max_cost=rich, max_window=rich)
    buyer = begun(terms)
    buyer.send(Started(JOB, 5, Wei(500)), Chunk(JOB, 0, "x" * 44, parameters.TOKENS_SLACK + 44, ()))
    assert not buyer.requester.is_over
    buyer.send(Chunk(JOB, 1, "", parameters.TOKENS_SLACK + 45, ()))
    assert buyer.ended().reason.startswith("EXC-11")


def test_payment_follows_at_half_the_window() -> None:
    """EXC-9: the window is 80."""
    buyer = begun()
    buyer.send(STARTED, Chunk(JOB, 0, "a", 2, ()))
    assert [type(m) for m in buyer.received()] == [Order]
    buyer.send(Chunk(JOB, 1, "b", 3, ()))
    (pay,) = buyer.received()
    assert isinstance(pay, Pay)
    assert pay.voucher.voucher.amount == 40
    assert buyer.r.rows.index(IssuedVoucherRow(pay.voucher)) >= 0
    buyer.send(Chunk(JOB, 2, "", 4, ()))
    assert len([e for e in buyer.r.events if isinstance(e, fx.RunText)]) == 2


def test_a_refusal_frees_the_lane() -> None:
    """EXC-7."""
    buyer = begun()
    buyer.send(Refused(JOB, "busy", "later", 7))
    failed = buyer.ended()
    assert (failed.code, failed.refused, failed.retry_after_ms) == ("busy", True, 7)
    assert buyer.payer.get_left(CHANNEL, Epoch(0)) == 10_000


def test_who_cannot_take_all_of_a_deposit_is_ordered_no_more_of_than_its_share() -> None:
    """FRM-15."""
    buyer = begun()
    buyer.send(Refused(JOB, "channel_exhausted", "LED-6: too little", 0))
    assert buyer.ended().code == "channel_exhausted"
    seat = Seat(0, 2_500)
    assert buyer.payer.get_left(CHANNEL, Epoch(0), seat) == 2_500


@pytest.mark.parametrize(("code", "left"), [("engine", 10_000), ("unpaid", 9_970)])
def test_what_a_failed_job_costs(code: str, left: int) -> None:
    """EXC-15."""
    buyer = begun()
    buyer.send(STARTED, *CHUNKS, Failed(JOB, code, "x"))  # type: ignore[arg-type]
    failed = buyer.ended()
    assert (failed.code, failed.refused, failed.paid) == (code, False, 0)
    assert buyer.payer.get_left(CHANNEL, Epoch(0)) == left


def test_what_was_agreed_and_not_signed_for_is_found_again_after_a_crash() -> None:
    """LED-11: its job is kept as lost, so that the provider's claim is believed."""
    buyer = begun()
    buyer.send(STARTED, *CHUNKS, Failed(JOB, "unpaid", "x"))
    rows = [row for row in buyer.r.rows if isinstance(row, JobRow)]
    assert (rows[-1].state, rows[-1].owed, rows[-1].paid) == ("lost", 30, 0)
    payer = PayerLedger(PAYER, CHANNELS)
    payer.restore([ChannelRow(STATE, is_payer=True, peer=PROVIDER_KEY.peer), rows[-1]])
    lane = payer.reserve_lane(CHANNEL, Wei(100), Epoch(0))
    lane.note_debt(Wei(30))
    lane.close(Wei(0), rows[0])
    signed, _ = payer.reserve_lane(CHANNEL, Wei(100), Epoch(0)).sign(Wei(0))
    assert signed.voucher.amount == 30


def test_a_wrong_receipt_is_not_paid() -> None:
    """EXC-16."""
    buyer = begun()
    buyer.send(STARTED, *CHUNKS, build_finished(price=Wei(1)))
    assert buyer.ended().code == "protocol"
    assert buyer.r.penalties[0].offence == "bad_receipt"
    assert [type(m) for m in buyer.received()] == [Order]
    assert buyer.payer.get_left(CHANNEL, Epoch(0)) == 10_000


def ask_for_vector(text: str, tokens: int) -> Buyer:
    """Order an embedding and be sent this text for it, with a receipt that is right."""
    request = msgspec.structs.replace(REQUEST, kind="embedding", max_tokens=1)
    buyer = begun(build_purchase(request=request))
    finished = build_finished(
        request=compute_request_digest(request),
        completion=envelope.digest(text.encode()),
        completion_tokens=tokens,
        price=Wei(10 + 10 * tokens),
    )
    buyer.send(Started(JOB, 5, Wei(20)), Chunk(JOB, 0, text, tokens, ()), finished)
    return buyer


def test_a_vector_costs_its_prompt() -> None:
    """EXC-20."""
    done = ask_for_vector(encode_vector([0.5, -2.0]), 0).r.events[-1]
    assert isinstance(done, fx.RunFinished)
    assert (done.row.completion, done.paid) == ("AAAAPwAAAMA=", 10)


@pytest.mark.parametrize(("text", "tokens"), [("no vector", 0), (encode_vector([1.0]), 1)])
def test_what_is_no_vector_is_not_accepted(text: str, tokens: int) -> None:
    """EXC-20."""
    assert ask_for_vector(text, tokens).ended().reason.startswith("EXC-20")


def test_cancelling_a_running_job() -> None:
    """EXC-12: it ends with a receipt; one that was on its way is as good."""
    buyer = begun()
    buyer.send(STARTED, *CHUNKS)
    for _ in range(2):
        buyer.to_requester(given.CancelRun(JOB))
    buyer.send(build_finished(finish=Finish.CANCELLED))
    done = buyer.r.events[-1]
    assert isinstance(done, fx.RunFinished)
    assert (done.finish, done.paid) == (Finish.CANCELLED, 30)


def test_a_provider_that_ignores_a_cancel_gets_one_window() -> None:
    """EXC-12."""
    buyer = begun()
    buyer.send(STARTED, *CHUNKS)
    buyer.to_requester(given.CancelRun(JOB))
    buyer.send(*(Chunk(JOB, number, "c" * 9, 1 + number, ()) for number in range(2, 40)))
    paid = [m.voucher.voucher.amount for m in buyer.received() if isinstance(m, Pay)]
    assert max(paid) <= 80
    buyer.to_requester(given.StreamEnded(R_STREAM, clean=False, reason="lost"))
    failed = buyer.ended()
    assert failed.paid <= 80
    assert buyer.payer.get_left(CHANNEL, Epoch(0)) == 10_000 - 80


@pytest.mark.parametrize("is_fast", [True, False])
def test_of_a_wider_window_than_advertised_no_more_is_counted(is_fast: bool) -> None:
    """EXC-17: the credit may have been raised since, and a liar gains nothing by saying so."""
    limit = Wei(2_000 if is_fast else 80)
    buyer = begun(build_purchase(is_fast=is_fast, max_window=limit))
    if not is_fast:
        buyer.send(build_quote(window=Wei(10**6)))
    buyer.send(Started(JOB, 5, Wei(10**6)), Chunk(JOB, 0, "text", 3, ()))
    assert [m.voucher.voucher.amount for m in buyer.received() if isinstance(m, Pay)] == [40]
    buyer.to_requester(given.StreamEnded(R_STREAM, clean=False, reason="lost"))
    assert buyer.ended().code == "stream"
    last = [row for row in buyer.r.rows if isinstance(row, JobRow)][-1]
    assert (last.state, last.paid, last.owed) == ("lost", 40, 40 + 80)
    assert not buyer.r.penalties


@pytest.mark.parametrize("is_fast", [True, False])
def test_cancelling_before_the_start(is_fast: bool) -> None:
    buyer = begun(build_purchase(is_fast=is_fast))
    buyer.to_requester(given.CancelRun(JOB))
    failed = buyer.ended()
    assert (failed.code, failed.refused) == ("cancelled", not is_fast)


def test_an_order_that_is_withdrawn_leaves_nothing_in_doubt() -> None:
    """EXC-31."""
    buyer = begun()
    assert buyer.requester.at_stake == 80 * 2  # the prompt, of as many tokens as it may have
    for _ in range(2):
        buyer.carry(buyer.r, buyer.p, buyer.requester.withdraw(buyer.now))
    assert isinstance(buyer.received()[-1], Cancel)
    buyer.send(Refused(JOB, "withdrawn", "as was asked", 0))
    failed = buyer.ended()
    assert (failed.code, failed.refused, failed.paid) == ("withdrawn", True, 0)
    assert buyer.payer.get_left(CHANNEL, Epoch(0)) == 10_000
    assert (buyer.requester.withdraw(buyer.now), buyer.requester.at_stake) == ([], 0)


def test_a_start_that_crosses_a_withdrawal_is_cancelled_and_paid() -> None:
    """EXC-31, EXC-12."""
    buyer = begun()
    buyer.carry(buyer.r, buyer.p, buyer.requester.withdraw(buyer.now))
    buyer.send(
        STARTED,
        build_finished(
            completion=envelope.digest(b""),
            completion_tokens=0,
            price=Wei(10),
            finish=Finish.CANCELLED,
        ),
    )
    done = buyer.r.events[-1]
    assert isinstance(done, fx.RunFinished)
    assert (done.finish, done.paid) == (Finish.CANCELLED, 10)


@pytest.mark.parametrize("is_begun", [True, False])
def test_what_is_not_ordered_or_runs_is_cancelled_instead_of_withdrawn(is_begun: bool) -> None:
    buyer = begun(build_purchase(is_fast=is_begun))
    if is_begun:
        buyer.send(STARTED)
    buyer.carry(buyer.r, buyer.p, buyer.requester.withdraw(buyer.now))
    if is_begun:
        assert isinstance(buyer.received()[-1], Cancel)
    else:
        assert buyer.ended().code == "cancelled"


@pytest.mark.parametrize("is_fast", [True, False])
def test_an_order_says_how_long_anybody_waits(is_fast: bool) -> None:
    """EXC-32."""
    buyer = begun(build_purchase(until=UnixMs(NOW + 5_000), is_fast=is_fast))
    buyer.now = UnixMs(NOW + 6_000)
    if not is_fast:
        buyer.send(build_quote())
    said = buyer.received()[-1]
    assert isinstance(said, Order | Accept)
    assert said.deadline_ms == (5_000 if is_fast else 1)


def test_a_silent_provider_is_given_up() -> None:
    """EXC-14."""
    buyer = begun()
    buyer.send(STARTED)
    buyer.fire(buyer.r, "wait")
    buyer.elapse(buyer.r, "wait")
    assert buyer.ended().code == "timeout"
    assert buyer.r.penalties[0].offence == "stalled"


def test_a_timer_of_nothing() -> None:
    buyer = begun()
    buyer.requester._deadline.cancel()
    assert buyer.requester._on_deadline(NOW) == []
    assert buyer.to_requester(given.ShutDown()) == []


def test_a_free_job_ends_without_a_payment() -> None:
    offer = msgspec.structs.replace(OFFER, prompt_price=Wei(0), completion_price=Wei(0))
    buyer = begun(replace(build_purchase(), offer=offer))
    buyer.send(Started(JOB, 5, Wei(0)), *CHUNKS, build_finished(price=Wei(0)))
    done = buyer.r.events[-1]
    assert isinstance(done, fx.RunFinished)
    assert done.paid == 0


def test_what_a_purchase_must_be() -> None:
    with pytest.raises(BadInput, match="prepay"):
        build_purchase(prepay=Wei(2_001))
    lane = Pair().payer.reserve_lane(CHANNEL, Wei(1), Epoch(1))
    with pytest.raises(BadInput, match="epoch"):
        Pair(lane=lane)
