"""The provider's end alone: windows, and what an ending leaves owed."""

import msgspec
import pytest

from p2p_modelex.core import inputs as given
from p2p_modelex.records.job import (
    Cancel,
    Chunk,
    Failed,
    Finished,
    Pay,
)
from p2p_modelex.records.receipt import Finish
from p2p_modelex.records.rows import ReceivedVoucherRow
from p2p_modelex.units import UnixMs, Wei
from tests.core.exchange.cases import JOB, build_order, build_voucher
from tests.core.exchange.counter import Counter
from tests.core.exchange.pair import (
    CHANNEL,
    OFFER,
    P_STREAM,
    build_seller,
)


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
    assert counter.received() == [Chunk(JOB, 0, "", 7, ())]
    counter.send(Pay(JOB, build_voucher(80)))
    assert counter.received() == [Chunk(JOB, 1, "", 15, ())]
    counter.send(Pay(JOB, build_voucher(160)))
    assert counter.received() == [Chunk(JOB, 2, "twenty", 20, ())]


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
    counter.received()
    if is_silent:
        while not counter.r.inbox:
            counter.fire(counter.p, "serve")
    else:
        counter.to_provider(given.EngineFailed(JOB, "engine", "crash", 0))
    failed = counter.received()[-1]
    assert isinstance(failed, Failed)
    assert failed.code == ("timeout" if is_silent else "engine")
    assert counter.payee.get_debt(CHANNEL) == 0
    counter.produce("late")
    counter.send(Cancel(JOB))
    counter.to_provider(given.EngineFailed(JOB, "engine", "again", 0))
    assert counter.received() == []
    counter.elapse(counter.p, "serve")
    assert counter.provider.is_over
    assert counter.r.inbox[-1] is False


@pytest.mark.parametrize(("amount", "credit"), [(5, 0), (90, 60)])
def test_a_failure_of_ours_earns_what_was_paid_and_no_more(amount: int, credit: int) -> None:
    """EXC-15: what a crossing Pay brings over the work done stays credit of the lane."""
    counter = Counter()
    counter.run()
    counter.produce("x", 2)
    counter.to_provider(given.EngineFailed(JOB, "engine", "crash", 0))
    counter.send(Pay(JOB, build_voucher(amount)))
    counter.to_provider(given.StreamEnded(P_STREAM, clean=True, reason=""))
    assert counter.r.inbox[-1] is True
    assert counter.payee.get_debt(CHANNEL) == 0
    kept = [row for row in counter.p.rows if isinstance(row, ReceivedVoucherRow)][-1]
    assert kept.signed.voucher.amount - kept.earned == credit


def test_a_lane_whose_job_failed_serves_the_next_at_once() -> None:
    """LED-5: the last Pay of the one and the order of the next may overtake each other."""
    counter = Counter()
    counter.run()
    counter.produce("x", 2)
    counter.to_provider(given.EngineFailed(JOB, "engine", "crash", 0))
    again = Counter(payee=counter.payee)
    again.send(build_order(job=b"n" * 16, voucher=build_voucher(30), base=Wei(30)))
    assert again.has_generate
    counter.send(Pay(JOB, build_voucher(30)))
    counter.to_provider(given.StreamEnded(P_STREAM, clean=True, reason=""))
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


@pytest.mark.parametrize("is_clean", [True, False])
def test_who_drops_the_stream_of_a_receipt_owes_and_who_closes_it_cheats(is_clean: bool) -> None:
    """EXC-13: a requester that cancels drops a stream on which it has heard of no beginning."""
    counter = Counter()
    counter.run()
    counter.produce("a")
    counter.produce("b")
    counter.finish(3)
    assert isinstance(counter.received()[-1], Finished)
    counter.to_provider(given.StreamEnded(P_STREAM, clean=is_clean, reason=""))
    assert counter.last_state() == ("unpaid" if is_clean else "lost")
    assert counter.payee.get_debt(CHANNEL) == 40
    assert bool(counter.p.penalties) is is_clean


def test_a_lost_receipt_stream() -> None:
    counter = Counter()
    counter.run()
    counter.finish(0)
    counter.to_provider(given.StreamEnded(P_STREAM, clean=False, reason=""))
    assert counter.r.inbox[-1] is False


def test_free_models_need_no_vouchers() -> None:
    offer = msgspec.structs.replace(OFFER, prompt_price=Wei(0), completion_price=Wei(0))
    counter = Counter(seller=build_seller(offer))
    counter.send(build_order(prompt_price=Wei(0), completion_price=Wei(0)))
    counter.admit()
    counter.produce("x", 64)
    assert counter.received()[-1] == Chunk(JOB, 0, "x", 64, ())
