"""The journal of a map: what was ordered, and every result, durable before it is said.

One SQLite file, which a map has to itself. With it the same command goes on where it was
interrupted: what has a result is neither run nor paid again. Writes that come together share an
fsync.
"""

import os
import sqlite3
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self, TypeVar

import trio

from p2p_modelex.errors import BadInput, StoreError
from p2p_modelex.ids import Digest, JobId
from p2p_modelex.node.mapping.notes import (
    CUT,
    EXTRA,
    FAILED,
    KEPT,
    ORDERED,
    JobEnd,
    JobNote,
    Known,
    Note,
    ResultNote,
    Tally,
)
from p2p_modelex.store.faults import translating
from p2p_modelex.units import Epoch, Wei, rescale

T = TypeVar("T")

BUSY_TIMEOUT_S = 1.0
# SQLite's faults have hints for the node's database, and this is none.
_HINT = (
    "one map at a time has a journal, in a folder that is yours, with room; a damaged one is of no "
    "more use: write to another --output, and all is paid anew"
)
_MAGIC = b"SQLite format 3\0"
APPLICATION_ID = 0x4D444C4D
"""`MDLM`, so that another program's database is not taken for a journal."""
VERSION = 1
_SCHEMA = (
    "CREATE TABLE template (digest BLOB NOT NULL)",
    "CREATE TABLE job (job BLOB PRIMARY KEY, number INTEGER NOT NULL, digest BLOB NOT NULL,"
    " is_extra INTEGER NOT NULL, outcome TEXT NOT NULL, paid TEXT NOT NULL, epoch INTEGER NOT NULL)"
    " WITHOUT ROWID",
    "CREATE INDEX job_by_number ON job (number)",
    "CREATE TABLE result (number INTEGER PRIMARY KEY, digest BLOB NOT NULL,"
    " is_good INTEGER NOT NULL, body BLOB NOT NULL)",
    f"PRAGMA application_id = {APPLICATION_ID}",
    f"PRAGMA user_version = {VERSION}",
)


@dataclass(slots=True)
class _Batch:
    notes: list[Note] = field(default_factory=list)
    is_written: bool = False


class Journal:
    """Opened for one map. Without a path it is a temporary file that nobody else sees."""

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._connection: sqlite3.Connection | None = None
        self._limiter = trio.CapacityLimiter(1)
        self._waiting = _Batch()
        self._lock = trio.Lock()
        self.last = -1
        """The highest number that was ever ordered."""

    async def __aenter__(self) -> Self:
        """Raises StoreError if the file cannot be used, BadInput if it is something else."""
        await self._run(self._open)
        return self

    async def __aexit__(self, *exc: object) -> None:
        with trio.CancelScope(shield=True):
            await self._run(self._close)

    async def bind(self, template: Digest) -> None:
        """Make it the journal of a template. BadInput if it is another's."""
        await self._run(self._bind, template)

    async def find(self, first: int, count: int) -> dict[int, Known]:
        """Return what is known of prompts, by their numbers."""
        return await self._run(self._find, first, count)

    async def find_cut(self) -> tuple[JobId, ...]:
        """Return the jobs that have not ended, which a crash has cut off."""
        return await self._run(self._find_cut)

    async def tally(self, epoch: Epoch) -> Tally:
        """Return what was done so far, amounts in this split epoch."""
        return await self._run(self._tally, epoch)

    async def note(self, *notes: Note) -> None:
        """Keep these; they are durable when this returns. Raises StoreError.

        Who comes while others are written waits for that, and one of them then writes for all.
        """
        batch = self._waiting
        batch.notes += notes
        async with self._lock:
            if not batch.is_written:
                if self._waiting is batch:
                    self._waiting = _Batch()
                await self._run(self._apply, batch.notes)
                batch.is_written = True

    async def _run(self, work: Callable[..., T], *arguments: Any) -> T:
        def guarded() -> T:
            try:
                with translating(self._path or Path("the map's temporary journal")):
                    return work(*arguments)
            except StoreError as error:
                raise StoreError(error.message, hint=_HINT) from error

        # Not abandoned on cancellation: a transaction that began is finished and its end is seen.
        return await trio.to_thread.run_sync(guarded, limiter=self._limiter)

    # What follows runs in the worker thread.

    @property
    def _open_connection(self) -> sqlite3.Connection:
        assert self._connection is not None
        return self._connection

    def _open(self) -> None:
        place = str(self._path or "")
        if self._path is not None:
            _touch(self._path)
        connection = sqlite3.connect(
            place, isolation_level=None, timeout=BUSY_TIMEOUT_S, check_same_thread=False
        )
        try:
            self._prepare(connection)
        except BaseException:
            connection.close()
            raise
        self._connection = connection

    def _prepare(self, connection: sqlite3.Connection) -> None:
        connection.execute("PRAGMA trusted_schema = OFF")
        # Held until it is closed, so that no other map has the same journal.
        connection.execute("PRAGMA locking_mode = EXCLUSIVE")
        owner = connection.execute("PRAGMA application_id").fetchone()[0]
        version = connection.execute("PRAGMA user_version").fetchone()[0]
        tables = connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()[0]
        if tables and (owner, version) != (APPLICATION_ID, VERSION):
            raise BadInput(f"{self._path} is no journal of this version", hint="name another one")
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("BEGIN IMMEDIATE")
        for statement in () if tables else _SCHEMA:
            connection.execute(statement)
        connection.execute("COMMIT")
        last = connection.execute("SELECT max(number) FROM job").fetchone()[0]
        self.last = -1 if last is None else last

    def _close(self) -> None:
        if self._connection is not None:
            self._connection.close()

    def _bind(self, template: Digest) -> None:
        held = self._open_connection.execute("SELECT digest FROM template").fetchone()
        if held is None:
            self._open_connection.execute("INSERT INTO template VALUES (?)", (template,))
        elif held[0] != template:
            raise BadInput(
                f"{self._path} is the journal of another template, or of this one as it was",
                hint="put the template back as it was, or write to another --output",
            )

    def _find(self, first: int, count: int) -> dict[int, Known]:
        connection, span = self._open_connection, (first, first + count)
        found: dict[int, Known] = {}
        for job, number, digest in connection.execute(
            "SELECT job, number, digest FROM job WHERE number >= ? AND number < ? AND outcome = ?",
            (*span, CUT),
        ):
            jobs = found[number].jobs if number in found else ()
            found[number] = Known(digest, None, (*jobs, JobId(job)))
        for number, digest, body in connection.execute(
            "SELECT number, digest, body FROM result WHERE number >= ? AND number < ?", span
        ):
            jobs = found[number].jobs if number in found else ()
            found[number] = Known(digest, body, jobs)
        return found

    def _find_cut(self) -> tuple[JobId, ...]:
        query = "SELECT job FROM job WHERE outcome = ?"
        found = self._open_connection.execute(query, (ORDERED,))
        return tuple(JobId(job) for (job,) in found)

    def _tally(self, epoch: Epoch) -> Tally:
        connection = self._open_connection
        good, bad = connection.execute(
            "SELECT total(is_good), total(1 - is_good) FROM result"
        ).fetchone()
        jobs = extras = receipts = 0
        paid = dict.fromkeys((ORDERED, CUT, KEPT, EXTRA, FAILED), 0)
        for is_extra, outcome, amount, written in connection.execute(
            "SELECT is_extra, outcome, paid, epoch FROM job"
        ):
            jobs, extras = jobs + 1, extras + is_extra
            receipts += outcome == KEPT
            paid[outcome] += rescale(int(amount), written, epoch)
        return Tally(
            int(good),
            int(bad),
            jobs,
            receipts,
            extras,
            Wei(paid[KEPT]),
            Wei(paid[EXTRA]),
            Wei(paid[FAILED] + paid[CUT]),
        )

    def _apply(self, notes: Iterable[Note]) -> None:
        connection = self._open_connection
        connection.execute("BEGIN IMMEDIATE")
        try:
            for note in notes:
                self._write(connection, note)
            connection.execute("COMMIT")
        finally:
            if connection.in_transaction:
                connection.execute("ROLLBACK")

    def _write(self, connection: sqlite3.Connection, note: Note) -> None:
        match note:
            case JobNote(job, number, digest, is_extra):
                connection.execute(
                    "INSERT OR IGNORE INTO job VALUES (?, ?, ?, ?, ?, '0', 0)",
                    (job, number, digest, is_extra, ORDERED),
                )
                self.last = max(self.last, number)
            case JobEnd(job, outcome, paid, epoch):
                connection.execute(
                    "UPDATE job SET outcome = ?, paid = ?, epoch = ? WHERE job = ?",
                    (outcome, str(int(paid)), epoch, job),
                )
            case ResultNote(number, digest, is_good, body):
                connection.execute(
                    "INSERT OR IGNORE INTO result VALUES (?, ?, ?, ?)",
                    (number, digest, is_good, body),
                )


def _touch(path: Path) -> None:
    """Make the file, for its owner alone; BadInput if it is there and no database."""
    with open(path, "a+b", opener=lambda name, flags: os.open(name, flags, 0o600)) as file:
        file.seek(0)
        start = file.read(len(_MAGIC))
    if start not in (b"", _MAGIC):
        raise BadInput(f"{path} is no journal of a map", hint="name another file")
