"""The driver: turns IO into inputs in one bounded queue, steps the core, carries effects out.

It knows no protocol. A step and its effects wait for nothing, so they happen at once, in whatever
task asked: there are no locks and no torn state. A `Persist` is the exception: it is awaited by a
task of the driver's own, before the effects after it are begun and another step is taken. Nothing
is promised to a peer before it is durable here.
"""

import time
from collections import deque
from collections.abc import AsyncGenerator, Callable, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Protocol

import structlog
import trio

from p2p_modelex.chain.abc import Chain
from p2p_modelex.core import effects as fx
from p2p_modelex.core.effects import TimerId
from p2p_modelex.core.inputs import (
    CancelRun,
    GossipArrived,
    Input,
    PeerConnected,
    PeerDisconnected,
    TimerFired,
)
from p2p_modelex.engine.abc import Engine
from p2p_modelex.errors import NetworkError
from p2p_modelex.ids import JobId, format_peer_id
from p2p_modelex.net.abc import Network
from p2p_modelex.node.failures import flattened
from p2p_modelex.node.jobs import Jobs
from p2p_modelex.node.money import Money
from p2p_modelex.node.registry import Registry
from p2p_modelex.node.streams import Streams
from p2p_modelex.node.timers import Timers
from p2p_modelex.records.rows import Row
from p2p_modelex.store.abc import Store
from p2p_modelex.units import UnixMs

INPUTS_MAX = 1024
"""Inputs waiting for the core; when it is full, readers wait and TCP pushes back on peers."""

_TURNS = 8
"""A peer's frames let other tasks run every so often; a task switch costs 5 us."""

RUN_EVENTS_MAX = 4096
"""Events a local caller may leave unread before its job is cancelled."""

Effects = Iterable[fx.Effect]
Step = Callable[[UnixMs], Effects]
log = structlog.get_logger(__name__)


class Core(Protocol):
    """What the driver needs of a node's core."""

    @property
    def frame_limits(self) -> Mapping[str, int]:
        """The frame limit in bytes of each protocol served or spoken."""
        ...

    @property
    def background(self) -> frozenset[str]:
        """The protocols whose frames may wait, and of which one is taken at a time."""
        ...

    def start(self, now: UnixMs) -> Effects: ...

    def step(self, happened: Input, now: UnixMs) -> Effects: ...


@dataclass(slots=True)
class Commit:
    """Rows to write, the effects held back until then, and who waits for them."""

    rows: list[Row]
    held: list[fx.Effect]
    taken: list[trio.Event]
    failure: Exception | None = None


def wall_clock() -> UnixMs:
    """Milliseconds since 1970."""
    return UnixMs(time.time_ns() // 1_000_000)


class Driver:
    """Runs one core over one network, store, chain and set of engines."""

    def __init__(
        self,
        core: Core,
        network: Network,
        store: Store,
        chain: Chain | None,
        engines: Mapping[str, Engine],
        clock: Callable[[], UnixMs] = wall_clock,
    ) -> None:
        self._core = core
        self._network = network
        self._store = store
        self._chain = chain
        self._engines = engines
        self._clock = clock
        # Steps asked for, each with the event that says it was taken, if somebody waits for that.
        self._waiting: deque[tuple[Input | Step, trio.Event | None]] = deque()
        self._room = trio.lowlevel.ParkingLot()
        # Whether steps may be taken: not before `run`, and not while rows are written.
        self._is_open = False
        self._is_over = False
        self._is_writing = False
        self._turns = 0
        self._commits, self._commit_queue = trio.open_memory_channel[Commit](1)
        self._timers = Timers(clock, self._fire)
        self._stepped: trio.Event | None = None
        self._streams: Streams | None = None
        self._runs: dict[JobId, trio.MemorySendChannel[fx.RunEvent]] = {}
        # Any: each takes its own effect's type, which a dict cannot say.
        self._carry: dict[type, Callable[[Any], None]] = {}

    async def tell(self, happened: Input) -> None:
        """Hand an input to the core; waits only if too many wait already. No checkpoint."""
        while len(self._waiting) >= INPUTS_MAX:
            await self._room.park()
        self._waiting.append((happened, None))
        self._advance()

    async def tell_in_turn(self, happened: Input) -> None:
        """Hand over an input and wait until the core has taken it.

        A peer's frames come so: none of its streams has more than one waiting, whatever it
        sends, and so they take turns with everybody else's.
        """
        self._turns += 1
        if self._turns % _TURNS == 0:
            await trio.lowlevel.checkpoint()
        if self._is_open and not self._waiting:
            self._waiting.append((happened, None))
            self._advance()
            return
        await self._tell_and_wait(happened)

    async def _tell_and_wait(self, step: Input | Step) -> None:
        taken = trio.Event()
        while len(self._waiting) >= INPUTS_MAX:
            await self._room.park()
        self._waiting.append((step, taken))
        self._advance()
        await taken.wait()

    async def _fire(self, timer: TimerId) -> None:
        # A timer set to the past fires at once, and the core may do that for ever.
        await trio.lowlevel.checkpoint()
        await self.tell(TimerFired(timer))

    def listen(self, job: JobId) -> trio.MemoryReceiveChannel[fx.RunEvent]:
        """Return the channel on which the events of a local run will come."""
        send, receive = trio.open_memory_channel[fx.RunEvent](RUN_EVENTS_MAX)
        self._runs[job] = send
        return receive

    def forget(self, job: JobId) -> None:
        """The local caller of a run is gone."""
        send = self._runs.pop(job, None)
        if send is not None:
            send.close()

    async def perform(self, step: Step) -> None:
        """Take a step of the core that is no input; returns once its effects are carried out."""
        await self._tell_and_wait(step)

    def _advance(self) -> None:
        """Take the steps that wait, in the task of whoever asked for one: no task switch.

        What comes after rows to be kept is held back until they are; steps that wait by then are
        taken too, so that their rows share one write.
        """
        commit = Commit([], [], [])
        try:
            while self._is_open and self._waiting:
                step, taken = self._waiting.popleft()
                now = self._clock()
                effects = step(now) if callable(step) else self._core.step(step, now)
                for effect in effects:
                    if isinstance(effect, fx.Persist):
                        commit.rows.extend(effect.rows)
                    elif commit.rows:
                        commit.held.append(effect)
                    else:
                        self._carry[type(effect)](effect)
                if taken is not None:
                    commit.taken.append(taken)
        except Exception as error:
            # Whose task this is has nothing to do with it: the node's own task raises it.
            commit.failure = error
        if commit.rows or commit.failure is not None:
            self._is_open, self._is_writing = False, True
            self._commits.send_nowait(commit)
            return
        self._end_steps(commit)

    def _end_steps(self, commit: Commit) -> None:
        for taken in commit.taken:
            taken.set()
        self._room.unpark_all()
        if self._stepped is not None:
            self._stepped.set()
            self._stepped = None

    async def _commit_for_ever(self) -> None:
        """Write what steps want kept, then go on. StoreError if the store fails: what was held back
        is not begun; the failure of a step comes out here as it is.
        """
        async for commit in self._commit_queue:
            if commit.failure is not None:
                raise commit.failure
            await self._store.apply(tuple(commit.rows))
            for effect in commit.held:
                self._carry[type(effect)](effect)
            self._is_open, self._is_writing = not self._is_over, False
            self._end_steps(commit)
            self._advance()

    @asynccontextmanager
    async def run(self) -> AsyncGenerator[None, None]:
        """Serve until the block ends. Raises what stopped it: StoreError, or a bug as it is."""
        with flattened():
            async with trio.open_nursery() as nursery:
                self._wire(nursery)
                async with self._network.run():
                    nursery.start_soon(self._commit_for_ever)
                    await self._open()
                    nursery.start_soon(self._timers.run)
                    nursery.start_soon(self._watch_gossip)
                    nursery.start_soon(self._watch_peers)
                    try:
                        yield
                    finally:
                        self._is_over, self._is_open = True, False
                # After the network, whose last words (a withdrawal) it would cut off.
                nursery.cancel_scope.cancel()

    async def _open(self) -> None:
        """Take the first step, before whatever the network has brought by now."""
        started = trio.Event()
        self._waiting.appendleft((self._core.start, started))
        self._is_open = True
        self._advance()
        await started.wait()

    def _wire(self, nursery: trio.Nursery) -> None:
        limits = dict(self._core.frame_limits)
        streams = self._streams = Streams(
            self._network,
            self.tell,
            self.tell_in_turn,
            nursery,
            limits,
            self._core.background,
        )
        for protocol, limit in limits.items():
            self._network.handle(protocol, streams.serve, frame_limit=limit)
        jobs = Jobs(self._engines, self.tell, nursery)
        money = Money(self._chain, self._store, self.tell, nursery)
        registry = Registry(self._chain, self.tell, nursery)
        self._carry = {
            fx.OpenStream: streams.open,
            fx.Send: streams.send,
            fx.CloseStream: streams.close,
            fx.ResetStream: streams.reset,
            fx.SetTimer: lambda effect: self._timers.set(effect.timer, effect.at),
            fx.CancelTimer: lambda effect: self._timers.cancel(effect.timer),
            fx.CountTokens: jobs.count,
            fx.Generate: jobs.generate,
            fx.StopGenerating: jobs.stop,
            fx.Publish: lambda effect: nursery.start_soon(self._publish, effect),
            fx.Penalize: self._penalize,
            fx.Emit: lambda effect: self._emit(effect, nursery),
            fx.FetchChannel: money.fetch,
            fx.FetchSplit: money.fetch_split,
            fx.OpenChannel: money.open,
            fx.TopUpChannel: money.top_up,
            fx.Redeem: money.redeem,
            fx.PayOut: money.pay_out,
            fx.ReadRegistry: registry.read,
            fx.PutAnchor: registry.anchor,
            fx.ReadRatings: registry.rate,
        }

    async def wait_quiet(self) -> None:
        """Wait until every stream is closed and what was queued on it is sent."""
        if self._streams is not None:
            await self._streams.wait_quiet()

    async def wait_until(self, condition: Callable[[], bool]) -> None:
        """Wait until a condition on the core holds; it is looked at after each step, and once what
        the step wanted kept is kept.
        """
        while self._is_writing or not condition():
            if self._stepped is None:
                self._stepped = trio.Event()
            await self._stepped.wait()

    async def _watch_gossip(self) -> None:
        while True:
            message = await self._network.gossip()
            await self.tell(
                GossipArrived(message.topic, message.origin, message.forwarder, message.payload)
            )

    async def _watch_peers(self) -> None:
        while True:
            seen = await self._network.seen()
            if seen.how == "connected":
                await self.tell(PeerConnected(seen.peer))
            elif seen.how == "disconnected":
                await self.tell(PeerDisconnected(seen.peer))

    async def _publish(self, effect: fx.Publish) -> None:
        try:
            await self._network.publish(effect.topic, effect.payload)
        except NetworkError as error:
            # Gossip is a hint: reconciliation brings what it misses.
            log.warning("publish_failed", reason=str(error))

    def _penalize(self, effect: fx.Penalize) -> None:
        log.warning(
            "offence",
            peer=format_peer_id(effect.peer),
            offence=effect.offence,
            reason=effect.reason,
        )
        self._network.penalize(effect.peer, effect.offence)

    def _emit(self, effect: fx.Emit, nursery: trio.Nursery) -> None:
        job = effect.event.job
        send = self._runs.get(job)
        if send is None:
            return
        try:
            send.send_nowait(effect.event)
        except (trio.WouldBlock, trio.BrokenResourceError):
            log.warning("run_cancelled", job=job.hex(), reason="its caller does not read")
            self.forget(job)
            # Not awaited here: the queue may be full, and we are who empties it.
            nursery.start_soon(self.tell, CancelRun(job))
