"""The database's schema, as numbered steps; `PRAGMA user_version` says how many were taken.

A step that has shipped is never edited: a change is a new step at the end.
"""

import sqlite3
import zlib

import msgpack

from p2p_modelex.errors import StoreError

APPLICATION_ID = 0x4D444C58
"""`MDLX`, so that another program's database is not taken for ours."""

MIGRATIONS: tuple[tuple[str, ...], ...] = (
    (
        "CREATE TABLE channel (channel BLOB PRIMARY KEY, body BLOB NOT NULL) WITHOUT ROWID",
        "CREATE TABLE issued_voucher (channel BLOB, lane INTEGER, body BLOB NOT NULL,"
        " PRIMARY KEY (channel, lane)) WITHOUT ROWID",
        "CREATE TABLE received_voucher (channel BLOB, lane INTEGER, body BLOB NOT NULL,"
        " PRIMARY KEY (channel, lane)) WITHOUT ROWID",
        "CREATE TABLE redeemed (channel BLOB, lane INTEGER, body BLOB NOT NULL,"
        " PRIMARY KEY (channel, lane)) WITHOUT ROWID",
        # Receipts and records are kilobytes each, so these two keep their rowid.
        "CREATE TABLE receipt (job BLOB, is_provider INTEGER, finished_at INTEGER NOT NULL,"
        " body BLOB NOT NULL, PRIMARY KEY (job, is_provider))",
        "CREATE INDEX receipt_by_time ON receipt (finished_at)",
        "CREATE TABLE job (job BLOB, is_provider INTEGER, state TEXT NOT NULL,"
        " updated_at INTEGER NOT NULL, body BLOB NOT NULL,"
        " PRIMARY KEY (job, is_provider)) WITHOUT ROWID",
        "CREATE TABLE record (peer BLOB PRIMARY KEY, expires_at INTEGER NOT NULL,"
        " body BLOB NOT NULL)",
        "CREATE INDEX record_by_expiry ON record (expires_at)",
        "CREATE TABLE setting (name TEXT PRIMARY KEY, body BLOB NOT NULL) WITHOUT ROWID",
        f"PRAGMA application_id = {APPLICATION_ID}",
    ),
    # Channels are kept with their salt, without which the contract does not find them.
    (),
    # A job's amounts have a split epoch; there was none but 0.
    ("UPDATE job SET body = with_epoch_0(body)",),
    (
        "CREATE TABLE member (channel BLOB, member INTEGER, body BLOB NOT NULL,"
        " PRIMARY KEY (channel, member)) WITHOUT ROWID",
        "CREATE TABLE farm (farm BLOB PRIMARY KEY, expires_at INTEGER NOT NULL,"
        " body BLOB NOT NULL)",
        "CREATE TABLE membership (farm BLOB, serial INTEGER, body BLOB NOT NULL,"
        " PRIMARY KEY (farm, serial)) WITHOUT ROWID",
    ),
    (
        "CREATE TABLE loan (channel BLOB, peer BLOB, body BLOB NOT NULL,"
        " PRIMARY KEY (channel, peer)) WITHOUT ROWID",
    ),
    ("CREATE TABLE deposit (payee BLOB PRIMARY KEY, body BLOB NOT NULL) WITHOUT ROWID",),
)
_SALTED = 2
SCHEMA_VERSION = len(MIGRATIONS)


def validate_schema(connection: sqlite3.Connection, path: object) -> int:
    """Return the schema's version, 0 for a fresh file; StoreError if it is not one we can use."""
    version = int(connection.execute("PRAGMA user_version").fetchone()[0])
    owner = int(connection.execute("PRAGMA application_id").fetchone()[0])
    tables = int(connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()[0])
    if owner != APPLICATION_ID and (tables or version):
        raise StoreError(
            f"{path} is another program's database", hint="choose another data directory"
        )
    if version > SCHEMA_VERSION:
        raise StoreError(
            f"{path} was written by a newer version (schema {version}, known {SCHEMA_VERSION})",
            hint="update p2p-modelex, or use another data directory",
        )
    if 0 < version < _SALTED and connection.execute("SELECT count(*) FROM channel").fetchone()[0]:
        raise StoreError(
            f"{path} holds channels of an earlier PaymentChannels, which this version cannot use",
            hint="redeem and close them with the version that made them, "
            "then use another data directory",
        )
    return version


def migrate(connection: sqlite3.Connection, version: int) -> None:
    """Take the missing steps, each in a transaction of its own."""
    connection.create_function("with_epoch_0", 1, _append_zero, deterministic=True)
    for number, statements in enumerate(MIGRATIONS[version:], start=version + 1):
        connection.execute("BEGIN IMMEDIATE")
        try:
            for statement in statements:
                connection.execute(statement)
            connection.execute(f"PRAGMA user_version = {number}")
            connection.execute("COMMIT")
        finally:
            if connection.in_transaction:
                connection.execute("ROLLBACK")


def _append_zero(body: bytes) -> bytes:
    """Return a kept row with a 0 behind its fields; a damaged one as it is, for who reads it."""
    kept = body[4:]
    if zlib.crc32(kept).to_bytes(4, "big") != body[:4]:
        return body
    longer: bytes = msgpack.packb([*msgpack.unpackb(kept), 0])
    return zlib.crc32(longer).to_bytes(4, "big") + longer
