"""What a payee keeps: debts, credit, splits, takeovers, and when it redeems."""

import msgspec
import pytest

from p2p_modelex.core.ledger import payee as module
from p2p_modelex.core.ledger.payee import PayeeLedger
from p2p_modelex.core.ledger.settlement import SettlementPolicy
from p2p_modelex.errors import JobRefused
from p2p_modelex.ids import ChannelId
from p2p_modelex.records.channel import PAYER_SIGNS, Claim, PayerTerms
from p2p_modelex.records.rows import (
    ChannelRow,
    ReceivedVoucherRow,
    RedeemedRow,
    Row,
    SettingRow,
)
from p2p_modelex.records.voucher import SignedVoucher
from p2p_modelex.units import UINT128_MAX, Epoch, Millis, UnixMs, Wei, rescale
from tests.core.exchange.cases import build_voucher
from tests.core.exchange.pair import (
    CHANNEL,
    CHANNELS,
    NOW,
    OPERATOR,
    STATE,
    STRANGER,
    TERMS,
    build_job,
    build_payee,
    build_state,
    cover_due,
)

OTHER = ChannelId(b"x" * 32)


def open_lane(
    payee: PayeeLedger,
    number: int,
    signed: SignedVoucher,
    ceiling: int = 650,
    base: int | None = None,
) -> tuple[Row, ...]:
    """Open a lane; unless `base` is given the voucher covers what is due, as far as it goes, and
    pays the rest ahead.
    """
    promise = signed.voucher
    return payee.open_lane(
        build_job(number),
        signed,
        Epoch(promise.epoch),
        base=cover_due(payee, promise) if base is None else Wei(base),
        window=Wei(80),
        ceiling=Wei(ceiling),
    )


def test_splits_double_amounts_and_stop_at_the_top() -> None:
    assert rescale(5, Epoch(1), Epoch(3)) == 20
    assert rescale(1, Epoch(0), Epoch(65_535)) == UINT128_MAX


def test_only_channels_to_us_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    payee = build_payee()
    assert payee.note_channel(msgspec.structs.replace(STATE, payee=STRANGER.address)) == ()
    monkeypatch.setattr(module, "CHANNELS_MAX", 1)
    open_lane(payee, 1, build_voucher(5))
    payee.close(build_job(1))
    assert payee.note_channel(msgspec.structs.replace(STATE, channel=OTHER)) == ()
    topped = msgspec.structs.replace(STATE, deposit=Wei(20_000))
    assert payee.note_channel(topped) == (ChannelRow(topped, is_payer=False, peer=None),)
    assert payee.get_channels() == (topped,)


def test_a_channel_that_never_paid_makes_room(monkeypatch: pytest.MonkeyPatch) -> None:
    payee = build_payee()
    monkeypatch.setattr(module, "CHANNELS_MAX", 1)
    other = msgspec.structs.replace(STATE, channel=OTHER)
    assert payee.note_channel(other)
    assert payee.get_channels() == (other,)


def test_the_terms_name_the_channel() -> None:
    """LED-12."""
    payee = build_payee()
    assert payee.identify(TERMS.of_payer, build_voucher(5)) == TERMS
    for wrong in (
        PayerTerms(STRANGER.address, PAYER_SIGNS, TERMS.salt),
        PayerTerms(TERMS.payer, STRANGER.address, TERMS.salt),
        PayerTerms(TERMS.payer, PAYER_SIGNS, bytes(32)),
    ):
        with pytest.raises(JobRefused, match="LED-12"):
            payee.identify(wrong, build_voucher(5))
    with pytest.raises(JobRefused, match="LED-12"):
        payee.identify(TERMS.of_payer, build_voucher(5, channel=OTHER))


def test_a_delegate_signs_where_the_terms_name_one() -> None:
    """LED-8."""
    state = build_state(msgspec.structs.replace(TERMS, signer=STRANGER.address))
    payee = build_payee(state)
    with pytest.raises(JobRefused, match="LED-8"):
        open_lane(payee, 1, build_voucher(5, channel=state.channel))
    open_lane(payee, 1, build_voucher(5, channel=state.channel, signer=STRANGER))


def test_debts_move_to_the_lane_that_covers_them() -> None:
    """LED-7."""
    payee = build_payee()
    for number in (1, 2):
        open_lane(payee, number, build_voucher(0, number))
        payee.earn(build_job(number), Wei(20))
    for number in (1, 2):
        payee.close(build_job(number))
    assert payee.get_debt(CHANNEL) == 40
    rows = open_lane(payee, 3, build_voucher(45, 3), base=40)
    assert sorted(row.earned for row in rows if isinstance(row, ReceivedVoucherRow)) == [0, 0, 40]
    assert payee.get_paid(build_job(3)) == 5
    assert payee.get_debt(CHANNEL) == 0


def test_a_receipted_job_s_lane_may_be_taken_over() -> None:
    """LED-5."""
    payee = build_payee()
    open_lane(payee, 1, build_voucher())
    payee.earn(build_job(1), Wei(50))
    assert payee.settle(build_job(1)) == (ReceivedVoucherRow(build_voucher(), Wei(50)),)
    assert payee.get_debt(CHANNEL) == 0
    open_lane(payee, 9, build_voucher(0, 1))  # what is in flight on lane 0 is no debt yet
    with pytest.raises(JobRefused, match="earned=50"):
        open_lane(payee, 2, build_voucher(49))
    open_lane(payee, 2, build_voucher(60))
    assert payee.receive(build_job(1), build_voucher(50)) == ()
    assert payee.get_paid(build_job(1)) == 60
    payee.earn(build_job(1), Wei(99))
    assert payee.close(build_job(1)) == ()
    assert payee.get_paid(build_job(2)) == 10


def test_a_takeover_in_a_later_epoch_reads_the_old_job_in_its_own() -> None:
    payee = build_payee()
    open_lane(payee, 1, build_voucher())
    payee.earn(build_job(1), Wei(50))
    payee.settle(build_job(1))
    open_lane(payee, 2, build_voucher(100, epoch=1))
    assert payee.get_paid(build_job(1)) == 50
    assert payee.get_paid(build_job(2)) == 0


def test_what_the_base_is_over_what_is_due_was_earned_and_is_no_credit() -> None:
    """LED-7: the payer counts work that this end lost in a crash."""
    payee = build_payee()
    open_lane(payee, 1, build_voucher(100))
    payee.earn(build_job(1), Wei(30))
    payee.close(build_job(1))
    open_lane(payee, 2, build_voucher(100), base=70)
    assert payee.get_paid(build_job(2)) == 30
    payee.earn(build_job(2), Wei(40))
    payee.close(build_job(2))
    assert payee.get_debt(CHANNEL) == 10


def test_vouchers_during_a_job() -> None:
    payee = build_payee()
    job = build_job(1)
    open_lane(payee, 1, build_voucher(10))
    assert payee.receive(job, build_voucher(10)) == ()
    assert payee.receive(job, build_voucher(20)) == (ReceivedVoucherRow(build_voucher(20), Wei(0)),)
    for voucher, rule in (
        (build_voucher(30, 1), "LED-5"),
        (build_voucher(30, epoch=1), "LED-3"),
        (build_voucher(19), "LED-4"),
        (build_voucher(10_001), "LED-6"),
        (build_voucher(30, signer=STRANGER), "LED-8"),
        (SignedVoucher(build_voucher(30).voucher, b"\x01" * 65), "LED-8"),
    ):
        with pytest.raises(JobRefused, match=rule):
            payee.receive(job, voucher)
    assert payee.get_paid(job) == 20


def test_running_jobs_are_counted_by_their_ceiling() -> None:
    """LED-6: two short jobs fit where two windows would not."""
    payee = build_payee(msgspec.structs.replace(STATE, deposit=Wei(100)))
    open_lane(payee, 1, build_voucher(), ceiling=20)
    open_lane(payee, 2, build_voucher(0, 1))
    with pytest.raises(JobRefused, match="LED-6"):
        open_lane(payee, 3, build_voucher(0, 2))
    payee.settle(build_job(2))
    open_lane(payee, 3, build_voucher(30, 2))


def test_what_other_jobs_may_cost_counts_when_a_deposit_may_be_too_small() -> None:
    """Two jobs that each fit the deposit as we know it, and together do not."""
    payee = build_payee()
    first = build_voucher(0)
    assert not payee.is_short(first, Epoch(0), Wei(6_000))
    open_lane(payee, 1, first, ceiling=6_000)
    assert payee.is_short(build_voucher(0, 1), Epoch(0), Wei(6_000))
    assert not payee.is_short(build_voucher(0, 1), Epoch(0), Wei(4_000))
    payee.close(build_job(1))
    assert not payee.is_short(build_voucher(0, 1), Epoch(0), Wei(6_000))


def test_what_is_on_disk_comes_back() -> None:
    payee = PayeeLedger(OPERATOR.address, CHANNELS)
    signed = build_voucher(70)
    payee.restore(
        [
            RedeemedRow(CHANNEL, 0, Wei(50)),
            RedeemedRow(OTHER, 0, Wei(50)),
            ReceivedVoucherRow(signed, Wei(90)),
            ReceivedVoucherRow(build_voucher(1, channel=OTHER), Wei(1)),
            SettingRow("x", b""),
            ChannelRow(STATE, is_payer=True, peer=None),
            ChannelRow(STATE, is_payer=False, peer=None),
        ]
    )
    assert payee.get_debt(CHANNEL) == 20
    assert payee.claims_to_redeem(NOW, is_forced=True) == (Claim(TERMS, signed),)
    assert payee.note_redeemed(signed.voucher) == (RedeemedRow(CHANNEL, 0, Wei(70)),)
    assert payee.note_redeemed(build_voucher(1, channel=OTHER).voucher) == ()
    assert payee.claims_to_redeem(NOW, is_forced=True) == ()


def test_debts_and_what_is_redeemed_come_through_a_split() -> None:
    """LED-7: lanes of different epochs, and what the chain credited for a voucher of before."""
    payee = build_payee()
    for number in (0, 1):
        open_lane(payee, number, build_voucher(10, number))
        payee.earn(build_job(number), Wei(17))
        payee.close(build_job(number))
    assert payee.note_redeemed(build_voucher(10).voucher) == (RedeemedRow(CHANNEL, 0, Wei(10)),)
    later = build_voucher(34 + 14, epoch=1)
    with pytest.raises(JobRefused, match="earned=48"):
        open_lane(payee, 2, build_voucher(47, epoch=1))
    rows = open_lane(payee, 2, later)
    moved = ReceivedVoucherRow(build_voucher(10, 1), Wei(10))
    assert rows == (RedeemedRow(CHANNEL, 0, Wei(20)), moved, ReceivedVoucherRow(later, Wei(48)))
    payee.earn(build_job(2), Wei(5))
    payee.close(build_job(2))
    assert payee.get_debt(CHANNEL) == 5
    restored = PayeeLedger(OPERATOR.address, CHANNELS)
    restored.restore([ChannelRow(STATE, is_payer=False, peer=None), *rows])
    assert restored.claims_to_redeem(NOW, is_forced=True) == (
        Claim(TERMS, later),
        Claim(TERMS, moved.signed),
    )
    # The answer to a redeeming that began before the split.
    assert payee.note_redeemed(build_voucher(24).voucher) == (RedeemedRow(CHANNEL, 0, Wei(48)),)
    assert payee.claims_to_redeem(NOW, is_forced=True) == (Claim(TERMS, moved.signed),)
    with pytest.raises(JobRefused, match="LED-3"):
        open_lane(payee, 3, build_voucher(60, 5))
    assert not payee.is_short(build_voucher(0, 5), Epoch(0), Wei(10**9)), "refused all the same"


def test_what_is_worth_redeeming_is_so_in_every_epoch() -> None:
    """LED-9."""
    policy = SettlementPolicy(Wei(100), Millis(10**9), Wei(10))
    payee = PayeeLedger(OPERATOR.address, CHANNELS, policy)
    payee.note_channel(STATE)
    open_lane(payee, 1, build_voucher(99))
    payee.note_epoch(Epoch(1))
    assert payee.claims_to_redeem(NOW) == ()
    open_lane(payee, 2, build_voucher(1, 1, epoch=1))
    assert payee.claims_to_redeem(NOW) == ()
    payee.receive(build_job(2), build_voucher(2, 1, epoch=1))
    assert len(payee.claims_to_redeem(NOW)) == 2


def test_when_to_redeem() -> None:
    """LED-9."""
    policy = SettlementPolicy(Wei(100), Millis(1_000), Wei(10))
    payee = PayeeLedger(OPERATOR.address, CHANNELS, policy)
    payee.note_channel(STATE)
    job = build_job(1)
    open_lane(payee, 1, build_voucher(9))
    assert payee.claims_to_redeem(NOW) == ()
    assert payee.claims_to_redeem(UnixMs(NOW + 1_000)) == ()
    payee.receive(job, build_voucher(10))
    assert payee.claims_to_redeem(NOW) == ()
    assert payee.claims_to_redeem(UnixMs(NOW + 1_000)) == (Claim(TERMS, build_voucher(10)),)
    payee.receive(job, build_voucher(100))
    assert payee.claims_to_redeem(NOW) == (Claim(TERMS, build_voucher(100)),)
    payee.note_redeemed(build_voucher(80).voucher)
    assert payee.claims_to_redeem(UnixMs(NOW + 1_000)) == ()
    payee.note_channel(msgspec.structs.replace(STATE, closes_at=1))
    assert payee.claims_to_redeem(NOW) == (Claim(TERMS, build_voucher(100)),)
