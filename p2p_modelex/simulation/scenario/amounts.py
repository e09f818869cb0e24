"""Whether the amounts of a scenario are such as a run can have: no pause of nothing, no line of no
width, no wait of a century.
"""

from collections.abc import Iterator

from p2p_modelex.errors import BadInput
from p2p_modelex.simulation.results.measures import SAMPLES_MAX
from p2p_modelex.simulation.scenario.quantities import Duration, seconds
from p2p_modelex.simulation.scenario.tables import Scenario
from p2p_modelex.toml_lines import TOP, Place

_MS = 1_000
_S = 1_000_000
RATE_MIN = 125
"""Bytes a second: a kbit/s."""
LATENCY_MAX = 60 * _S
"""Longer, and every connection is given up before it stands."""
NODE_BYTES, ENTRY_BYTES = 140_000, 28
"""What a whole node takes, and an entry in the directory of each (simulations/results/size.md)."""
MEMORY_MAX = 64 * 2**30
"""Bytes of a world: more than a machine that one has at hand."""


class Nonsense(BadInput):
    """A contradiction: which table, which key, what and what to do."""

    def __init__(self, place: Place, key: str | None, message: str, hint: str) -> None:
        super().__init__(message, hint=hint)
        self.place = place
        self.key = key


def validate_amounts(scenario: Scenario) -> None:
    """Raise Nonsense for an amount that no run can have."""
    for place, key, least, value in _list_leasts(scenario):
        if value is not None and value < least:
            said = f"{seconds(value):g} s, and {seconds(least):g} s at least"
            raise Nonsense(place, key, said, "more of it")
    if scenario.duration // scenario.measure_every > SAMPLES_MAX:
        said = f"over {SAMPLES_MAX} samples in its duration"
        raise Nonsense(TOP, "measure_every", said, "a longer time")
    entries = min(scenario.advertisers, scenario.entries_max)
    memory = scenario.nodes * (NODE_BYTES + ENTRY_BYTES * entries)
    if scenario.has_cores and memory > MEMORY_MAX:
        said = f"{scenario.nodes} nodes that know {entries} take some {memory >> 30} GiB"
        raise Nonsense(("population", 0), "count", said, f"under {MEMORY_MAX >> 30} GiB")
    latency, regions = scenario.links.latency, scenario.links.regions
    if latency is not None and latency > LATENCY_MAX:
        said = f"over {seconds(LATENCY_MAX):g} s, no connection stands"
        raise Nonsense(("links", None), "latency", said, "less")
    if regions and not any(regions.values()):
        raise Nonsense(("links", None), "regions", "nobody lives anywhere", "a weight above 0")
    for at, population in enumerate(scenario.population):
        for key, rate in (("up", population.up), ("down", population.down)):
            if rate < RATE_MIN:
                said = f"{rate} bytes a second carry nothing"
                raise Nonsense(("population", at), key, said, "1 kbit/s at least")


def _list_leasts(scenario: Scenario) -> Iterator[tuple[Place, str, int, Duration | None]]:
    """Yield each time that must not be too short: its place, its key, the least, and what it is."""
    yield TOP, "measure_every", _MS, scenario.measure_every
    yield ("gossip", None), "heartbeat", 10 * _MS, scenario.gossip.heartbeat
    if scenario.chain is not None:
        yield ("chain", None), "block", _MS, scenario.chain.block
    for at, population in enumerate(scenario.population):
        yield ("population", at), "session", 100 * _MS, population.session
    for at, workload in enumerate(scenario.workload):
        yield ("workload", at), "every", _MS, workload.every
    for at, fault in enumerate(scenario.fault):
        yield ("fault", at), "lasts", 1, fault.lasts
