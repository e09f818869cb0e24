"""A siege: a victim, an honest requester beside it, and what an attack does to both.

    async def test_x(siege: Siege) -> None:
        async with siege.attack("Silent", "200 connections that say nothing") as attack:
            ...                                # the attack; the honest stream goes on meanwhile
        attack.assert_held(rss_mib=16)

`attack` waits for a baseline first and for calm afterwards. Both are real processes; this one
holds the attackers. Each attack leaves a Row; tests/attacks/conftest.py prints them as a table.
"""

import json
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import trio

from tests.attacks.world import ROOT

START_S = 180.0
BASELINE_S = 2.5
ATTACK_S = 4.0
"""The honest stream is watched for at least this long during an attack."""
CALM_S = 25.0
"""Descriptors must be back down within this time after an attack."""
SAMPLE_S = 0.1
_TICKS = os.sysconf("SC_CLK_TCK")
_PAGE = os.sysconf("SC_PAGE_SIZE")
MIB = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Sample:
    """What /proc says of a process at one moment."""

    at: float
    rss: int
    fds: int
    threads: int
    cpu_s: float


@dataclass(frozen=True, slots=True)
class Deed:
    """One thing the honest requester did: a `job`, a `ping` or a `join`."""

    what: str
    at: float
    took_s: float
    error: str


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the table. Milliseconds, MiB and counts; -1 where nothing succeeded."""

    section: str
    name: str
    what: str
    alive: bool
    rss_growth_mib: float
    fds_before: int
    fds_peak: int
    fds_after: int
    threads_peak: int
    cpu_share: float
    job_p50_before: float
    job_p99_before: float
    job_p50_during: float
    job_p99_during: float
    join_p50_during: float
    done: int
    failed: int
    join_done: int
    join_failed: int
    note: str = ""


ROWS: list[Row] = []
_STARTER = ThreadPoolExecutor(1)
# Not a disk: how long another program's fsync takes is not what is measured here.
_MEMORY = Path("/dev/shm")


class Subject:
    """A python module run as a process whose lines of output are JSON."""

    def __init__(self, module: str, *arguments: str, log: Path) -> None:
        self.lines: list[dict[str, Any]] = []
        self._arrived = threading.Condition()
        self.log = log
        command = [sys.executable, "-m", module, *arguments]
        self.process = _STARTER.submit(_start, command, log).result()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            with self._arrived:
                self.lines.append(json.loads(line))
                self._arrived.notify_all()
        with self._arrived:
            self._arrived.notify_all()

    @property
    def pid(self) -> int:
        return self.process.pid

    @property
    def is_alive(self) -> bool:
        return self.process.poll() is None

    def wait_line(self, number: int, timeout_s: float = START_S) -> dict[str, Any]:
        """Wait for the line with this number, from 0. AssertionError if it does not come."""
        with self._arrived:
            self._arrived.wait_for(lambda: len(self.lines) > number or not self.is_alive, timeout_s)
            if len(self.lines) > number:
                return self.lines[number]
        raise AssertionError(f"no line {number}; its log ends:\n{self.log.read_text()[-3000:]}")

    def ask(self) -> dict[str, Any]:
        """Send a newline and return the line that answers it; only for the victim."""
        assert self.process.stdin is not None
        number = len(self.lines)
        self.process.stdin.write(b"\n")
        self.process.stdin.flush()
        return self.wait_line(number, 20.0)

    def stop(self) -> None:
        with suppress(OSError):
            assert self.process.stdin is not None
            self.process.stdin.close()
        self.process.terminate()
        try:
            self.process.wait(5)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self._reader.join(5)
        assert self.process.stdout is not None
        self.process.stdout.close()


def _start(command: list[str], log: Path) -> subprocess.Popen[bytes]:
    with log.open("wb") as errors:
        return subprocess.Popen(
            command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors
        )


def yield_cpu() -> None:
    """Let victim and honest requester go before the attackers: those have machines of their own.

    On Linux priority is each thread's, and a process inherits that of the thread that starts it.
    """
    _STARTER.submit(int).result()
    os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), 10)


def sample(pid: int) -> Sample:
    """Read /proc. Raises OSError if the process is gone."""
    folder = Path("/proc") / str(pid)
    # The name in parentheses may hold spaces; what follows it does not.
    status = (folder / "stat").read_text().rpartition(")")[2].split()
    return Sample(
        at=time.monotonic(),
        rss=int((folder / "statm").read_text().split()[1]) * _PAGE,
        fds=sum(1 for _ in (folder / "fd").iterdir()),
        threads=int(status[17]),
        cpu_s=(int(status[11]) + int(status[12])) / _TICKS,
    )


class Sampler:
    """Samples a process in a thread of its own until stopped."""

    def __init__(self, pid: int) -> None:
        self.samples = [sample(pid)]
        self._pid = pid
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        while not self._over.wait(SAMPLE_S):
            try:
                self.samples.append(sample(self._pid))
            except OSError:
                return

    def stop(self) -> None:
        self._over.set()
        self._thread.join()


@dataclass
class Attack:
    """What one attack did; filled in when its block ends."""

    siege: "Siege"
    name: str
    what: str
    note: str = ""
    before: list[Deed] = field(default_factory=list)
    during: list[Deed] = field(default_factory=list)
    first: Sample | None = None
    samples: list[Sample] = field(default_factory=list)
    after: Sample | None = None
    restarts: int = 0
    statistics: dict[str, Any] = field(default_factory=dict)

    @property
    def rss_growth_mib(self) -> float:
        assert self.first is not None
        return (max(one.rss for one in self.samples) - self.first.rss) / MIB

    @property
    def fds_peak(self) -> int:
        return max(one.fds for one in self.samples)

    def assert_held(
        self,
        *,
        rss_mib: float,
        fds: int | None = None,
        fds_left: int = 8,
        served: float = 0.95,
        joined: float = 0.0,
    ) -> Row:
        """Record the row, then assert: alive, never restarted, bounded, honest traffic served.

        rss_mib: growth allowed at the peak. fds: descriptors allowed at the peak beyond those
        before, fds_left: those after. served, joined: shares of pings and jobs, and of newcomers,
        that must succeed during the attack.
        """
        row = self._row()
        ROWS.append(row)
        assert row.alive, self.siege.victim.log.read_text()[-3000:]
        assert self.restarts == 0, "its network failed and was restarted"
        assert row.rss_growth_mib <= rss_mib
        assert fds is None or row.fds_peak - row.fds_before <= fds
        assert row.fds_after <= row.fds_before + fds_left
        errors = [deed.error for deed in self.during if deed.error]
        assert row.done, f"nothing was served: {errors[:3]}"
        assert row.done >= served * (row.done + row.failed), errors[:5]
        assert row.join_done >= joined * (row.join_done + row.join_failed), errors[:5]
        return row

    def _row(self) -> Row:
        assert self.first is not None
        spent_s = self.samples[-1].at - self.first.at
        jobs = _took_ms(self.during, "job")
        jobs_before = _took_ms(self.before, "job")
        return Row(
            section=self.siege.section,
            name=self.name,
            what=self.what,
            alive=self.siege.victim.is_alive,
            rss_growth_mib=self.rss_growth_mib,
            fds_before=self.first.fds,
            fds_peak=self.fds_peak,
            fds_after=self.after.fds if self.after else -1,
            threads_peak=max(one.threads for one in self.samples),
            cpu_share=(self.samples[-1].cpu_s - self.first.cpu_s) / max(spent_s, 1e-3),
            job_p50_before=_quantile(jobs_before, 0.5),
            job_p99_before=_quantile(jobs_before, 0.99),
            job_p50_during=_quantile(jobs, 0.5),
            job_p99_during=_quantile(jobs, 0.99),
            join_p50_during=_quantile(_took_ms(self.during, "join"), 0.5),
            done=_count(self.during, ("job", "ping"), failed=False),
            failed=_count(self.during, ("job", "ping"), failed=True),
            join_done=_count(self.during, ("join",), failed=False),
            join_failed=_count(self.during, ("join",), failed=True),
            note=self.note,
        )


class Siege:
    """A victim and an honest requester, running. Attacks follow one another on the same victim."""

    def __init__(self, section: str, options: dict[str, Any]) -> None:
        """section: of the table. options: of tests/attacks/victim.py."""
        self.section = section
        self._options = options
        self._folder = tempfile.TemporaryDirectory(
            prefix="modelex-siege-", dir=_MEMORY if _MEMORY.exists() else None
        )

    def __enter__(self) -> Self:
        folder = Path(self._folder.name)
        self.victim = Subject(
            "tests.attacks.victim",
            str(folder),
            json.dumps(self._options),
            log=folder / "victim.log",
        )
        yield_cpu()
        try:
            self.address = str(self.victim.wait_line(0)["address"])
            self.honest = Subject("tests.attacks.honest", self.address, log=folder / "honest.log")
            trio.run(self._wait_served, time.monotonic(), START_S)
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *exc: object) -> None:
        for subject in (getattr(self, "honest", None), self.victim):
            if subject is not None:
                subject.stop()
        self._folder.cleanup()

    @property
    def port(self) -> int:
        return int(self.address.split("/")[4])

    def deeds(self, since: float, until: float) -> list[Deed]:
        """What the honest requester finished of what it began between two monotonic times."""
        told = [Deed(**line) for line in list(self.honest.lines)]
        return [deed for deed in told if since <= deed.at < until]

    @asynccontextmanager
    async def attack(
        self, name: str, what: str, *, at_least_s: float = ATTACK_S
    ) -> AsyncIterator[Attack]:
        """Measure what the block does: before it, during it, and until calm after it."""
        attack = Attack(self, name, what)
        began = await self._wait_served(time.monotonic(), 20.0)
        await trio.sleep(BASELINE_S)
        restarts = self.victim.ask()["restarts"]
        started = time.monotonic()
        attack.before = self.deeds(began, started)
        attack.first = sample(self.victim.pid)
        sampler = Sampler(self.victim.pid)
        try:
            yield attack
            await trio.sleep(max(0.0, started + at_least_s - time.monotonic()))
        finally:
            ended = time.monotonic()
            sampler.stop()
            attack.samples = sampler.samples
        if self.victim.is_alive:
            attack.after = await self._wait_calm(attack.first.fds)
            attack.statistics = self.victim.ask()
            attack.restarts = attack.statistics["restarts"] - restarts
            await self._wait_served(time.monotonic(), 20.0)
        attack.during = self.deeds(started, ended)

    async def _wait_calm(self, fds: int) -> Sample:
        """Wait until descriptors are back down, or not."""
        deadline = time.monotonic() + CALM_S
        while True:
            now = sample(self.victim.pid)
            if now.fds <= fds + 2 or now.at > deadline:
                return now
            await trio.sleep(SAMPLE_S)

    async def _wait_served(self, since: float, timeout_s: float) -> float:
        """Wait for a job served after `since`; return the time. AssertionError if none is."""
        deadline = time.monotonic() + timeout_s
        while time.monotonic() < deadline and self.honest.is_alive and self.victim.is_alive:
            deeds = self.deeds(since, deadline)
            if any(deed.what == "job" and not deed.error for deed in deeds):
                return time.monotonic()
            await trio.sleep(SAMPLE_S)
        recent = [deed.error for deed in self.deeds(since, deadline)][-5:]
        logs = [one.log.read_text()[-1500:] for one in (self.victim, self.honest)]
        raise AssertionError(f"honest jobs are not served: {recent}\n{logs[0]}\n{logs[1]}")


def _took_ms(deeds: list[Deed], what: str) -> list[float]:
    return [deed.took_s * 1000 for deed in deeds if deed.what == what and not deed.error]


def _count(deeds: list[Deed], what: tuple[str, ...], *, failed: bool) -> int:
    return sum(deed.what in what and bool(deed.error) == failed for deed in deeds)


def _quantile(values: list[float], share: float) -> float:
    if not values:
        return -1.0
    if share == 0.5:
        return statistics.median(values)
    return sorted(values)[min(len(values) - 1, int(share * len(values)))]


def format_table(rows: list[Row], section: str) -> str:
    """Return the Markdown table of one section, as docs/reliability.md has it."""
    lines = [
        "| attack | what it does | alive | memory, MiB | descriptors before/peak/after | "
        "CPU | honest jobs p50/p99 before, ms | during | served | newcomers |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    lines += [
        f"| {row.name} | {row.what} | {'yes' if row.alive else 'NO'} | "
        f"{row.rss_growth_mib:+.1f} | {row.fds_before}/{row.fds_peak}/{row.fds_after} | "
        f"{row.cpu_share:.0%} | {row.job_p50_before:.0f}/{row.job_p99_before:.0f} | "
        f"{row.job_p50_during:.0f}/{row.job_p99_during:.0f} | "
        f"{row.done}/{row.done + row.failed} | "
        f"{row.join_done}/{row.join_done + row.join_failed} |"
        for row in rows
        if row.section == section
    ]
    return "\n".join(lines)
