"""Any bytes as any message: a value whose one encoding they are, or a WIRE rule."""

import math
from typing import Any

from p2p_modelex.core.exchange.receipt_file import decode_receipt_file, encode_receipt_file
from p2p_modelex.errors import LocalProtocolError, RemoteProtocolError, VerificationFailed
from p2p_modelex.records import codec
from p2p_modelex.records.advertisement import Advertisement, Announcements
from p2p_modelex.records.envelope import Envelope
from p2p_modelex.records.job import Load, Probe, ProviderMessage, Quote, RequesterMessage
from p2p_modelex.records.ownership import SignedOwnership
from p2p_modelex.records.receipt import SignedReceipt
from p2p_modelex.records.reconciliation import InitiatorMessage, ResponderMessage
from p2p_modelex.records.rows import (
    ChannelRow,
    IssuedVoucherRow,
    JobRow,
    ReceiptRow,
    ReceivedVoucherRow,
    RecordRow,
    RedeemedRow,
    SettingRow,
)
from p2p_modelex.records.voucher import SignedVoucher
from tests.fuzz import trees
from tests.fuzz.choices import Choices

KINDS: tuple[Any, ...] = (
    RequesterMessage,
    ProviderMessage,
    InitiatorMessage,
    ResponderMessage,
    Advertisement,
    Announcements,
    Envelope,
    Quote,
    Probe,
    Load,
    SignedVoucher,
    SignedReceipt,
    SignedOwnership,
    ReceiptRow,
    ChannelRow,
    IssuedVoucherRow,
    JobRow,
    ReceivedVoucherRow,
    RecordRow,
    RedeemedRow,
    SettingRow,
)
LIMIT = 256 * 1024
_RULES = {"WIRE-1", "WIRE-2", "WIRE-3", "WIRE-4"}


def run(content: bytes) -> None:
    """First byte: which type; second: whether the rest is the message or what draws it."""
    choices = Choices(content)
    kind = KINDS[choices.byte() % len(KINDS)]
    match choices.below(4):
        case 0 | 1:
            data = choices.rest()
        case 2:
            data = trees.pack(trees.draw(kind, choices))
        case _:
            data = trees.pack(trees.bend(trees.draw(kind, choices), choices))
    check(kind, data)


def check(kind: Any, data: bytes) -> None:
    try:
        value = codec.decode(kind, data, limit=LIMIT)
    except RemoteProtocolError as error:
        if error.rule not in _RULES:
            raise AssertionError("a rule of another protocol") from error
        return
    assert codec.encode(value) == data, "another form was accepted"
    again = codec.decode(kind, data, limit=LIMIT)
    assert again == value, "a value that is not equal to itself"
    assert hash(value) == hash(again)
    assert_finite(trees.unpack(data))
    if isinstance(value, ReceiptRow):
        check_file(value)


def assert_finite(plain: Any) -> None:
    """No NaN or infinity passes: comparisons with them are always false."""
    if isinstance(plain, list):
        for one in plain:
            assert_finite(one)
    assert not isinstance(plain, float) or math.isfinite(plain), plain


def check_file(row: ReceiptRow) -> None:
    """What a row shows reads back as the same row."""
    try:
        shown = encode_receipt_file(row)
    except LocalProtocolError:
        return
    try:
        assert decode_receipt_file(shown) == row
    except VerificationFailed as error:
        raise AssertionError("our own receipt file is refused") from error
