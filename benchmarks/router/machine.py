"""What processes cost, on which core they run, and whether somebody else used the machine."""

import os
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from benchmarks.measuring import exact_cpu_seconds_of, resident_mib

OTHERS_MAX = 0.10
"""Cores that others may use, by their mean, before a row counts as measured on a busy machine."""

_KTHREADD = 2
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


@dataclass(frozen=True, slots=True)
class _Moment:
    """Sums since the machine's start: own_s, others_s of processes, idle_s, stolen_s of cores."""

    wall_s: float
    cpu_s: tuple[float, ...]
    own_s: float
    others_s: float
    idle_s: float
    stolen_s: float


class Watch:
    """From its making: what some processes spend, and what all that are not ours do."""

    def __init__(self, *pids: int) -> None:
        self._pids = pids
        self._began = self._look()

    def read(self) -> Spent:
        """Return what was spent until now."""
        began, ended = self._began, self._look()
        wall_s = ended.wall_s - began.wall_s
        cpu_s = (after - before for after, before in zip(ended.cpu_s, began.cpu_s, strict=True))
        # Neither says too much. Processes of other containers are not listed; and what interrupts
        # take is in the processes' times or not, as the kernel was built, and so left out here.
        listed_s = ended.others_s - began.others_s + ended.stolen_s - began.stolen_s
        busy_s = wall_s * (os.cpu_count() or 1) - (ended.idle_s - began.idle_s)
        others_s = max(listed_s, busy_s - (ended.own_s - began.own_s), 0.0)
        return Spent(wall_s, tuple(cpu_s), others_s / wall_s)

    def _look(self) -> _Moment:
        processes = list(_read_processes())
        pairs = [(one.pid, one.parent) for one in processes]
        mine = set(grow_tree(os.getpid(), pairs))
        # What the kernel's own threads do, they do for anybody.
        kernel = set(grow_tree(_KTHREADD, pairs))
        own_s = sum(one.cpu_s for one in processes if one.pid in mine)
        others_s = sum(one.cpu_s for one in processes if one.pid not in mine | kernel)
        cpu_s = tuple(sum(map(exact_cpu_seconds_of, grow_tree(pid, pairs))) for pid in self._pids)
        return _Moment(time.perf_counter(), cpu_s, own_s, others_s, *_read_cores())


def sum_memory_mib(pid: int) -> float:
    """Return the resident memory of a process and its children."""
    return sum(map(resident_mib, find_tree(pid)))


def find_tree(root: int) -> list[int]:
    """Return a process and all that descend from it and live."""
    return grow_tree(root, ((one.pid, one.parent) for one in _read_processes()))


def grow_tree(root: int, pairs: Iterable[tuple[int, int]]) -> list[int]:
    """Return what descends from `root` by pairs of (process, parent), itself first."""
    children: dict[int, list[int]] = {}
    for pid, parent in pairs:
        children.setdefault(parent, []).append(pid)
    found = [root]
    for pid in found:
        found += children.get(pid, [])
    return found


class _Process(NamedTuple):
    """cpu_s: with that of its children that have ended."""

    pid: int
    parent: int
    cpu_s: float


def _read_processes() -> Iterator[_Process]:
    """Yield every process: proc(5), fields 4 and 14 to 17 of /proc/PID/stat."""
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            stat = (entry / "stat").read_text(encoding="ascii", errors="replace")
        except (FileNotFoundError, ProcessLookupError):
            continue  # it has just ended
        fields = stat.rpartition(")")[2].split()
        cpu_s = sum(map(int, fields[11:15])) * _TICK_S
        yield _Process(int(entry.name), int(fields[1]), cpu_s)


def _read_cores() -> tuple[float, float]:
    """Return the seconds that all cores were idle or interrupted, and those that a hypervisor took:
    proc(5), /proc/stat.
    """
    fields = Path("/proc/stat").read_text(encoding="ascii").splitlines()[0].split()[1:9]
    _, _, _, idle, waiting, interrupts, soft_interrupts, stolen = map(int, fields)
    return (idle + waiting + interrupts + soft_interrupts) * _TICK_S, stolen * _TICK_S
