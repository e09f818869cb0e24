"""What only the file on disk promises: crashes, full disks, damage, versions, other processes."""

# Small files and short processes: blocking on them is what these tests are about.
# ruff: noqa: ASYNC240

import contextlib
import os
import signal
import sqlite3
import subprocess
import sys
import zlib
from collections.abc import Iterator
from pathlib import Path

import msgpack
import pytest

from p2p_modelex.errors import StoreError
from p2p_modelex.ids import NetworkId
from p2p_modelex.records.rows import RecordRow, SettingRow
from p2p_modelex.store import migrations
from p2p_modelex.store.migrations import SCHEMA_VERSION
from p2p_modelex.store.sqlite import SqliteStore
from p2p_modelex.store.tables import encode_row
from p2p_modelex.units import UnixMs
from tests.store import rows

_WRITER = """
import sys, trio
from pathlib import Path
from p2p_modelex.store.sqlite import SqliteStore
from tests.store import rows

async def main():
    async with SqliteStore(Path(sys.argv[1])) as store:
        for amount in range(1, 1_000_000):
            await store.apply([rows.issued(amount, lane=lane) for lane in range(8)])
            print(amount, flush=True)

trio.run(main)
"""
_ROOT = Path(__file__).parents[2]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "modelex.sqlite"


def _spawn(code: str, path: Path) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-c", code, str(path)], cwd=_ROOT, text=True, stdout=subprocess.PIPE
    )


@contextlib.contextmanager
def _raw(path: Path) -> Iterator[sqlite3.Connection]:
    connection = sqlite3.connect(path, isolation_level=None)
    try:
        yield connection
    finally:
        connection.close()


async def test_what_apply_returned_for_survives_kill_9(path: Path) -> None:
    with _spawn(_WRITER, path) as writer:
        assert writer.stdout is not None
        promised = 0
        for line in writer.stdout:
            promised = int(line)
            if promised == 25:
                writer.send_signal(signal.SIGKILL)
        writer.wait()
    assert promised >= 25
    async with SqliteStore(path) as store:
        amounts = {row.signed.voucher.amount for row in await store.issued_vouchers()}
    assert len(amounts) == 1, "a batch is stored whole"
    assert amounts <= {promised, promised + 1}


async def test_a_log_that_was_torn_anywhere_opens_at_a_whole_commit(tmp_path: Path) -> None:
    whole = tmp_path / "whole.sqlite"
    async with SqliteStore(whole) as store:
        for amount in range(1, 7):
            await store.apply([rows.issued(amount, lane=lane) for lane in range(3)])
        base = whole.read_bytes()
        log = whole.with_name("whole.sqlite-wal").read_bytes()
    found = []
    for length in range(0, len(log) + 1, 1999):
        path = tmp_path / f"{length}.sqlite"
        path.write_bytes(base)
        path.with_name(f"{path.name}-wal").write_bytes(log[:length] + b"\xa5" * 512)
        async with SqliteStore(path) as store:
            amounts = {row.signed.voucher.amount for row in await store.issued_vouchers()}
        assert len(amounts) < 2, "a batch is stored whole"
        found.append(max(amounts, default=0))
    assert found == sorted(found)
    assert set(found) >= set(range(1, 6))


async def test_another_process_reads_while_this_one_writes(path: Path) -> None:
    async with SqliteStore(path) as writer, SqliteStore(path, read_only=True) as reader:
        await writer.apply((rows.issued(1),))
        assert await reader.issued_vouchers() == (rows.issued(1),)
        await writer.apply((rows.issued(2),))
        assert await reader.issued_vouchers() == (rows.issued(2),)
        with pytest.raises(StoreError, match="may not be written"):
            await reader.apply((rows.issued(3),))


async def test_a_reader_needs_no_running_node(path: Path) -> None:
    async with SqliteStore(path) as store:
        await store.apply((rows.issued(1),))
    async with SqliteStore(path, read_only=True) as reader:
        assert await reader.issued_vouchers() == (rows.issued(1),)


async def test_files_are_for_the_owner_only(path: Path) -> None:
    path.touch(0o666)
    async with SqliteStore(path) as store:
        await store.apply((rows.issued(1),))
        for file in path.parent.iterdir():
            assert file.stat().st_mode & 0o777 == 0o600, file


async def test_a_full_database_says_so_and_keeps_what_it_had(path: Path) -> None:
    async with SqliteStore(path) as store:
        await store.apply((rows.issued(1), rows.channel(1)))
        connection = store._open_connection
        pages = connection.execute("PRAGMA page_count").fetchone()[0]
        connection.execute(f"PRAGMA max_page_count = {pages + 2}")
        big = [RecordRow(rows.peer(n), 1, UnixMs(1), bytes(4000)) for n in range(8)]
        with pytest.raises(StoreError, match="disk is full") as caught:
            await store.apply([rows.issued(2), *big])
        assert "free space" in caught.value.hint
        assert await store.issued_vouchers() == (rows.issued(1),)
        assert await store.records(UnixMs(0)) == ()
        connection.execute("PRAGMA max_page_count = 100000")
        await store.apply([rows.issued(2), *big])
    async with SqliteStore(path) as store:
        assert await store.issued_vouchers() == (rows.issued(2),)


_FULL_DISK = """
import resource, sys, trio
from pathlib import Path
from p2p_modelex.errors import StoreError
from p2p_modelex.store.sqlite import SqliteStore
from tests.store import rows

async def main():
    async with SqliteStore(Path(sys.argv[1])) as store:
        await store.apply([rows.issued(1)])
        resource.setrlimit(resource.RLIMIT_FSIZE, (120_000, resource.RLIM_INFINITY))
        amount = 1
        try:
            while True:
                await store.apply([rows.issued(amount + 1), rows.channel(amount)])
                amount += 1
        except StoreError as error:
            print(amount, error.hint, flush=True)
        assert [row.signed.voucher.amount for row in await store.issued_vouchers()] == [amount]

trio.run(main)
"""


async def test_a_file_system_that_refuses_a_write_loses_nothing(path: Path) -> None:
    with _spawn(_FULL_DISK, path) as writer:
        output, _ = writer.communicate(timeout=30)
    assert writer.returncode == 0
    amount, _, hint = output.partition(" ")
    assert "what was stored before is safe" in hint
    async with SqliteStore(path) as store:
        assert await store.issued_vouchers() == (rows.issued(int(amount)),)
        assert len(await store.channels()) == int(amount) - 1


async def test_a_flipped_bit_in_a_row_is_an_error_not_another_amount(path: Path) -> None:
    async with SqliteStore(path) as store:
        await store.apply((rows.issued(1000),))
    with _raw(path) as raw:
        (body,) = raw.execute("SELECT body FROM issued_voucher").fetchone()
        damaged = body.replace((1000).to_bytes(16, "big"), (9000).to_bytes(16, "big"))
        assert damaged != body
        raw.execute("UPDATE issued_voucher SET body = ?", (damaged,))
    async with SqliteStore(path) as store:
        with pytest.raises(StoreError, match="issued_voucher is damaged") as caught:
            await store.issued_vouchers()
        assert "do not delete" in caught.value.hint


async def test_a_row_of_another_shape_is_an_error(path: Path) -> None:
    async with SqliteStore(path) as store:
        await store.apply((rows.issued(1000),))
    body = b"\x93\1\2\3"
    with _raw(path) as raw:
        raw.execute(
            "UPDATE issued_voucher SET body = ?", (zlib.crc32(body).to_bytes(4, "big") + body,)
        )
    async with SqliteStore(path) as store:
        with pytest.raises(StoreError, match="issued_voucher is damaged"):
            await store.issued_vouchers()


async def test_a_migration_that_fails_leaves_no_half(monkeypatch: pytest.MonkeyPatch) -> None:
    with sqlite3.connect(":memory:", isolation_level=None) as connection:
        monkeypatch.setattr(migrations, "MIGRATIONS", (("CREATE TABLE a (x)", "nonsense"),))
        with pytest.raises(sqlite3.OperationalError):
            migrations.migrate(connection, 0)
        assert connection.execute("SELECT count(*) FROM sqlite_schema").fetchone() == (0,)
        assert connection.execute("PRAGMA user_version").fetchone() == (0,)
    connection.close()


@pytest.mark.parametrize("where", [0, 20, 4096 + 3, 2 * 4096 + 5])
async def test_a_damaged_file_is_an_error_at_opening_or_changes_nothing(
    path: Path, where: int
) -> None:
    held = tuple(rows.issued(1000, lane=lane) for lane in range(64))
    async with SqliteStore(path) as store:
        await store.apply(held)
    content = bytearray(path.read_bytes())
    content[where : where + 64] = b"\xa5" * 64
    path.write_bytes(content)
    with contextlib.suppress(StoreError):
        async with SqliteStore(path) as store:
            assert await store.issued_vouchers() == held


@pytest.mark.parametrize("content", [b"not a database" * 1000, b"x"])
async def test_a_file_of_another_kind_is_refused(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    with pytest.raises(StoreError, match="not a database"):
        async with SqliteStore(path):
            pass
    assert path.read_bytes() == content, "left as it was"


async def test_a_truncated_file_is_refused(path: Path) -> None:
    async with SqliteStore(path) as store:
        await store.apply([rows.receipt(n, finished_at=n) for n in range(100)])
    os.truncate(path, path.stat().st_size - 4096 * 3)
    with pytest.raises(StoreError, match="damaged"):
        async with SqliteStore(path):
            pass


async def test_a_newer_schema_is_refused(path: Path) -> None:
    async with SqliteStore(path):
        pass
    with _raw(path) as raw:
        raw.execute(f"PRAGMA user_version = {SCHEMA_VERSION + 1}")
    with pytest.raises(StoreError, match="newer version") as caught:
        async with SqliteStore(path):
            pass
    assert "update p2p-modelex" in caught.value.hint


def _make_earlier(raw: sqlite3.Connection) -> None:
    """Make a database what the first version left behind."""
    for table in ("member", "farm", "membership", "loan", "deposit"):
        raw.execute(f"DROP TABLE {table}")
    raw.execute("PRAGMA user_version = 1")


@pytest.mark.parametrize("read_only", [False, True])
async def test_channels_of_an_earlier_contract_are_refused_and_left_alone(
    path: Path, read_only: bool
) -> None:
    async with SqliteStore(path) as store:
        await store.apply([rows.channel(1)])
    with _raw(path) as raw:
        _make_earlier(raw)
    with pytest.raises(StoreError, match="earlier PaymentChannels") as caught:
        async with SqliteStore(path, read_only=read_only):
            pass
    assert "redeem and close them" in caught.value.hint
    with _raw(path) as raw:
        assert raw.execute("SELECT count(*) FROM channel").fetchone() == (1,)


async def test_an_earlier_schema_without_channels_goes_on(path: Path) -> None:
    async with SqliteStore(path) as store:
        await store.apply([SettingRow("x", b"kept")])
    with _raw(path) as raw:
        _make_earlier(raw)
    async with SqliteStore(path) as store:
        assert await store.setting("x") == b"kept"


async def test_another_programs_database_is_refused(path: Path) -> None:
    with _raw(path) as raw:
        raw.execute("CREATE TABLE theirs (x)")
    with pytest.raises(StoreError, match="another program"):
        async with SqliteStore(path):
            pass


async def test_a_database_serves_one_network(path: Path) -> None:
    ours, theirs = NetworkId(b"\1" * 32), NetworkId(b"\2" * 32)
    async with SqliteStore(path, network=ours):
        pass
    async with SqliteStore(path, network=ours):
        pass
    with pytest.raises(StoreError, match="another network"):
        async with SqliteStore(path, network=theirs):
            pass


async def test_a_missing_folder_or_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="cannot be opened"):
        async with SqliteStore(tmp_path / "none" / "modelex.sqlite"):
            pass
    with pytest.raises(StoreError, match="cannot be opened"):
        async with SqliteStore(tmp_path / "none.sqlite", read_only=True):
            pass


async def test_an_old_or_empty_file_is_not_migrated_by_a_reader(path: Path) -> None:
    path.touch()
    with pytest.raises(StoreError, match="has schema 0"):
        async with SqliteStore(path, read_only=True):
            pass


async def test_a_second_writer_is_told(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("p2p_modelex.store.sqlite.BUSY_TIMEOUT_S", 0.01)
    async with SqliteStore(path) as store:
        with _raw(path) as raw:
            raw.execute("BEGIN IMMEDIATE")
            with pytest.raises(StoreError, match="another process"):
                await store.apply((SettingRow("x", b""),))
        await store.apply((SettingRow("x", b""),))


async def test_a_closed_store_says_so(path: Path) -> None:
    store = SqliteStore(path)
    with pytest.raises(StoreError, match="not open"):
        await store.channels()


async def test_jobs_that_an_older_version_kept_are_of_epoch_0(path: Path) -> None:
    """And a damaged one stays damaged."""
    job, other = rows.job(1), rows.job(2)
    async with SqliteStore(path) as store:
        await store.apply((job, other))
    older = msgpack.packb(msgpack.unpackb(encode_row(job)[4:])[:-1])
    kept = zlib.crc32(older).to_bytes(4, "big") + older
    with contextlib.closing(sqlite3.connect(path)) as raw:
        raw.execute("UPDATE job SET body = ? WHERE job = ?", (kept, job.job))
        raw.execute("UPDATE job SET body = ? WHERE job = ?", (b"1234" + older, other.job))
        _make_earlier(raw)
        raw.commit()
    async with SqliteStore(path) as store:
        with pytest.raises(StoreError, match="job is damaged"):
            await store.jobs()
    with contextlib.closing(sqlite3.connect(path)) as raw:
        raw.execute("DELETE FROM job WHERE job = ?", (other.job,))
        raw.commit()
    async with SqliteStore(path) as store:
        assert await store.jobs() == (job,)
