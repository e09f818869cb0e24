"""Drawing: a plot as PNG, and as SVG that takes its ink from the page it stands in."""

import io
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

COLOURS = ("#3a86c8", "#d9822b", "#2a9d6f", "#d1495b", "#9a6dd7", "#7f8487")
"""Seen on white as on black, and told apart by those who see no red or no green."""
STYLES = ("-", "--", ":", "-.")
"""Beside the colours: no line is told by its colour alone."""
POINTS_MAX = 1_000
"""Points of a line: more cannot be seen."""
_INCHES = (6.4, 3.4)
_DOTS = 100
_INKED: Any = ("text.color", "axes.edgecolor", "axes.labelcolor", "xtick.color", "ytick.color")
_PALETTE = 64
_PAGE_INK = "#123456"  # becomes the page's own colour
_TEXT: dict[Any, Any] = {"font.size": 9, "svg.fonttype": "none", "svg.hashsalt": "modelex"}


@dataclass(frozen=True, slots=True)
class Plot:
    """One picture. alt: what it shows, with its figures, for those who do not see it."""

    name: str
    title: str
    alt: str
    draw: Callable[["Figure"], None]


def has_matplotlib() -> bool:
    """Whether plots can be drawn here."""
    try:
        import matplotlib.figure  # noqa: F401  # whether it is there
    except ImportError:
        return False
    return True


def render_png(plot: Plot) -> bytes:
    """Return a plot as PNG, on white, in so few colours that it takes a third of the bytes."""
    from PIL import Image

    whole = _render(plot, "#222222", "png", facecolor="white")
    content = io.BytesIO()
    Image.open(io.BytesIO(whole)).convert("RGB").quantize(_PALETTE).save(content, "png")
    return content.getvalue()


def render_svg(plot: Plot) -> str:
    """Return a plot as an SVG element for the inside of a page; its ids are its own there."""
    svg = _render(plot, _PAGE_INK, "svg", transparent=True).decode()
    svg = svg[svg.index("<svg") :].replace(_PAGE_INK, "currentColor")
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    svg = re.sub(r'(\bid="|href="#|url\(#)', rf"\1{plot.name}-", svg)
    return svg.replace("<svg ", '<svg aria-hidden="true" ', 1)


def _render(plot: Plot, ink: str, kind: str, **options: Any) -> bytes:
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    with rc_context({**_TEXT, **dict.fromkeys(_INKED, ink)}):
        figure = Figure(figsize=_INCHES, layout="constrained")
        plot.draw(figure)
        content = io.BytesIO()
        metadata = {"Date": None} if kind == "svg" else None
        figure.savefig(content, format=kind, dpi=_DOTS, metadata=metadata, **options)
    return content.getvalue()


def open_axes(figure: "Figure", x: str, y: str, *, rows: int = 1, row: int = 1) -> "Axes":
    """Return axes with their names, a grid, and no more lines than that."""
    axes = figure.add_subplot(rows, 1, row)
    axes.set_xlabel(x)
    axes.set_ylabel(y)
    axes.grid(visible=True, alpha=0.3)
    axes.spines[["top", "right"]].set_visible(False)
    return axes


def draw_line(axes: "Axes", xs: Sequence[float], ys: Sequence[float], name: str, at: int) -> None:
    """Draw a line; `at` tells it from the others of its axes."""
    every = -(-len(xs) // POINTS_MAX) or 1
    colour, style = COLOURS[at % len(COLOURS)], STYLES[at % len(STYLES)]
    axes.plot(xs[::every], ys[::every], style, color=colour, label=name, linewidth=1.6)


def draw_legend(axes: "Axes") -> None:
    """Name the lines."""
    axes.legend(frameon=False)
