"""How rows lie in tables: one entry a row class, with its key and the columns that are searched.

The rest of a row is its msgpack form (records/codec) behind a CRC-32, so that a flipped bit in
the file is an error and never a different amount.
"""

import zlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

import msgspec

from p2p_modelex import limits
from p2p_modelex.errors import LocalProtocolError, RemoteProtocolError, StoreError
from p2p_modelex.records import codec
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
    Row,
    SettingRow,
)

R = TypeVar("R", bound=msgspec.Struct)
Column = bytes | int | str
Key = tuple[Column, ...]


@dataclass(frozen=True, slots=True)
class Table:
    """A table: its name, its key's columns, other searched columns, and how a row fills both."""

    name: str
    key: tuple[str, ...]
    searched: tuple[str, ...]
    columns_of: Callable[[Any], Key]

    def key_of(self, row: msgspec.Struct) -> Key:
        """The row's key; a later row with the same key replaces it."""
        return self.columns_of(row)[: len(self.key)]


def _lane_of(row: IssuedVoucherRow | ReceivedVoucherRow) -> Key:
    return (row.signed.voucher.channel, row.signed.voucher.lane)


_LANE = ("channel", "lane")
_TABLES: dict[type[msgspec.Struct], Table] = {
    ChannelRow: Table("channel", ("channel",), (), lambda row: (row.state.channel,)),
    IssuedVoucherRow: Table("issued_voucher", _LANE, (), _lane_of),
    ReceivedVoucherRow: Table("received_voucher", _LANE, (), _lane_of),
    RedeemedRow: Table("redeemed", _LANE, (), lambda row: (row.channel, row.lane)),
    DepositRow: Table("deposit", ("payee",), (), lambda row: (row.payee,)),
    LoanRow: Table("loan", ("channel", "peer"), (), lambda row: (row.channel, row.peer)),
    ReceiptRow: Table(
        "receipt",
        ("job", "is_provider"),
        ("finished_at",),
        lambda row: (row.receipt.receipt.job, row.is_provider, row.receipt.receipt.finished_at),
    ),
    JobRow: Table(
        "job",
        ("job", "is_provider"),
        ("state", "updated_at"),
        lambda row: (row.job, row.is_provider, row.state, row.updated_at),
    ),
    RecordRow: Table("record", ("peer",), ("expires_at",), lambda row: (row.peer, row.expires_at)),
    MemberRow: Table("member", ("channel", "member"), (), lambda row: (row.channel, row.index)),
    FarmRow: Table("farm", ("farm",), ("expires_at",), lambda row: (row.farm, row.expires_at)),
    MembershipRow: Table("membership", ("farm", "serial"), (), lambda row: (row.farm, row.serial)),
    SettingRow: Table("setting", ("name",), (), lambda row: (row.name,)),
}


def table_of(kind: type[msgspec.Struct]) -> Table:
    """The table of a row class."""
    return _TABLES[kind]


def encode_row(row: Row) -> bytes:
    """Return CRC-32 (4 bytes, big-endian) | msgpack. LocalProtocolError over `limits.ROW_BYTES`."""
    body = codec.encode_bounded(row, limits.ROW_BYTES)
    return zlib.crc32(body).to_bytes(4, "big") + body


def decode_row(kind: type[R], stored: bytes) -> R:
    """Return the row; StoreError if the bytes are not what was written."""
    body = stored[4:]
    if zlib.crc32(body).to_bytes(4, "big") != stored[:4]:
        raise _damaged(kind, "its checksum differs")
    try:
        row: R = codec.decode(kind, body, limit=limits.ROW_BYTES)
    except RemoteProtocolError as error:
        raise _damaged(kind, error.message) from error
    return row


def _damaged(kind: type[msgspec.Struct], why: str) -> StoreError:
    return StoreError(
        f"a row of table {table_of(kind).name} is damaged: {why}",
        hint="restore the database from a backup; do not delete it, it holds your vouchers",
    )


def validate_not_lower(held: Row | None, row: Row) -> None:
    """Raise LocalProtocolError if `row` is a voucher worth less than the one `held` on its lane.

    Amounts of different split epochs are compared in the newer one: a split doubles them.
    """
    if not isinstance(row, IssuedVoucherRow | ReceivedVoucherRow):
        return
    if not isinstance(held, IssuedVoucherRow | ReceivedVoucherRow):
        return
    old, new = held.signed.voucher, row.signed.voucher
    if new.epoch < old.epoch or new.amount < old.amount << (new.epoch - old.epoch):
        raise LocalProtocolError(
            f"a voucher of {new.amount} wei (epoch {new.epoch}) cannot replace one of "
            f"{old.amount} wei (epoch {old.epoch}) on lane {new.lane}",
        )
