"""The plots of a run: what can be drawn of what was measured, and no empty ones."""

import random
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from p2p_modelex.simulation.models.links import DEGREES
from p2p_modelex.simulation.results.distributions import Step, find_percentile
from p2p_modelex.simulation.results.drawing import (
    COLOURS,
    Plot,
    draw_legend,
    draw_line,
    open_axes,
)
from p2p_modelex.simulation.results.measures import Sampled
from p2p_modelex.simulation.results.network import Network
from p2p_modelex.simulation.run import Result

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SHARES = (0.5, 0.9, 0.99)
PRICE_TOKENS = 1000
LINKS_DRAWN = 800
"""Connections on a map: more make it black."""
_SCATTER = 4.0  # degrees around its city in which a node is shown


def list_plots(result: Result) -> list[Plot]:
    """Return the plots that a run has something for."""
    return [*_list_distributions(result), *_list_series(result), *_list_maps(result.network)]


def _list_distributions(result: Result) -> Iterator[Plot]:
    kinds = (
        ("delivery", "Delivery", {"gossip_delay_ms": "gossip", "record_delay_ms": "records"}),
        ("latency", "Answers", {"first_text_ms": "first text", "whole_ms": "whole answer"}),
    )
    for name, title, names in kinds:
        found = {names[of]: _pick(result.steps, of) for of in names if _pick(result.steps, of)}
        if found:
            said = "; ".join(f"{kind}: {_say(steps)}" for kind, steps in found.items())
            yield Plot(name, f"{title}: share within a time", said, _CumulativePlot(found))
    by_load = {
        of: levels for of in ("first_text_ms", "whole_ms") if (levels := _by_load(result.steps, of))
    }
    if by_load:
        said = "; ".join(
            f"{_name(of)}, with up to {load} in flight: {_say(steps)}"
            for of, levels in by_load.items()
            for load, steps in (levels if len(levels) == 1 else (levels[0], levels[-1]))
        )
        yield Plot("load", "Latency against load", said, _LoadPlot(by_load))


def _name(of: str) -> str:
    return of.removesuffix("_ms").replace("_", " ")


def _pick(steps: Sequence[Step], of: str) -> list[Step]:
    return [one for one in steps if one.of == of and one.load is None]


def _by_load(steps: Sequence[Step], of: str) -> list[tuple[int, list[Step]]]:
    loads = sorted({one.load for one in steps if one.of == of and one.load is not None})
    return [(load, [one for one in steps if one.of == of and one.load == load]) for load in loads]


def _say(steps: list[Step]) -> str:
    told = (f"{share:.0%} within {find_percentile(steps, share):,.0f} ms" for share in SHARES)
    return ", ".join(told)


class _CumulativePlot:
    def __init__(self, found: dict[str, list[Step]]) -> None:
        self._found = found

    def __call__(self, figure: "Figure") -> None:
        axes = open_axes(figure, "ms", "share")
        axes.set_xscale("log")
        for at, (name, steps) in enumerate(self._found.items()):
            total = steps[-1].count
            xs = [max(one.value, 1.0) for one in steps]
            draw_line(axes, xs, [one.count / total for one in steps], name, at)
        draw_legend(axes)


class _LoadPlot:
    def __init__(self, found: dict[str, list[tuple[int, list[Step]]]]) -> None:
        self._found = found

    def __call__(self, figure: "Figure") -> None:
        for row, (of, levels) in enumerate(self._found.items(), start=1):
            label = f"{_name(of)}, ms"
            axes = open_axes(figure, "requests in flight, up to", label, rows=2, row=row)
            axes.set_yscale("log")
            axes.set_xscale("log", base=2)
            loads = [load for load, _ in levels]
            for at, share in enumerate(SHARES):
                times = [max(find_percentile(steps, share), 1.0) for _, steps in levels]
                draw_line(axes, loads, times, f"{share:.0%}", at)
            draw_legend(axes)


class _SeriesPlot:
    """Lines over virtual time, one above the other; each row has a name and its lines."""

    def __init__(self, samples: Sequence[Sampled], rows: dict[str, dict[str, list[float]]]) -> None:
        self._times = [one.at_s for one in samples]
        self._rows = rows

    def __call__(self, figure: "Figure") -> None:
        for row, (label, lines) in enumerate(self._rows.items(), start=1):
            axes = open_axes(figure, "virtual time, s", label, rows=len(self._rows), row=row)
            for at, (name, values) in enumerate(lines.items()):
                draw_line(axes, self._times, values, name, at)
            if len(lines) > 1:
                draw_legend(axes)


def _list_series(result: Result) -> Iterator[Plot]:
    samples = result.samples
    if not samples:
        return
    last = samples[-1]
    known = {"share known": {"known": [one.known for one in samples]}}
    known["nodes up"] = {"nodes": [float(one.nodes) for one in samples]}
    said = f"at the end {last.nodes} nodes are up and know {last.known:.1%} of what there is"
    yield Plot("known", "Directories", said, _SeriesPlot(samples, known))
    if last.finished or last.failed or last.running:
        yield from _list_trade(samples, last)


def _list_trade(samples: Sequence[Sampled], last: Sampled) -> Iterator[Plot]:
    requests = {
        "in flight": {"in flight": [float(one.running) for one in samples]},
        "ended": {
            "finished": [float(one.finished) for one in samples],
            "failed": [float(one.failed) for one in samples],
        },
    }
    most = max(one.running for one in samples)
    said = f"up to {most} in flight; {last.finished} finished and {last.failed} failed in the end"
    yield Plot("requests", "Requests", said, _SeriesPlot(samples, requests))
    ahead = {
        "providers": [one.sold_ahead_ai for one in samples],
        "requesters": [one.bought_ahead_ai for one in samples],
    }
    said = ", ".join(f"honest {who} up to {max(line):.4g} AI" for who, line in ahead.items())
    exposure = _SeriesPlot(samples, {"ahead of the other, AI": ahead})
    yield Plot("exposure", "Exposure of honest nodes", said, exposure)
    if last.tokens:
        prices = _find_prices(samples)
        said = f"{last.paid_ai:.4g} AI for {last.tokens:,} tokens; the price was {prices[0]:.4g} AI"
        said += f" for {PRICE_TOKENS} tokens at first and {prices[-1]:.4g} AI at last"
        money = {"paid, AI": {"paid": [one.paid_ai for one in samples]}}
        money[f"AI for {PRICE_TOKENS}"] = {"price": prices}
        yield Plot("money", "Earnings and prices", said, _SeriesPlot(samples, money))


def _find_prices(samples: Sequence[Sampled]) -> list[float]:
    """Return what the tokens since the sample before cost; as before where there were none."""
    prices: list[float] = []
    for before, one in pairwise((samples[0], *samples)):
        tokens, paid = one.tokens - before.tokens, one.paid_ai - before.paid_ai
        prices.append(PRICE_TOKENS * paid / tokens if tokens else prices[-1] if prices else 0.0)
    first = next((price for price in prices if price), 0.0)
    return [price or first for price in prices]


def _list_maps(network: Network) -> Iterator[Plot]:
    if network.nodes:
        many = {one.population: 0 for one in network.nodes}
        for one in network.nodes:
            many[one.population] += 1
        said = ", ".join(f"{count} {name}" for name, count in many.items())
        said += f"; {len(network.links)} connections"
        yield Plot("map", "The network at the end", said, _MapPlot(network, list(many)))


class _MapPlot:
    def __init__(self, network: Network, populations: list[str]) -> None:
        self._network = network
        self._populations = populations

    def __call__(self, figure: "Figure") -> None:
        from matplotlib.collections import LineCollection

        axes = open_axes(figure, "longitude", "latitude")
        places = {one.number: _place(one.number, one.region) for one in self._network.nodes}
        links = self._network.links
        every = -(-len(links) // LINKS_DRAWN) or 1
        ends = [(places[one], places[other]) for one, other in links[::every]]
        axes.add_collection(LineCollection(ends, colors="#7f8487", linewidths=0.4, alpha=0.35))
        for at, population in enumerate(self._populations):
            nodes = [one for one in self._network.nodes if one.population == population]
            up = [places[one.number] for one in nodes if one.is_up]
            down = [places[one.number] for one in nodes if not one.is_up]
            colour, marker = COLOURS[at % len(COLOURS)], "os^Dv*"[at % 6]
            options: dict[str, Any] = {
                "s": 14,
                "marker": marker,
                "edgecolors": colour,
                "linewidths": 0.8,
            }
            axes.scatter(*_split(up), facecolors=colour, label=population, zorder=2, **options)
            axes.scatter(*_split(down), facecolors="none", zorder=2, **options)
        axes.set_xlim(-180, 180)
        axes.set_ylim(-60, 75)
        axes.legend(frameon=False, fontsize=7, loc="lower left")


def _split(points: list[tuple[float, float]]) -> tuple[list[float], list[float]]:
    return [x for x, _ in points], [y for _, y in points]


def _place(number: int, region: str) -> tuple[float, float]:
    """Return where a node stands on a map: beside its city, at the same place each time."""
    rng = random.Random(number)  # noqa: S311  # a place on a picture
    latitude, longitude = DEGREES[region]
    return longitude + rng.gauss(0, _SCATTER), latitude + rng.gauss(0, _SCATTER)
