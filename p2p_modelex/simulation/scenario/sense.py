"""Whether the tables of a scenario, each right by itself, fit together."""

import difflib
from collections.abc import Iterable

from p2p_modelex.errors import BadInput
from p2p_modelex.simulation.actors.behaviours import BEHAVIOURS
from p2p_modelex.simulation.models.links import REGIONS
from p2p_modelex.simulation.plugin import ROUTING
from p2p_modelex.simulation.scenario.quantities import seconds
from p2p_modelex.simulation.scenario.tables import NODES_MAX, Fault, Population, Scenario, Workload
from p2p_modelex.toml_lines import TOP, Place

EVALUATORS_MAX = 256
"""Accounts whose ratings are read at once."""


class Nonsense(BadInput):
    """A contradiction: which table, which key, what and what to do."""

    def __init__(self, place: Place, key: str | None, message: str, hint: str) -> None:
        super().__init__(message, hint=hint)
        self.place = place
        self.key = key


def validate_scenario(scenario: Scenario) -> None:
    """Raise BadInput where a scenario contradicts itself."""
    if not 0 < scenario.duration <= 30 * 86_400 * 10**6:
        raise Nonsense(TOP, "duration", "a run takes over 0 and at most 30 days", "shorten it")
    if scenario.settle >= scenario.duration:
        raise Nonsense(TOP, "settle", "nothing is left before it settles", "a longer duration")
    if scenario.nodes > NODES_MAX:
        raise Nonsense(
            ("population", 0), "count", f"{scenario.nodes} nodes", f"{NODES_MAX} at most"
        )
    for name in scenario.links.regions:
        if name not in REGIONS:
            raise Nonsense(("links", None), "regions", f"no region {name}", _nearest(name, REGIONS))
    gossip = scenario.gossip
    if not gossip.d_lo <= gossip.d <= gossip.d_hi or 2 * gossip.d_out > gossip.d:
        order = "d_lo <= d <= d_hi and d_out <= d / 2"
        raise Nonsense(("gossip", None), "d", f"the degrees must hold {order}", "change one")
    names = [one.name for one in scenario.population]
    for at, population in enumerate(scenario.population):
        _validate_population(scenario, population, names, ("population", at))
    for at, workload in enumerate(scenario.workload):
        _validate_workload(scenario, workload, ("workload", at))
    for at, fault in enumerate(scenario.fault):
        _validate_fault(scenario, fault, names, ("fault", at))
    for at, expected in enumerate(scenario.hold):
        if expected.at_least is None and expected.at_most is None:
            place = ("hold", at)
            raise Nonsense(place, "measure", "no number to hold it to", "at_least or at_most")


def _validate_population(
    scenario: Scenario, population: Population, names: list[str], place: Place
) -> None:
    if names.count(population.name) > 1:
        raise Nonsense(place, "name", f"two populations {population.name!r}", "rename one")
    if population.behaviour not in BEHAVIOURS:
        hint = _nearest(population.behaviour, BEHAVIOURS)
        raise Nonsense(place, "behaviour", f"no behaviour {population.behaviour!r}", hint)
    if population.routing not in ROUTING:
        hint = _nearest(population.routing, ROUTING)
        raise Nonsense(place, "routing", f"no routing policy {population.routing!r}", hint)
    _validate_ratings(scenario, population, names, place)
    if population.starts + population.join_over >= scenario.duration:
        late = f"its last node joins at {seconds(population.starts + population.join_over):g} s"
        raise Nonsense(place, "starts", f"{late}, after the end", "a longer duration")
    if (population.engine is not None) and population.role != "provider":
        raise Nonsense(place, "engine", f"a {population.role} sells nothing", "remove it")
    if population.farm is not None and population.engine is None:
        raise Nonsense(place, "farm", "its members sell nothing", "give them an engine")


def _validate_ratings(
    scenario: Scenario, population: Population, names: list[str], place: Place
) -> None:
    for name in population.believes:
        if name not in names:
            raise Nonsense(place, "believes", f"no population {name!r}", _nearest(name, names))
    believed = sum(one.count for one in scenario.population if one.name in population.believes)
    if believed > EVALUATORS_MAX:
        most = f"{EVALUATORS_MAX} at most (contracts/src/Ratings.sol)"
        raise Nonsense(place, "believes", f"{believed} accounts", most)
    key = "believes" if population.believes else "rates"
    is_used = population.believes or population.rates != "never"
    if is_used and (scenario.chain is None or not scenario.registers):
        hint = "add a [chain] table and `registers = true`"
        raise Nonsense(place, key, "ratings are of registered nodes, on a chain", hint)


def _validate_workload(scenario: Scenario, workload: Workload, place: Place) -> None:
    found = [one for one in scenario.population if one.name == workload.population]
    if not found:
        hint = _nearest(workload.population, [one.name for one in scenario.population])
        raise Nonsense(place, "population", f"no population {workload.population!r}", hint)
    if scenario.chain is None:
        raise Nonsense(place, "population", "requests are paid on a chain", "add a [chain] table")
    sold = {one.engine.model: None for one in scenario.population if one.engine is not None}
    if workload.model not in sold:
        hint = _nearest(workload.model, sold)
        raise Nonsense(place, "model", f"nobody sells {workload.model!r}", hint)
    farms = {one.farm: None for one in scenario.population if one.farm is not None}
    if workload.farm is not None and workload.farm not in farms:
        hint = _nearest(workload.farm, farms)
        raise Nonsense(place, "farm", f"no farm {workload.farm!r}", hint)
    if not workload.every:
        raise Nonsense(place, "every", "requests without a pause", "a time over 0 s")


def _validate_fault(scenario: Scenario, fault: Fault, names: list[str], place: Place) -> None:
    if fault.population is not None and fault.population not in names:
        hint = _nearest(fault.population, names)
        raise Nonsense(place, "population", f"no population {fault.population!r}", hint)
    if fault.at + fault.lasts > scenario.duration - scenario.settle:
        raise Nonsense(place, "at", "it is not over before the run settles", "earlier or shorter")
    if fault.kind == "outage" and scenario.chain is None:
        raise Nonsense(place, "kind", "there is no chain to be out of reach", "add [chain]")


def _nearest(name: str, known: Iterable[str]) -> str:
    names = list(known)
    near = difflib.get_close_matches(name, names, n=1)
    return f"did you mean `{near[0]}`?" if near else "known: " + ", ".join(names)
