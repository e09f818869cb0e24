"""`python -m benchmarks [NAME ...]`: run them one after the other and print a Markdown table.

Each runs in a process of its own, so that none sees what another has loaded or left in memory.
"""

import os
import platform
import subprocess
import sys
import time

import msgspec

from benchmarks.measuring import Conditions, Result

NAMES = (
    "signatures",
    "directory",
    "routing",
    "jobs",
    "transport",
    "connections",
    "gossip",
    "startup",
    "idle",
    "completion",
    "upstream",
    "gateway",
    "map",
    "simulation",
)
"""Without those that are run by name: `balance`, the same on any machine, and `simulators`, which
take minutes; `lines`, which mostly waits; and `costs`, which hold a model to this machine."""
TIMEOUT_S = 1800


def main(names: list[str]) -> int:
    """Run all, or those named; returns how many failed."""
    began = time.monotonic()
    sys.stdout.write(f"{_describe_machine()}\n\n{HEAD}\n")
    failures = 0
    for name in names or NAMES:
        command = [sys.executable, "-m", f"benchmarks.{name}"]
        try:
            done = subprocess.run(
                command, stdout=subprocess.PIPE, text=True, timeout=TIMEOUT_S, check=True
            )
        except (subprocess.CalledProcessError, subprocess.TimeoutExpired) as error:
            sys.stderr.write(f"{name} failed: {error}\n")
            failures += 1
            continue
        rows = [line for line in done.stdout.splitlines() if line.startswith("{")]
        sys.stdout.write("".join(_row_of(line) for line in rows))
        sys.stdout.flush()
    sys.stdout.write(f"\n{time.monotonic() - began:.0f} s in all.\n")
    return failures


HEAD = """\
| work | measured | against | ratio | target | met |
|---|---|---|---|---|---|"""


def _describe_machine() -> str:
    cores = len(os.sched_getaffinity(0))
    now = time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime())
    return f"{now}, {cores} cores, {platform.machine()}, Python {platform.python_version()}."


def _row_of(line: str) -> str:
    if line.startswith('{"cores"'):
        conditions = msgspec.json.decode(line, type=Conditions)
        busy = f"load {conditions.load:.1f}, others used {conditions.others:.0%}"
        return f"| *{busy}* | | | | | |\n"
    result = msgspec.json.decode(line, type=Result)
    cells = (
        result.work + (f" ({result.note})" if result.note else ""),
        f"{_format(result.measured)} {result.unit}",
        f"{result.against}: {_format(result.limit)}" if result.limit is not None else "",
        f"{result.ratio:.2f}" if result.ratio is not None else "",
        result.target,
        "" if result.is_met is None else "yes" if result.is_met else "**no**",
    )
    return f"| {' | '.join(cells)} |\n"


def _format(figure: float) -> str:
    return f"{figure:,.0f}" if figure >= 100 else f"{figure:.3g}"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
