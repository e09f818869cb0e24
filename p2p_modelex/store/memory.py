"""The store in memory: the same promises but the one about crashes."""

from collections.abc import Callable, Collection, Sequence
from typing import Self, TypeVar

import msgspec

from p2p_modelex import limits
from p2p_modelex.ids import JobId
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
from p2p_modelex.store.abc import Store
from p2p_modelex.store.tables import Key, table_of, validate_not_lower
from p2p_modelex.units import UnixMs

R = TypeVar("R", bound=msgspec.Struct)


class MemoryStore(Store):
    """Rows in dictionaries. Closing it keeps them, so that tests can open it again."""

    def __init__(self) -> None:
        self._rows: dict[type[msgspec.Struct], dict[Key, Row]] = {}

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc: object) -> None:
        pass

    async def apply(self, rows: Sequence[Row]) -> None:
        staged: dict[tuple[type[msgspec.Struct], Key], Row] = {}
        for row in rows:
            kind: type[msgspec.Struct] = type(row)
            key = table_of(kind).key_of(row)
            validate_not_lower(staged.get((kind, key)) or self._held(kind).get(key), row)
            staged[kind, key] = row
        for (kind, key), row in staged.items():
            self._held(kind)[key] = row

    async def channels(self) -> tuple[ChannelRow, ...]:
        return self._all(ChannelRow)

    async def issued_vouchers(self) -> tuple[IssuedVoucherRow, ...]:
        return self._all(IssuedVoucherRow)

    async def received_vouchers(self) -> tuple[ReceivedVoucherRow, ...]:
        return self._all(ReceivedVoucherRow)

    async def redeemed(self) -> tuple[RedeemedRow, ...]:
        return self._all(RedeemedRow)

    async def deposits(self) -> tuple[DepositRow, ...]:
        return self._all(DepositRow)

    async def loans(self) -> tuple[LoanRow, ...]:
        return self._all(LoanRow)

    async def receipts(
        self, *, limit: int = 50, offset: int = 0, job: JobId | None = None
    ) -> tuple[ReceiptRow, ...]:
        found = [
            row for row in self._all(ReceiptRow) if job is None or row.receipt.receipt.job == job
        ]
        found.sort(key=lambda row: row.receipt.receipt.finished_at, reverse=True)
        return tuple(found[offset : offset + limit])

    async def records(self, now: UnixMs) -> tuple[RecordRow, ...]:
        return tuple(row for row in self._all(RecordRow) if row.expires_at > now)

    async def members(self) -> tuple[MemberRow, ...]:
        return self._all(MemberRow)

    async def farms(self, now: UnixMs) -> tuple[FarmRow, ...]:
        return tuple(row for row in self._all(FarmRow) if row.expires_at > now)

    async def memberships(self) -> tuple[MembershipRow, ...]:
        return self._all(MembershipRow)

    async def jobs(self, *, without: Collection[str] = ()) -> tuple[JobRow, ...]:
        return tuple(row for row in self._all(JobRow) if row.state not in without)

    async def setting(self, name: str) -> bytes | None:
        row = self._held(SettingRow).get((name,))
        return row.value if isinstance(row, SettingRow) else None

    async def prune(self, now: UnixMs, *, finished: Collection[str]) -> int:
        expired = self._drop(RecordRow, lambda row: row.expires_at <= now)
        expired += self._drop(FarmRow, lambda row: row.expires_at <= now)
        changed_by = now - limits.JOBS_KEPT_MS
        return expired + self._drop(
            JobRow, lambda row: row.state in finished and row.updated_at <= changed_by
        )

    def _held(self, kind: type[msgspec.Struct]) -> dict[Key, Row]:
        return self._rows.setdefault(kind, {})

    def _all(self, kind: type[R]) -> tuple[R, ...]:
        held = self._held(kind)
        return tuple(row for key in sorted(held) if isinstance(row := held[key], kind))

    def _drop(self, kind: type[R], unwanted: Callable[[R], bool]) -> int:
        table = table_of(kind)
        gone = [table.key_of(row) for row in self._all(kind) if unwanted(row)]
        for key in gone:
            del self._held(kind)[key]
        return len(gone)
