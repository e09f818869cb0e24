"""Two results side by side: measures, whether they differ beyond chance, and where they part."""

from collections.abc import Sequence
from itertools import zip_longest
from pathlib import Path

import msgspec

from p2p_modelex.errors import BadInput
from p2p_modelex.simulation.results.files import SAMPLES, SUMMARY, Summary
from p2p_modelex.simulation.results.points import Point, gather
from p2p_modelex.simulation.results.ranks import compute_chance
from p2p_modelex.simulation.results.sweep import FILE, Swept, read_sweep

FILE_BYTES = 256 * 2**20
_HINT = "a folder that --out wrote, or its summary.json or sweep.jsonl"


class Side(msgspec.Struct, frozen=True):
    """One of two results. samples: of a single run, the lines of its file."""

    name: str
    points: tuple[Point, ...]
    samples: tuple[bytes, ...] = ()


class Difference(msgspec.Struct, frozen=True):
    """A measure on both sides, as means. chance: how likely so great a difference is if nothing
    differs, by the ranks of several seeds; None where there are not enough of them to tell.
    """

    point: str
    measure: str
    one: float
    other: float
    chance: float | None

    @property
    def change(self) -> float | None:
        """Relative to the first; None if that is 0."""
        return (self.other - self.one) / abs(self.one) if self.one else None


def read_side(path: Path) -> Side:
    """Read what `modelex simulate --out` wrote; BadInput."""
    folder = path if path.is_dir() else path.parent
    if path.name == FILE or (path.is_dir() and (path / FILE).exists()):
        runs = read_sweep(folder / FILE)
        if not runs:
            raise BadInput(f"{folder / FILE} has no run", hint=_HINT)
        return Side(str(path), tuple(gather(runs)))
    file = path / SUMMARY if path.is_dir() else path
    return build_side(str(path), [read_summary(file)], _read_lines(folder / SAMPLES))


def build_side(name: str, summaries: Sequence[Summary], samples: Sequence[bytes] = ()) -> Side:
    """Return the side of some runs that differ by their seeds alone."""
    runs = [
        Swept({"seed": str(one.seed)}, "", one.digest, one.measures, one.unmet) for one in summaries
    ]
    return Side(name, (Point({}, tuple(runs)),), tuple(samples))


def read_summary(file: Path) -> Summary:
    """Read a summary; BadInput."""
    try:
        return msgspec.json.decode(b"\n".join(_read_lines(file, needed=True)), type=Summary)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise BadInput(f"{file} is no summary: {error}", hint=_HINT) from error


def _read_lines(file: Path, *, needed: bool = False) -> list[bytes]:
    if not file.exists() and not needed:
        return []
    try:
        with file.open("rb") as opened:
            content = opened.read(FILE_BYTES + 1)
    except OSError as error:
        raise BadInput(f"cannot read {file}: {error.strerror}", hint=_HINT) from error
    if len(content) > FILE_BYTES:
        raise BadInput(f"{file} is over {FILE_BYTES} bytes", hint=_HINT)
    return content.splitlines()


def compare(one: Side, other: Side) -> list[Difference]:
    """Return every measure that both sides have, at the points that both have."""
    others = {_label(point): point for point in other.points}
    found = []
    for point in one.points:
        label = _label(point)
        match = others.get(label)
        if match is None:
            continue
        names = dict.fromkeys(name for run in point.runs for name in run.measures)
        for name in names:
            ours, theirs = point.list_values(name), match.list_values(name)
            if theirs:
                chance = compute_chance(ours, theirs)
                means = sum(ours) / len(ours), sum(theirs) / len(theirs)
                found.append(Difference(label, name, *means, chance))
    return found


def _label(point: Point) -> str:
    return ", ".join(f"{key}={value}" for key, value in point.at.items())


def find_parting(one: Side, other: Side) -> str:
    """Say at which sample two runs part and in what; empty if in none, or without samples."""
    if not one.samples or not other.samples:
        return ""
    for ours, theirs in zip_longest(one.samples, other.samples):
        if ours == theirs:
            continue
        if ours is None or theirs is None:
            return f"at {_decode(ours or theirs)['at_s']:g} s, where one of them ends"
        left, right = _decode(ours), _decode(theirs)
        fields = [name for name in left if left[name] != right.get(name)]
        if not fields:  # the later of two versions measures more
            continue
        told = ", ".join(f"{name} {left[name]} and {right.get(name)}" for name in fields[:4])
        return f"at {left['at_s']:g} s: {told}"
    return ""


def _decode(line: bytes) -> dict[str, float | bool]:
    try:
        return msgspec.json.decode(line, type=dict[str, float | bool])
    except msgspec.DecodeError as error:
        raise BadInput(f"a line of {SAMPLES} is damaged: {error}", hint=_HINT) from error
