"""A job from the first message to the last voucher, both ends joined in memory."""

import pytest

from p2p_modelex.core import effects as fx
from p2p_modelex.core import inputs as given
from p2p_modelex.core.exchange.verification import verify_receipt_row
from p2p_modelex.records import codec
from p2p_modelex.records.job import Refused
from p2p_modelex.records.receipt import Finish
from p2p_modelex.records.rows import JobRow, ReceiptRow
from p2p_modelex.units import Epoch, UnixMs, Wei
from tests.core.exchange.pair import (
    CHANNEL,
    NOW,
    P_STREAM,
    R_STREAM,
    REGISTRY,
    TERMS,
    Pair,
    build_purchase,
)


@pytest.mark.parametrize("is_fast", [True, False])
def test_a_job_is_answered_paid_and_receipted(is_fast: bool) -> None:
    pair = Pair(build_purchase(is_fast=is_fast))
    pair.begin()
    for word in ["and ", "they ", "lived ", "on"] * 5:
        pair.produce(word)
        pair.now = UnixMs(pair.now + 100)
        pair.pump()
    pair.finish(21)
    pair.pump()
    assert pair.requester.is_over
    assert pair.provider.is_over
    done = pair.r.events[-1]
    assert isinstance(done, fx.RunFinished)
    assert done.row.completion == "and they lived on" * 5
    assert done.finish is Finish.STOP
    assert done.paid == 5 * 2 + 21 * 10
    assert done.row.receipt.receipt.price == done.paid
    verify_receipt_row(done.row, REGISTRY, NOW)
    kept = [row for row in pair.p.rows if isinstance(row, ReceiptRow)]
    verify_receipt_row(kept[0], REGISTRY, None)
    assert pair.payee.get_debt(CHANNEL) == 0
    (claim,) = pair.payee.claims_to_redeem(NOW, is_forced=True)
    assert claim.terms == TERMS
    assert claim.signed.voucher.amount == done.paid
    assert pair.payer.get_left(CHANNEL, Epoch(0)) == Wei(10_000 - done.paid)
    states = [row.state for row in pair.p.rows if isinstance(row, JobRow)]
    assert states == ["running", "settling", "paid"]
    assert not pair.r.timers
    assert not pair.p.timers


@pytest.mark.parametrize("code", ["engine", "unpaid"])
def test_a_voucher_on_its_way_as_the_job_fails_is_not_lost(code: str) -> None:
    """EXC-15: the provider reads on, and both books agree."""
    pair = Pair()
    pair.begin()
    pair.produce("one two three four", 4)
    if code == "unpaid":
        pair.produce("more than the window lets out", 20)
        pair.fire(pair.p, "chunk")
        pair.fire(pair.p, "serve")
    else:
        pair.to_provider(given.EngineFailed(pair.purchase.job, "engine", "crash", 0))
    assert not pair.provider.is_over
    pair.move(to_provider=False)
    assert pair.p.inbox, "a voucher crosses the Failed"
    pair.pump()
    assert pair.provider.is_over
    failed = pair.r.events[-1]
    assert isinstance(failed, fx.RunFailed)
    assert (failed.code, failed.refused) == (code, False)
    (claim,) = pair.payee.claims_to_redeem(NOW, is_forced=True)
    assert claim.signed.voucher.amount == failed.paid == 50
    states = [row.state for row in pair.p.rows if isinstance(row, JobRow)]
    assert states == ["running", code, code]
    assert pair.payee.get_debt(CHANNEL) == (30 if code == "unpaid" else 0)


def test_frames_lost_with_the_stream_do_not_part_the_two_for_good() -> None:
    """LED-11: the provider sent more than arrived; its claim is conceded, once."""
    first = Pair()
    first.begin()
    first.produce("one ", 1)
    first.pump()
    first.produce("two " * 100, 2)
    first.r.inbox.clear()
    first.to_requester(given.StreamEnded(R_STREAM, clean=False, reason="reset"))
    first.to_provider(given.StreamEnded(P_STREAM, clean=False, reason="reset"))
    failed = first.r.events[-1]
    assert isinstance(failed, fx.RunFailed)
    assert (failed.code, failed.reason) == ("stream", "reset (tokens received: 1)")
    assert first.payee.get_debt(CHANNEL) == 40
    second = Pair(build_purchase(2), payer=first.payer, payee=first.payee)
    second.start()
    second.pump()
    refused = second.r.events[-1]
    assert isinstance(refused, fx.RunFailed)
    assert (refused.code, refused.reason) == ("debt", "earned=40")
    third = Pair(build_purchase(3), payer=first.payer, payee=first.payee)
    third.begin()
    third.finish(0)
    third.pump()
    assert isinstance(third.r.events[-1], fx.RunFinished)
    assert first.payee.get_debt(CHANNEL) == 0
    assert first.payer.get_left(CHANNEL, Epoch(0)) == Wei(10_000 - 40 - 10)


def test_a_debt_that_is_not_a_number_is_not_believed() -> None:
    pair = Pair()
    pair.carry(pair.r, pair.p, pair.requester.start(NOW))
    refused = codec.encode(Refused(pair.purchase.job, "debt", "earned=all", 0))
    pair.to_requester(given.FrameReceived(R_STREAM, refused))
    assert pair.requester.is_over
