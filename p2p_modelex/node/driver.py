"""The driver: turns IO into a core's inputs, and its effects into IO. It knows no protocol.

How inputs become steps, one after another, is in `steps.py`.
"""

import time
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import asynccontextmanager
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
from p2p_modelex.node.steps import Effects, Steps
from p2p_modelex.node.streams import Streams
from p2p_modelex.node.timers import Timers
from p2p_modelex.store.abc import Store
from p2p_modelex.units import UnixMs

RUN_EVENTS_MAX = 4096
"""Events a local caller may leave unread before its job is cancelled."""

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
        self.steps = Steps(core.step, store, clock)
        self._timers = Timers(clock, self._fire)
        self._streams: Streams | None = None
        self._runs: dict[JobId, trio.MemorySendChannel[fx.RunEvent]] = {}

    async def _fire(self, timer: TimerId) -> None:
        # A timer set to the past fires at once, and the core may do that for ever.
        await trio.lowlevel.checkpoint()
        await self.steps.tell(TimerFired(timer))

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

    @asynccontextmanager
    async def run(self) -> AsyncGenerator[None, None]:
        """Serve until the block ends. Raises what stopped it: StoreError, or a bug as it is."""
        with flattened():
            async with trio.open_nursery() as nursery:
                carry = self._wire(nursery)
                async with self._network.run():
                    nursery.start_soon(self.steps.write_for_ever)
                    await self.steps.open(self._core.start, carry)
                    nursery.start_soon(self._timers.run)
                    nursery.start_soon(self._watch_gossip)
                    nursery.start_soon(self._watch_peers)
                    try:
                        yield
                    finally:
                        self.steps.close()
                # After the network, whose last words (a withdrawal) it would cut off.
                nursery.cancel_scope.cancel()

    def _wire(self, nursery: trio.Nursery) -> Mapping[type, Callable[[Any], None]]:
        """Return what carries out each effect."""
        limits = dict(self._core.frame_limits)
        streams = self._streams = Streams(
            self._network,
            self.steps.tell,
            self.steps.tell_in_turn,
            nursery,
            limits,
            self._core.background,
        )
        for protocol, limit in limits.items():
            self._network.handle(protocol, streams.serve, frame_limit=limit)
        jobs = Jobs(self._engines, self.steps.tell, nursery)
        money = Money(self._chain, self._store, self.steps.tell, nursery)
        registry = Registry(self._chain, self.steps.tell, nursery)
        return {
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

    async def _watch_gossip(self) -> None:
        while True:
            message = await self._network.gossip()
            await self.steps.tell(
                GossipArrived(message.topic, message.origin, message.forwarder, message.payload)
            )

    async def _watch_peers(self) -> None:
        while True:
            seen = await self._network.seen()
            if seen.how == "connected":
                await self.steps.tell(PeerConnected(seen.peer))
            elif seen.how == "disconnected":
                await self.steps.tell(PeerDisconnected(seen.peer))

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
            nursery.start_soon(self.steps.tell, CancelRun(job))
