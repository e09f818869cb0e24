"""The curves of a sweep: each measure against the value, with its least and most over the seeds."""

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

from p2p_modelex.simulation.results.drawing import (
    COLOURS,
    Plot,
    draw_legend,
    draw_line,
    open_axes,
)
from p2p_modelex.simulation.results.points import Point, format_number

if TYPE_CHECKING:
    from matplotlib.figure import Figure

LINES_MAX = 12
"""Lines of a plot: of a grid with more, the first."""


def list_curves(points: Sequence[Point], columns: Sequence[str]) -> list[Plot]:
    """Return a plot for each measure that some point has. The first key is the axis; each
    combination of the others is a line.
    """
    found = []
    for number, measure in enumerate(columns):
        name = f"curve-{number}-{re.sub(r'[^a-z0-9]+', '-', measure.lower())}"
        having = [point for point in points if point.list_values(measure)]
        if having:
            told = (f"{_say(point)}: {_tell(point.list_values(measure))}" for point in having)
            curve = _Curve(having, measure)
            found.append(Plot(name, measure, "; ".join(told), curve))
    return found


def _say(point: Point) -> str:
    return ", ".join(f"{key} {value}" for key, value in point.at.items())


def _tell(values: list[float]) -> str:
    return format_number(sum(values) / len(values))


class _Curve:
    def __init__(self, points: Sequence[Point], measure: str) -> None:
        self._points = points
        self._measure = measure

    def __call__(self, figure: "Figure") -> None:
        key = next(iter(self._points[0].at))
        axes = open_axes(figure, key, self._measure)
        values = list(dict.fromkeys(point.at[key] for point in self._points))
        numbers = [_read_number(value) for value in values]
        places = [float(at) for at in range(len(values))]
        if all(number is not None for number in numbers):
            places = [number for number in numbers if number is not None]
        else:
            axes.set_xticks(places, values)
        where = dict(zip(values, places, strict=True))
        for at, (name, line) in enumerate(list(self._split(key).items())[:LINES_MAX]):
            line.sort(key=lambda point: where[point.at[key]])
            xs = [where[point.at[key]] for point in line]
            seen = [point.list_values(self._measure) for point in line]
            draw_line(axes, xs, [sum(one) / len(one) for one in seen], name, at)
            least, most = [min(one) for one in seen], [max(one) for one in seen]
            colour = COLOURS[at % len(COLOURS)]
            axes.fill_between(xs, least, most, color=colour, alpha=0.2, linewidth=0)
            axes.scatter(xs, [sum(one) / len(one) for one in seen], s=12, color=colour)
        if len(self._points[0].at) > 1:
            draw_legend(axes)

    def _split(self, key: str) -> dict[str, list[Point]]:
        lines: dict[str, list[Point]] = {}
        for point in self._points:
            name = ", ".join(f"{k}={v}" for k, v in point.at.items() if k != key)
            lines.setdefault(name, []).append(point)
        return lines


def _read_number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None
