"""What all tests of the simulator have."""

from collections.abc import Iterator

import pytest

from p2p_modelex.simulation import plugin
from p2p_modelex.simulation.actors.behaviours import BEHAVIOURS
from p2p_modelex.simulation.scenario import plugins


@pytest.fixture(autouse=True)
def _plugins_as_before() -> Iterator[None]:
    """What the plug-ins of a test register is gone after it."""
    tables: tuple[dict[object, object], ...] = (
        BEHAVIOURS,  # type: ignore[assignment]
        plugin.ROUTING,
        plugin.PRICING,
        plugin.GOSSIP,
        plugin._PLUGGED,
        plugins._LOADED,
    )
    before = [dict(table) for table in tables]
    yield
    for table, kept in zip(tables, before, strict=True):
        table.clear()
        table.update(kept)
