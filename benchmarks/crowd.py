"""Providers, requesters and the time between them, simulated: what `balance` runs.

The real router decides, and the real rules say when a run orders at two; money is left out. A
message takes half a millisecond. A provider says what it knows: requests running and waiting, and
the median time to the first token, which comes after a tenth of the service.
"""

import heapq
import random
import statistics
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import count
from types import SimpleNamespace
from typing import Any

from p2p_modelex.core.choosing import LIMITS
from p2p_modelex.core.effects import Effect, RunStarted, SetTimer
from p2p_modelex.core.exchange import parameters
from p2p_modelex.core.inputs import RunRequested
from p2p_modelex.core.racing import Racing
from p2p_modelex.core.routing.candidate import Candidate, Want
from p2p_modelex.core.routing.profile import Profile
from p2p_modelex.core.routing.retries import RetryBudget
from p2p_modelex.core.runs import Attempt, Run
from p2p_modelex.ids import ChannelId, JobId
from p2p_modelex.records.job import Load
from p2p_modelex.units import Epoch, UnixMs, Wei
from tests.core.exchange.pair import REQUEST
from tests.core.routing.scene import NOW, Scene, candidate

SLOTS = 4
FIRST_SHARE = 0.1
MESSAGE_MS = 0.5
RECENT = 16
RIVALS = 8
"""Ranked for a second order or a third, besides those drawn."""
NEVER_MS = 10 * 60_000.0
"""What answers after more has been given up long before."""


@dataclass(slots=True)
class Asked:
    """A request. at: when it comes. work: ms on a fast provider. orders: where it was sent."""

    number: int
    at: float
    work: float
    done: float = 0.0
    orders: list[int] = field(default_factory=list)


@dataclass(slots=True, eq=False)
class Place:
    """An order at a provider: in line, running, or gone."""

    asked: Asked
    ordered_at: float
    tell: Callable[[str], None]
    state: str = "waiting"


@dataclass(slots=True)
class Provider:
    """slowness: times the work, by the time. claims: what it says of its load instead of the
    truth. firsts: ms to the first token, of the latest.
    """

    slowness: Callable[[float], float]
    claims: Load | None = None
    running: int = 0
    line: deque[Place] = field(default_factory=deque)
    firsts: deque[float] = field(default_factory=lambda: deque([0.0], RECENT))

    def describe(self) -> Load:
        """Say what a real one would, or lie."""
        waiting = sum(place.state == "waiting" for place in self.line)
        latency_ms = int(statistics.median(self.firsts))
        return self.claims or Load(0, self.running, waiting, SLOTS, latency_ms, 0)


class World:
    """Events in the order of their time, and the providers. doubles: orders that started though
    another had.
    """

    def __init__(self, providers: Sequence[Provider]) -> None:
        self.now = 0.0
        self.providers = providers
        self.doubles = self.probes = self.rivals = 0
        self._events: list[tuple[float, int, Callable[[], None]]] = []
        self._numbers = count()

    def later(self, after: float, do: Callable[[], None]) -> None:
        """Have something happen after so many ms."""
        heapq.heappush(self._events, (self.now + after, next(self._numbers), do))

    def run(self) -> None:
        """Let everything happen."""
        while self._events:
            self.now, _, do = heapq.heappop(self._events)
            do()

    def order(self, at: int, asked: Asked, tell: Callable[[str], None]) -> Place:
        """Send a request to a provider; it tells `started`, `text` and `ended`."""
        place = Place(asked, self.now, tell)
        asked.orders.append(at)
        self.later(MESSAGE_MS, partial(self._enter, self.providers[at], place))
        return place

    def _enter(self, provider: Provider, place: Place) -> None:
        provider.line.append(place)
        self._advance(provider)

    def _advance(self, provider: Provider) -> None:
        while provider.running < SLOTS and provider.line:
            place = provider.line.popleft()
            took = place.asked.work * provider.slowness(self.now)
            if place.state != "waiting" or took >= NEVER_MS:
                continue
            place.state = "running"
            provider.running += 1
            self.later(MESSAGE_MS, partial(place.tell, "started"))
            self.later(FIRST_SHARE * took, partial(self._speak, provider, place))
            self.later(took, partial(self._end, provider, place))

    def _speak(self, provider: Provider, place: Place) -> None:
        if place.state == "running":
            provider.firsts.append(self.now - place.ordered_at)
            self.later(MESSAGE_MS, partial(place.tell, "text"))

    def _end(self, provider: Provider, place: Place) -> None:
        if place.state == "running":
            place.state = "gone"
            provider.running -= 1
            self.later(MESSAGE_MS, partial(place.tell, "ended"))
            self._advance(provider)

    def withdraw(self, at: int, place: Place) -> None:
        """The order is no longer wanted."""
        provider = self.providers[at]
        if place.state == "running":
            self.doubles += 1
            provider.running -= 1
        place.state = "gone"
        self._advance(provider)


class Requester:
    """A router of its own, with what it has probed and seen."""

    def __init__(self, world: World, profile: Profile, seed: int) -> None:
        self._world = world
        self._scene = Scene(profile, seed)
        self._rng = random.Random(seed)  # noqa: S311
        many = len(world.providers)
        # Spread over the ring.
        self._all = [candidate(1 + at * (254 // many)) for at in range(many)]
        self._at = {one.peer: at for at, one in enumerate(self._all)}
        # What it asks of the place where money is: an order beside another.
        ordering: Any = SimpleNamespace(order_beside=self._order_beside)
        self._racing = Racing(ordering, self._scene.router, RetryBudget())
        self._asked: dict[JobId, Asked] = {}
        self._places: dict[JobId, Place] = {}

    def arrive(self, asked: Asked) -> None:
        """Draw, probe, and order once the answers that are waited for are there."""
        want = Want("chat", max_tokens=10, prefix=self._rng.getrandbits(64).to_bytes(8, "big"))
        circuits, now = self._scene.circuits, self._now()
        few = self._all
        if len(few) > LIMITS[0]:
            few = self._rng.sample(few, LIMITS[0])
        kept = [one for one in few if not circuits.is_open(one.peer, now)]
        draw = self._scene.router.draw(kept, want, now)
        asks = [one for one in draw.asked if not self._scene.loads.is_recent(one.peer, now)]
        self._world.probes += len(asks)
        for one in asks:
            self._world.later(2 * MESSAGE_MS, partial(self._hear, one))
        choose = partial(self._choose, asked, draw.shortlist, kept, want)
        self._world.later(2 * MESSAGE_MS if asks and draw.waits else 0, choose)

    def _hear(self, one: Candidate) -> None:
        told = self._world.providers[self._at[one.peer]].describe()
        self._scene.loads.put(one.peer, told, self._now())

    def _choose(
        self, asked: Asked, shortlist: Sequence[Candidate], kept: Sequence[Candidate], want: Want
    ) -> None:
        run = Run(_build_wanted(asked))
        self._asked[run.job] = asked
        run.order = list(self._scene.router.rank(shortlist, kept[:RIVALS], want, self._now()))
        self._begin(run, run.order.pop(0))
        self._carry(run, self._racing.watch(run, self._now()))

    def _order_beside(self, run: Run, _now: UnixMs) -> list[Effect]:
        self._world.rivals += 1
        self._begin(run, run.order.pop(0))
        return []

    def _begin(self, run: Run, chosen: Candidate) -> None:
        job, router, now = run.next_job(), self._scene.router, self._now()
        exchange: Any = SimpleNamespace(job=job, at_stake=0)
        was_full = router.is_full(chosen.peer, now)
        attempt = Attempt(
            chosen, exchange, ChannelId(b""), Epoch(0), Wei(0), now, was_full=was_full
        )
        run.attempts.append(attempt)
        run.tried += 1
        router.on_order(job, chosen.peer, now)
        tell = partial(self._on_event, run, attempt)
        place = self._world.order(self._at[chosen.peer], self._asked[run.job], tell)
        self._places[job] = place
        give_up = partial(self._give_up, run, attempt, place)
        self._world.later(float(parameters.START_TIMEOUT_MS), give_up)

    def _on_event(self, run: Run, attempt: Attempt, what: str) -> None:
        """As core/buying.py does, without what only failures need."""
        if attempt.is_lost:
            return
        now, behind = self._now(), []
        if what == "started":
            told = RunStarted(run.job, attempt.peer, 1)
            self._carry(run, self._racing.begin(run, attempt, told, now))
            behind = [one for one in run.attempts if one.started is None]
        elif what == "text":
            self._carry(run, self._racing.win(run, attempt, now))
            behind = [one for one in run.attempts if one is not attempt]
        else:
            self._asked.pop(run.job).done = self._world.now
            self._scene.circuits.on_success(attempt.peer)
            self._scene.router.on_end(attempt.exchange.job, attempt.peer, is_good=True)
        for one in behind:
            self._racing.lose(run, one, now)
            self._scene.router.on_end(one.exchange.job, one.peer, is_good=None)
            self._world.later(MESSAGE_MS, partial(self._withdraw, one))

    def _withdraw(self, attempt: Attempt) -> None:
        at, place = self._at[attempt.peer], self._places.pop(attempt.exchange.job)
        if self._world.providers[at].slowness(self._world.now) * place.asked.work < NEVER_MS:
            self._world.withdraw(at, place)
            return
        timeout = partial(self._scene.circuits.on_failure, attempt.peer)
        self._world.later(float(parameters.PAY_TIMEOUT_MS), lambda: timeout(self._now()))

    def _give_up(self, run: Run, attempt: Attempt, place: Place) -> None:
        if attempt.is_lost or place.state != "waiting":
            return
        place.state = "gone"
        self._scene.circuits.on_failure(attempt.peer, self._now())
        self._scene.router.on_end(attempt.exchange.job, attempt.peer, is_good=False)
        run.attempts.remove(attempt)
        if not run.attempts:
            self._begin(run, run.order.pop(0))

    def _carry(self, run: Run, effects: Sequence[Effect]) -> None:
        for effect in effects:
            if isinstance(effect, SetTimer):
                name = effect.timer.rsplit("/")[-1]
                fire = partial(self._fire, run, effect, name)
                self._world.later(effect.at - self._now(), fire)

    def _fire(self, run: Run, effect: SetTimer, name: str) -> None:
        if effect.timer in run.timers:
            self._racing.on_timer(run, name, self._now())

    def _now(self) -> UnixMs:
        return UnixMs(NOW + int(self._world.now))


def _build_wanted(asked: Asked) -> RunRequested:
    job, most = JobId(asked.number.to_bytes(16, "big")), Wei(10**9)
    return RunRequested(job, REQUEST, most, most, most, most, (), (), 4, is_fast=True)
