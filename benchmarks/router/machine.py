"""What processes cost, on which core they run, and whether somebody else used the machine."""

import os
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.measuring import exact_cpu_seconds_of, resident_mib

OTHERS_MAX = 0.10
"""Cores that others may use, by their mean, before a row counts as measured on a busy machine."""

_TICK_S = 1 / os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True)
class Cores:
    """The router has one for itself; workers and load share the other."""

    router: int
    load: int

    def pin(self, core: int, command: Sequence[str]) -> list[str]:
        """Return the command that runs another on one core, its children too."""
        return ["taskset", "-c", str(core), *command]


def pick_cores() -> Cores:
    """Return the first two that this process may use; ValueError with fewer."""
    mine = sorted(os.sched_getaffinity(0))
    if len(mine) < 2:
        raise ValueError("this needs two cores: one for the router, one for everything else")
    return Cores(router=mine[0], load=mine[1])


@dataclass(frozen=True, slots=True)
class Spent:
    """cpu_s: of the processes watched, with their children. others: cores that the rest of the
    machine used meanwhile, by their mean.
    """

    wall_s: float
    cpu_s: tuple[float, ...]
    others: float

    @property
    def is_quiet(self) -> bool:
        """Whether the machine was ours."""
        return self.others <= OTHERS_MAX


class Watch:
    """From its making: what some processes spend, and what all that are not ours do."""

    def __init__(self, *pids: int) -> None:
        self._pids = pids
        self._began = time.perf_counter()
        self._cpu_s = [self._sum_exact(pid) for pid in pids]
        self._own_s, self._idle_s = _sum_own(), _read_idle()

    def read(self) -> Spent:
        """Return what was spent until now."""
        wall_s = time.perf_counter() - self._began
        own_s, idle_s = _sum_own() - self._own_s, _read_idle() - self._idle_s
        cpu_s = [self._sum_exact(pid) for pid in self._pids]
        spent = (after - before for after, before in zip(cpu_s, self._cpu_s, strict=True))
        others_s = wall_s * (os.cpu_count() or 1) - idle_s - own_s
        return Spent(wall_s, tuple(spent), max(0.0, others_s / wall_s))

    @staticmethod
    def _sum_exact(pid: int) -> float:
        return sum(map(exact_cpu_seconds_of, find_tree(pid)))


def sum_memory_mib(pid: int) -> float:
    """Return the resident memory of a process and its children."""
    return sum(map(resident_mib, find_tree(pid)))


def find_tree(root: int) -> list[int]:
    """Return a process and all that descend from it and live."""
    return grow_tree(root, ((pid, parent) for pid, parent, _ in _read_processes()))


def grow_tree(root: int, pairs: Iterable[tuple[int, int]]) -> list[int]:
    """Return what descends from `root` by pairs of (process, parent), itself first."""
    children: dict[int, list[int]] = {}
    for pid, parent in pairs:
        children.setdefault(parent, []).append(pid)
    found = [root]
    for pid in found:
        found += children.get(pid, [])
    return found


def _sum_own() -> float:
    """Return the CPU seconds of this process and all below it, those that have ended included."""
    processes = list(_read_processes())
    mine = set(grow_tree(os.getpid(), ((pid, parent) for pid, parent, _ in processes)))
    return sum(cpu_s for pid, _, cpu_s in processes if pid in mine)


def _read_processes() -> Iterable[tuple[int, int, float]]:
    """Yield (process, parent, CPU seconds with those of its children that ended) of everything:
    proc(5), fields 4 and 14 to 17 of /proc/PID/stat.
    """
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            stat = (entry / "stat").read_text(encoding="ascii", errors="replace")
        except (FileNotFoundError, ProcessLookupError):
            continue  # it has just ended
        fields = stat.rpartition(")")[2].split()
        yield int(entry.name), int(fields[1]), sum(map(int, fields[11:15])) * _TICK_S


def _read_idle() -> float:
    """Return the seconds that all cores were idle or interrupted, as no process is charged for the
    latter: proc(5), /proc/stat. What a hypervisor took is neither, so it counts as others'.
    """
    fields = Path("/proc/stat").read_text(encoding="ascii").splitlines()[0].split()[1:]
    _, _, _, idle, waiting, interrupts, soft_interrupts, *_ = map(int, fields)
    return (idle + waiting + interrupts + soft_interrupts) * _TICK_S
