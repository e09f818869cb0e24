"""The runs of a sweep on this machine, each in a process of its own."""

import signal
from collections import deque
from collections.abc import Iterator, Sequence
from multiprocessing import get_context, parent_process
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from threading import Thread

from p2p_modelex.simulation.results.sweep import Planned, Swept, run_one

DEATHS_MAX = 3
"""How often a run is begun again whose process dies: for want of memory, most of all."""


def run_here(planned: Sequence[Planned], workers: int) -> Iterator[Swept]:
    """Run each in a process, so many at once; yields them as they end. When the caller goes away,
    the processes end.
    """
    # Spawned: a run stands in for functions of the whole process.
    context = get_context("spawn")
    waiting = deque(planned)
    deaths = dict.fromkeys((one.key for one in planned), 0)
    running: dict[Connection, tuple[BaseProcess, Planned]] = {}
    try:
        while waiting or running:
            while waiting and len(running) < workers:
                ours, theirs = context.Pipe(duplex=False)
                process = context.Process(target=_work, args=(waiting[0], theirs), daemon=True)
                process.start()
                theirs.close()  # so that its end is heard of
                running[ours] = process, waiting.popleft()
            for ended in wait(list(running)):
                assert isinstance(ended, Connection)
                gone, one = running.pop(ended)
                swept = _receive(ended, gone)
                if isinstance(swept, Swept):
                    yield swept
                    continue
                deaths[one.key] += 1
                if deaths[one.key] <= DEATHS_MAX:
                    waiting.append(one)
                else:
                    said = f"its process died {deaths[one.key]} times, at last with {swept}"
                    yield Swept(one.at, one.key, "", {}, (), said)
    finally:
        for left, _ in running.values():
            left.terminate()


def _receive(ended: Connection, process: BaseProcess) -> Swept | int | None:
    """Return what a process found, or its exit code where it died."""
    try:
        swept = ended.recv()
        assert isinstance(swept, Swept)
    except EOFError:
        swept = None
    finally:
        ended.close()
    process.join()
    return swept or process.exitcode


def _work(planned: Planned, answer: Connection) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's, who ends its processes
    Thread(target=_end_with_parent, daemon=True).start()
    answer.send(run_one(planned))


def _end_with_parent() -> None:
    """Whoever is killed cannot end its processes: they must not run on for hours."""
    parent = parent_process()
    assert parent is not None
    parent.join()
    signal.raise_signal(signal.SIGTERM)
