"""Rows to store, and how to make many of them."""

from p2p_modelex.ids import Address, ChannelId, JobId, PeerId, PublicKey, peer_id_of
from p2p_modelex.records.channel import ChannelState
from p2p_modelex.records.envelope import Envelope
from p2p_modelex.records.job import Message, Request
from p2p_modelex.records.ownership import Ownership, SignedOwnership
from p2p_modelex.records.receipt import Finish, Receipt, SignedReceipt
from p2p_modelex.records.rows import (
    ChannelRow,
    DepositRow,
    FarmRow,
    IssuedVoucherRow,
    JobRow,
    LoanRow,
    MemberRow,
    MembershipRow,
    ReceiptRow,
    ReceivedVoucherRow,
    RecordRow,
    RedeemedRow,
)
from p2p_modelex.records.voucher import SignedVoucher, Voucher
from p2p_modelex.units import UnixMs, Wei

CHANNEL = ChannelId(b"\xc1" * 32)


def peer(number: int) -> PeerId:
    return peer_id_of(PublicKey(number.to_bytes(32, "big")))


def voucher(
    amount: int, *, lane: int = 0, epoch: int = 0, channel: bytes = CHANNEL
) -> SignedVoucher:
    return SignedVoucher(Voucher(channel, lane, Wei(amount), epoch), b"\x55" * 65)


def issued(amount: int, *, lane: int = 0, epoch: int = 0) -> IssuedVoucherRow:
    return IssuedVoucherRow(voucher(amount, lane=lane, epoch=epoch))


def received(amount: int, *, lane: int = 0, earned: int = 0) -> ReceivedVoucherRow:
    return ReceivedVoucherRow(voucher(amount, lane=lane), Wei(earned))


def channel(number: int, *, is_payer: bool = True, deposit: int = 10**18) -> ChannelRow:
    parties = (b"\1" * 20, b"\2" * 20, b"\3" * 20)
    salt = number.to_bytes(32, "big")
    state = ChannelState(salt, *parties, salt, Wei(deposit), Wei(0), 0, 0)
    return ChannelRow(state, is_payer, peer(number) if number % 2 else None)


def redeemed(amount: int, *, lane: int = 0) -> RedeemedRow:
    return RedeemedRow(CHANNEL, lane, Wei(amount))


def loan(number: int, *, given: int = 0, taken: int = 0) -> LoanRow:
    return LoanRow(CHANNEL, peer(number), Wei(given), Wei(taken), 0)


def deposit(number: int, amount: int = 7, *, signed: tuple[bytes, ...] = ()) -> DepositRow:
    payee = Address(number.to_bytes(20, "big"))
    return DepositRow(payee, CHANNEL if number % 2 else None, Wei(amount), 0, signed)


def job(number: int, *, state: str = "streaming", at: int = 1, provider: bool = True) -> JobRow:
    name = JobId(number.to_bytes(16, "big"))
    return JobRow(name, provider, peer(1), state, Wei(7), Wei(5), UnixMs(at))


def record(number: int, *, sequence: int = 1, expires_at: int = 1000) -> RecordRow:
    return RecordRow(peer(number), sequence, UnixMs(expires_at), b"envelope %d" % number)


def member(number: int, *, index: int = 1) -> MemberRow:
    return MemberRow(CHANNEL, index, peer(number))


def farm(number: int, *, expires_at: int = 1000) -> FarmRow:
    return FarmRow(PublicKey(number.to_bytes(32, "big")), UnixMs(expires_at), b"farm %d" % number)


def membership(number: int, *, serial: int = 1) -> MembershipRow:
    certificate = Envelope(bytes(32), b"certificate", bytes(64))
    return MembershipRow(PublicKey(number.to_bytes(32, "big")), serial, certificate)


def receipt(number: int, *, finished_at: int, provider: bool = True) -> ReceiptRow:
    zeros = bytes(32)
    account = Receipt(
        number.to_bytes(16, "big"), zeros, zeros, zeros, zeros, zeros,
        3, 4, Wei(11), 0, CHANNEL, 0, finished_at, Finish.STOP,
    )  # fmt: skip
    request = Request(
        "smollm2",
        zeros,
        "chat",
        "",
        (Message("user", "hello"),),
        16,
        0.7,
        0.9,
        40,
        1,
        ("\n",),
        "",
        0,
        "",
    )
    ownership = SignedOwnership(Ownership(zeros, b"\1" * 20, b"\2" * 20, 5), b"\x66" * 65)
    return ReceiptRow(
        provider, peer(1), SignedReceipt(account, b"\x77" * 65), request, "Hi é", ownership
    )
