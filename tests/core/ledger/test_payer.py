"""What a payer promises: lanes, reservations, debts and doubts."""

import msgspec
import pytest

from p2p_modelex import limits
from p2p_modelex.core.ledger.payer import PayerLedger
from p2p_modelex.errors import LocalProtocolError, PaymentError
from p2p_modelex.ids import ChannelId
from p2p_modelex.records.rows import ChannelRow, IssuedVoucherRow, JobRow, SettingRow
from p2p_modelex.records.voucher import recover_signer
from p2p_modelex.units import Epoch, Wei
from tests.core.exchange.cases import build_voucher
from tests.core.exchange.pair import (
    CHANNEL,
    CHANNELS,
    NOW,
    OPERATOR,
    OTHER_KEY,
    PAYER,
    PROVIDER_KEY,
    STATE,
    STRANGER,
    build_job,
    build_payer,
)

ZERO = Epoch(0)
OTHER = ChannelId(b"x" * 32)


def row(state: str, owed: int, paid: int = 0, number: int = 1) -> JobRow:
    peer = PROVIDER_KEY.peer
    return JobRow(build_job(number), False, peer, state, Wei(owed), Wei(paid), NOW)


def test_a_lane_is_reserved_signed_and_freed() -> None:
    """LED-10."""
    payer = build_payer()
    lane = payer.reserve_lane(CHANNEL, Wei(600), ZERO)
    assert payer.get_left(CHANNEL, ZERO) == 9_400
    signed, rows = lane.sign(Wei(100))
    assert rows == (IssuedVoucherRow(signed),)
    assert signed.voucher.amount == 100
    assert recover_signer(signed, CHANNELS) == PAYER.address
    assert lane.sign(Wei(50))[0].voucher.amount == 100
    with pytest.raises(LocalProtocolError):
        lane.sign(Wei(601))
    other = payer.reserve_lane(CHANNEL, Wei(600), ZERO)
    assert (lane.lane, other.lane) == (0, 1)
    lane.close(Wei(130), row("failed", 130))
    assert payer.get_left(CHANNEL, ZERO) == 10_000 - 130 - 600
    third = payer.reserve_lane(CHANNEL, Wei(1), ZERO)
    assert third.lane == 0
    assert third.sign(Wei(1))[0].voucher.amount == 131


def test_debts_of_free_lanes_go_with_the_next_voucher() -> None:
    payer = build_payer()
    lanes = [payer.reserve_lane(CHANNEL, Wei(100), ZERO) for _ in range(3)]
    for lane in lanes[1:]:
        lane.close(Wei(40), row("failed", 40))
    lane = payer.reserve_lane(CHANNEL, Wei(100), ZERO)
    assert lane.lane == 1
    assert lane.sign(Wei(0))[0].voucher.amount == 80


def test_a_payee_is_believed_once_within_doubt() -> None:
    """LED-11."""
    payer = build_payer()
    lost = payer.reserve_lane(CHANNEL, Wei(100), ZERO)
    lost.close(Wei(20), row("lost", 60))
    lane = payer.reserve_lane(CHANNEL, Wei(100), ZERO)
    for earned in (20, 61, 60, 61):
        lane.note_debt(Wei(earned))
    lane.close(Wei(0), row("failed", 0))
    lane = payer.reserve_lane(CHANNEL, Wei(9), ZERO)
    signed, rows = lane.sign(Wei(0))
    assert signed.voucher.amount == 60
    assert rows == (IssuedVoucherRow(signed), row("conceded", 60))
    assert lane.sign(Wei(1))[1] == (IssuedVoucherRow(lane.sign(Wei(1))[0]),)


def test_a_doubt_is_used_up_as_far_as_it_was_claimed() -> None:
    """LED-11: the payee misses one of three lost streams later than another."""
    payer = build_payer()
    lanes = [payer.reserve_lane(CHANNEL, Wei(100), ZERO) for _ in range(3)]
    for number, lane in enumerate(lanes, start=1):
        lane.close(Wei(20), row("lost", 60, 0, number))
    lane = payer.reserve_lane(CHANNEL, Wei(100), ZERO)
    lane.note_debt(Wei(110))  # 20 of each are agreed to
    lane.close(Wei(0), row("failed", 0, 0, 4))
    lane = payer.reserve_lane(CHANNEL, Wei(100), ZERO)
    assert lane.sign(Wei(0))[1][1:] == (row("conceded", 60, 0, 1), row("lost", 50, 0, 2))
    lane.note_debt(Wei(181))
    lane.note_debt(Wei(140))
    lane.close(Wei(0), row("failed", 0, 0, 5))
    lane = payer.reserve_lane(CHANNEL, Wei(100), ZERO)
    assert lane.lane == 1, "the first was refused once beyond the doubts"
    lane.close(Wei(0), row("failed", 0, 0, 6))


def test_what_was_conceded_goes_with_the_voucher_that_pays_it() -> None:
    """Its row too, so that a crash between finds the doubt again."""
    payer = build_payer()
    lanes = [payer.reserve_lane(CHANNEL, Wei(100), ZERO) for _ in range(2)]
    lanes[1].close(Wei(0), row("lost", 60))
    lane = payer.reserve_lane(CHANNEL, Wei(100), ZERO)
    lane.note_debt(Wei(60))
    lane.close(Wei(0), row("failed", 0))
    other = payer.reserve_lane(CHANNEL, Wei(100), ZERO)
    other.close(Wei(0), row("failed", 0))
    lanes[0].close(Wei(0), row("failed", 0))
    lane = payer.reserve_lane(CHANNEL, Wei(100), ZERO)
    assert lane.lane == 1
    assert lane.sign(Wei(0))[1][1:] == (row("conceded", 60),)


def test_a_lane_refused_for_an_unknown_debt_gives_way_to_the_next() -> None:
    """The last voucher of another lane may be lost; ordering there brings it again."""
    payer = build_payer()
    lanes = [payer.reserve_lane(CHANNEL, Wei(100), ZERO) for _ in range(2)]
    lanes[0].sign(Wei(30))
    lanes[0].close(Wei(30), row("finished", 30, 30))
    lanes[1].close(Wei(10), row("lost", 10, 0))
    lane = payer.reserve_lane(CHANNEL, Wei(100), ZERO)
    assert lane.lane == 1
    lane.note_debt(Wei(40))
    lane.close(Wei(0), row("failed", 0))
    lane = payer.reserve_lane(CHANNEL, Wei(100), ZERO)
    assert (lane.lane, lane.sign(Wei(0))[0].voucher.amount) == (0, 40)
    lane.close(Wei(0), row("finished", 0))


def test_what_is_on_disk_comes_back() -> None:
    payer = PayerLedger(PAYER, CHANNELS)
    other = msgspec.structs.replace(STATE, channel=OTHER)
    payer.restore(
        [
            row("running", 90, 50, 1),
            row("finished", 90, 50, 2),
            row("lost", 50, 50, 3),
            IssuedVoucherRow(build_voucher(70, 2)),
            IssuedVoucherRow(build_voucher(70, channel=b"y" * 32)),
            ChannelRow(STATE, is_payer=True, peer=PROVIDER_KEY.peer),
            ChannelRow(other, is_payer=True, peer=OTHER_KEY.peer),
            ChannelRow(other, is_payer=False, peer=None),
            SettingRow("x", b""),
        ]
    )
    assert payer.get_left(CHANNEL, ZERO) == 9_930
    lane = payer.reserve_lane(CHANNEL, Wei(1), ZERO)
    assert lane.lane == 2
    lane.note_debt(Wei(110))
    assert len(lane.sign(Wei(0))[1]) == 2
    assert payer.get_deposits(ZERO) == 20_000
    assert payer.get_unspent(ZERO) == 19_930
    assert payer.get_deposits(Epoch(1)) == 40_000
    assert payer.get_unspent(Epoch(1)) == 39_860


def test_why_no_lane() -> None:
    payer = build_payer()
    with pytest.raises(PaymentError, match="no open channel"):
        payer.reserve_lane(OTHER, Wei(1), ZERO)
    with pytest.raises(PaymentError, match="left"):
        payer.reserve_lane(CHANNEL, Wei(10_001), ZERO)
    for _ in range(limits.LANES_MAX):
        payer.reserve_lane(CHANNEL, Wei(1), ZERO)
    with pytest.raises(PaymentError, match="every lane"):
        payer.reserve_lane(CHANNEL, Wei(1), ZERO)
    closing = build_payer(msgspec.structs.replace(STATE, closes_at=1))
    with pytest.raises(PaymentError, match="no open channel"):
        closing.reserve_lane(CHANNEL, Wei(1), ZERO)


def test_a_split_doubles_what_is_left() -> None:
    payer = build_payer()
    payer.reserve_lane(CHANNEL, Wei(10), ZERO).close(Wei(5), row("failed", 5))
    lane = payer.reserve_lane(CHANNEL, Wei(10), Epoch(1))
    assert lane.sign(Wei(0))[0].voucher.amount == 10
    assert payer.get_left(CHANNEL, Epoch(1)) == 19_980
    assert payer.get_left(CHANNEL, ZERO) == 0
    with pytest.raises(PaymentError, match="epoch"):
        payer.reserve_lane(CHANNEL, Wei(1), ZERO)


def test_doubts_come_through_a_split() -> None:
    """LED-11: what the payee may ask for is the same share of the supply."""
    payer = build_payer()
    lanes = [payer.reserve_lane(CHANNEL, Wei(100), ZERO) for _ in range(2)]
    for number, lane in enumerate(lanes, start=1):
        lane.close(Wei(20), row("lost", 60, 0, number))
    one = Epoch(1)
    lane = payer.reserve_lane(CHANNEL, Wei(100), one)
    lane.note_debt(Wei(80 + 160 + 1))
    lane.note_debt(Wei(80 + 80 + 1))
    later = msgspec.structs.replace
    lane.close(Wei(0), later(row("failed", 0, 0, 3), epoch=1))
    lane = payer.reserve_lane(CHANNEL, Wei(100), one)
    signed, rows = lane.sign(Wei(0))
    assert signed.voucher.amount == 80 + 80 + 1
    first = later(row("conceded", 120, 0, 1), epoch=1)
    assert rows[1:] == (first, later(row("lost", 119, 0, 2), epoch=1))
    other = PayerLedger(PAYER, CHANNELS)
    other.restore(
        [
            ChannelRow(STATE, is_payer=True, peer=PROVIDER_KEY.peer),
            later(row("lost", 120, 0, 1), epoch=1),
        ]
    )
    lane = other.reserve_lane(CHANNEL, Wei(100), Epoch(2))
    lane.note_debt(Wei(101))
    lane.close(Wei(0), later(row("failed", 0, 0, 5), epoch=2))
    lane = other.reserve_lane(CHANNEL, Wei(100), Epoch(2))
    signed, rows = lane.sign(Wei(0))
    assert signed.voucher.amount == 101
    assert rows[1:] == (later(row("lost", 240 - 101, 0, 1), epoch=2),)


def test_channels_by_payee_with_the_most_left_first() -> None:
    payer = build_payer()
    more = msgspec.structs.replace(STATE, channel=OTHER, deposit=Wei(20_000))
    stranger = msgspec.structs.replace(STATE, channel=b"s" * 32, payee=STRANGER.address)
    assert payer.note_channel(more, None) == (ChannelRow(more, is_payer=True, peer=None),)
    payer.note_channel(stranger, None)
    assert [state.channel for state in payer.get_channels(OPERATOR.address)] == [OTHER, CHANNEL]
    assert len(payer.get_channels()) == 3
    with pytest.raises(PaymentError, match="another key"):
        payer.note_channel(msgspec.structs.replace(STATE, signer=STRANGER.address), None)


def test_the_peer_is_noted_once() -> None:
    payer = build_payer()
    other = msgspec.structs.replace(STATE, channel=OTHER)
    payer.note_channel(other, None)
    lane = payer.reserve_lane(OTHER, Wei(1), ZERO)
    peer = PROVIDER_KEY.peer
    assert lane.note_peer(peer) == (ChannelRow(other, is_payer=True, peer=peer),)
    assert lane.note_peer(peer) == ()
