"""A sweep: one setting of a scenario over several values, each a run in a process of its own.

Each run that ends is a line of a file; a sweep that was interrupted goes on behind it.
"""

import hashlib
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from multiprocessing import get_context
from pathlib import Path

import msgspec

from p2p_modelex.errors import BadInput, SimulationError
from p2p_modelex.simulation.opening import open_run
from p2p_modelex.simulation.scenario.tables import Scenario

VALUES_MAX = 256
"""Runs of a sweep."""
FILE = "sweep.jsonl"
_FILE_BYTES = 64 * 2**20


class Swept(msgspec.Struct, frozen=True):
    """One run. key: which scenario it was, to the last setting. broke: what stopped it, if a
    checker or a node did; measures and digest are empty then. unmet: what it asks in vain.
    """

    value: str
    key: str
    digest: str
    measures: dict[str, float]
    unmet: tuple[str, ...]
    broke: str = ""


def parse_sweep(text: str) -> tuple[str, tuple[str, ...]]:
    """Read `key=a,b,c`; BadInput."""
    key, _, values = text.partition("=")
    listed = tuple(value.strip() for value in values.split(",") if value.strip())
    if not key.strip() or not listed:
        raise BadInput(f"not a sweep: {text[:80]!r}", hint="--sweep links.loss=0,0.01,0.05")
    if len(listed) > VALUES_MAX:
        raise BadInput(f"{len(listed)} values, {VALUES_MAX} at most", hint="sweep in parts")
    return key.strip(), tuple(dict.fromkeys(listed))


def run_sweep(
    scenarios: dict[str, Scenario], *, workers: int, folder: Path | None = None
) -> Iterator[Swept]:
    """Run each, by its value; yields them as they end, those that stand in the file first.

    What a scenario is, is told by its settings, not by the code: after a change of the code,
    another folder. BadInput if the file is not one of ours.
    """
    file = None if folder is None else folder / FILE
    keys = {value: _fingerprint(scenario) for value, scenario in scenarios.items()}
    done = {} if file is None else {one.key: one for one in _read(file)}
    yield from (done[key] for key in keys.values() if key in done)
    left = {value: key for value, key in keys.items() if key not in done}
    # Spawned: a run stands in for functions of the whole process.
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        runs = [pool.submit(run_one, value, key, scenarios[value]) for value, key in left.items()]
        for run in as_completed(runs):
            swept = run.result()
            if file is not None:
                _append(file, swept)
            yield swept


def run_one(value: str, key: str, scenario: Scenario) -> Swept:
    """Run one scenario to its end."""
    try:
        with open_run(scenario) as run:
            result = run.finish()
    except SimulationError as error:
        return Swept(value, key, "", {}, (), str(error))
    return Swept(value, key, result.digest, result.measures, result.unmet)


def _fingerprint(scenario: Scenario) -> str:
    return hashlib.sha256(repr(scenario).encode()).hexdigest()[:16]


def _read(file: Path) -> list[Swept]:
    if not file.exists():
        return []
    if file.stat().st_size > _FILE_BYTES:
        raise BadInput(f"{file} is over {_FILE_BYTES} bytes", hint="give another --out")
    found = []
    # What follows the last line end was cut off as it was written.
    for line in file.read_bytes().split(b"\n")[:-1]:
        try:
            found.append(msgspec.json.decode(line, type=Swept))
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise BadInput(f"{file} is no sweep: {error}", hint="give another --out") from error
    return found


def _append(file: Path, swept: Swept) -> None:
    """Add a line, in place of one that was cut off."""
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("ab") as written:
        if written.tell():
            content = file.read_bytes()
            written.truncate(content.rfind(b"\n") + 1)
        written.write(msgspec.json.encode(swept) + b"\n")
