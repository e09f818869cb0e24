"""The border to SQLite's errors: each becomes a StoreError that says what to do."""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from p2p_modelex.errors import StoreError

_SAFE = "what was stored before is safe"
# By primary result code (https://sqlite.org/rescode.html): what happened, what to do.
_MEANINGS = {
    sqlite3.SQLITE_FULL: (
        "the disk is full",
        f"free space there and start the node again; {_SAFE}",
    ),
    sqlite3.SQLITE_IOERR: (
        "the disk is full or failing",
        f"check its space and health (df, dmesg) and start the node again; {_SAFE}",
    ),
    sqlite3.SQLITE_CORRUPT: (
        "the database is damaged",
        "restore it from a backup; do not delete it, it holds your vouchers",
    ),
    sqlite3.SQLITE_NOTADB: (
        "the file is damaged or not a database",
        "restore it from a backup; do not delete it, it may hold your vouchers",
    ),
    sqlite3.SQLITE_BUSY: (
        "another process is writing to the database",
        "stop the other process; only one node may use a data directory",
    ),
    sqlite3.SQLITE_READONLY: (
        "the database may not be written",
        "check owner and mode of the file and of its folder",
    ),
    sqlite3.SQLITE_CANTOPEN: (
        "the database cannot be opened",
        "check that the data directory exists and is yours; `modelex init` makes one",
    ),
}


@contextmanager
def translating(path: Path) -> Iterator[None]:
    """Turn what SQLite and the file system raise into StoreError; nothing foreign gets out."""
    try:
        yield
    except sqlite3.Error as error:
        code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR) & 0xFF
        what, hint = _MEANINGS.get(code, ("the database failed", "run `modelex doctor`"))
        raise StoreError(f"{what}: {path} ({error})", hint=hint) from error
    except OSError as error:
        raise StoreError(
            f"the database cannot be opened: {path} ({error.strerror})",
            hint=_MEANINGS[sqlite3.SQLITE_CANTOPEN][1],
        ) from error
