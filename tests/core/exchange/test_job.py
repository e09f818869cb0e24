"""A job from the first message to the last voucher, both ends joined in memory."""

import pytest

from p2p_modelex.core import effects as fx
from p2p_modelex.core.exchange.verification import verify_receipt_row
from p2p_modelex.records.receipt import Finish
from p2p_modelex.records.rows import JobRow, ReceiptRow
from p2p_modelex.units import Epoch, Wei
from tests.core.exchange.pair import CHANNEL, NOW, REGISTRY, Pair, build_purchase


@pytest.mark.parametrize("is_fast", [True, False])
def test_a_job_is_answered_paid_and_receipted(is_fast: bool) -> None:
    pair = Pair(build_purchase(is_fast=is_fast))
    pair.begin()
    for word in ["and ", "they ", "lived ", "on"] * 5:
        pair.produce(word)
        pair.now += 100
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
    (voucher,) = pair.payee.vouchers_to_redeem(NOW, is_forced=True)
    assert voucher.voucher.amount == done.paid
    assert pair.payer.get_left(CHANNEL, Epoch(0)) == Wei(10_000 - done.paid)
    states = [row.state for row in pair.p.rows if isinstance(row, JobRow)]
    assert states == ["running", "settling", "paid"]
    assert not pair.r.timers
    assert not pair.p.timers
