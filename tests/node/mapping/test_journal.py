"""The journal: durable before it returns, a map's own, one writer for all who wait."""

import sqlite3
from pathlib import Path

import pytest
import trio

from p2p_modelex.errors import BadInput, StoreError
from p2p_modelex.ids import Digest, JobId
from p2p_modelex.node.mapping.journal import Journal
from p2p_modelex.node.mapping.notes import (
    CUT,
    EXTRA,
    FAILED,
    KEPT,
    JobEnd,
    JobNote,
    Known,
    ResultNote,
    Tally,
)
from p2p_modelex.units import Epoch, Wei

TEMPLATE = Digest(b"t" * 32)


def job(number: int) -> JobId:
    return JobId(number.to_bytes(16, "big"))


def ordered(number: int, prompt: int, *, is_extra: bool = False) -> JobNote:
    return JobNote(job(number), prompt, b"d%d" % prompt, is_extra)


def result(prompt: int, *, is_good: bool = True) -> ResultNote:
    return ResultNote(prompt, b"d%d" % prompt, is_good, b"{%d}" % prompt)


async def test_what_was_noted_is_there_the_next_time(tmp_path: Path) -> None:
    path = tmp_path / "journal"
    async with Journal(path) as journal:
        await journal.bind(TEMPLATE)
        assert journal.last == -1
        await journal.note(ordered(1, 0), ordered(2, 0, is_extra=True))
        await journal.note(ordered(3, 7), ordered(4, 5), ordered(5, 6))
        await journal.note(JobEnd(job(1), KEPT, Wei(10**20), Epoch(0)), result(0))
        await journal.note(JobEnd(job(2), EXTRA, Wei(3), Epoch(0)))
        await journal.note(JobEnd(job(5), FAILED, Wei(5), Epoch(1)), result(6, is_good=False))
    assert path.stat().st_mode & 0o777 == 0o600
    async with Journal(path) as journal:
        await journal.bind(TEMPLATE)
        assert journal.last == 7
        assert await journal.find_cut() == (job(3), job(4))
        await journal.note(JobEnd(job(3), CUT, Wei(7), Epoch(1)))
        assert await journal.find(0, 64) == {
            0: Known(b"d0", b"{0}"),
            6: Known(b"d6", b"{6}"),
            7: Known(b"d7", None, (job(3),)),
        }
        assert await journal.find(1, 5) == {}
        assert await journal.tally(Epoch(1)) == Tally(
            results=1,
            failures=1,
            jobs=5,
            receipts=1,
            extras=1,
            paid_kept=Wei(2 * 10**20),
            paid_extra=Wei(6),
            paid_failed=Wei(12),
        )


async def test_a_result_that_is_there_stays(tmp_path: Path) -> None:
    async with Journal(None) as journal:
        await journal.note(ordered(1, 0), result(0))
        await journal.note(ResultNote(0, b"other", False, b"{}"))
        assert (await journal.find(0, 1))[0].body == b"{0}"


async def test_those_who_wait_share_a_write(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    writes = []
    apply = Journal._apply

    def count(self: Journal, notes: list[JobNote]) -> None:
        writes.append(len(notes))
        apply(self, notes)

    monkeypatch.setattr(Journal, "_apply", count)
    async with Journal(tmp_path / "journal") as journal, trio.open_nursery() as nursery:
        for number in range(100):
            nursery.start_soon(journal.note, ordered(number, number))
    assert sum(writes) == 100
    assert len(writes) <= 3


async def test_a_journal_of_another_template_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "journal"
    async with Journal(path) as journal:
        await journal.bind(TEMPLATE)
    async with Journal(path) as journal:
        with pytest.raises(BadInput, match="another template"):
            await journal.bind(Digest(b"u" * 32))


async def test_what_is_no_journal_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "text"
    path.write_text("a reader's notes")
    with pytest.raises(BadInput, match="is no journal of a map"):
        async with Journal(path):
            pass
    assert path.read_text() == "a reader's notes"
    path = tmp_path / "other"
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE t (x)")
    connection.close()
    with pytest.raises(BadInput, match="no journal of this version"):
        async with Journal(path):
            pass
    with pytest.raises(StoreError, match="cannot be opened") as caught:
        async with Journal(tmp_path / "no" / "where"):
            pass
    assert "vouchers" not in caught.value.hint


async def test_a_damaged_journal_is_said_to_be_of_no_more_use(tmp_path: Path) -> None:
    path = tmp_path / "journal"
    async with Journal(path) as journal:
        await journal.note(ordered(1, 1))
    path.write_bytes(path.read_bytes()[:300])
    with pytest.raises(StoreError, match="damaged") as caught:
        async with Journal(path):
            pass
    assert "write to another --output" in caught.value.hint


async def test_a_map_has_its_journal_to_itself(tmp_path: Path) -> None:
    path = tmp_path / "journal"
    async with Journal(path) as journal:
        await journal.note(ordered(1, 1))
        with pytest.raises(StoreError, match="another process"):
            async with Journal(path):
                pass
