"""Scenarios drawn from a seed: small worlds with money, faults and liars, each as unlike as can be.

After TigerBeetle's VOPR: the options themselves are drawn, so that the seed repeats everything. And
after swarm testing (Groce et al., ISSTA 2012): in each world about half of the options are left as
they are, since some bugs show only where something that hides them is away.

Each option has a stream of random numbers of its own, so that one more changes no other's draws.
"""

import math
import random
from typing import Any, TypeVar

import msgspec

from p2p_modelex.core.routing.profile import PROFILES
from p2p_modelex.core.routing.scorers import SCORERS
from p2p_modelex.simulation.actors.behaviours import BEHAVIOURS, BUYERS
from p2p_modelex.simulation.actors.gossipers import GOSSIPERS
from p2p_modelex.simulation.randomness import open_stream
from p2p_modelex.simulation.scenario.options import OPTIONS, TIGHT
from p2p_modelex.simulation.scenario.quantities import Duration, Money
from p2p_modelex.simulation.scenario.settings import (
    Chain,
    Cpu,
    Engine,
    Fees,
    Gossip,
    Links,
    Messages,
    Score,
    Shards,
)
from p2p_modelex.simulation.scenario.tables import (
    FAULT_KINDS,
    ON_CHAIN,
    Fault,
    FaultKind,
    Policy,
    Population,
    Pricing,
    Scenario,
    Workload,
)

_S = 1_000_000
RUNS_S = (30, 600)
"""How long worlds live before they settle; half of them less than 134 s."""
EVERY = tuple(Duration(one * _S) for one in (1, 3, 10, 30))
"""From one request to the next."""
SETTLES_S = 200
"""Longer than any time-out of an exchange, and than a round of reconciliation."""
FAULTS_MAX = 5
MODELS = ("tiny", "other")
DEVICES = (("cpu", "smollm2-135m"), ("h100", "llama-3-8b"), ("l4", "llama-3-1b"))
FARM, POLICY = "farm", "drawn"
TRADERS = ("garbler",)
"""Behaviours of those who buy, and of those who buy or sell; all others sell."""
SWARM = 0.5
"""How likely an option is drawn at all."""
TIGHT_SWARM = 0.06
"""How likely one is that may keep buyers from buying: one of them in a world, about."""


T = TypeVar("T", bound=msgspec.Struct)


def draw_scenario(seed: int) -> Scenario:
    """Return the scenario of a seed."""
    return _Chance(seed).draw()


class _Chance:
    def __init__(self, seed: int) -> None:
        self._seed = seed
        least, most = map(math.log, RUNS_S)
        self._lasts = round(math.exp(self._open("length").uniform(least, most))) * _S

    def _open(self, *names: str) -> random.Random:
        return open_stream(self._seed, "chance", *names)

    def _has(self, *names: str, likely: float = SWARM) -> bool:
        """Whether something is in this world at all."""
        return self._open("has", *names).random() < likely

    def _has_chain(self) -> bool:
        return self._has("chain", likely=0.9)

    def _rates(self) -> bool:
        """Whether buyers rate sellers, on chain."""
        return self._has_chain() and self._has("ratings")

    def _draw(self, kind: type[T], *names: str) -> dict[str, Any]:
        """Draw the fields of a table. An option that this world has is drawn for each table anew,
        and may be left as it is.
        """
        drawn = {}
        for field, values in OPTIONS[kind].items():
            likely = TIGHT_SWARM if field in TIGHT.get(kind, ()) else SWARM
            if self._has(kind.__name__, field, likely=likely):
                rng = self._open(kind.__name__, field, *names)
                if rng.random() < 0.8:
                    drawn[field] = rng.choice(values)
        return drawn

    def draw(self) -> Scenario:
        if self._has("routers", likely=0.08):
            return self._build(population=self._draw_routers(), **self._draw_messages())
        populations = self._draw_populations()
        chain = None
        if self._has_chain():
            chain = Chain(fees=Fees(**self._draw(Fees)), **self._draw(Chain))
        return self._build(
            chain=chain,
            population=populations,
            workload=self._draw_workloads(populations) if chain is not None else (),
            fault=self._draw_faults(populations, chain),
            policy=(self._draw_policy(),) if self._has("policy") else (),
            **({"registers": True} if self._rates() else {}),
        )

    def _build(self, **rest: Any) -> Scenario:
        return Scenario(
            name=f"chance-{self._seed}",
            seed=self._seed,
            duration=Duration(self._lasts + SETTLES_S * _S),
            settle=Duration(SETTLES_S * _S),
            measure_every=Duration(5 * _S),
            links=Links(**self._draw(Links)),
            gossip=Gossip(score=Score(**self._draw(Score)), **self._draw(Gossip)),
            cpu=Cpu(**self._draw(Cpu)),
            **{**self._draw(Scenario), **rest},
        )

    def _draw_routers(self) -> tuple[Population, ...]:
        """A world of gossip alone."""
        rng = self._open("routers")
        count = rng.randint(5, 40)
        dials = rng.choice(((), ("honest",)))
        liars = tuple(
            Population(
                name=f"liars-{name}",
                role="router",
                behaviour=name,
                count=rng.randint(1, 20),
                dials=dials,
                addresses=rng.choice((0, 1)),
                turns=Duration(rng.choice((0, self._lasts // 2))),
                victims="honest" if name == "censor" else None,
            )
            for name in GOSSIPERS
            if name != "honest" and self._has("gossiper", name)
        )
        session = rng.choice((None, Duration(5 * _S), Duration(60 * _S)))
        honest = Population(
            name="honest", role="router", count=count, session=session, downtime=Duration(5 * _S)
        )
        return (honest, *liars)

    def _draw_messages(self) -> dict[str, Any]:
        shards = self._draw(Shards)
        if "count" not in shards:
            shards.pop("each", None)
        return {"messages": Messages(**self._draw(Messages)), "shards": Shards(**shards)}

    def _draw_populations(self) -> tuple[Population, ...]:
        rng = self._open("populations")
        bootstraps = Population(
            name="bootstraps", role="bootstrap", count=rng.choice((1, 1, 2)), join_over=Duration(0)
        )
        sellers = [
            self._draw_population(f"sellers-{number}", rng.randint(1, 5))
            for number in range(rng.randint(1, 3))
        ]
        buyers = self._draw_population("buyers", rng.randint(2, 6), role="requester")
        liars = [
            self._draw_liars(name)
            for name in BEHAVIOURS
            if name != "honest" and self._has("behaviour", name, likely=0.1)
        ]
        return (bootstraps, *sellers, buyers, *liars)

    def _draw_liars(self, behaviour: str) -> Population:
        rng = self._open("liars", behaviour)
        buys = behaviour in BUYERS or (behaviour in TRADERS and rng.random() < 0.5)
        role = "requester" if buys else "provider"
        count = rng.randint(1, 3)
        return self._draw_population(f"liars-{behaviour}", count, role=role, behaviour=behaviour)

    def _draw_population(
        self, name: str, count: int, *, role: Any = "provider", behaviour: str = "honest"
    ) -> Population:
        drawn = self._draw(Population, name)
        if role == "provider":
            drawn |= self._draw_wares(name)
        else:
            drawn.pop("resident", None)
            if self._rates():
                drawn["rates"] = "colluding" if behaviour == "colluder" else "honestly"
                drawn["believes"] = ("buyers",)
        if self._has("routing"):
            own = (POLICY,) if self._has("policy") else ()
            drawn["routing"] = self._open("routing", name).choice((*PROFILES, *own))
        return Population(name=name, count=count, role=role, behaviour=behaviour, **drawn)

    def _draw_wares(self, name: str) -> dict[str, Any]:
        """Draw what sellers sell, and together with whom."""
        models = MODELS if self._has("models") else MODELS[:1]
        rng = self._open("wares", name)
        first, *others = rng.sample(models, rng.randint(1, len(models)))
        wares: dict[str, Any] = {"engine": self._draw_engine(name, first)}
        if self._has("pricing"):
            drawn = {"policy": "cost-plus", "cost": Money(0), **self._draw(Pricing, name)}
            wares["pricing"] = Pricing(**drawn)
        if others:
            wares["also"] = tuple(self._draw_engine(f"{name}/{one}", one) for one in others)
        if self._has("farm"):
            wares["farm"] = rng.choice((FARM, FARM, None))
        return wares

    def _draw_engine(self, name: str, model: str) -> Engine:
        drawn = self._draw(Engine, name)
        if self._has("devices"):
            drawn["device"], drawn["size"] = self._open("device", name).choice(DEVICES)
        return Engine(model=model, **drawn)

    def _draw_policy(self) -> Policy:
        rng = self._open("policy")
        names = rng.sample(list(SCORERS), rng.randint(1, 4))
        drawn = {"picker": "power_of_d", **self._draw(Policy)}
        return Policy(name=POLICY, weights={one: rng.randint(1, 4) for one in names}, **drawn)

    def _draw_workloads(self, populations: tuple[Population, ...]) -> tuple[Workload, ...]:
        farms = [None, *(one.farm for one in populations if one.behaviour == "honest")]
        return tuple(
            Workload(
                population=population.name,
                farm=self._open("farm", population.name).choice(farms),
                every=self._open("every", population.name).choice(EVERY),
                **self._draw_wanted(populations, population.name),
            )
            for population in populations
            if population.role == "requester"
        )

    def _draw_wanted(self, populations: tuple[Population, ...], name: str) -> dict[str, Any]:
        """Draw what is asked for of what is sold, and how."""
        drawn = self._draw(Workload, name)
        sold = [engine for one in populations for engine in one.engines]
        drawn["model"] = self._open("wanted", name).choice([engine.model for engine in sold])
        given = [answer for one in sold if one.model == drawn["model"] for answer in one.answers]
        drawn["asks"] = self._open("asks", name).choice(("chat", *given))
        if drawn["asks"] == "embedding":
            drawn.pop("turns", None)
        return drawn

    def _draw_faults(
        self, populations: tuple[Population, ...], chain: Chain | None
    ) -> tuple[Fault, ...]:
        rng = self._open("faults")
        kinds = [kind for kind in FAULT_KINDS if self._has("fault", kind)]
        if chain is None:
            kinds = [kind for kind in kinds if kind not in ON_CHAIN]
        if chain is None or not chain.fees.background:
            kinds = [kind for kind in kinds if kind != "congestion"]
        count = rng.randint(1, FAULTS_MAX) if kinds else 0
        return tuple(self._draw_fault(rng, kinds, populations, str(one)) for one in range(count))

    def _draw_fault(
        self,
        rng: random.Random,
        kinds: list[FaultKind],
        populations: tuple[Population, ...],
        name: str,
    ) -> Fault:
        at = rng.randrange(self._lasts)
        lasts = min(rng.randint(1, 120) * _S, self._lasts - at)
        of = rng.choice(populations).name if self._has("fault", "population") else None
        return Fault(
            kind=rng.choice(kinds),
            at=Duration(at),
            lasts=Duration(lasts),
            population=of,
            **self._draw(Fault, name),
        )
