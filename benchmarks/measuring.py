"""What the benchmarks share: time and CPU, medians, one JSON line for each result, the load.

CPU time is what to trust on a shared machine; where only wall time says anything (latency,
throughput against TCP), both sides of a ratio are measured alternately in the same run.
"""

import os
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import msgspec

BUSY = 0.15
"""Share of the machine that others may use before a benchmark warns."""

_WATCH_S = 0.3


@dataclass(frozen=True, slots=True)
class Spent:
    """Seconds by the clock, and of this process's CPU time."""

    wall_s: float
    cpu_s: float


class Result(msgspec.Struct, frozen=True):
    """One row of the table.

    measured, limit: in `unit`; limit is what `against` did in the same run. ratio: as `reads` says,
    None if there is no peer. target: what is asked of `measured` or `ratio`, in words; is_met:
    whether this run did, None without a target.
    """

    work: str
    measured: float
    unit: str
    against: str = ""
    limit: float | None = None
    ratio: float | None = None
    target: str = ""
    is_met: bool | None = None
    note: str = ""


class Conditions(msgspec.Struct, frozen=True):
    """How busy the machine was. others: share of all cores that other processes used."""

    cores: int
    load: float
    others: float


def measure(work: Callable[[], object], repeats: int = 5) -> Spent:
    """Run `work` several times after one to warm up; return the medians."""
    work()
    return median([measure_once(work) for _ in range(repeats)])


def measure_once(work: Callable[[], object]) -> Spent:
    """Run `work` once."""
    stop = Stopwatch()
    work()
    return stop.read()


class Stopwatch:
    """Runs from its making; also for what must be awaited."""

    def __init__(self) -> None:
        self._wall, self._cpu = time.perf_counter(), time.process_time()

    def read(self) -> Spent:
        return Spent(time.perf_counter() - self._wall, time.process_time() - self._cpu)


def median(spent: Sequence[Spent]) -> Spent:
    """Return the median wall time with the median CPU time."""
    return Spent(
        statistics.median(one.wall_s for one in spent),
        statistics.median(one.cpu_s for one in spent),
    )


def percentile(values: Sequence[float], share: float) -> float:
    """Return the value below which `share` of all are."""
    ranked = sorted(values)
    return ranked[min(int(len(ranked) * share), len(ranked) - 1)]


def report(result: Result | Conditions) -> None:
    """Print a result as one line of JSON."""
    sys.stdout.write(msgspec.json.encode(result).decode() + "\n")
    sys.stdout.flush()


def begin() -> None:
    """Look at the machine before a benchmark: report its load, warn if others use it."""
    cores = len(os.sched_getaffinity(0))
    conditions = Conditions(cores, os.getloadavg()[0], _watch_others())
    report(conditions)
    if conditions.others > BUSY:
        sys.stderr.write(
            f"warning: other processes use {conditions.others:.0%} of this machine (load "
            f"{conditions.load:.1f} on {cores} cores); trust ratios and CPU time, not wall time\n"
        )


def _watch_others() -> float:
    """Return the share of all cores that was not idle while this process slept."""
    before = _read_ticks()
    time.sleep(_WATCH_S)
    after = _read_ticks()
    total, idle = (now - then for now, then in zip(after, before, strict=True))
    return 1 - idle / total if total else 0.0


def _read_ticks() -> tuple[int, int]:
    """Return (all ticks, idle ticks) of all cores since the start: proc(5), /proc/stat."""
    fields = Path("/proc/stat").read_text(encoding="ascii").splitlines()[0].split()[1:9]
    ticks = [int(field) for field in fields]
    return sum(ticks), ticks[3] + ticks[4]


def resident_mib(pid: int | Literal["self"] = "self") -> float:
    """Return the resident memory of a process in MiB."""
    pages = int(Path(f"/proc/{pid}/statm").read_text(encoding="ascii").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def cpu_seconds_of(pid: int) -> float:
    """Return the CPU seconds that a process has used, its children not included."""
    stat = Path(f"/proc/{pid}/stat").read_text(encoding="ascii")
    fields = stat.rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def exact_cpu_seconds_of(pid: int) -> float:
    """As `cpu_seconds_of`, to the nanosecond instead of the tick, threads that ended included.

    OSError if there is no such process.
    """
    # The clock that clock_getcpuclockid(3) names, as Linux numbers it: CPUCLOCK_SCHED is 2.
    return time.clock_gettime(~pid << 3 | 2)
