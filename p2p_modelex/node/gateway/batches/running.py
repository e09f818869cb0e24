"""Runs batches: each line is a request of the gateway's own, whose answer is kept.

A result is durable before it counts. What was in hand at a crash runs again, and is paid again;
what ended is not.
"""

import secrets
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field

import msgspec
import structlog
import trio

from p2p_modelex.node.gateway.batches.cabinet import (
    OUTPUT_BYTES,
    BatchCard,
    Cabinet,
    FileCard,
    name_outputs,
)
from p2p_modelex.node.gateway.batches.shapes import (
    Batch,
    Counts,
    FileObject,
    Line,
    LineResponse,
    LineResult,
)
from p2p_modelex.node.gateway.refusal import Refusal
from p2p_modelex.node.gateway.wire import Headers, Wire

AT_ONCE = 8
"""Lines under way, of all batches together."""
LINES_MAX = 1000
TRIES = 3
RETRY_S = 5.0
RETRY_MAX_S = 60.0
_AGAIN = (429, 503)

log = structlog.get_logger(__name__)


class Caught(Wire):
    """A wire that keeps what is answered; a line has no stream."""

    def __init__(self) -> None:
        self.is_gone = self.is_begun = self.is_bodiless = False
        self.on_gone = None
        self.status = 0
        self.request_id = ""
        self.retry_after_s = RETRY_S
        self.body = b""

    async def respond(self, status: int, headers: Headers, body: bytes) -> None:
        """Keep the answer."""
        named = dict(headers)
        self.status, self.body = status, body
        self.request_id = named.get("x-request-id", "")
        self.retry_after_s = min(float(named.get("retry-after", RETRY_S)), RETRY_MAX_S)
        await trio.lowlevel.checkpoint()


Run = Callable[[str, Line, Wire], Awaitable[None]]
"""Answers a line on the account of its batch's owner; raises nothing."""


@dataclass(slots=True)
class _Job:
    """A batch that runs. why: what it ends as, once that is known. turn: to write of it."""

    card: BatchCard
    why: str = ""
    size: int = 0
    wires: set[Caught] = field(default_factory=set)
    is_closed: bool = False
    stopped: trio.Event = field(default_factory=trio.Event)
    over: trio.Event = field(default_factory=trio.Event)
    turn: trio.Lock = field(default_factory=trio.Lock)

    async def stop(self, why: str) -> None:
        """End what is in hand, which is paid for what came."""
        self.why = self.why or why
        self.stopped.set()
        for wire in tuple(self.wires):
            await wire.leave()


class Batches:
    """The batches that are not over."""

    def __init__(self, cabinet: Cabinet, run: Run) -> None:
        self._cabinet = cabinet
        self._run = run
        self._jobs: dict[str, _Job] = {}
        self._places = trio.Semaphore(AT_ONCE)
        self._nursery: trio.Nursery | None = None

    def resume(self, nursery: trio.Nursery) -> None:
        """Go on with what a restart cut off; what is begun later runs in the nursery as well."""
        self._nursery = nursery
        for card in tuple(self._cabinet.batches.values()):
            if not card.is_over:
                self._start(card)

    async def begin(self, card: BatchCard) -> None:
        """Keep a batch, and run it."""
        await self._cabinet.keep_batch(card)
        self._start(card)

    async def cancel(self, name: str) -> None:
        """End a batch early, if it is not over; what was answered stays."""
        job = self._jobs.get(name)
        if job is None or job.why:
            return
        job.why = "cancelled"
        async with job.turn:
            if not job.is_closed:
                batch = msgspec.structs.replace(
                    job.card.batch, status="cancelling", cancelling_at=int(time.time())
                )
                job.card = BatchCard(job.card.owner, batch)
                await self._cabinet.keep_batch(job.card)
        await job.stop("cancelled")

    async def leave(self) -> None:
        """Stop all, to go on at the next start; returns once what was answered is durable."""
        jobs = tuple(self._jobs.values())
        for job in jobs:
            await job.stop("leaving")
        for job in jobs:
            await job.over.wait()

    def _start(self, card: BatchCard) -> None:
        assert self._nursery is not None
        job = self._jobs[card.batch.id] = _Job(card)
        self._nursery.start_soon(self._work, job)

    async def _work(self, job: _Job) -> None:
        if job.card.batch.status == "cancelling":
            job.why = "cancelled"
        try:
            await self._run_lines(job)
        except Exception as error:  # a disk, or a bug: it costs a batch, not the gateway
            log.exception("batch_broken", batch=job.card.batch.id, error=repr(error))
            job.why = "failed"
        job.why = job.why or "completed"
        try:
            if job.why != "leaving":
                await self._close(job)
        except OSError as error:  # it goes on at the next start
            log.warning("batch_unwritten", batch=job.card.batch.id, reason=str(error))
        finally:
            del self._jobs[job.card.batch.id]
            job.over.set()

    async def _run_lines(self, job: _Job) -> None:
        batch = job.card.batch
        lines = read_lines(await self._cabinet.read(batch.input_file_id), batch.endpoint)
        done = await self._resume(job)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_expire, job)
            async with trio.open_nursery() as working:
                for line in lines:
                    if line.custom_id in done:
                        continue
                    await self._places.acquire()
                    working.start_soon(self._run_line, job, line)
            nursery.cancel_scope.cancel()

    async def _resume(self, job: _Job) -> frozenset[str]:
        """Count what is answered already, and return which lines that is."""
        found: list[list[bytes]] = [
            await self._cabinet.read_whole_lines(name) for name in name_outputs(job.card.batch.id)
        ]
        job.size = sum(len(line) for lines in found for line in lines)
        self._count(job, len(found[0]), len(found[1]))
        results = (msgspec.json.decode(line, type=LineResult) for lines in found for line in lines)
        return frozenset(result.custom_id for result in results)

    async def _run_line(self, job: _Job, line: Line) -> None:
        try:
            for left in reversed(range(TRIES)):
                if job.why:
                    return
                caught = await self._ask(job, line)
                if caught.status not in _AGAIN or not left:
                    break
                with trio.move_on_after(caught.retry_after_s):
                    await job.stopped.wait()
            # What was cut off is no answer.
            if caught.status == 200 or not job.why:
                await self._record(job, line, caught)
        finally:
            self._places.release()

    async def _ask(self, job: _Job, line: Line) -> Caught:
        caught = Caught()
        job.wires.add(caught)
        try:
            await self._run(job.card.owner, line, caught)
        finally:
            job.wires.discard(caught)
        return caught

    async def _record(self, job: _Job, line: Line, caught: Caught) -> None:
        response = LineResponse(caught.status, caught.request_id, msgspec.Raw(caught.body))
        result = LineResult(f"batch_req_{secrets.token_hex(12)}", line.custom_id, response)
        encoded = msgspec.json.encode(result)
        is_good = caught.status == 200
        name = name_outputs(job.card.batch.id)[not is_good]
        async with job.turn:
            await self._cabinet.append(name, encoded)
        job.size += len(encoded)
        counts = job.card.batch.request_counts
        self._count(job, counts.completed + is_good, counts.failed + (not is_good))
        if job.size > OUTPUT_BYTES:
            await job.stop("failed")

    def _count(self, job: _Job, completed: int, failed: int) -> None:
        total = job.card.batch.request_counts.total
        counts = Counts(total, completed, failed)
        batch = msgspec.structs.replace(job.card.batch, request_counts=counts)
        # Not written: the lines themselves are counted at the next start.
        job.card = self._cabinet.batches[batch.id] = BatchCard(job.card.owner, batch)

    async def _close(self, job: _Job) -> None:
        """Make files of the outputs, then say that the batch is over."""
        async with job.turn:
            await self._write_end(job, job.why)
            job.is_closed = True

    async def _write_end(self, job: _Job, status: str) -> None:
        batch, now = job.card.batch, int(time.time())
        counts = batch.request_counts
        names: list[str | None] = [None, None]
        written = counts.completed, counts.failed
        for at, (name, count) in enumerate(zip(name_outputs(batch.id), written, strict=True)):
            if count:
                size = len(await self._cabinet.read(name))
                file = FileObject(name, size, now, f"{name}.jsonl", "batch_output")
                await self._cabinet.keep_file(FileCard(job.card.owner, file), None)
                names[at] = name
        ended: Batch = msgspec.structs.replace(
            batch,
            status=status,
            output_file_id=names[0],
            error_file_id=names[1],
            **{f"{status}_at": now},
        )
        await self._cabinet.keep_batch(BatchCard(job.card.owner, ended))


async def _expire(job: _Job) -> None:
    await trio.sleep(max(0.0, job.card.batch.expires_at - time.time()))
    await job.stop("expired")


def read_lines(content: bytes, endpoint: str) -> Sequence[Line]:
    """Return a batch's requests. Raises Refusal, naming the line."""
    lines: dict[str, Line] = {}
    for number, text in enumerate(content.splitlines(), 1):
        if not text.strip():
            continue
        try:
            line = msgspec.json.decode(text, type=Line)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            raise _wrong(number, str(error)) from error
        if line.url != endpoint:
            raise _wrong(number, f"its url is not the batch's endpoint, {endpoint}")
        if line.custom_id in lines:
            raise _wrong(number, f"its custom_id {line.custom_id[:80]!r} was there before")
        lines[line.custom_id] = line
        if len(lines) > LINES_MAX:
            raise _wrong(number, f"a batch has at most {LINES_MAX} lines")
    if not lines:
        raise _wrong(1, "there is none")
    return tuple(lines.values())


def _wrong(number: int, why: str) -> Refusal:
    return Refusal(400, "invalid_value", f"line {number}: {why}", param="input_file_id")
