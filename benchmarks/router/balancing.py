"""How evenly requests are spread, over real processes: 8 workers of 4 slots, two 3 times slower.

Poisson arrivals, exponential times of service of 100 ms in the mean; every policy sees the same
requests. Ours are nodes, each before one of the workers, and a requester's gateway before them.
"""

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from benchmarks.load import OpenLoop, Timed, build_request
from benchmarks.measuring import percentile
from benchmarks.mesh import open_ground
from benchmarks.router.install import Missing
from benchmarks.router.machine import Spent, Watch
from benchmarks.router.mesh import run_mesh, serve_upstream
from benchmarks.router.peers import BALANCERS, Peer
from benchmarks.router.rows import Say, measure_each
from benchmarks.router.servers import Bench, run_peer, run_workers
from benchmarks.router.static import TIMED
from benchmarks.router.worker import Plan

LOADS = (0.50, 0.70, 0.85, 0.95)
SLOTS = 4
PLANS = (*[Plan(slots=SLOTS)] * 6, *[Plan(slots=SLOTS, slowness=3.0)] * 2)
SERVICE_MS = 100.0
SEED = 7
WARMUP_S = 2.0
OURS = "our mesh, profile `default`"
NAMES = (*(peer.name for peer in BALANCERS), OURS)


@dataclass(frozen=True, slots=True)
class Effort:
    """seconds: of arrivals at each load. stretch: what all times are multiplied by, and divided by
    again in what is reported: with more, a slow or busy machine distorts less.
    """

    seconds: float
    stretch: float


@dataclass(frozen=True, slots=True)
class Spread:
    """Milliseconds from when requests were due to their ends. lost: those not answered well."""

    p50_ms: float
    p95_ms: float
    p99_ms: float
    lost: int
    spent: Spent


Row = Mapping[float, Spread]
"""Of one policy, by load."""


def build_arrivals(load: float, seconds: float, stretch: float) -> list[tuple[float, bytes]]:
    """Return (seconds from the start, request) at a share of all that the workers can do."""
    rng = random.Random(SEED)  # noqa: S311
    capacity = sum(plan.slots / plan.slowness for plan in PLANS) / SERVICE_MS * 1000
    at_s, arrivals = 0.0, []
    while at_s < seconds:
        at_s += rng.expovariate(load * capacity)
        work = f"work={stretch * rng.expovariate(1 / SERVICE_MS):.1f}"
        arrivals.append((stretch * at_s, build_request(TIMED, tokens=2, prompt=work)))
    return arrivals


def summarise(timed: Sequence[Timed], spent: Spent, stretch: float) -> Spread:
    """Return the percentiles of those that were answered well."""
    good = [one.whole_s * 1000 / stretch for one in timed if one.is_good]
    if not good:
        raise Missing("nothing was answered")
    p50, p95, p99 = (percentile(good, share) for share in (0.5, 0.95, 0.99))
    return Spread(p50, p95, p99, len(timed) - len(good), spent)


async def measure_all(
    bench: Bench, effort: Effort, names: Sequence[str], say: Say
) -> tuple[dict[str, Row], list[str]]:
    """Run every policy named at every load; returns the rows and why others are not there."""
    peers = {peer.name: peer for peer in BALANCERS}

    async def measure(name: str) -> Row:
        async with run_workers(bench, PLANS) as ports:
            if name in peers:
                return await _run_peer(bench, peers[name], ports, effort)
            return await _run_ours(bench, ports, effort)

    return await measure_each(names, measure, say)


async def _run_peer(bench: Bench, peer: Peer, workers: Sequence[int], effort: Effort) -> Row:
    async with run_peer(bench, peer, workers, build_request(TIMED)) as (_, port):
        return await _run_loads(port, effort)


async def _run_ours(bench: Bench, workers: Sequence[int], effort: Effort) -> Row:
    shops = [[serve_upstream(TIMED, port, slots=SLOTS)] for port in workers]
    async with (
        open_ground() as ground,
        run_mesh(ground, bench.cores, shops, is_pinned=False) as front,
    ):
        return await _run_loads(front.port, effort)


async def _run_loads(port: int, effort: Effort) -> Row:
    await OpenLoop(port).run(build_arrivals(min(LOADS), WARMUP_S, effort.stretch))
    row = {}
    for load in LOADS:
        watch = Watch()
        arrivals = build_arrivals(load, effort.seconds, effort.stretch)
        timed = await OpenLoop(port).run(arrivals)
        row[load] = summarise(timed, watch.read(), effort.stretch)
    return row
