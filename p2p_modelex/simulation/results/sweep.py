"""A sweep: settings of a scenario over several values, and several seeds, each run by itself.

Each run that ends is a line of a file; a sweep that was interrupted goes on behind it.
"""

from collections.abc import Callable, Iterator, Sequence
from itertools import product
from pathlib import Path

import msgspec

from p2p_modelex.errors import BadInput, ModelexError
from p2p_modelex.simulation.opening import open_run
from p2p_modelex.simulation.results.code import compute_code
from p2p_modelex.simulation.scenario.recipe import Recipe

RUNS_MAX = 2048
"""Runs of a sweep."""
SEEDS_MAX = 256
FILE = "sweep.jsonl"
_FILE_BYTES = 64 * 2**20


class Axis(msgspec.Struct, frozen=True):
    """A setting and the values it takes."""

    key: str
    values: tuple[str, ...]


class Planned(msgspec.Struct, frozen=True):
    """A run to be done. at: the value of each axis, `seed` among them if there are several. key:
    tells it from any other (Recipe.compute_key), and from those of other code.
    """

    at: dict[str, str]
    key: str
    recipe: Recipe

    @property
    def label(self) -> str:
        """For people."""
        return ", ".join(f"{key}={value}" for key, value in self.at.items())


class Swept(msgspec.Struct, frozen=True):
    """One run that ended. at, key: as planned. broke: what stopped it, if a checker or a node did;
    measures and digest are empty then. unmet: what it asks in vain.
    """

    at: dict[str, str]
    key: str
    digest: str
    measures: dict[str, float]
    unmet: tuple[str, ...]
    broke: str = ""


Runner = Callable[[Sequence[Planned]], Iterator[Swept]]
"""Carries runs out, in any order: workers.py here, dask.py elsewhere."""


def parse_axis(text: str) -> Axis:
    """Read `key=a,b,c`; BadInput."""
    key, _, values = text.partition("=")
    listed = tuple(dict.fromkeys(value.strip() for value in split_values(values)))
    if not key.strip() or not listed:
        raise BadInput(f"not a sweep: {text[:80]!r}", hint="--sweep links.loss=0,0.01,0.05")
    return Axis(key.strip(), listed)


def split_values(text: str) -> list[str]:
    """Split at commas, but for those inside of brackets, braces and quotes."""
    values, depth, quote = [""], 0, ""
    for character in text:
        if quote:
            quote = "" if character == quote else quote
        elif character in "\"'":
            quote = character
        else:
            depth += (character in "[{") - (character in "]}")
        if character == "," and depth == 0 and not quote:
            values.append("")
        else:
            values[-1] += character
    return [value for value in values if value.strip()]


def plan_sweep(recipe: Recipe, axes: Sequence[Axis], *, seeds: int = 1) -> list[Planned]:
    """Return a run for each combination of values and each of so many seeds, the scenario's first.

    BadInput for a value that the scenario refuses, two axes of one key, or over RUNS_MAX runs.
    """
    keys = [axis.key for axis in axes]
    if len(set(keys)) < len(keys):
        raise BadInput(f"swept twice: {', '.join(keys)}", hint="--sweep KEY=A,B,C for each key")
    if seeds > 1:
        if "seed" in keys:
            raise BadInput("both --seeds and --sweep seed=...", hint="one of them")
        first = recipe.build().seed
        drawn = tuple(str(seed) for seed in range(first, first + seeds))
        axes = (*axes, Axis("seed", drawn))
    count = 1
    for axis in axes:
        count *= len(axis.values)
    if count > RUNS_MAX:
        raise BadInput(f"{count} runs, {RUNS_MAX} at most", hint="sweep in parts")
    planned = []
    for values in product(*(axis.values for axis in axes)):
        at = {axis.key: value for axis, value in zip(axes, values, strict=True)}
        changed = recipe.change(*(f"{key}={value}" for key, value in at.items()))
        planned.append(Planned(at, f"{changed.compute_key()}-{compute_code()}", changed))
    return planned


def run_sweep(
    planned: Sequence[Planned], runner: Runner, *, folder: Path | None = None
) -> Iterator[Swept]:
    """Run each; yields them as they end, those that stand in the folder's file first.

    After a change of settings, plug-ins or the package's code a run is another one. BadInput if the
    file is not one of ours.
    """
    file = None if folder is None else folder / FILE
    done = {} if file is None else {one.key: one for one in read_sweep(file)}
    yield from (done[one.key] for one in planned if one.key in done)
    left = [one for one in planned if one.key not in done]
    for swept in runner(left):
        if file is not None:
            _append(file, swept)
        yield swept


def run_one(planned: Planned) -> Swept:
    """Run one scenario to its end."""
    at, key = planned.at, planned.key
    if not key.endswith(compute_code()):
        return Swept(at, key, "", {}, (), "the code of the package changed while the sweep ran")
    try:
        with open_run(planned.recipe.build()) as run:
            result = run.finish()
    except ModelexError as error:
        return Swept(at, key, "", {}, (), str(error))
    return Swept(at, key, result.digest, result.measures, result.unmet)


def read_sweep(file: Path) -> list[Swept]:
    """Return the runs of a file, none if it is not there; BadInput if it is no sweep."""
    if not file.exists():
        return []
    try:
        with file.open("rb") as opened:
            content = opened.read(_FILE_BYTES + 1)
    except OSError as error:
        said = f"cannot read {file}: {error.strerror}"
        raise BadInput(said, hint="give another --out") from error
    if len(content) > _FILE_BYTES:
        raise BadInput(f"{file} is over {_FILE_BYTES} bytes", hint="give another --out")
    found = []
    # What follows the last line end was cut off as it was written.
    for line in content.split(b"\n")[:-1]:
        try:
            found.append(msgspec.json.decode(line, type=Swept))
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise BadInput(f"{file} is no sweep: {error}", hint="give another --out") from error
    return found


def _append(file: Path, swept: Swept) -> None:
    """Add a line, in place of one that was cut off; BadInput if the disk does not take it."""
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        with file.open("ab") as written:
            if written.tell():
                content = file.read_bytes()
                written.truncate(content.rfind(b"\n") + 1)
            written.write(msgspec.json.encode(swept) + b"\n")
    except OSError as error:
        said = f"cannot write {file}: {error.strerror}"
        hint = "free space, and the same command goes on"
        raise BadInput(said, hint=hint) from error
