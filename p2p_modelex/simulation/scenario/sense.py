"""Whether the tables of a scenario, each right by itself, fit together."""

import math
import re

from p2p_modelex.core.routing.profile import PICKERS
from p2p_modelex.core.routing.scorers import SCORERS
from p2p_modelex.simulation.actors.behaviours import BEHAVIOURS
from p2p_modelex.simulation.actors.gossipers import GOSSIPERS
from p2p_modelex.simulation.models.lengths import PUBLISHED
from p2p_modelex.simulation.models.links import REGIONS
from p2p_modelex.simulation.models.pace import DEVICES, SIZES, compute_room
from p2p_modelex.simulation.plugin import GOSSIP, PRICING, ROUTING
from p2p_modelex.simulation.scenario.amounts import Nonsense, validate_amounts
from p2p_modelex.simulation.scenario.explaining import find_nearest
from p2p_modelex.simulation.scenario.measures import list_measures, list_taken, suggest_measure
from p2p_modelex.simulation.scenario.quantities import seconds
from p2p_modelex.simulation.scenario.settings import Engine, Gossip, Shards
from p2p_modelex.simulation.scenario.tables import (
    NODES_MAX,
    ON_CHAIN,
    PRICING_POLICIES,
    Expectation,
    Fault,
    Policy,
    Population,
    Scenario,
    Workload,
)
from p2p_modelex.toml_lines import TOP, Place

_NAME = re.compile(r"\w[\w .-]*")
EVALUATORS_MAX = 256
"""Accounts whose ratings are read at once."""


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
            hint = find_nearest(name, REGIONS)
            raise Nonsense(("links", None), "regions", f"no region {name}", hint)
    _validate_gossip(scenario.gossip)
    _validate_routers(scenario)
    names = [one.name for one in scenario.population]
    for at, population in enumerate(scenario.population):
        _validate_population(scenario, population, names, ("population", at))
    is_honest = any(one.behaviour == "honest" for one in scenario.population)
    if not scenario.has_cores and not is_honest:
        why = "no router is honest, and what honest ones hear is measured"
        raise Nonsense(("population", 0), "behaviour", why, "add an honest population")
    for at, policy in enumerate(scenario.policy):
        _validate_policy(policy, ("policy", at))
    for at, workload in enumerate(scenario.workload):
        _validate_workload(scenario, workload, ("workload", at))
    for at, fault in enumerate(scenario.fault):
        _validate_fault(scenario, fault, names, ("fault", at))
    _validate_measures(scenario)


def _validate_measures(scenario: Scenario) -> None:
    for name in list_taken(scenario):
        why = f"a run has a measure {name!r} of its own"
        raise Nonsense(("plugin", None), "files", why, "give the plug-in's another name")
    for at, expected in enumerate(scenario.hold):
        _validate_hold(scenario, expected, ("hold", at))


def _validate_hold(scenario: Scenario, expected: Expectation, place: Place) -> None:
    name = expected.measure
    if name not in list_measures(scenario):
        hint = suggest_measure(name, scenario)
        raise Nonsense(place, "measure", f"no run of it has a measure {name!r}", hint)
    least, most = expected.at_least, expected.at_most
    if least is None and most is None:
        raise Nonsense(place, "measure", "no number to hold it to", "at_least or at_most")
    if least is not None and most is not None and not least <= most:
        raise Nonsense(place, "at_least", f"nothing is {least:g} and {most:g}", "change one")
    for key, bound in (("at_least", least), ("at_most", most)):
        if bound is not None and math.isnan(bound):
            raise Nonsense(place, key, "every number passes nan", "a number")


def _validate_gossip(gossip: Gossip) -> None:
    if not gossip.d_lo <= gossip.d <= gossip.d_hi or 2 * gossip.d_out > gossip.d:
        order = "d_lo <= d <= d_hi and d_out <= d / 2"
        raise Nonsense(("gossip", None), "d", f"the degrees must hold {order}", "change one")
    if not gossip.score.time_in_mesh_quantum:
        key, hint = "time_in_mesh_quantum", "a time over 0 s"
        raise Nonsense(("gossip.score", None), key, "P1 counts no time", hint)


def _validate_routers(scenario: Scenario) -> None:
    """Routers alone, or none."""
    if scenario.has_cores:
        for at, one in enumerate(scenario.population):
            if one.role == "router" or one.dials or one.addresses or one.turns or one.victims:
                key = "role" if one.role == "router" else "name"
                said = "a router, or what only routers have, beside nodes with a core"
                raise Nonsense(("population", at), key, said, "make all populations routers")
        if scenario.messages is not None or scenario.shards != Shards():
            raise Nonsense(TOP, "name", "[messages] and [shards] are for routers", "remove them")
        return
    if scenario.messages is None:
        raise Nonsense(TOP, "name", "routers alone, and nothing is said", "add [messages]")
    if not scenario.messages.every:
        raise Nonsense(("messages", None), "every", "messages without a pause", "a time over 0 s")
    if scenario.workload or scenario.fault or scenario.chain is not None:
        said = "routers alone have no chain, no workload and no faults"
        raise Nonsense(TOP, "name", said, "remove those tables")
    if scenario.shards.each > scenario.shards.count:
        hint = "each <= count"
        raise Nonsense(("shards", None), "each", "a node in more shards than there are", hint)
    for at, one in enumerate(scenario.population):
        if one.hidden:
            raise Nonsense(("population", at), "hidden", "routers alone do not hide", "remove it")


def _validate_population(
    scenario: Scenario, population: Population, names: list[str], place: Place
) -> None:
    if names.count(population.name) > 1:
        raise Nonsense(place, "name", f"two populations {population.name!r}", "rename one")
    behaviours = [*BEHAVIOURS] if scenario.has_cores else [*GOSSIPERS, *GOSSIP]
    if population.behaviour not in behaviours:
        hint = find_nearest(population.behaviour, behaviours)
        raise Nonsense(place, "behaviour", f"no behaviour {population.behaviour!r}", hint)
    policies = [*(one.name for one in scenario.policy), *ROUTING]
    if population.routing not in policies:
        hint = find_nearest(population.routing, policies)
        raise Nonsense(place, "routing", f"no routing policy {population.routing!r}", hint)
    _validate_ratings(scenario, population, names, place)
    if population.starts + population.join_over >= scenario.duration:
        late = f"its last node joins at {seconds(population.starts + population.join_over):g} s"
        raise Nonsense(place, "starts", f"{late}, after the end", "a longer duration")
    for name in (*population.dials, population.victims):
        if name is not None and name not in names:
            key = "victims" if name == population.victims else "dials"
            raise Nonsense(place, key, f"no population {name!r}", find_nearest(name, names))
    _validate_sale(population, place)


def _validate_sale(population: Population, place: Place) -> None:
    """What it sells, on which machines, at which prices."""
    if (population.engine is not None) and population.role != "provider":
        raise Nonsense(place, "engine", f"a {population.role} sells nothing", "remove it")
    if population.pricing is not None:
        if population.engine is None:
            raise Nonsense(place, "pricing", "it has no engine to price", "engine = {}")
        policy, known = population.pricing.policy, [*PRICING_POLICIES, *PRICING]
        if policy not in known:
            hint = find_nearest(policy, known)
            raise Nonsense(place, "pricing", f"no pricing policy {policy!r}", hint)
        if not population.pricing.every:
            raise Nonsense(place, "pricing", "prices without a pause", "a time over 0 s")
    if population.also and population.engine is None:
        raise Nonsense(place, "also", "there is no engine beside it", "name one as `engine`")
    models = [engine.model for engine in population.engines]
    if len(set(models)) < len(models):
        raise Nonsense(place, "also", "two engines of one model", "rename one")
    for engine in population.engines:
        _validate_engine(engine, place)
    if population.farm is not None and population.engine is None:
        raise Nonsense(place, "farm", "its members sell nothing", "give them an engine")


def _validate_ratings(
    scenario: Scenario, population: Population, names: list[str], place: Place
) -> None:
    for name in population.believes:
        if name not in names:
            raise Nonsense(place, "believes", f"no population {name!r}", find_nearest(name, names))
    believed = sum(one.count for one in scenario.population if one.name in population.believes)
    if believed > EVALUATORS_MAX:
        most = f"{EVALUATORS_MAX} at most (contracts/src/Ratings.sol)"
        raise Nonsense(place, "believes", f"{believed} accounts", most)
    key = "believes" if population.believes else "rates"
    is_used = population.believes or population.rates != "never"
    if is_used and (scenario.chain is None or not scenario.registers):
        hint = "add a [chain] table and `registers = true`"
        raise Nonsense(place, key, "ratings are of registered nodes, on a chain", hint)


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
    _validate_asks(scenario, workload, place)
    farms = {one.farm: None for one in scenario.population if one.farm is not None}
    if workload.farm is not None and workload.farm not in farms:
        hint = find_nearest(workload.farm, farms)
        raise Nonsense(place, "farm", f"no farm {workload.farm!r}", hint)
    if not workload.day:
        raise Nonsense(place, "day", "a day without time", "a time over 0 s")
    if workload.lengths is not None and workload.lengths not in PUBLISHED:
        hint = find_nearest(workload.lengths, PUBLISHED)
        raise Nonsense(place, "lengths", f"no lengths {workload.lengths!r}", hint)
    if workload.trace is not None and workload.turns > 1:
        raise Nonsense(place, "trace", "a record has no conversations", "turns = 1.0")


def _validate_asks(scenario: Scenario, workload: Workload, place: Place) -> None:
    """Whether anybody gives such answers, and whether they can be gone on with."""
    engines = (engine for one in scenario.population for engine in one.engines)
    given = [answer for one in engines if one.model == workload.model for answer in one.answers]
    if workload.asks not in ("chat", *given):
        hint = f'answers = ["{workload.asks}"] of its engine'
        raise Nonsense(place, "asks", f"nobody answers so by {workload.model!r}", hint)
    if workload.asks == "embedding" and workload.turns > 1:
        raise Nonsense(place, "turns", "nobody goes on with a vector", "turns = 1.0")


def _validate_fault(scenario: Scenario, fault: Fault, names: list[str], place: Place) -> None:
    if fault.population is not None and fault.population not in names:
        hint = find_nearest(fault.population, names)
        raise Nonsense(place, "population", f"no population {fault.population!r}", hint)
    for name in fault.regions:
        if name not in REGIONS:
            raise Nonsense(place, "regions", f"no region {name!r}", find_nearest(name, REGIONS))
    if fault.at + fault.lasts > scenario.duration - scenario.settle:
        raise Nonsense(place, "at", "it is not over before the run settles", "earlier or shorter")
    if fault.kind in ON_CHAIN and scenario.chain is None:
        raise Nonsense(place, "kind", f"there is no chain for a {fault.kind}", "add [chain]")
    if fault.kind == "congestion" and scenario.chain and not scenario.chain.fees.background:
        why = "nobody else is on the chain"
        raise Nonsense(place, "kind", why, "chain.fees.background = 1.0")
