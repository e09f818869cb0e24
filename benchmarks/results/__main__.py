"""`make results`: runs every scenario as it stands, and writes simulations/results/scenarios.md.

What was run before with the same scenario and code is not run again. Ends with 1 if a run of these
came to no result, or did not get what its scenario asks.
"""

import argparse
import os
import sys
import time

from benchmarks.results.page import ROOT, find_outcome, write_page
from benchmarks.results.running import plan, run_all
from p2p_modelex.simulation.results.drawing import has_matplotlib
from p2p_modelex.simulation.scenario.reading import list_scenarios

KEPT = ROOT / ".bench" / "results"
WRITTEN = ROOT / "simulations" / "results"
LIMIT_S = 900.0


def main() -> int:
    """Run, writing the page anew whenever a scenario ends."""
    scenarios = list_scenarios()
    parser = argparse.ArgumentParser(prog="python -m benchmarks.results")
    parser.add_argument(
        "--only", nargs="*", default=[], choices=list(scenarios), metavar="NAME", help="run these"
    )
    parser.add_argument(
        "--workers", type=int, default=os.cpu_count() or 1, help="scenarios at once"
    )
    parser.add_argument(
        "--limit", type=float, default=LIMIT_S, help="seconds for each, by the clock"
    )
    options = parser.parse_args()
    if options.workers < 1 or options.limit <= 0:
        parser.error("--workers and --limit are above 0")
    if not has_matplotlib():
        parser.error("plots need matplotlib: the extra `simulate`")
    entries = plan(scenarios, KEPT)
    chosen = [entry for entry in entries if not options.only or entry.name in options.only]
    began = time.monotonic()
    page = write_page(entries, WRITTEN)
    for entry, ended in run_all(chosen, workers=options.workers, limit_s=options.limit):
        said = f"{time.monotonic() - began:6.0f} s  {entry.name}: {ended.said or 'done'}\n"
        sys.stdout.write(said)
        sys.stdout.flush()
        write_page(entries, WRITTEN)
    sys.stdout.write(f"wrote {page}\n")
    failed = [entry.name for entry in chosen if not find_outcome(entry).is_good]
    if failed:
        sys.stderr.write(f"without all that they ask: {', '.join(failed)}\n")
    return int(bool(failed))


if __name__ == "__main__":
    sys.exit(main())
