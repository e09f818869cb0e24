"""The points of a sweep: what the runs of one combination of values have in common."""

from collections.abc import Iterable, Sequence

import msgspec

from p2p_modelex.simulation.results.sweep import Swept

SEED = "seed"
WHOLE = 10_000
"""Of numbers from here on, nobody reads what is behind the point."""


class Point(msgspec.Struct, frozen=True):
    """The runs, one for each seed, of one combination of values."""

    at: dict[str, str]
    runs: tuple[Swept, ...]

    def list_values(self, measure: str) -> list[float]:
        """Return a measure of each run that has it."""
        return [run.measures[measure] for run in self.runs if measure in run.measures]


def gather(runs: Iterable[Swept]) -> list[Point]:
    """Return the points of a sweep, in the order in which their first runs come."""
    found: dict[tuple[tuple[str, str], ...], list[Swept]] = {}
    for run in runs:
        at = run.at if run.at.keys() == {SEED} else {k: v for k, v in run.at.items() if k != SEED}
        found.setdefault(tuple(at.items()), []).append(run)
    return [Point(dict(at), tuple(same)) for at, same in found.items()]


def build_table(
    points: Sequence[Point], columns: Sequence[str]
) -> tuple[list[str], list[list[str]]]:
    """Return header and rows of text, for terminal and page alike."""
    header = [*points[0].at, *columns, "does not hold", "digest"]
    rows = []
    for point in points:
        cells = [_format_values(point.list_values(name)) for name in columns]
        digest = point.runs[0].digest[:12]
        rows.append([*point.at.values(), *cells, _tell_unmet(point), digest])
    return header, rows


def _format_values(values: list[float]) -> str:
    if not values:
        return ""
    mean = format_number(sum(values) / len(values))
    if len(values) == 1:
        return mean
    return f"{mean} ({format_number(min(values))} to {format_number(max(values))})"


def _tell_unmet(point: Point) -> str:
    """Say what does not hold; of several seeds, in how many."""
    told = [run.broke or "; ".join(run.unmet) for run in point.runs]
    wrong = [one for one in told if one]
    if not wrong or len(told) == 1:
        return "".join(wrong)
    return f"{len(wrong)} of {len(told)} seeds: {wrong[0]}"


def format_number(value: float) -> str:
    """Return a measure for people."""
    return f"{value:,.0f}" if value == int(value) or abs(value) >= WHOLE else f"{value:.5g}"
