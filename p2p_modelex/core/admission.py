"""Admission (EXC-19): what a provider lets begin, for whom, in which order, when not all fits.

Three stages, each bounded and each harder to crowd: streams on which nothing was said; jobs whose
voucher is not judged yet, where peers that have paid before have places of their own; and the
line before an engine, where only deposits stand.
"""

import statistics
from collections import deque
from collections.abc import Iterable, Mapping

from p2p_modelex.core.buckets import TokenBuckets
from p2p_modelex.core.crowd import Crowd
from p2p_modelex.core.effects import Generate, StreamId
from p2p_modelex.core.exchange.sale import Stake
from p2p_modelex.core.line import Line, Place
from p2p_modelex.core.pace import KEPT, Pace
from p2p_modelex.core.patrons import Patrons, compute_worth
from p2p_modelex.ids import Address, JobId, PeerId
from p2p_modelex.records.job import Load, Request
from p2p_modelex.records.rows import JobRow, Row
from p2p_modelex.units import UnixMs

SILENT_MAX = 512
"""Streams on which nothing came yet; beyond, the oldest of whoever has most is reset."""

SILENT_PER_PEER_MAX = 96
"""Of one peer: a busy requester's lanes and some more; under the transport's limit, so that
reconciliation with the same peer goes on.
"""

STRANGERS_MAX = 64
"""Jobs, not yet judged, of peers that never paid us: being counted, quoted, looked up on chain."""

STRANGERS_PER_PEER_MAX = 8
"""Of one such peer."""

REGULARS_MAX = 192
REGULARS_PER_PEER_MAX = 64
"""The same of peers that have paid for a job; 64 is a job on each lane."""

ASKING_BURST = 64
ASKING_INTERVAL_MS = 100
"""How often a stranger may ask or order: 64 times at once, and then 10 times a second."""

GHOSTS_MAX = 64
"""Counts that an engine still owes to jobs that are over. While there are more nobody new is
counted: asking and hanging up must not fill the engine's queue.
"""

SERVED_MAX = 256
"""Payers counted until others are told whom we served: many more than are told of."""

PEERS_MAX = 4096
"""Peers remembered for having paid, and strangers whose asking is counted."""


class Admission:
    """Who may do what now. Methods that let something in return what must go instead, if any."""

    def __init__(self, slots: int, slots_of: Mapping[str, int]) -> None:
        """slots: of all engines together; slots_of: of each model's own."""
        self._slots = slots
        self._slots_of = slots_of
        self._patrons = Patrons()
        self._lines: dict[str, Line] = {}
        self._silent: Crowd[StreamId, PeerId] = Crowd(SILENT_MAX, SILENT_PER_PEER_MAX)
        self._strangers: Crowd[JobId, PeerId] = Crowd(STRANGERS_MAX, STRANGERS_PER_PEER_MAX)
        self._regulars: Crowd[JobId, PeerId] = Crowd(REGULARS_MAX, REGULARS_PER_PEER_MAX)
        # Peers that have paid for a job, the latest last.
        self._has_paid: dict[PeerId, None] = {}
        self._asking = TokenBuckets(ASKING_BURST, ASKING_INTERVAL_MS, PEERS_MAX)
        # Counts that the engine owes: True once nobody waits for them.
        self._counts: dict[JobId, bool] = {}
        # Jobs in line or with an engine: where, what, and when they came and were granted.
        self._jobs: dict[JobId, tuple[Line, Request, Place]] = {}
        self._came_at: dict[JobId, UnixMs] = {}
        self._granted_at: dict[JobId, UnixMs] = {}
        # Of those granted, the ones that are over for us before their engine is done.
        self._gone: dict[JobId, None] = {}
        self._latencies: deque[int] = deque(maxlen=KEPT)
        self._pace = Pace(slots)
        # Tokens of jobs that began, by whom they pay and who pays.
        self._served: dict[Address, dict[Address, int]] = {}

    def note(self, rows: Iterable[Row]) -> None:
        """Learn from what is kept: who paid, and who did not. Rows of a store may be told too."""
        rows = tuple(rows)
        self._patrons.note(rows)
        for row in rows:
            if isinstance(row, JobRow) and row.is_provider and row.state in ("paid", "unpaid"):
                self._has_paid.pop(row.peer, None)
                if row.state == "paid" and row.owed:
                    self._has_paid[row.peer] = None
        while len(self._has_paid) > PEERS_MAX:
            del self._has_paid[next(iter(self._has_paid))]

    def open_stream(self, stream: StreamId, peer: PeerId) -> StreamId | None:
        """A stream was opened; nothing has come on it."""
        return self._silent.enter(stream, peer)

    def forget_stream(self, stream: StreamId) -> None:
        """Something came on a stream, or it is over."""
        self._silent.leave(stream)

    def count(self, job: JobId, peer: PeerId, now: UnixMs) -> JobId | None:
        """A peer asks or orders, and its prompt is to be counted."""
        ghosts = sum(self._counts.values())
        if ghosts >= GHOSTS_MAX:
            return job
        if peer in self._has_paid:
            gone = self._regulars.enter(job, peer)
        else:
            may_ask = self._asking.take(peer, now)
            gone = self._strangers.enter(job, peer) if may_ask else job
        if gone != job:
            self._counts[job] = False
        return gone

    def counted(self, job: JobId) -> None:
        """The engine gave its count, or will not."""
        self._counts.pop(job, None)

    def is_awaited(self, job: JobId) -> bool:
        """Whether an engine owes a count or the end of a job."""
        return job in self._counts or job in self._granted_at

    def enter(self, job: JobId, request: Request, stake: Stake, now: UnixMs) -> JobId | None:
        """A job has its lane and wants an engine; `advance` says when it gets it."""
        self._strangers.leave(job)
        self._regulars.leave(job)
        line = self._lines.get(request.model)
        if line is None:
            slots = self._slots_of.get(request.model, self._slots)
            line = self._lines[request.model] = Line(slots, self._patrons)
        worth = compute_worth(stake.window, stake.epoch)
        payer = self._patrons.get_payer(stake.channel)
        place = Place(job, payer, stake.payee, worth, stake.tokens)
        gone = line.enter(place)
        if gone != job:
            self._jobs[job] = line, request, place
            self._came_at[job] = now
        return gone

    def advance(self, now: UnixMs) -> list[Generate]:
        """Return what the engines are to run now; call after each step."""
        granted = [job for line in self._lines.values() for job in line.grant()]
        self._granted_at.update(dict.fromkeys(granted, now))
        for job in granted:
            self._note_served(self._jobs[job][2])
        return [Generate(job, self._jobs[job][1]) for job in granted]

    def _note_served(self, place: Place) -> None:
        served = self._served.setdefault(place.payee, {})
        if place.payer in served or len(served) < SERVED_MAX:
            served[place.payer] = served.get(place.payer, 0) + place.tokens

    def take_served(self, payee: Address) -> Mapping[Address, int]:
        """Return by payer the tokens of jobs that pay `payee` and began since the last call."""
        return self._served.pop(payee, {})

    def charge(self, served: Mapping[Address, int]) -> None:
        """Count tokens that other members of a farm served payers (MEM-10)."""
        for line in self._lines.values():
            line.charge(served)

    def fade(self) -> None:
        """Forgive a part of what payers had too much; call it now and then."""
        for line in self._lines.values():
            line.fade()

    def has_engine(self, job: JobId) -> bool:
        """Whether the job was handed to an engine that is not done with it."""
        return job in self._granted_at

    def produced(self, job: JobId, now: UnixMs) -> None:
        """The engine gave a piece of output; the first one tells the latency."""
        came = self._came_at.pop(job, None)
        if came is not None:
            self._latencies.append(now - came)

    def finished(self, job: JobId, now: UnixMs) -> None:
        """The engine is done with a job."""
        granted = self._granted_at.pop(job, None)
        if granted is not None:
            line, _, place = self._jobs[job]
            running = sum(line.running for line in self._lines.values())
            self._pace.note(place.tokens, now - granted, running)
            line.finish(job)
            self._came_at.pop(job, None)
            if job in self._gone:
                del self._gone[job], self._jobs[job]

    def leave(self, job: JobId) -> None:
        """A job is over for us; its engine may not be done with it."""
        self._strangers.leave(job)
        self._regulars.leave(job)
        if job in self._counts:
            self._counts[job] = True
        known = self._jobs.get(job)
        if known is not None:
            known[0].leave(job)
        if job in self._granted_at:
            self._gone[job] = None
        else:
            self._jobs.pop(job, None)
            self._came_at.pop(job, None)

    def compute_retry_ms(self) -> int:
        """Return when who is refused should come again: once what stands before it has gone by."""
        return self._pace.compute_wait_ms(sum(line.tokens for line in self._lines.values()))

    def compute_wait_ms(self) -> int:
        """Return when a job that came now would begin: at once, where a slot is free."""
        load = self.get_load()
        return self.compute_retry_ms() if load.running + load.waiting >= load.slots else 0

    def get_load(self) -> Load:
        """Only jobs that are admitted and paid for count, so that silence fakes no load."""
        jobs = sum(line.waiting + line.running for line in self._lines.values())
        median = statistics.median_high(self._latencies) if self._latencies else 0
        running = min(jobs, self._slots)
        return Load(0, running, jobs - running, self._slots, median, 0)
