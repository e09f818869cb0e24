"""The driver: turns IO into inputs on one bounded channel, steps the core, carries effects out.

It knows no protocol. One task steps the core, so there are no locks and no torn state. A
`Persist` is awaited before the effects after it are begun: nothing is promised to a peer before
it is durable here.
"""

import time
from collections.abc import AsyncGenerator, Callable, Iterable, Mapping
from contextlib import asynccontextmanager
from functools import partial
from typing import Any, Protocol

import structlog
import trio

from p2p_modelex.chain.abc import Chain
from p2p_modelex.core import effects as fx
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
from p2p_modelex.node.streams import Streams
from p2p_modelex.node.timers import Timers
from p2p_modelex.store.abc import Store
from p2p_modelex.units import UnixMs

INPUTS_MAX = 1024
"""Inputs waiting for the core; when it is full, readers wait and TCP pushes back on peers."""

RUN_EVENTS_MAX = 4096
"""Events a local caller may leave unread before its job is cancelled."""

Effects = Iterable[fx.Effect]
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
        # Each with the event that says it was taken, if somebody waits for that.
        self._inputs, self._queue = trio.open_memory_channel[tuple[Input, trio.Event | None]](
            INPUTS_MAX
        )
        # Steps are taken one at a time, in the order asked for, each with its effects.
        self._turn = trio.Lock()
        self._timers = Timers(clock, lambda timer: self.tell(TimerFired(timer)))
        self._stepped = trio.Event()
        self._streams: Streams | None = None
        self._runs: dict[JobId, trio.MemorySendChannel[fx.RunEvent]] = {}
        # Any: each takes its own effect's type, which a dict cannot say.
        self._carry: dict[type, Callable[[Any], None]] = {}

    async def tell(self, happened: Input) -> None:
        """Queue an input for the core."""
        await self._inputs.send((happened, None))

    async def tell_in_turn(self, happened: Input) -> None:
        """Queue an input and wait until the core has taken it.

        A peer's frames come so: none of its streams has more than one in the queue, whatever it
        sends, and so they take turns with everybody else's.
        """
        taken = trio.Event()
        await self._inputs.send((happened, taken))
        await taken.wait()

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

    async def perform(self, step: Callable[[UnixMs], Effects]) -> None:
        """Take a step of the core that is no input, and carry its effects out.

        StoreError if the store fails: the effects after it are not begun.
        """
        async with self._turn:
            await self._carry_out(step(self._clock()))
        self._stepped.set()
        self._stepped = trio.Event()

    async def _carry_out(self, effects: Effects) -> None:
        for effect in effects:
            if isinstance(effect, fx.Persist):
                await self._store.apply(effect.rows)
            else:
                self._carry[type(effect)](effect)

    @asynccontextmanager
    async def run(self) -> AsyncGenerator[None, None]:
        """Serve until the block ends. Raises what stopped it: StoreError, or a bug as it is."""
        with flattened():
            async with trio.open_nursery() as nursery:
                self._wire(nursery)
                async with self._network.run():
                    await self.perform(self._core.start)
                    nursery.start_soon(self._timers.run)
                    nursery.start_soon(self._watch_gossip)
                    nursery.start_soon(self._watch_peers)
                    nursery.start_soon(self._step_for_ever)
                    yield
                    nursery.cancel_scope.cancel()

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
        money = Money(self._chain, self.tell, nursery)
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
            fx.OpenChannel: money.open,
            fx.TopUpChannel: money.top_up,
            fx.Redeem: money.redeem,
        }

    async def wait_quiet(self) -> None:
        """Wait until every stream is closed and what was queued on it is sent."""
        if self._streams is not None:
            await self._streams.wait_quiet()

    async def wait_until(self, condition: Callable[[], bool]) -> None:
        """Wait until a condition on the core holds; it is looked at after each step."""
        while not condition():
            await self._stepped.wait()

    async def _step_for_ever(self) -> None:
        async for happened, taken in self._queue:
            await self.perform(partial(self._core.step, happened))
            if taken is not None:
                taken.set()

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
        self._network.penalize(effect.peer, effect.offence)
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
