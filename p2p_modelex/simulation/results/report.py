"""The report of a run, or of a sweep: one HTML file that asks nobody for anything."""

from collections.abc import Mapping, Sequence

import msgspec

from p2p_modelex.simulation.results.drawing import Plot, render_svg
from p2p_modelex.simulation.results.points import Point, build_table, format_number
from p2p_modelex.simulation.run import Result, find_unmet
from p2p_modelex.simulation.scenario.recipe import Recipe
from p2p_modelex.simulation.scenario.tables import Expectation


class Origin(msgspec.Struct, frozen=True):
    """Where a result comes from: what was run, by which command and which code."""

    recipe: Recipe
    command: str = ""
    code: str = ""


class Held(msgspec.Struct, frozen=True):
    """What a scenario asks of a measure, and what it is; None where it was not measured."""

    wanted: str
    value: float | None
    is_met: bool


def list_held(
    holds: Sequence[Expectation], measures: Mapping[str, float], *, is_whole: bool
) -> list[Held]:
    """Return each thing that the scenario asks, and whether it got it. is_whole: as of Result."""
    found = []
    for one in holds:
        bounds = ((one.at_least, "at least"), (one.at_most, "at most"))
        told = " and ".join(f"{word} {number:g}" for number, word in bounds if number is not None)
        value = measures.get(one.measure)
        is_met = is_whole and find_unmet(one, measures) is None
        found.append(Held(f"{one.measure} {told}", value, is_met))
    return found


def build_report(result: Result, origin: Origin, plots: Sequence[Plot]) -> str:
    """Return the page of a run."""
    scenario = origin.recipe.build()
    return _render(
        "run.html.j2",
        plots,
        title=f"{result.scenario}, seed {result.seed}",
        result=result,
        about=scenario.about,
        nodes=scenario.nodes,
        held=list_held(scenario.hold, result.measures, is_whole=result.is_whole),
        origin=origin,
    )


def build_sweep_report(
    points: Sequence[Point], columns: Sequence[str], origin: Origin, plots: Sequence[Plot]
) -> str:
    """Return the page of a sweep. columns: the measures shown."""
    scenario = origin.recipe.build()
    header, rows = build_table(points, columns)
    return _render(
        "sweep.html.j2",
        plots,
        title=f"{scenario.name}, swept",
        about=scenario.about,
        runs=sum(len(point.runs) for point in points),
        header=header,
        rows=rows,
        keys=len(points[0].at),
        origin=origin,
    )


def _render(page: str, plots: Sequence[Plot], **values: object) -> str:
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("p2p_modelex.simulation.results", "pages"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["number"] = format_number
    drawn = [(plot, render_svg(plot)) for plot in plots]
    return environment.get_template(page).render(plots=drawn, **values)
