"""Reading a scenario. Strict: what is unknown, out of bounds or contradictory names its line."""

import tomllib
from collections.abc import Sequence
from importlib import resources
from pathlib import Path
from typing import Any

import msgspec

from p2p_modelex.errors import BadInput
from p2p_modelex.limits import KIB
from p2p_modelex.simulation.scenario.amounts import Nonsense
from p2p_modelex.simulation.scenario.explaining import Explainer, find_nearest
from p2p_modelex.simulation.scenario.plugins import PluginFile, load_plugin, read_plugins
from p2p_modelex.simulation.scenario.quantities import read_quantity
from p2p_modelex.simulation.scenario.sense import validate_scenario
from p2p_modelex.simulation.scenario.tables import PLUGINS_MAX, Plugins, Scenario, Workload
from p2p_modelex.simulation.scenario.texts import read_text

FILE_BYTES = 256 * KIB


def read_scenario(path: Path, settings: Sequence[str] = ()) -> Scenario:
    """Read a file and its plug-ins; `settings` are texts such as `links.loss=0.02` that change it.

    BadInput names file, line and remedy.
    """
    text = read_scenario_text(path)
    plugins = read_plugins(list_plugins(text, path.name, settings), path.parent)
    return parse_scenario(
        text, source=path.name, settings=settings, plugins=plugins, folder=path.parent
    )


def read_scenario_text(path: Path) -> str:
    """Return the text of a scenario's file; BadInput."""
    return read_text(path, FILE_BYTES, hint=find_nearest(str(path), list_scenarios()))


def list_scenarios() -> dict[str, Path]:
    """Return the scenarios that come with the project, by name; none where only the package is."""
    folder = Path(str(resources.files("p2p_modelex"))).parent / "simulations"
    return {path.stem: path for path in sorted(folder.glob("*.toml"))}


def list_plugins(text: str, source: str, settings: Sequence[str] = ()) -> tuple[str, ...]:
    """Return the plug-ins that a scenario names; BadInput if it is not TOML."""
    table = _parse_table(text, source, settings).get("plugin")
    files = table.get("files") if isinstance(table, dict) else None
    named = files if isinstance(files, list) else []  # what is wrong there, parse_scenario says
    return tuple(one for one in named[:PLUGINS_MAX] if isinstance(one, str) and one)


def _parse_table(text: str, source: str, settings: Sequence[str]) -> dict[str, Any]:
    try:
        table = tomllib.loads(text)
    except (ValueError, RecursionError) as error:
        raise BadInput(f"{source} is not TOML: {error}", hint='write name = "value"') from error
    for setting in settings:
        _apply(table, setting)
    return table


def parse_scenario(
    text: str,
    *,
    source: str = "scenario",
    settings: Sequence[str] = (),
    plugins: Sequence[PluginFile] = (),
    folder: Path = Path(),
) -> Scenario:
    """Parse the text of a scenario; `source` is its name in messages, `plugins` are all that it
    names and those besides, `folder` is where the paths of its records begin. BadInput.
    """
    table = _parse_table(text, source, settings)
    reader = Explainer(text, source)
    try:
        scenario = msgspec.convert(table, Scenario, dec_hook=read_quantity)
    except msgspec.ValidationError as error:
        raise reader.explain(str(error)) from error
    names = dict.fromkeys(plugin.name for plugin in plugins)
    for name in scenario.plugin.files:
        if name not in names:
            place, hint = ("plugin", None), "give its text, or read the scenario from its file"
            raise reader.point(place, "files", f"plug-in {name!r} is not here", hint)
    for plugin in plugins:
        load_plugin(plugin)
    scenario = msgspec.structs.replace(
        scenario,
        plugin=Plugins(files=tuple(names)),
        workload=tuple(_place(one, folder) for one in scenario.workload),
    )
    try:
        validate_scenario(scenario)
    except Nonsense as error:
        raise reader.point(error.place, error.key, str(error), error.hint) from error
    return scenario


def _place(workload: Workload, folder: Path) -> Workload:
    """Say where its record is, so that it is found wherever the run is carried out."""
    if workload.trace is None:
        return workload
    return msgspec.structs.replace(workload, trace=str((folder / workload.trace).absolute()))


def scale(scenario: Scenario, nodes: int) -> Scenario:
    """Return the scenario with so many nodes, its populations in proportion; BadInput if too few.

    Populations of bootstrap peers stay as they are.
    """
    fixed = [one for one in scenario.population if one.role == "bootstrap"]
    grown = [one for one in scenario.population if one.role != "bootstrap"]
    left, total = nodes - sum(one.count for one in fixed), sum(one.count for one in grown)
    if left < len(grown) or not grown:
        raise BadInput(f"{nodes} nodes are too few for its populations", hint="give more")
    counts, given = {}, 0
    for number, one in enumerate(grown, start=1):
        share = max(1, left * one.count // total)
        counts[one.name] = left - given if number == len(grown) else share
        given += share
    changed = tuple(
        msgspec.structs.replace(one, count=counts.get(one.name, one.count))
        for one in scenario.population
    )
    scenario = msgspec.structs.replace(scenario, population=changed)
    validate_scenario(scenario)
    return scenario


def _apply(table: dict[str, Any], setting: str) -> None:
    """Change one value: `links.loss=0.02`, `population.0.count=50`."""
    name, found, value = setting.partition("=")
    *path, last = name.strip().split(".")
    if not found or not all((*path, last)):
        raise BadInput(f"not a setting: {setting[:80]!r}", hint="--set links.loss=0.02")
    here: Any = table
    for step in path:
        here = _enter(here, step, name)
    try:
        parsed = tomllib.loads(f"x = {value.strip()}")["x"]
    except ValueError:
        parsed = value.strip()  # a text without its quotes, which a shell takes away
    if not isinstance(here, dict):
        raise BadInput(f"{name}: there is no such table", hint="population.0.count=50")
    here[last] = parsed


def _enter(here: Any, step: str, name: str) -> Any:
    if isinstance(here, dict):
        return here.setdefault(step, {})
    if isinstance(here, list) and step.isdigit() and int(step) < len(here):
        return here[int(step)]
    hint = "tables of a list count from 0" if isinstance(here, list) else "--set links.loss=0.02"
    raise BadInput(f"{name}: there is no {step!r} in it", hint=hint)
