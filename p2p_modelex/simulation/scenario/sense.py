"""Whether the tables of a scenario, each right by itself, fit together."""

import math
import re

from p2p_modelex.core.routing.profile import PICKERS
from p2p_modelex.core.routing.scorers import SCORERS
from p2p_modelex.simulation.actors.behaviours import BEHAVIOURS
from p2p_modelex.simulation.models.links import REGIONS
from p2p_modelex.simulation.models.pace import DEVICES, SIZES, compute_room
from p2p_modelex.simulation.plugin import ROUTING
from p2p_modelex.simulation.scenario.amounts import Nonsense, validate_amounts
from p2p_modelex.simulation.scenario.explaining import find_nearest
from p2p_modelex.simulation.scenario.quantities import seconds
from p2p_modelex.simulation.scenario.settings import Engine
from p2p_modelex.simulation.scenario.tables import (
    NODES_MAX,
    Expectation,
    Fault,
    Policy,
    Population,
    Scenario,
    Workload,
)
from p2p_modelex.toml_lines import TOP, Place

_NAME = re.compile(r"\w[\w .-]*")


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
    if not _NAME.fullmatch(scenario.name):
        raise Nonsense(TOP, "name", "it names files", "letters, digits, -, _, . and spaces")
    validate_amounts(scenario)
    for name in scenario.links.regions:
        if name not in REGIONS:
            raise Nonsense(
                ("links", None), "regions", f"no region {name}", find_nearest(name, REGIONS)
            )
    gossip = scenario.gossip
    if not gossip.d_lo <= gossip.d <= gossip.d_hi or 2 * gossip.d_out > gossip.d:
        order = "d_lo <= d <= d_hi and d_out <= d / 2"
        raise Nonsense(("gossip", None), "d", f"the degrees must hold {order}", "change one")
    names = [one.name for one in scenario.population]
    for at, population in enumerate(scenario.population):
        _validate_population(scenario, population, names, ("population", at))
    for at, policy in enumerate(scenario.policy):
        _validate_policy(policy, ("policy", at))
    for at, workload in enumerate(scenario.workload):
        _validate_workload(scenario, workload, ("workload", at))
    for at, fault in enumerate(scenario.fault):
        _validate_fault(scenario, fault, names, ("fault", at))
    for at, expected in enumerate(scenario.hold):
        _validate_hold(expected, ("hold", at))


def _validate_hold(expected: Expectation, place: Place) -> None:
    least, most = expected.at_least, expected.at_most
    if least is None and most is None:
        raise Nonsense(place, "measure", "no number to hold it to", "at_least or at_most")
    if least is not None and most is not None and not least <= most:
        raise Nonsense(place, "at_least", f"nothing is {least:g} and {most:g}", "change one")
    for key, bound in (("at_least", least), ("at_most", most)):
        if bound is not None and math.isnan(bound):
            raise Nonsense(place, key, "every number passes nan", "a number")


def _validate_population(
    scenario: Scenario, population: Population, names: list[str], place: Place
) -> None:
    if names.count(population.name) > 1:
        raise Nonsense(place, "name", f"two populations {population.name!r}", "rename one")
    if population.behaviour not in BEHAVIOURS:
        hint = find_nearest(population.behaviour, BEHAVIOURS)
        raise Nonsense(place, "behaviour", f"no behaviour {population.behaviour!r}", hint)
    policies = [*(one.name for one in scenario.policy), *ROUTING]
    if population.routing not in policies:
        hint = find_nearest(population.routing, policies)
        raise Nonsense(place, "routing", f"no routing policy {population.routing!r}", hint)
    if population.starts + population.join_over >= scenario.duration:
        late = f"its last node joins at {seconds(population.starts + population.join_over):g} s"
        raise Nonsense(place, "starts", f"{late}, after the end", "a longer duration")
    if (population.engine is not None) and population.role != "provider":
        raise Nonsense(place, "engine", f"a {population.role} sells nothing", "remove it")
    if population.also and population.engine is None:
        raise Nonsense(place, "also", "there is no engine beside it", "name one as `engine`")
    models = [engine.model for engine in population.engines]
    if len(set(models)) < len(models):
        raise Nonsense(place, "also", "two engines of one model", "rename one")
    for engine in population.engines:
        _validate_engine(engine, place)
    if population.farm is not None and population.engine is None:
        raise Nonsense(place, "farm", "its members sell nothing", "give them an engine")


def _validate_policy(policy: Policy, place: Place) -> None:
    if policy.picker not in PICKERS:
        hint = find_nearest(policy.picker, PICKERS)
        raise Nonsense(place, "picker", f"no picker {policy.picker!r}", hint)
    for name in policy.weights:
        if name not in SCORERS:
            raise Nonsense(place, "weights", f"no scorer {name!r}", find_nearest(name, SCORERS))
    if not any(policy.weights.values()):
        raise Nonsense(place, "weights", "they weigh nothing", "one above 0")


def _validate_engine(engine: Engine, place: Place) -> None:
    if (engine.device is None) != (engine.size is None):
        raise Nonsense(place, "engine", "a device needs a size, and a size a device", "give both")
    if engine.device is None or engine.size is None:
        return
    for name, known in ((engine.device, DEVICES), (engine.size, SIZES)):
        if name not in known:
            raise Nonsense(
                place, "engine", f"no {name!r} in devices.toml", find_nearest(name, known)
            )
    if compute_room(DEVICES[engine.device], SIZES[engine.size]) < engine.context:
        message = f"{engine.size} does not fit {engine.device} with a context of {engine.context}"
        raise Nonsense(place, "engine", message, "a smaller one")


def _validate_workload(scenario: Scenario, workload: Workload, place: Place) -> None:
    found = [one for one in scenario.population if one.name == workload.population]
    if not found:
        hint = find_nearest(workload.population, [one.name for one in scenario.population])
        raise Nonsense(place, "population", f"no population {workload.population!r}", hint)
    if scenario.chain is None:
        raise Nonsense(place, "population", "requests are paid on a chain", "add a [chain] table")
    sold = {engine.model: None for one in scenario.population for engine in one.engines}
    if workload.model not in sold:
        hint = find_nearest(workload.model, sold)
        raise Nonsense(place, "model", f"nobody sells {workload.model!r}", hint)
    farms = {one.farm: None for one in scenario.population if one.farm is not None}
    if workload.farm is not None and workload.farm not in farms:
        hint = find_nearest(workload.farm, farms)
        raise Nonsense(place, "farm", f"no farm {workload.farm!r}", hint)


def _validate_fault(scenario: Scenario, fault: Fault, names: list[str], place: Place) -> None:
    if fault.population is not None and fault.population not in names:
        hint = find_nearest(fault.population, names)
        raise Nonsense(place, "population", f"no population {fault.population!r}", hint)
    if fault.at + fault.lasts > scenario.duration - scenario.settle:
        raise Nonsense(place, "at", "it is not over before the run settles", "earlier or shorter")
    on_chain = ("outage", "congestion", "censorship", "closing")
    if fault.kind in on_chain and scenario.chain is None:
        raise Nonsense(place, "kind", f"there is no chain for a {fault.kind}", "add [chain]")
    if fault.kind == "congestion" and scenario.chain and not scenario.chain.fees.background:
        why = "nobody else is on the chain"
        raise Nonsense(place, "kind", why, "chain.fees.background = 1.0")
