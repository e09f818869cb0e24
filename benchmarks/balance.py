"""How evenly pickers spread requests, against one central queue: simulated, the same every time.

8 providers of 4 slots, two of them 3 times slower; 50 of which a tenth is 5 times slower at any
time; 50 of which two lie. Poisson arrivals at requesters that know nothing of each other;
exponential times of service. Every policy sees the same requests; figures are means of three seeds.
"""

import heapq
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial

from benchmarks.crowd import NEVER_MS, SLOTS, Asked, Provider, Requester, World
from benchmarks.measuring import Result, begin, report
from p2p_modelex.core.routing.profile import PROFILES, Profile, build_profile
from p2p_modelex.records.job import Load

SERVICE_MS = 100.0
SEEDS = (7, 8, 9)
WARMUP = 1_500
MANY = 50
QUIET_MS, SLOW_MS, ANTAGONISM = 4_500.0, 500.0, 5.0
LIARS = 2
IDLE = Load(0, 0, 0, SLOTS, 1, 0)
LIAR_SLOWNESS = 20.0


@dataclass(frozen=True, slots=True)
class Scenario:
    """capacity: fast slots that the providers are worth."""

    name: str
    build: Callable[[int], Sequence[Provider]]
    capacity: float
    loads: Sequence[float]
    requests: int
    requesters: int


def _build_mixed(_seed: int) -> Sequence[Provider]:
    return [Provider(partial(_constant, 3.0 if at >= 6 else 1.0)) for at in range(8)]


def _build_antagonists(seed: int) -> Sequence[Provider]:
    return [Provider(_alternate(random.Random(f"{seed}/{at}"))) for at in range(MANY)]  # noqa: S311


def _build_liars(slowness: float, _seed: int) -> Sequence[Provider]:
    honest = [Provider(partial(_constant, 1.0)) for _ in range(MANY - LIARS)]
    return [*honest, *(Provider(partial(_constant, slowness), IDLE) for _ in range(LIARS))]


def _constant(slowness: float, _now: float) -> float:
    return slowness


def _alternate(rng: random.Random) -> Callable[[float], float]:
    """Quiet and slow times, exponential both, for ever."""
    ends = [rng.random() * QUIET_MS]

    def get(now: float) -> float:
        while ends[-1] <= now:
            mean = SLOW_MS if len(ends) % 2 else QUIET_MS
            ends.append(ends[-1] + rng.expovariate(1 / mean))
        return 1.0 if len(ends) % 2 else ANTAGONISM

    return get


MIXED = Scenario("two of 8 slow", _build_mixed, SLOTS * (6 + 2 / 3), (0.7, 0.85, 0.95), 8_000, 8)
_WORTH = SLOTS * MANY * (QUIET_MS + SLOW_MS / ANTAGONISM) / (QUIET_MS + SLOW_MS)
ANTAGONISTS = Scenario(
    "a tenth of 50 slow at times", _build_antagonists, _WORTH, (0.7, 0.85), 8_000, 16
)
_HONEST = SLOTS * (MANY - LIARS)
DEAD = Scenario(
    "two of 50 claim to be idle and never answer",
    partial(_build_liars, NEVER_MS),
    _HONEST,
    (0.7,),
    8_000,
    16,
)
SLOW = Scenario(
    "two of 50 claim to be idle and are 20 times slower",
    partial(_build_liars, LIAR_SLOWNESS),
    _HONEST,
    (0.7,),
    8_000,
    16,
)


def main() -> None:
    """Run every policy at every load, and the default one where others mean it ill."""
    begin()
    for load in MIXED.loads:
        bar = _run_each(MIXED, load, _run_central)
        _report(MIXED, load, "one central queue before the slots (the bar)", bar, bar)
        _report(
            MIXED, load, "least connections, all known", _run_each(MIXED, load, _run_known), bar
        )
        for name, profile in _build_profiles():
            _compare(MIXED, load, name, profile, bar)
    default = PROFILES["default"]
    for scenario in (ANTAGONISTS, DEAD, SLOW):
        for load in scenario.loads:
            bar = _run_each(scenario, load, _run_central)
            _report(scenario, load, "one central queue that knows all", bar, bar)
            _compare(scenario, load, "`default`", default, bar)
            for name, changed in (
                ("hedging", replace(default, hedges=not default.hedges)),
                ("late binding", replace(default, binds_late=not default.binds_late)),
            ):
                word = "without" if getattr(default, _FLAGS[name]) else "with"
                _compare(scenario, load, f"`default` {word} {name}", changed, bar)


_FLAGS = {"hedging": "hedges", "late binding": "binds_late"}


def _build_profiles() -> Sequence[tuple[str, Profile]]:
    weights, default = {"latency": 1, "load": 2}, PROFILES["default"]
    plain = [build_profile(f"only {name}", name, weights) for name in ("random", "weighted")]
    named = [(f"picker `{one.picker.name}`, profile `{one.name}`", one) for one in plain]
    alone = ("`default` without late binding", replace(default, binds_late=False))
    shipped = [
        (f"picker `{one.picker.name}`, profile `{one.name}`", one) for one in PROFILES.values()
    ]
    return [*named, alone, *shipped]


def _build_requests(scenario: Scenario, load: float, seed: int) -> list[Asked]:
    rng = random.Random(seed)  # noqa: S311
    at, requests = 0.0, []
    for number in range(scenario.requests):
        at += rng.expovariate(load * scenario.capacity / SERVICE_MS)
        requests.append(Asked(number, at, rng.expovariate(1 / SERVICE_MS)))
    return requests


def _run_central(scenario: Scenario, load: float, seed: int) -> list[Asked]:
    """Whoever waits longest takes the first slot that is free; the fastest if there is a choice."""
    requests, providers = _build_requests(scenario, load, seed), scenario.build(seed)
    honest = [at for at, one in enumerate(providers) if one.claims is None]
    free = [at for at in honest for _ in range(SLOTS)]
    busy: list[tuple[float, int]] = []
    for asked in requests:
        while busy and busy[0][0] <= asked.at:
            free.append(heapq.heappop(busy)[1])
        begins = asked.at if free else busy[0][0]
        if free:
            at = min(free, key=lambda one, now=begins: (providers[one].slowness(now), one))  # type: ignore[misc]
            free.remove(at)
        else:
            at = heapq.heappop(busy)[1]
        asked.done = begins + asked.work * providers[at].slowness(begins)
        heapq.heappush(busy, (asked.done, at))
    return requests


def _run_known(scenario: Scenario, load: float, seed: int) -> list[Asked]:
    """Each goes where there are least at this moment: what one balancer for all could do."""
    world, requests = World(scenario.build(seed)), _build_requests(scenario, load, seed)

    def arrive(asked: Asked) -> None:
        held = [one.running + len(one.line) for one in world.providers]

        def tell(what: str) -> None:
            if what == "ended":
                asked.done = world.now

        world.order(held.index(min(held)), asked, tell)

    for asked in requests:
        world.later(asked.at, partial(arrive, asked))
    world.run()
    return requests


def _run_routed(
    scenario: Scenario, load: float, seed: int, profile: Profile
) -> tuple[list[Asked], World]:
    world, requests = World(scenario.build(seed)), _build_requests(scenario, load, seed)
    requesters = [Requester(world, profile, seed + at) for at in range(scenario.requesters)]
    for asked in requests:
        requester = requesters[asked.number % scenario.requesters]
        world.later(asked.at, partial(requester.arrive, asked))
    world.run()
    return requests, world


def _run_each(
    scenario: Scenario, load: float, run: Callable[[Scenario, float, int], list[Asked]]
) -> list[float]:
    return _mean([_percentiles(run(scenario, load, seed)) for seed in SEEDS])


def _compare(
    scenario: Scenario, load: float, name: str, profile: Profile, bar: Sequence[float]
) -> None:
    """Report a profile, and what it took: probes, second orders, starts at both, trust in liars."""
    runs = [_run_routed(scenario, load, seed, profile) for seed in SEEDS]
    whole = len(SEEDS) * scenario.requests
    notes = [
        f"{sum(world.probes for _, world in runs) / whole:.1f} probes a request",
        f"{sum(world.rivals for _, world in runs) / whole:.1%} ordered twice",
        f"{sum(world.doubles for _, world in runs) / whole:.1%} started twice",
    ]
    liars = [at for at, one in enumerate(runs[0][1].providers) if one.claims is not None]
    if liars:
        share, until = _mean([_count_believed(asked, liars) for asked, _ in runs])
        notes.append(f"{share:.2%} went to the liars, half of them by {until / 1000:.1f} s")
    _report(scenario, load, name, _mean([_percentiles(one) for one, _ in runs]), bar, *notes)


def _count_believed(requests: Sequence[Asked], liars: Sequence[int]) -> list[float]:
    """Return the share of orders that went to liars, and the ms by which half of those had."""
    believed = sorted(asked.at for asked in requests for at in asked.orders if at in liars)
    orders = sum(len(asked.orders) for asked in requests)
    return [len(believed) / orders, believed[len(believed) // 2] if believed else 0.0]


def _percentiles(requests: Sequence[Asked]) -> list[float]:
    """Return the ms at p50, p95 and p99, without those that came before the queues were full."""
    took = sorted(asked.done - asked.at for asked in requests[WARMUP:])
    return [took[int(len(took) * share)] for share in (0.5, 0.95, 0.99)]


def _mean(rows: Sequence[Sequence[float]]) -> list[float]:
    return [sum(column) / len(rows) for column in zip(*rows, strict=True)]


def _report(
    scenario: Scenario,
    load: float,
    policy: str,
    done: Sequence[float],
    bar: Sequence[float],
    *notes: str,
) -> None:
    said = "; ".join((f"p50 {done[0]:.0f}, p95 {done[1]:.0f} ms", *notes))
    work = f"{scenario.name}, {load:.0%} load: {policy}"
    report(Result(work, done[2], "ms p99", "central queue", bar[2], done[2] / bar[2], note=said))


if __name__ == "__main__":
    main()
