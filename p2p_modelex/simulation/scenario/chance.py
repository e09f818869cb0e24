"""Scenarios drawn from a seed: small worlds with money, faults and liars, each as unlike as can be.

After TigerBeetle's VOPR: the options themselves are drawn, so that the seed repeats everything.
"""

import random

from p2p_modelex.simulation.actors.behaviours import BEHAVIOURS, BUYERS
from p2p_modelex.simulation.randomness import open_stream
from p2p_modelex.simulation.scenario.quantities import ByteRate, Duration, Money
from p2p_modelex.simulation.scenario.settings import Chain, Cpu, Engine, Gossip, Links
from p2p_modelex.simulation.scenario.tables import (
    FAULT_KINDS,
    Fault,
    Population,
    Scenario,
    Workload,
)

_S = 1_000_000
RUNS_S = (60, 600)
"""How long worlds live before they settle."""
SETTLES_S = 200
"""Longer than any time-out of an exchange, and than a round of reconciliation."""
FAULTS_MAX = 5


def draw_scenario(seed: int) -> Scenario:
    """Return the scenario of a seed."""
    rng = open_stream(seed, "chance")
    lasts = rng.randint(*RUNS_S) * _S
    populations = _draw_populations(rng)
    return Scenario(
        name=f"chance-{seed}",
        seed=seed,
        duration=Duration(lasts + SETTLES_S * _S),
        settle=Duration(SETTLES_S * _S),
        codec=rng.choice(("bytes", "objects")),
        crypto="real" if rng.random() < 0.1 else "stub",
        registers=rng.random() < 0.2,
        measure_every=Duration(5 * _S),
        links=Links(
            jitter=rng.choice((0.0, 0.1, 1.0, 5.0)),
            loss=rng.choice((0.0, 0.001, 0.02, 0.2)),
            latency=rng.choice((None, Duration(0), Duration(1000), Duration(400_000))),
        ),
        gossip=Gossip(flood_publish=rng.random() < 0.5),
        chain=Chain(
            block=Duration(rng.choice((100_000, 2 * _S, 15 * _S))),
            read=Duration(rng.choice((0, 50_000, _S))),
            fails=rng.choice((0.0, 0.0, 0.05, 0.3)),
            redeem_every=Duration(rng.choice((10, 60)) * _S),
        ),
        cpu=Cpu(
            step=Duration(rng.choice((0, 20, 1000))),
            disk=Duration(rng.choice((0, 2000, 50_000))),
        ),
        population=populations,
        workload=_draw_workloads(rng, populations),
        fault=_draw_faults(rng, lasts),
    )


def _draw_populations(rng: random.Random) -> tuple[Population, ...]:
    bootstraps = Population(name="bootstraps", role="bootstrap", count=1, join_over=Duration(0))
    sellers = [_draw_sellers(rng, number) for number in range(rng.randint(1, 3))]
    buyers = Population(
        name="buyers",
        role="requester",
        count=rng.randint(1, 6),
        session=_draw_session(rng),
        downtime=Duration(rng.randint(1, 60) * _S),
        neighbours=rng.randint(1, 6),
        deposit=Money(rng.choice((10**16, 10**18, 10**19))),
    )
    liars = [
        Population(
            name=f"liars-{name}",
            role="requester" if name in BUYERS else "provider",
            behaviour=name,
            count=rng.randint(1, 2),
            engine=None if name in BUYERS else _draw_engine(rng),
        )
        for name in BEHAVIOURS
        if name != "honest" and rng.random() < 0.2
    ]
    return (bootstraps, *sellers, buyers, *liars)


def _draw_sellers(rng: random.Random, number: int) -> Population:
    return Population(
        name=f"sellers-{number}",
        count=rng.randint(1, 5),
        join_over=Duration(rng.randint(0, 30) * _S),
        neighbours=rng.randint(1, 6),
        hidden=rng.choice((0.0, 0.0, 0.3)),
        session=_draw_session(rng),
        downtime=Duration(rng.randint(1, 60) * _S),
        up=ByteRate(rng.choice((20_000, 12_500_000))),
        engine=_draw_engine(rng),
    )


def _draw_session(rng: random.Random) -> Duration | None:
    return Duration(rng.randint(5, 300) * _S) if rng.random() < 0.4 else None


def _draw_engine(rng: random.Random) -> Engine:
    return Engine(
        slots=rng.randint(1, 4),
        waiting=rng.randint(0, 8),
        prefill=rng.choice((50.0, 2000.0)),
        decode=rng.choice((2.0, 40.0, 500.0)),
        cold_start=Duration(rng.choice((0, 20)) * _S),
        crash=rng.choice((0.0, 0.0, 0.2)),
        credit_tokens=rng.choice((2, 16, 64, 1000)),
        prompt_price=Money(rng.choice((0, 2 * 10**16))),
        completion_price=Money(rng.choice((10**15, 6 * 10**16))),
    )


def _draw_workloads(
    rng: random.Random, populations: tuple[Population, ...]
) -> tuple[Workload, ...]:
    return tuple(
        Workload(
            population=population.name,
            every=Duration(rng.choice((2, 10, 40)) * _S),
            starts=Duration(rng.randint(0, 30) * _S),
            prompt_tokens=rng.choice((5, 200, 3000)),
            completion_tokens=rng.choice((1, 50, 400)),
            spread=rng.choice((0.0, 0.7, 2.0)),
            max_tokens=rng.choice((1, 64, 512)),
            attempts=rng.randint(1, 4),
            cancelled=rng.choice((0.0, 0.0, 0.3)),
            quoted=rng.choice((0.0, 0.5)),
        )
        for population in populations
        if population.role == "requester"
    )


def _draw_faults(rng: random.Random, until_us: int) -> tuple[Fault, ...]:
    faults = []
    for _ in range(rng.randint(0, FAULTS_MAX)):
        at = rng.randrange(until_us)
        lasts = min(rng.randint(1, 120) * _S, until_us - at)
        faults.append(
            Fault(
                kind=rng.choice(FAULT_KINDS),
                at=Duration(at),
                lasts=Duration(lasts),
                share=rng.choice((0.1, 0.5, 1.0)),
                symmetric=rng.random() < 0.7,
            )
        )
    return tuple(faults)
