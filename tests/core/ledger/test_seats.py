"""One channel to a farm: lanes and a share of the deposit for each member, books of their own."""

import msgspec
import pytest

from p2p_modelex.core.effects import TopUpChannel
from p2p_modelex.core.funding import Budget, Funding
from p2p_modelex.core.ledger.payee import PayeeLedger
from p2p_modelex.core.ledger.payer import PayerLedger
from p2p_modelex.core.ledger.seat import OWN_SEAT, Seat
from p2p_modelex.errors import JobRefused, PaymentError
from p2p_modelex.ids import Address, ChannelId
from p2p_modelex.records.channel import PAYER_SIGNS, ChannelState, ChannelTerms
from p2p_modelex.records.rows import ChannelRow, IssuedVoucherRow, JobRow, MemberRow, Row
from p2p_modelex.records.voucher import SignedVoucher
from p2p_modelex.units import Epoch, Wei
from tests.core.exchange.cases import build_voucher
from tests.core.exchange.pair import (
    CHANNELS,
    NOW,
    OPERATOR,
    OTHER_KEY,
    PAYER,
    PROVIDER_KEY,
    STATE,
    STRANGER,
    TERMS,
    build_job,
    build_state,
)

FARM = Address(b"\xfa" * 20)
FARM_TERMS = ChannelTerms(PAYER.address, FARM, PAYER_SIGNS, b"F" * 32)
FARM_STATE = build_state(FARM_TERMS)
CHANNEL = ChannelId(FARM_STATE.channel)
FIRST, SECOND = Seat(1, 6_000), Seat(2, 2_500)
ZERO = Epoch(0)


def build_payee(seat: Seat = FIRST, state: ChannelState = FARM_STATE) -> PayeeLedger:
    payee = PayeeLedger(OPERATOR.address, CHANNELS)
    payee.take_seats({FARM: seat})
    assert payee.note_channel(state)
    return payee


def promise(amount: int, lane: int) -> SignedVoucher:
    return build_voucher(amount, lane, channel=CHANNEL)


def open_lane(payee: PayeeLedger, signed: SignedVoucher, number: int = 1) -> tuple[Row, ...]:
    ceiling = Wei(max(signed.voucher.amount, 80))
    return payee.open_lane(
        build_job(number), signed, ZERO, base=Wei(0), window=Wei(80), ceiling=ceiling
    )


def build_payer(state: ChannelState = FARM_STATE) -> PayerLedger:
    payer = PayerLedger(PAYER, CHANNELS)
    payer.note_channel(state, None)
    return payer


def tighten(payer: PayerLedger, *seats: Seat, epoch: Epoch = ZERO) -> None:
    """These members could not take more than their shares."""
    for seat in seats:
        lane = payer.reserve_lane(CHANNEL, Wei(1), epoch, seat)
        lane.note_exhausted()
        nothing = JobRow(build_job(9), False, PROVIDER_KEY.peer, "failed", Wei(0), Wei(0), NOW)
        lane.close(Wei(0), nothing)


def test_the_channel_tells_which_of_its_payees_a_provider_is() -> None:
    """LED-12: its own account, a farm it is a member of, or nobody it is."""
    payee = build_payee()
    assert payee.payees == (OPERATOR.address, FARM)
    assert payee.identify(TERMS.of_payer, build_voucher(5)) == TERMS
    assert payee.identify(FARM_TERMS.of_payer, promise(5, 64)) == FARM_TERMS
    other = build_state(msgspec.structs.replace(FARM_TERMS, payee=STRANGER.address))
    with pytest.raises(JobRefused, match="LED-12"):
        payee.identify(FARM_TERMS.of_payer, build_voucher(5, channel=other.channel))
    assert payee.note_channel(other) == ()


@pytest.mark.parametrize(("seat", "good"), [(FIRST, 64), (FIRST, 127), (SECOND, 128)])
def test_a_lane_of_another_member_is_refused(seat: Seat, good: int) -> None:
    """LED-2: its first and last are taken; the neighbours', and the payee's own, are not."""
    open_lane(build_payee(seat), promise(5, good))
    for lane in {0, 63, 64, 127, 128, 192} - set(range(seat.first_lane, seat.first_lane + 64)):
        with pytest.raises(JobRefused, match="LED-2: the lane is none of ours"):
            open_lane(build_payee(seat), promise(5, lane))


def test_a_member_counts_on_its_part_of_the_deposit_and_no_more() -> None:
    """LED-6, FRM-15: of 10,000 the first has 6,000."""
    payee = build_payee()
    with pytest.raises(JobRefused, match="LED-6"):
        open_lane(payee, promise(6_001, 64))
    open_lane(payee, promise(6_000, 64))
    with pytest.raises(JobRefused, match="LED-6"):
        payee.receive(build_job(1), promise(6_001, 64))
    assert payee.is_short(promise(0, 65), ZERO, Wei(1))


def test_a_line_of_its_own_takes_the_place_of_the_share() -> None:
    """What members lend one another is the line's to say."""
    payee = PayeeLedger(
        OPERATOR.address, CHANNELS, get_line=lambda state, seat: state.deposit // seat.index
    )
    payee.take_seats({FARM: SECOND})
    payee.note_channel(FARM_STATE)
    open_lane(payee, promise(5_000, 128))
    with pytest.raises(JobRefused, match="LED-6"):
        payee.receive(build_job(1), promise(5_001, 128))


def test_what_an_ended_membership_earned_can_still_be_redeemed() -> None:
    """LED-13: a job in hand is paid to its end; new ones are refused."""
    payee = build_payee()
    open_lane(payee, promise(100, 64))
    payee.take_seats({})
    payee.receive(build_job(1), promise(150, 64))
    payee.close(build_job(1))
    with pytest.raises(JobRefused, match="LED-13"):
        open_lane(payee, promise(200, 64), 2)
    [claim] = payee.claims_to_redeem(NOW, is_forced=True)
    assert (claim.terms, claim.signed.voucher.amount) == (FARM_TERMS, 150)
    assert payee.note_channel(FARM_STATE)
    payee.take_seats({FARM: Seat(1, 10_000)})
    open_lane(payee, promise(10_000, 64), 3)


def test_lanes_and_shares_of_members_are_apart() -> None:
    """FRM-15: who pays knows the weights, and orders no more of who could not take more."""
    payer = build_payer()
    assert [payer.get_left(CHANNEL, ZERO, seat) for seat in (FIRST, SECOND)] == [10_000, 10_000]
    tighten(payer, FIRST, SECOND)
    assert [payer.get_left(CHANNEL, ZERO, seat) for seat in (FIRST, SECOND)] == [6_000, 2_500]
    lanes = [payer.reserve_lane(CHANNEL, Wei(100), ZERO, seat) for seat in (FIRST, SECOND, FIRST)]
    assert [lane.lane for lane in lanes] == [64, 128, 65]
    assert payer.get_left(CHANNEL, ZERO, FIRST) == 5_800
    assert payer.get_left(CHANNEL, ZERO, SECOND) == 2_400
    lanes[0].close(
        Wei(70), JobRow(build_job(1), False, PROVIDER_KEY.peer, "failed", Wei(70), Wei(0), NOW)
    )
    assert payer.reserve_lane(CHANNEL, Wei(1), ZERO, SECOND).sign(Wei(1))[0].voucher.amount == 1
    assert payer.reserve_lane(CHANNEL, Wei(1), ZERO, FIRST).sign(Wei(1))[0].voucher.amount == 71
    with pytest.raises(PaymentError, match=r"has 0\.000000000000002399 AI left"):
        payer.reserve_lane(CHANNEL, Wei(2_400), ZERO, SECOND)
    payer.note_channel(FARM_STATE, None)
    assert payer.get_left(CHANNEL, ZERO, SECOND) == 2_399
    payer.note_channel(msgspec.structs.replace(FARM_STATE, deposit=Wei(10_001)), None)
    assert payer.get_left(CHANNEL, ZERO, SECOND) == 10_001 - 101 - 171, "there is more"


def test_the_deposit_is_common_where_weights_changed() -> None:
    """However much the shares come to, there is no more than the deposit."""
    payer = build_payer()
    tighten(payer, Seat(1, 5_000))
    payer.reserve_lane(CHANNEL, Wei(9_000), ZERO, Seat(1, 9_000))
    assert payer.get_left(CHANNEL, ZERO, Seat(2, 5_000)) == 1_000
    assert payer.get_left(CHANNEL, ZERO, Seat(1, 5_000)) == 0


@pytest.mark.parametrize(
    ("seat", "ceiling", "epoch", "lack"),
    [
        (SECOND, 2_500, 0, 0),
        (SECOND, 2_501, 0, 4),
        (Seat(3, 1), 2, 0, 10_000),
        (Seat(3, 3), 4, 0, 3_334),
        (OWN_SEAT, 10_001, 0, 1),
        (SECOND, 5_004, 1, 16),
    ],
)
def test_what_is_lacking_is_counted_by_the_share(
    seat: Seat, ceiling: int, epoch: int, lack: int
) -> None:
    payer = build_payer()
    tighten(payer, seat)
    assert payer.get_lack(CHANNEL, Epoch(epoch), seat, Wei(ceiling)) == lack
    deposit = Wei(2**epoch * 10_000 + lack)
    payer.note_channel(msgspec.structs.replace(FARM_STATE, deposit=deposit, epoch=epoch), None)
    tighten(payer, seat, epoch=Epoch(epoch))
    assert payer.get_left(CHANNEL, Epoch(epoch), seat) >= ceiling
    if lack:
        least = msgspec.structs.replace(FARM_STATE, deposit=Wei(deposit - 1), epoch=epoch)
        payer.note_channel(least, None)
        assert payer.get_left(CHANNEL, Epoch(epoch), seat) < ceiling


def test_what_others_lend_is_not_lacking() -> None:
    payer = build_payer()
    assert payer.get_lack(CHANNEL, ZERO, SECOND, Wei(10_000)) == 0
    assert payer.get_lack(CHANNEL, ZERO, SECOND, Wei(10_001)) == 1


def test_half_a_wei_of_an_earlier_epoch_is_rounded_up() -> None:
    state = msgspec.structs.replace(FARM_STATE, deposit=Wei(9_999), epoch=1)
    assert build_payer(state).get_lack(CHANNEL, ZERO, OWN_SEAT, Wei(5_000)) == 1


def test_an_index_is_the_first_member_s_that_was_paid_by_it() -> None:
    """FRM-16, also after a restart; the payee's own seat asks for no peer."""
    payer = build_payer()
    payer.validate_holder(CHANNEL, FIRST, PROVIDER_KEY.peer)
    lane = payer.reserve_lane(CHANNEL, Wei(1), ZERO, FIRST)
    [row] = lane.note_peer(PROVIDER_KEY.peer)
    assert row == MemberRow(CHANNEL, 1, PROVIDER_KEY.peer)
    assert lane.note_peer(PROVIDER_KEY.peer) == ()
    again = PayerLedger(PAYER, CHANNELS)
    again.restore([row, ChannelRow(FARM_STATE, is_payer=True, peer=None)])
    for ledger in (payer, again):
        ledger.validate_holder(CHANNEL, FIRST, PROVIDER_KEY.peer)
        with pytest.raises(PaymentError, match="FRM-16"):
            ledger.validate_holder(CHANNEL, FIRST, OTHER_KEY.peer)
        ledger.validate_holder(CHANNEL, SECOND, OTHER_KEY.peer)
        ledger.validate_holder(CHANNEL, OWN_SEAT, OTHER_KEY.peer)


def test_a_restart_finds_each_member_s_lanes_and_doubts() -> None:
    """LED-11: what one member lost is no other's to ask."""
    rows = (
        MemberRow(CHANNEL, 1, PROVIDER_KEY.peer),
        MemberRow(CHANNEL, 2, OTHER_KEY.peer),
        MemberRow(ChannelId(b"x" * 32), 1, OTHER_KEY.peer),
        ChannelRow(FARM_STATE, is_payer=True, peer=None),
        IssuedVoucherRow(promise(300, 65)),
        IssuedVoucherRow(promise(40, 128)),
        JobRow(build_job(1), False, PROVIDER_KEY.peer, "lost", Wei(50), Wei(0), NOW),
    )
    payer = PayerLedger(PAYER, CHANNELS)
    payer.restore(rows)
    tighten(payer, FIRST, SECOND)
    assert payer.get_left(CHANNEL, ZERO, FIRST) == 6_000 - 300
    assert payer.get_left(CHANNEL, ZERO, SECOND) == 2_500 - 40
    amounts = []
    for seat, earned in ((FIRST, 350), (SECOND, 90)):
        lane = payer.reserve_lane(CHANNEL, Wei(100), ZERO, seat)
        lane.note_debt(Wei(earned))
        lane.close(
            Wei(0), JobRow(build_job(2), False, PROVIDER_KEY.peer, "failed", Wei(0), Wei(0), NOW)
        )
        amounts.append(payer.reserve_lane(CHANNEL, Wei(9), ZERO, seat).base)
    assert amounts == [350, 40], "the second had no part in the job that was lost"


def test_a_doubt_is_conceded_once_to_a_peer_that_is_paid_on_two_channels() -> None:
    """LED-11: after a restart nothing says on which of them the job was lost."""
    payer = PayerLedger(PAYER, CHANNELS)
    payer.restore(
        (
            MemberRow(CHANNEL, 1, PROVIDER_KEY.peer),
            ChannelRow(FARM_STATE, is_payer=True, peer=None),
            ChannelRow(STATE, is_payer=True, peer=PROVIDER_KEY.peer),
            JobRow(build_job(1), False, PROVIDER_KEY.peer, "lost", Wei(50), Wei(0), NOW),
        )
    )
    bases = []
    for channel, seat in ((CHANNEL, FIRST), (ChannelId(STATE.channel), OWN_SEAT)):
        lane = payer.reserve_lane(channel, Wei(100), ZERO, seat)
        lane.note_debt(Wei(50))
        lane.close(
            Wei(0), JobRow(build_job(2), False, PROVIDER_KEY.peer, "failed", Wei(0), Wei(0), NOW)
        )
        bases.append(payer.reserve_lane(channel, Wei(9), ZERO, seat).base)
    assert sorted(bases) == [0, 50]


def test_plain_channels_are_as_they_were() -> None:
    payer = build_payer(STATE)
    channel = ChannelId(STATE.channel)
    lane = payer.reserve_lane(channel, Wei(10), ZERO)
    assert lane.lane == 0
    assert lane.note_peer(OTHER_KEY.peer) == (
        ChannelRow(STATE, is_payer=True, peer=OTHER_KEY.peer),
    )


@pytest.mark.parametrize(("weight", "is_made"), [(5_000, True), (1, False)])
def test_a_refusal_of_a_small_member_does_not_have_everything_deposited(
    weight: int, is_made: bool
) -> None:
    """FRM-15."""
    payer, seat = build_payer(), Seat(1, weight)
    tighten(payer, seat)
    funding = Funding(payer, Budget(Wei(10_000), Wei(10**9)))
    assert funding.reserve(FARM, Wei(6_000), ZERO, seat, OTHER_KEY.peer) is None
    if is_made:
        [made] = funding.ask(build_job(1), FARM, Wei(6_000), ZERO, seat, NOW)
        assert isinstance(made, TopUpChannel)
        assert made.amount == 10_000
    else:
        with pytest.raises(PaymentError, match="FRM-15"):
            funding.ask(build_job(1), FARM, Wei(6_000), ZERO, seat, NOW)


def test_where_the_deposit_is_used_up_it_grows_by_what_it_lacks_itself() -> None:
    """FRM-15: and not in proportion to a part that would take too much."""
    payer, small = build_payer(), Seat(1, 1)
    tighten(payer, small)
    funding = Funding(payer, Budget(Wei(10), Wei(10**9)))
    [made] = funding.ask(build_job(1), FARM, Wei(10_500), ZERO, small, NOW)
    assert isinstance(made, TopUpChannel)
    assert made.amount == 500
