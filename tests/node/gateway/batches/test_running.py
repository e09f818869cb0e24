"""What a batch does when its lines, its disk or its bounds do not go along."""

import time
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec
import pytest
import trio

from p2p_modelex.node.gateway.batches import cabinet as cabinet_module
from p2p_modelex.node.gateway.batches.cabinet import BatchCard, Cabinet, FileCard, name_outputs
from p2p_modelex.node.gateway.batches.running import TRIES, Batches
from p2p_modelex.node.gateway.batches.shapes import Batch, Counts, Endpoint, FileObject, Line
from p2p_modelex.node.gateway.wire import Wire

CHAT: Endpoint = "/v1/chat/completions"


class Answers:
    """Answers each line with the statuses that are given, in order; the last one stays."""

    def __init__(self, *statuses: int) -> None:
        self.left = list(statuses)
        self.asked = 0

    async def __call__(self, _owner: str, _line: Line, wire: Wire) -> None:
        self.asked += 1
        status = self.left[0] if len(self.left) == 1 else self.left.pop(0)
        if status == 0:
            raise RuntimeError("a bug")
        await wire.respond(status, [("retry-after", "0"), ("x-request-id", "r")], b'{"a":1}')


def make_batch(number: int = 1, lines: int = 1) -> BatchCard:
    now = int(time.time())
    name = f"batch_{number:04}"
    return BatchCard("", Batch(name, CHAT, "file-in", "24h", now, now + 60, Counts(lines)))


def write_lines(count: int) -> bytes:
    lines = [Line(f"n{at}", "POST", CHAT, msgspec.Raw(b"{}")) for at in range(count)]
    return b"\n".join(map(msgspec.json.encode, lines))


@asynccontextmanager
async def opened(folder: Path, answers: Answers) -> AsyncGenerator[tuple[Cabinet, Batches]]:
    cabinet = Cabinet(folder)
    await trio.to_thread.run_sync(cabinet.load)
    async with trio.open_nursery() as nursery:
        batches = Batches(cabinet, answers)
        batches.resume(nursery)
        with trio.fail_after(20):
            yield cabinet, batches  # the nursery ends when every batch is over


async def run_one(folder: Path, answers: Answers, lines: int = 1) -> Batch:
    async with opened(folder, answers) as (cabinet, batches):
        file = FileObject("file-in", 1, 0, "in.jsonl", "batch")
        await cabinet.keep_file(FileCard("", file), write_lines(lines))
        await batches.begin(make_batch(lines=lines))
    return cabinet.batches["batch_0001"].batch


@pytest.mark.parametrize(
    ("statuses", "counts", "asked"),
    [
        ((503, 429, 200), (1, 0), 3),
        ((503,), (0, 1), TRIES),
        ((400,), (0, 1), 1),
        ((502, 200), (0, 1), 1),
    ],
)
async def test_who_is_busy_is_asked_again(
    tmp_path: Path, statuses: Sequence[int], counts: tuple[int, int], asked: int
) -> None:
    answers = Answers(*statuses)
    batch = await run_one(tmp_path, answers)
    assert (batch.status, batch.request_counts) == ("completed", Counts(1, *counts))
    assert answers.asked == asked
    assert (batch.output_file_id is None, batch.error_file_id is None) == (
        not counts[0],
        not counts[1],
    )


async def test_too_much_output_ends_a_batch(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("p2p_modelex.node.gateway.batches.running.OUTPUT_BYTES", 500)
    batch = await run_one(tmp_path, Answers(200), lines=100)
    assert batch.status == "failed"
    assert batch.failed_at is not None
    assert 0 < batch.request_counts.completed < 100


@pytest.mark.slow
async def test_a_bug_or_a_lost_input_costs_the_batch(tmp_path: Path) -> None:
    assert (await run_one(tmp_path / "bug", Answers(0))).status == "failed"
    async with opened(tmp_path / "lost", Answers(200)) as (cabinet, batches):
        await batches.begin(make_batch())
    assert cabinet.batches["batch_0001"].batch.status == "failed"


async def test_what_was_being_cancelled_stays_so_after_a_restart(tmp_path: Path) -> None:
    async with opened(tmp_path, Answers(200)) as (cabinet, _):
        file = FileObject("file-in", 1, 0, "in.jsonl", "batch")
        await cabinet.keep_file(FileCard("", file), write_lines(3))
        card = make_batch(lines=3)
        cancelling = msgspec.structs.replace(card.batch, status="cancelling")
        await cabinet.keep_batch(BatchCard("", cancelling))
    answers = Answers(200)
    async with opened(tmp_path, answers) as (cabinet, _):
        pass
    assert cabinet.batches["batch_0001"].batch.status == "cancelled"
    assert answers.asked == 0


async def test_the_oldest_batch_makes_room_and_damage_is_passed_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cabinet_module, "BATCHES_MAX", 2)
    cabinet = Cabinet(tmp_path)
    cabinet.load()
    for number in range(3):
        batch = msgspec.structs.replace(
            make_batch(number).batch, status="completed", created_at=number
        )
        await cabinet.keep_batch(BatchCard("", batch))
    (tmp_path / "batch_0009.batch").write_bytes(b"{")
    (tmp_path / "file-x.content").write_bytes(b"left by a crash")
    again = Cabinet(tmp_path)
    again.load()
    assert again.batches == cabinet.batches
    assert again.batches.keys() == {"batch_0001", "batch_0002"}
    assert not (tmp_path / "file-x.content").exists()


async def test_there_is_room_for_the_outputs_of_what_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cabinet_module, "FILES_MAX", 2)
    cabinet = Cabinet(tmp_path)
    cabinet.load()
    assert cabinet.has_room
    await cabinet.keep_batch(make_batch())
    assert not cabinet.has_room
    assert name_outputs("batch_0001") == ("file-0001-output", "file-0001-errors")
