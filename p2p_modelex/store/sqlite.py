"""The store in SQLite: one file, write-ahead log, an fsync before `apply` returns.

Every call runs in a worker thread, one at a time. Other processes may read the file meanwhile.
Durability: https://sqlite.org/pragma.html#pragma_synchronous (FULL, with WAL).
"""

# Names of tables and columns come from tables.py, values are bound.
# ruff: noqa: S608

import os
import sqlite3
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self, TypeVar

import msgspec
import trio

from p2p_modelex import limits
from p2p_modelex.errors import StoreError
from p2p_modelex.ids import JobId, NetworkId
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
from p2p_modelex.store.faults import translating
from p2p_modelex.store.migrations import SCHEMA_VERSION, migrate, validate_schema
from p2p_modelex.store.tables import (
    Column,
    decode_row,
    encode_row,
    table_of,
    validate_not_lower,
)
from p2p_modelex.units import UnixMs

R = TypeVar("R", bound=msgspec.Struct)
T = TypeVar("T")

BUSY_TIMEOUT_S = 5.0
"""How long to wait for another process, whose checkpoint takes milliseconds."""
_NETWORK = "store/network"
_MAGIC = b"SQLite format 3\0"


class SqliteStore(Store):
    """One SQLite file, mode 0600. Opened `read_only`, it may be a running node's."""

    def __init__(
        self, path: Path, *, network: NetworkId | None = None, read_only: bool = False
    ) -> None:
        """`network`: the file is bound to it at first opening and refused by any other after."""
        self._path = path
        self._network = network
        self._read_only = read_only
        self._connection: sqlite3.Connection | None = None
        # One thread at a time: it serves as the lock around the connection, and it is fair.
        self._limiter = trio.CapacityLimiter(1)

    async def __aenter__(self) -> Self:
        await self._run(self._open)
        return self

    async def __aexit__(self, *exc: object) -> None:
        with trio.CancelScope(shield=True):
            await self._run(self._close)

    async def apply(self, rows: Sequence[Row]) -> None:
        await self._run(self._apply, tuple(rows))

    async def channels(self) -> tuple[ChannelRow, ...]:
        return await self._run(self._select, ChannelRow, "ORDER BY channel")

    async def issued_vouchers(self) -> tuple[IssuedVoucherRow, ...]:
        return await self._run(self._select, IssuedVoucherRow, "ORDER BY channel, lane")

    async def received_vouchers(self) -> tuple[ReceivedVoucherRow, ...]:
        return await self._run(self._select, ReceivedVoucherRow, "ORDER BY channel, lane")

    async def redeemed(self) -> tuple[RedeemedRow, ...]:
        return await self._run(self._select, RedeemedRow, "ORDER BY channel, lane")

    async def deposits(self) -> tuple[DepositRow, ...]:
        return await self._run(self._select, DepositRow, "ORDER BY payee")

    async def loans(self) -> tuple[LoanRow, ...]:
        return await self._run(self._select, LoanRow, "ORDER BY channel, peer")

    async def receipts(
        self, *, limit: int = 50, offset: int = 0, job: JobId | None = None
    ) -> tuple[ReceiptRow, ...]:
        where, arguments = ("", ()) if job is None else ("WHERE job = ?", (job,))
        rest = f"{where} ORDER BY finished_at DESC, job, is_provider LIMIT ? OFFSET ?"
        return await self._run(self._select, ReceiptRow, rest, *arguments, limit, offset)

    async def records(self, now: UnixMs) -> tuple[RecordRow, ...]:
        return await self._run(self._select, RecordRow, "WHERE expires_at > ? ORDER BY peer", now)

    async def members(self) -> tuple[MemberRow, ...]:
        return await self._run(self._select, MemberRow, "ORDER BY channel, member")

    async def farms(self, now: UnixMs) -> tuple[FarmRow, ...]:
        return await self._run(self._select, FarmRow, "WHERE expires_at > ? ORDER BY farm", now)

    async def memberships(self) -> tuple[MembershipRow, ...]:
        return await self._run(self._select, MembershipRow, "ORDER BY farm, serial")

    async def jobs(self, *, without: Collection[str] = ()) -> tuple[JobRow, ...]:
        rest = f"WHERE state NOT IN ({_marks(without)}) ORDER BY job, is_provider"
        return await self._run(self._select, JobRow, rest, *without)

    async def setting(self, name: str) -> bytes | None:
        rows = await self._run(self._select, SettingRow, "WHERE name = ?", name)
        return rows[0].value if rows else None

    async def prune(self, now: UnixMs, *, finished: Collection[str]) -> int:
        return await self._run(self._prune, now, tuple(finished))

    async def _run(self, work: Callable[..., T], *arguments: Any) -> T:
        def guarded() -> T:
            with translating(self._path):
                return work(*arguments)

        # Not abandoned on cancellation: a transaction that began is finished and its end is seen.
        return await trio.to_thread.run_sync(guarded, limiter=self._limiter)

    # What follows runs in the worker thread.

    @property
    def _open_connection(self) -> sqlite3.Connection:
        if self._connection is None:
            raise StoreError(f"{self._path} is not open", hint="use it inside `async with`")
        return self._connection

    def _open(self) -> None:
        if not self._read_only:
            _make_private(self._path)
        connection = sqlite3.connect(
            f"{self._path.absolute().as_uri()}?mode=rw",
            uri=True,
            timeout=BUSY_TIMEOUT_S,
            isolation_level=None,
            check_same_thread=False,
        )
        try:
            self._prepare(connection)
            self._connection = connection
            if self._network is not None:
                self._bind(self._network)
        except BaseException:
            self._connection = None
            connection.close()
            raise

    def _prepare(self, connection: sqlite3.Connection) -> None:
        connection.execute("PRAGMA trusted_schema = OFF")
        connection.execute("PRAGMA cell_size_check = ON")
        version = validate_schema(connection, self._path)
        self._check(connection)
        if self._read_only:
            if version != SCHEMA_VERSION:
                raise StoreError(
                    f"{self._path} has schema {version}, this version reads {SCHEMA_VERSION}",
                    hint="start the node once, it brings the database up to date",
                )
            connection.execute("PRAGMA query_only = ON")
            return
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
        migrate(connection, version)

    def _check(self, connection: sqlite3.Connection) -> None:
        found = connection.execute("PRAGMA quick_check(1)").fetchone()[0]
        if found != "ok":
            raise _damaged(self._path, found)

    def _bind(self, network: NetworkId) -> None:
        held = self._select(SettingRow, "WHERE name = ?", _NETWORK)
        if not held and not self._read_only:
            self._apply((SettingRow(_NETWORK, network),))
        elif held and held[0].value != network:
            raise StoreError(
                f"{self._path} belongs to another network ({held[0].value.hex()[:16]}...)",
                hint="a data directory serves one network: give --home another one",
            )

    def _close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _apply(self, rows: tuple[Row, ...]) -> None:
        with self._transaction() as connection:
            for row in rows:
                table = table_of(type(row))
                if isinstance(row, IssuedVoucherRow | ReceivedVoucherRow):
                    lane = "WHERE channel = ? AND lane = ?"
                    held = self._select(type(row), lane, *table.key_of(row))
                    validate_not_lower(held[0] if held else None, row)
                columns = (*table.key, *table.searched, "body")
                connection.execute(
                    f"INSERT OR REPLACE INTO {table.name} ({', '.join(columns)})"
                    f" VALUES ({_marks(columns)})",
                    (*table.columns_of(row), encode_row(row)),
                )

    def _select(self, kind: type[R], rest: str, *arguments: Column) -> tuple[R, ...]:
        query = f"SELECT body FROM {table_of(kind).name} {rest}"
        found = self._open_connection.execute(query, arguments)
        return tuple(decode_row(kind, body) for (body,) in found)

    def _prune(self, now: UnixMs, finished: tuple[str, ...]) -> int:
        with self._transaction() as connection:
            records = connection.execute("DELETE FROM record WHERE expires_at <= ?", (now,))
            farms = connection.execute("DELETE FROM farm WHERE expires_at <= ?", (now,))
            jobs = connection.execute(
                f"DELETE FROM job WHERE updated_at <= ? AND state IN ({_marks(finished)})",
                (now - limits.JOBS_KEPT_MS, *finished),
            )
            return records.rowcount + farms.rowcount + jobs.rowcount

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        connection = self._open_connection
        connection.execute("BEGIN IMMEDIATE")
        try:
            yield connection
            connection.execute("COMMIT")
        finally:
            # SQLite has rolled back by itself after some failures, a full disk among them.
            if connection.in_transaction:
                connection.execute("ROLLBACK")


def _marks(values: Collection[object]) -> str:
    return ", ".join("?" * len(values))


def _damaged(path: Path, found: object) -> StoreError:
    return StoreError(
        f"the database is damaged: {path} ({found})",
        hint="restore it from a backup; do not delete it, it holds your vouchers",
    )


def _make_private(path: Path) -> None:
    """Create the file before SQLite does, so that it never has another mode; the WAL follows it."""
    with open(path, "a+b", opener=lambda name, flags: os.open(name, flags, 0o600)) as file:
        file.seek(0)
        start = file.read(len(_MAGIC))
    # SQLite takes a file shorter than its header for an empty database, and would overwrite it.
    if start and start != _MAGIC:
        raise StoreError(
            f"the file is damaged or not a database: {path}",
            hint="restore it from a backup; do not delete it, it may hold your vouchers",
        )
    path.chmod(0o600)
