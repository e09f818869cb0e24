"""How evenly pickers spread requests, against one central queue: simulated, the same every time.

8 providers of 4 slots, two of them 3 times slower; Poisson arrivals from 8 requesters that know
nothing of each other; exponential times of service. Probes take a millisecond, and a provider says
what it knows: requests running and waiting, and the median time to the first token, which comes
after a tenth of the service. The real router decides; every policy sees the same requests.
"""

import heapq
import random
import statistics
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import count

from benchmarks.measuring import Result, begin, report
from p2p_modelex.core.routing.candidate import Candidate, Want
from p2p_modelex.core.routing.profile import PROFILES, Profile, build_profile
from p2p_modelex.ids import JobId
from p2p_modelex.records.job import Load
from p2p_modelex.units import UnixMs
from tests.core.routing.scene import NOW, Scene, candidate

PROVIDERS = 8
SLOTS = 4
SLOW = (6, 7)
SLOWNESS = 3.0
SERVICE_MS = 100.0
FIRST_SHARE = 0.1
PROBE_MS = 1.0
REQUESTERS = 8
REQUESTS = 12_000
WARMUP = 2_000
LOADS = (0.70, 0.85, 0.95)
SEED = 7
RECENT = 16


@dataclass(slots=True)
class Request:
    """at: when it arrives. work: ms on a fast provider."""

    number: int
    at: float
    work: float
    done: float = 0.0


@dataclass(slots=True)
class Waiting:
    """A request at a provider. on_end: hears when its first token came."""

    request: Request
    ordered_at: float
    on_end: Callable[[float], None]


@dataclass(slots=True)
class Provider:
    """firsts: ms to the first token, of the latest."""

    slowness: float
    running: int = 0
    waiting: deque[Waiting] = field(default_factory=deque)
    firsts: deque[float] = field(default_factory=lambda: deque([0.0], RECENT))

    def describe(self) -> Load:
        """Say what a real one would."""
        latency_ms = int(statistics.median(self.firsts))
        return Load(0, self.running, len(self.waiting), SLOTS, latency_ms, 0)


class World:
    """Events in the order of their time, and the providers."""

    def __init__(self) -> None:
        self.now = 0.0
        self.providers = [Provider(_slowness(at)) for at in range(PROVIDERS)]
        self._events: list[tuple[float, int, Callable[[], None]]] = []
        self._numbers = count()

    def later(self, at: float, do: Callable[[], None]) -> None:
        """Have something happen at a time, in ms."""
        heapq.heappush(self._events, (at, next(self._numbers), do))

    def run(self) -> None:
        """Let everything happen."""
        while self._events:
            self.now, _, do = heapq.heappop(self._events)
            do()

    def order(self, at: int, request: Request, on_end: Callable[[float], None]) -> None:
        """Send a request to a provider."""
        provider, one = self.providers[at], Waiting(request, self.now, on_end)
        if provider.running == SLOTS:
            provider.waiting.append(one)
        else:
            self._serve(provider, one)

    def _serve(self, provider: Provider, one: Waiting) -> None:
        provider.running += 1
        took = one.request.work * provider.slowness
        first_at = self.now + FIRST_SHARE * took
        self.later(self.now + took, partial(self._end, provider, one, first_at))

    def _end(self, provider: Provider, one: Waiting, first_at: float) -> None:
        provider.running -= 1
        one.request.done = self.now
        provider.firsts.append(first_at - one.ordered_at)
        one.on_end(first_at)
        if provider.waiting:
            self._serve(provider, provider.waiting.popleft())


def main() -> None:
    """Run every policy at every load."""
    begin()
    for load in LOADS:
        central = _percentiles(_run_central(load))
        _report("one central queue before the slots (the bar)", load, central, central)
        _report("least connections, all known", load, _percentiles(_run_known(load)), central)
        for profile in _profiles():
            done = _percentiles(_run_routed(load, profile))
            _report(
                f"picker `{profile.picker.name}`, profile `{profile.name}`", load, done, central
            )


def _profiles() -> Sequence[Profile]:
    weights = {"latency": 1, "load": 2}
    plain = [build_profile(f"only {name}", name, weights) for name in ("random", "weighted")]
    return (*plain, *PROFILES.values())


def _build_requests(load: float) -> list[Request]:
    rng = random.Random(SEED)  # noqa: S311
    capacity = sum(SLOTS / _slowness(at) for at in range(PROVIDERS)) / SERVICE_MS
    at, requests = 0.0, []
    for number in range(REQUESTS):
        at += rng.expovariate(load * capacity)
        requests.append(Request(number, at, rng.expovariate(1 / SERVICE_MS)))
    return requests


def _run_central(load: float) -> list[Request]:
    """Whoever waits longest takes the first slot that is free; a fast one if there is a choice."""
    requests = _build_requests(load)
    free = sorted((_slowness(at), at, slot) for at in range(PROVIDERS) for slot in range(SLOTS))
    busy: list[tuple[float, tuple[float, int, int]]] = []
    for request in requests:
        while busy and busy[0][0] <= request.at:
            heapq.heappush(free, heapq.heappop(busy)[1])
        begins, slot = (request.at, heapq.heappop(free)) if free else heapq.heappop(busy)
        request.done = begins + request.work * slot[0]
        heapq.heappush(busy, (request.done, slot))
    return requests


def _ignore(_first_at: float) -> None:
    pass


def _run_known(load: float) -> list[Request]:
    """Each goes where there are least at this moment: what one balancer for all could do."""
    world, requests = World(), _build_requests(load)

    def arrive(request: Request) -> None:
        held = [one.running + len(one.waiting) for one in world.providers]
        world.order(held.index(min(held)), request, _ignore)

    for request in requests:
        world.later(request.at, partial(arrive, request))
    world.run()
    return requests


class Requester:
    """A router of its own, with what it has probed and seen."""

    def __init__(self, world: World, profile: Profile, seed: int) -> None:
        self._world = world
        self._scene = Scene(profile, seed)
        self._rng = random.Random(seed)  # noqa: S311
        self._kept = [candidate(16 + 32 * at) for at in range(PROVIDERS)]
        self._places = {one.peer: at for at, one in enumerate(self._kept)}

    def arrive(self, request: Request) -> None:
        """Draw, probe, and order once the answers that are waited for are there."""
        prefix = self._rng.getrandbits(64).to_bytes(8, "big")
        want = Want("chat", max_tokens=10, prefix=prefix)
        draw = self._scene.router.draw(self._kept, want, self._now())
        loads = self._scene.loads
        asked = [one for one in draw.asked if not loads.is_recent(one.peer, self._now())]
        for one in asked:
            self._world.later(self._world.now + PROBE_MS, partial(self._hear, one))
        choose = partial(self._choose, request, draw.shortlist, want)
        self._world.later(self._world.now + (PROBE_MS if asked and draw.waits else 0), choose)

    def _hear(self, one: Candidate) -> None:
        provider = self._world.providers[self._places[one.peer]]
        self._scene.loads.put(one.peer, provider.describe(), self._now())

    def _choose(self, request: Request, shortlist: Sequence[Candidate], want: Want) -> None:
        router = self._scene.router
        first = router.rank(shortlist, shortlist, want, self._now())[0]
        job = JobId(request.number.to_bytes(16, "big"))
        router.on_order(job, first.peer, self._now())

        def end(first_at: float) -> None:
            router.on_text(job, UnixMs(NOW + int(first_at)))
            router.on_end(job, first.peer, is_good=True)

        self._world.order(self._places[first.peer], request, end)

    def _now(self) -> UnixMs:
        return UnixMs(NOW + int(self._world.now))


def _run_routed(load: float, profile: Profile) -> list[Request]:
    world, requests = World(), _build_requests(load)
    requesters = [Requester(world, profile, SEED + at) for at in range(REQUESTERS)]
    for request in requests:
        requester = requesters[request.number % REQUESTERS]
        world.later(request.at, partial(requester.arrive, request))
    world.run()
    return requests


def _slowness(at: int) -> float:
    return SLOWNESS if at in SLOW else 1.0


def _percentiles(requests: Sequence[Request]) -> list[float]:
    """Return the ms at p50, p95 and p99, without those that came before the queues were full."""
    took = sorted(request.done - request.at for request in requests[WARMUP:])
    return [took[int(len(took) * share)] for share in (0.5, 0.95, 0.99)]


def _report(policy: str, load: float, done: Sequence[float], bar: Sequence[float]) -> None:
    report(
        Result(
            f"{load:.0%} load: {policy}",
            done[2],
            "ms p99",
            "central queue",
            bar[2],
            done[2] / bar[2],
            note=f"p50 {done[0]:.0f}, p95 {done[1]:.0f} ms",
        )
    )


if __name__ == "__main__":
    main()
