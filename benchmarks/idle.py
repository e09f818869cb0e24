"""A node with nothing to do: CPU and memory of a provider and a bootstrap peer, joined.

The provider has a model loaded in its worker, which is counted apart.
"""

import sys
from pathlib import Path

import trio

from benchmarks.measuring import Result, begin, cpu_seconds_of, report, resident_mib
from benchmarks.mesh import MODELS, best_model, open_small_mesh

SETTLE_S = 5.0
WATCH_S = 12.0


def main() -> None:
    """Report the share of a core and the resident memory of two idle nodes."""
    begin()
    model = best_model()
    if model is None:
        sys.stderr.write(f"there is no model in {MODELS}: run `modelex demo` once\n")
        return
    trio.run(_run, model)


async def _run(model: str) -> None:
    async with open_small_mesh(model) as mesh:
        await trio.sleep(SETTLE_S)
        pids = {"provider": mesh.provider, "bootstrap peer": mesh.bootstrap}
        before = {name: cpu_seconds_of(pid) for name, pid in pids.items()}
        start = trio.current_time()
        await trio.sleep(WATCH_S)
        took = trio.current_time() - start
        for name, pid in pids.items():
            share = (cpu_seconds_of(pid) - before[name]) / took
            report(
                Result(
                    f"idle {name}",
                    share * 100,
                    "% of a core",
                    target="<= 1 %",
                    is_met=share <= 0.01,
                )
            )
            memory = resident_mib(pid)
            report(
                Result(
                    "  its memory",
                    memory,
                    "MiB",
                    target="<= 150 MiB",
                    is_met=memory <= 150,
                    note=_describe_children(pid),
                )
            )


def _describe_children(pid: int) -> str:
    tasks = Path(f"/proc/{pid}/task").iterdir()
    children = [
        int(child)
        for task in tasks
        for child in (task / "children").read_text(encoding="ascii").split()
    ]
    workers = [f"{resident_mib(child):.0f} MiB" for child in children]
    return f"its worker with the model: {', '.join(workers)}" if workers else ""


if __name__ == "__main__":
    main()
