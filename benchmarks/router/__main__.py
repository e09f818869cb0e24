"""`python -m benchmarks.router`: peers and us in one run, as Markdown; progress goes to stderr.

python -m benchmarks.router --quick --only balance
"""

import argparse
import os
import platform
import signal
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import trio

from benchmarks.router import balancing, conversations, overhead
from benchmarks.router.install import DEBIAN, PYPI, install_all
from benchmarks.router.machine import pick_cores
from benchmarks.router.peers import PEERS
from benchmarks.router.servers import Bench
from benchmarks.router.tables import LEGEND, show_balance, show_conversations, show_overhead
from benchmarks.router.trials import QUICK, Effort

PARTS = ("overhead", "balance", "conversations")


def main() -> None:
    """Install, measure, print; a peer that cannot be had is skipped, with the reason."""
    chosen = _read_arguments()
    for number in (signal.SIGINT, signal.SIGTERM):  # what was started must end with us
        signal.signal(number, signal.default_int_handler)
    os.sched_setaffinity(0, {pick_cores().load, pick_cores().router})
    programs, reasons = install_all([*DEBIAN, *PYPI], _say)
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="modelex-routers-") as folder:
        bench = Bench(pick_cores(), programs, Path(folder))
        _say(f"measuring: {len(programs)} programs, {_describe_machine()}")
        trio.run(_measure, bench, chosen, reasons)
    for reason in reasons:
        _print(f"Not measured: {reason}.")
    _print(f"\n{time.monotonic() - began:.0f} s in all. {_describe_machine()}")


def _read_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.router", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="short tests, to try it out")
    parser.add_argument("--only", choices=PARTS, action="append", help="this part, not all")
    parser.add_argument("--name", action="append", help="rows whose name has this in it, not all")
    help_stretch = "make the times of `balance` so many times longer, for a slow machine"
    parser.add_argument("--stretch", type=float, default=1.0, help=help_stretch)
    return parser.parse_args()


async def _measure(bench: Bench, chosen: argparse.Namespace, reasons: list[str]) -> None:
    parts, is_quick = chosen.only or PARTS, chosen.quick

    def pick(names: Sequence[str]) -> list[str]:
        return [n for n in names if not chosen.name or any(part in n for part in chosen.name)]

    if "overhead" in parts:
        _say("what routers add:")
        names = pick([*PEERS, overhead.GATEWAY, overhead.MESH])
        effort = QUICK if is_quick else Effort()
        found, missing = await overhead.measure_all(bench, effort, names, _say)
        _print(show_overhead(found))
        reasons += missing
    if "balance" in parts:
        _say("how evenly they spread:")
        spreading = balancing.Effort(4.0 if is_quick else 12.0, chosen.stretch)
        names = pick(balancing.NAMES)
        spread, missing = await balancing.measure_all(bench, spreading, names, _say)
        _print(show_balance(spread))
        reasons += missing
    if "conversations" in parts:
        _say("whether conversations find their cache:")
        seconds, names = 5.0 if is_quick else 15.0, pick(conversations.NAMES)
        hits, missing = await conversations.measure_all(bench, seconds, names, _say)
        _print(show_conversations(hits))
        reasons += missing
    _print(LEGEND)


def _describe_machine() -> str:
    now = time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime())
    return f"{now}, {os.cpu_count()} cores, {platform.machine()}, load {os.getloadavg()[0]:.1f}."


def _say(progress: str) -> None:
    sys.stderr.write(f"[{time.strftime('%H:%M:%S')}] {progress}\n")
    sys.stderr.flush()


def _print(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
