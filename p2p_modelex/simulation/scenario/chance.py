"""Scenarios drawn from a seed: small worlds with money, faults and liars, each as unlike as can be.

After TigerBeetle's VOPR: the options themselves are drawn, so that the seed repeats everything. And
after swarm testing (Groce et al., ISSTA 2012): in each world about half of the options are left as
they are, since some bugs show only where something that hides them is away.

An option more is a line more in one of the tables. Each has a stream of random numbers of its own,
so that it changes no other's draws.
"""

import random
from collections.abc import Mapping
from typing import Any, TypeVar

import msgspec

from p2p_modelex.simulation.actors.behaviours import BEHAVIOURS
from p2p_modelex.simulation.models.cryptography import Costs
from p2p_modelex.simulation.randomness import open_stream
from p2p_modelex.simulation.scenario.quantities import ByteRate, Duration, Money
from p2p_modelex.simulation.scenario.settings import Chain, Cpu, Engine, Fees, Gossip, Links
from p2p_modelex.simulation.scenario.tables import (
    FAULT_KINDS,
    Fault,
    Population,
    Scenario,
    Workload,
)

_S = 1_000_000
_AI = 10**18
RUNS_S = (60, 600)
"""How long worlds live before they settle."""
SETTLES_S = 200
"""Longer than any time-out of an exchange, and than a round of reconciliation."""
FAULTS_MAX = 5
MODELS = ("tiny", "other")
SWARM = 0.5
"""How likely an option is drawn at all."""


def _times(*seconds: float) -> tuple[Duration, ...]:
    return tuple(Duration(round(one * _S)) for one in seconds)


def _money(*amounts: float) -> tuple[Money, ...]:
    return tuple(Money(round(one * _AI)) for one in amounts)


Options = Mapping[str, tuple[Any, ...]]
"""What a field may be, where it is drawn."""

OPTIONS: dict[type[msgspec.Struct], Options] = {
    Scenario: {
        "crypto": ("stub", "stub", "stub", "real"),
        "codec": ("bytes",),
        "registers": (True,),
    },
    Links: {
        "jitter": (0.0, 1.0, 5.0),
        "loss": (0.001, 0.02, 0.2),
        "latency": _times(0, 0.001, 0.4),
        "regions": ({"tokyo": 1.0}, {"dallas": 1.0, "sydney": 3.0}),
    },
    Gossip: {
        "d": (4, 8, 12),
        "d_lo": (1, 2, 3),
        "d_hi": (12, 16),
        "d_score": (1, 4),
        "d_out": (1, 2),
        "d_lazy": (0, 12),
        "heartbeat": _times(0.2, 5),
        "history": (3, 10),
        "history_gossip": (1,),
        "prune_backoff": _times(1, 300),
        "seen": _times(30, 600),
        "flood_publish": (False,),
        "fills_at_once": (False,),
        "refuses_when_full": (True,),
    },
    Chain: {
        "block": _times(0.1, 15),
        "read": _times(0, 1),
        "fails": (0.05, 0.3),
        "challenge": _times(60, 3600),
        "redeem_every": _times(10, 300),
        "fees": (Fees(background=1.0), Fees(background=1.0, raises=False)),
        "confirmations": (1, 3),
        "reorgs": (0.02, 0.2),
        "reorg_depth": (1, 5),
        "dropped": (0.5,),
    },
    Cpu: {
        "step": _times(0, 0.001),
        "gossip": _times(0, 0.05),
        "disk": _times(0, 0.05, 0.5),
        "signatures": (Costs(peer_verify_us=5000, account_recover_us=20_000),),
    },
    Engine: {
        "slots": (1, 2, 16),
        "waiting": (0, 2, 64),
        "prefill": (50.0, 1e5),
        "decode": (2.0, 500.0),
        "batching": (0.0, 1.0),
        "cold_start": _times(1, 20),
        "crash": (0.05, 0.3),
        "prompt_price": _money(0, 0.5),
        "completion_price": _money(0, 0.001, 1),
        "credit_tokens": (2, 16, 1000),
        "context": (64, 1000),
    },
    Population: {
        "starts": _times(1, 30),
        "join_over": _times(0, 30),
        "neighbours": (1, 2, 16),
        "finds": ("random",),
        "hidden": (0.3,),
        "session": _times(5, 60, 300),
        "downtime": _times(1, 10),
        "up": (ByteRate(20_000), ByteRate(1_000_000)),
        "down": (ByteRate(20_000), ByteRate(1_000_000)),
        "purse": _money(0.05, 2),
        "deposit": _money(0.01, 0.2, 10),
    },
    Workload: {
        "starts": _times(1, 30),
        "lasts": _times(20, 60),
        "prompt_tokens": (1, 5, 3000),
        "completion_tokens": (1, 10, 400),
        "spread": (0.0, 2.0),
        "max_tokens": (1, 64, 4096),
        "attempts": (1, 2, 8),
        "cancelled": (0.1, 0.5),
        "quoted": (0.5, 1.0),
        "window": _money(0.0001, 0.01),
        "max_cost": _money(0.0001, 0.01),
    },
    Fault: {"share": (0.1, 0.9, 1.0), "symmetric": (False,)},
}
"""Every field that may be drawn by itself; `tests/simulation/test_chance.py` knows the others."""

T = TypeVar("T", bound=msgspec.Struct)


def draw_scenario(seed: int) -> Scenario:
    """Return the scenario of a seed."""
    return _Chance(seed).draw()


class _Chance:
    def __init__(self, seed: int) -> None:
        self._seed = seed
        rng = self._open("length")
        self._lasts = rng.randint(*RUNS_S) * _S

    def _open(self, *names: str) -> random.Random:
        return open_stream(self._seed, "chance", *names)

    def _has(self, *names: str, likely: float = SWARM) -> bool:
        """Whether something is in this world at all."""
        return self._open("has", *names).random() < likely

    def _draw(self, kind: type[T], *names: str) -> dict[str, Any]:
        """Draw the fields of a table. An option that this world has is drawn for each table anew,
        and may be left as it is.
        """
        drawn = {}
        for field, values in OPTIONS[kind].items():
            if self._has(kind.__name__, field):
                rng = self._open(kind.__name__, field, *names)
                if rng.random() < 0.8:
                    drawn[field] = rng.choice(values)
        return drawn

    def draw(self) -> Scenario:
        populations = self._draw_populations()
        chain = Chain(**self._draw(Chain)) if self._has("chain", likely=0.9) else None
        return Scenario(
            name=f"chance-{self._seed}",
            seed=self._seed,
            duration=Duration(self._lasts + SETTLES_S * _S),
            settle=Duration(SETTLES_S * _S),
            measure_every=Duration(5 * _S),
            links=Links(**self._draw(Links)),
            gossip=Gossip(**self._draw(Gossip)),
            cpu=Cpu(**self._draw(Cpu)),
            chain=chain,
            population=populations,
            workload=self._draw_workloads(populations) if chain is not None else (),
            fault=self._draw_faults(populations, has_chain=chain is not None),
            **self._draw(Scenario),
        )

    def _draw_populations(self) -> tuple[Population, ...]:
        rng = self._open("populations")
        bootstraps = Population(
            name="bootstraps", role="bootstrap", count=rng.choice((1, 1, 2)), join_over=Duration(0)
        )
        sellers = [
            self._draw_population(f"sellers-{number}", rng.randint(1, 5))
            for number in range(rng.randint(1, 3))
        ]
        buyers = self._draw_population("buyers", rng.randint(1, 6), role="requester")
        liars = [
            self._draw_liars(name)
            for name in BEHAVIOURS
            if name != "honest" and self._has("behaviour", name, likely=0.15)
        ]
        return (bootstraps, *sellers, buyers, *liars)

    def _draw_liars(self, behaviour: str) -> Population:
        role = "requester" if behaviour == "free-rider" else "provider"
        count = self._open("liars", behaviour).randint(1, 3)
        return self._draw_population(f"liars-{behaviour}", count, role=role, behaviour=behaviour)

    def _draw_population(
        self, name: str, count: int, *, role: Any = "provider", behaviour: str = "honest"
    ) -> Population:
        engine = None
        if role == "provider":
            model = self._open("model", name).choice(MODELS) if self._has("models") else MODELS[0]
            engine = Engine(model=model, **self._draw(Engine, name))
        drawn = self._draw(Population, name)
        return Population(
            name=name, count=count, role=role, behaviour=behaviour, engine=engine, **drawn
        )

    def _draw_workloads(self, populations: tuple[Population, ...]) -> tuple[Workload, ...]:
        sold = [one.engine.model for one in populations if one.engine is not None]
        return tuple(
            Workload(
                population=population.name,
                model=self._open("wanted", population.name).choice(sold),
                every=self._open("every", population.name).choice(_times(2, 10, 40)),
                **self._draw(Workload, population.name),
            )
            for population in populations
            if population.role == "requester"
        )

    def _draw_faults(
        self, populations: tuple[Population, ...], *, has_chain: bool
    ) -> tuple[Fault, ...]:
        rng = self._open("faults")
        kinds = [kind for kind in FAULT_KINDS if self._has("fault", kind)]
        if not has_chain:
            kinds = [kind for kind in kinds if kind != "outage"]
        count = rng.randint(1, FAULTS_MAX) if kinds else 0
        return tuple(self._draw_fault(rng, kinds, populations, str(one)) for one in range(count))

    def _draw_fault(
        self, rng: random.Random, kinds: list[Any], populations: tuple[Population, ...], name: str
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
