"""Simpler scenarios than one: tables taken away, settings put back, less of everything."""

from collections.abc import Iterator, Sequence
from typing import Any

import msgspec

from p2p_modelex.simulation.scenario.quantities import Duration
from p2p_modelex.simulation.scenario.tables import Scenario
from p2p_modelex.simulation.scenario.writing import find_changed, get_default

Path = tuple[str | int, ...]
"""Where a setting is: `("links", "loss")`, `("population", 1, "engine", "slots")`."""

_LISTS = ("fault", "workload", "population", "policy", "hold")
_KEPT = ("name", "about", "seed", "duration", "settle", "plugin")
"""What says which run it is, how long, and of what: no setting to put back."""
_SECOND = 1_000_000


def list_tables(scenario: Scenario) -> list[msgspec.Struct]:
    """Return the tables that can be taken away."""
    return [table for name in _LISTS for table in getattr(scenario, name)]


def remove(scenario: Scenario, tables: Sequence[msgspec.Struct]) -> Scenario:
    """Return it without some of its tables, and without what is said of populations that go."""
    gone = {id(table) for table in tables}
    left = {
        name: tuple(table for table in getattr(scenario, name) if id(table) not in gone)
        for name in _LISTS
    }
    names = {population.name: None for population in left["population"]}
    for kind in ("fault", "workload"):
        left[kind] = tuple(
            table for table in left[kind] if table.population is None or table.population in names
        )
    return msgspec.structs.replace(scenario, **left)


def list_settings(scenario: Scenario) -> list[Path]:
    """Return where something is said that need not be: the longer paths behind the shorter."""
    return [path for path in _walk(scenario) if path[0] not in _KEPT]


def _walk(value: Any) -> Iterator[Path]:
    if isinstance(value, msgspec.Struct):
        optional = {one.name for one in msgspec.structs.fields(value) if not one.required}
        for name, inner in find_changed(value):
            if name in optional and name not in _LISTS:
                yield (name,)
            yield from ((name, *path) for path in _walk(inner))
    elif isinstance(value, tuple):
        for at, inner in enumerate(value):
            yield from ((at, *path) for path in _walk(inner))


def reset(scenario: Scenario, paths: Sequence[Path]) -> Scenario:
    """Return it with the defaults at some paths."""
    for path in paths:
        scenario = _put(scenario, path, None, is_default=True)
    return scenario


def put(scenario: Scenario, path: Path, value: Any) -> Scenario:
    """Return it with another value at a path."""
    changed: Scenario = _put(scenario, path, value)
    return changed


def get(scenario: Scenario, path: Path) -> Any:
    """Return the value at a path; None if the way there is gone."""
    here: Any = scenario
    for step in path:
        if here is None:
            return None
        here = here[step] if isinstance(step, int) else getattr(here, step)
    return here


def _put(here: Any, path: Path, value: Any, *, is_default: bool = False) -> Any:
    step, *rest = path
    if here is None:
        return None  # a table that has been taken away meanwhile
    if isinstance(step, int):
        if step >= len(here):
            return here  # likewise
        changed = _put(here[step], tuple(rest), value, is_default=is_default)
        return (*here[:step], changed, *here[step + 1 :])
    if rest:
        value = _put(getattr(here, step), tuple(rest), value, is_default=is_default)
    elif is_default:
        value = next(get_default(f) for f in msgspec.structs.fields(here) if f.name == step)
    return msgspec.structs.replace(here, **{step: value})


def list_numbers(scenario: Scenario) -> list[Path]:
    """Return where less, or rounder, is simpler: counts of nodes, and times. With less of `settle`
    worlds fail that had no time to come to rest, which is another failure by the same message.
    """
    paths: list[Path] = [("duration",)]
    for name in ("population", "workload", "fault"):
        for at, table in enumerate(getattr(scenario, name)):
            paths += [
                (name, at, field)
                for field in table.__struct_fields__
                if field == "count" or isinstance(getattr(table, field), Duration)
            ]
    return paths


def list_less(path: Path, value: int) -> list[int]:
    """Return what to try instead of a number, the simplest first."""
    if path[-1] == "count":
        return [one for one in dict.fromkeys((1, value // 2, value - 1)) if 0 < one < value]
    whole = value // _SECOND
    tried = (whole // 2, whole) if path[-1] in ("duration", "lasts") else (whole,)
    return [Duration(one * _SECOND) for one in tried if one * _SECOND < value]


def cut(scenario: Scenario, at_us: int) -> Scenario:
    """Return it ending within a second of a time: what would come later is left out."""
    over = scenario.duration - scenario.settle
    duration = Duration(min(scenario.duration, (at_us // _SECOND + 1) * _SECOND))
    until = min(over, duration)
    faults = tuple(
        msgspec.structs.replace(fault, lasts=Duration(min(fault.lasts, until - fault.at)))
        for fault in scenario.fault
        if fault.at < until
    )
    return msgspec.structs.replace(
        scenario, duration=duration, settle=Duration(duration - until), fault=faults
    )
