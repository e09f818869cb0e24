"""A run as text: what a worker is sent, a sweep knows a run again by, and a report shows."""

import hashlib
from collections.abc import Sequence
from pathlib import Path

import msgspec

from p2p_modelex.simulation.actors.recorded import digest_record
from p2p_modelex.simulation.scenario.plugins import PluginFile, read_plugins
from p2p_modelex.simulation.scenario.reading import (
    list_plugins,
    parse_scenario,
    read_scenario_text,
    scale,
)
from p2p_modelex.simulation.scenario.tables import Scenario


class Recipe(msgspec.Struct, frozen=True):
    """A scenario's text, what is changed of it, in order, and the plug-ins it uses. nodes: to scale
    its populations to, None for as they are. source: its name in messages. folder: where the
    paths of its records begin.
    """

    text: str
    source: str = "scenario"
    settings: tuple[str, ...] = ()
    nodes: int | None = None
    plugins: tuple[PluginFile, ...] = ()
    folder: str = ""

    def build(self) -> Scenario:
        """Load the plug-ins and return the scenario; BadInput."""
        scenario = parse_scenario(
            self.text,
            source=self.source,
            settings=self.settings,
            plugins=self.plugins,
            folder=Path(self.folder),
        )
        return scenario if self.nodes is None else scale(scenario, self.nodes)

    def change(self, *settings: str) -> "Recipe":
        """Return it with further settings."""
        return msgspec.structs.replace(self, settings=(*self.settings, *settings))

    def compute_key(self) -> str:
        """Return what tells it from another: the scenario to the last setting, the plug-ins and
        the records. BadInput if one of these is none.
        """
        scenario = self.build()
        records = [digest_record(one.trace) for one in scenario.workload if one.trace]
        said = repr((scenario, self.plugins, records))
        return hashlib.sha256(said.encode()).hexdigest()[:16]


def read_recipe(
    path: Path,
    settings: Sequence[str] = (),
    *,
    nodes: int | None = None,
    plugins: Sequence[str] = (),
) -> Recipe:
    """Read a scenario's file and its plug-ins, and those of other paths; BadInput."""
    text = read_scenario_text(path)
    own = read_plugins(list_plugins(text, path.name, settings), path.parent)
    more = read_plugins(dict.fromkeys(plugins), Path())
    folder = str(path.parent.absolute())
    return Recipe(text, path.name, tuple(settings), nodes, (*own, *more), folder)
