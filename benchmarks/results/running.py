"""Runs of scenarios, each in a process of its own, kept until the scenario or the code changes."""

import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path

import msgspec

from p2p_modelex.errors import SimulationError
from p2p_modelex.simulation.results.files import SUMMARY, write_whole
from p2p_modelex.simulation.results.sweep import plan_sweep
from p2p_modelex.simulation.scenario.recipe import Recipe, read_recipe

ENDED = "ended.json"


class Ended(msgspec.Struct, frozen=True):
    """How a run ended. key: what was run, and by which code. said: why it has no result, if it has
    none. given_s: what was too little for it; 0 where its process died, None where it came to the
    same end again.
    """

    key: str
    said: str = ""
    given_s: float | None = None


class Entry(msgspec.Struct, frozen=True):
    """A scenario to be run. folder: what `modelex simulate --out` writes there."""

    name: str
    path: Path
    folder: Path
    recipe: Recipe
    key: str

    def read(self) -> Ended | None:
        """Return how its last run ended, None if that was another scenario, code, or none."""
        file = self.folder / ENDED
        if not file.exists():
            return None
        ended = msgspec.json.decode(file.read_bytes(), type=Ended)
        return ended if ended.key == self.key else None

    def is_done(self, limit_s: float) -> bool:
        """Whether a run of so many seconds would show nothing new."""
        ended = self.read()
        return ended is not None and (ended.given_s is None or ended.given_s >= limit_s)


def plan(scenarios: Mapping[str, Path], folder: Path) -> list[Entry]:
    """Return an entry for each scenario; its results go below the folder. BadInput."""
    entries = []
    for name, path in scenarios.items():
        recipe = read_recipe(path)
        entries.append(Entry(name, path, folder / name, recipe, plan_sweep(recipe, ())[0].key))
    return entries


def run_all(entries: list[Entry], *, workers: int, limit_s: float) -> Iterator[tuple[Entry, Ended]]:
    """Run those that are not done, so many at once; yields each as it ends."""
    left = [entry for entry in entries if not entry.is_done(limit_s)]
    with ThreadPoolExecutor(workers) as pool:
        running = {pool.submit(_run, entry, limit_s): entry for entry in left}
        try:
            for future in as_completed(running):
                yield running[future], future.result()
        finally:
            pool.shutdown(wait=False, cancel_futures=True)


def _run(entry: Entry, limit_s: float) -> Ended:
    shutil.rmtree(entry.folder, ignore_errors=True)
    command = [sys.executable, "-m", "p2p_modelex", "simulate", str(entry.path), "--quiet"]
    try:
        done = subprocess.run(
            [*command, "--out", str(entry.folder)],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            timeout=limit_s,
            check=False,
        )
    except subprocess.TimeoutExpired:
        ended = Ended(entry.key, f"not finished within {limit_s:g} s", limit_s)
    else:
        ended = _judge(entry, done.returncode, done.stderr)
    write_whole(entry.folder / ENDED, msgspec.json.encode(ended))
    return ended


def _judge(entry: Entry, code: int, stderr: str) -> Ended:
    # The error's first line; what follows is how to mend it.
    said = next(iter(stderr.strip().splitlines()), "no word").removeprefix("error: ")
    if code not in {0, SimulationError.exit_code}:
        return Ended(entry.key, f"ended with code {code}: {said}", 0.0)
    # What a checker finds ends a run without a result; what the scenario asks in vain does not.
    return Ended(entry.key, "" if (entry.folder / SUMMARY).exists() else said)
