"""One life of a node: a core between its start and its end, driven as `node/driver.py` drives it.

Effects are carried out in order; what stands after a `Persist` is held back until the disk has
written, and inputs that come meanwhile wait. A crash in between loses both.
"""

from collections import deque
from collections.abc import Callable, Iterable
from typing import Any

import msgspec

from p2p_modelex.core import effects as fx
from p2p_modelex.core import inputs as inp
from p2p_modelex.core.effects import StreamId, TimerId
from p2p_modelex.core.exchange.parameters import PROTOCOL as EXCHANGE_PROTOCOL
from p2p_modelex.core.funding import build_row
from p2p_modelex.core.node import NodeCore
from p2p_modelex.errors import SimulationError
from p2p_modelex.ids import Address, PeerId
from p2p_modelex.net.bounded import GossipLimiter, GossipRates
from p2p_modelex.net.reputation import Reputation
from p2p_modelex.records.envelope import PeerSigner
from p2p_modelex.records.rows import Row
from p2p_modelex.simulation.kernel import Kernel
from p2p_modelex.simulation.models.chain import DEPLOYMENT, ChainModel, answer_without_chain
from p2p_modelex.simulation.models.compute import EngineModel, EngineStep
from p2p_modelex.simulation.models.cryptography import Notary
from p2p_modelex.simulation.models.gossip import Message, Router, Rpc
from p2p_modelex.simulation.models.transactions import Deposit, get_signed
from p2p_modelex.simulation.nodes.alarms import Alarms, TimerDue
from p2p_modelex.simulation.nodes.disk import Disk
from p2p_modelex.simulation.nodes.engines import Engines
from p2p_modelex.simulation.nodes.observer import Observer
from p2p_modelex.simulation.nodes.wires import Wires
from p2p_modelex.simulation.scenario.quantities import seconds
from p2p_modelex.simulation.scenario.settings import Cpu
from p2p_modelex.units import UnixMs

START_MS = 1_800_000_000_000
"""Unix time at which every run begins."""
INPUTS_MAX = 100_000
"""Inputs that wait for one node's disk: more than that is not a slow disk."""


class Written(msgspec.Struct, frozen=True, gc=False):
    """The disk has written."""

    rows: int


class Heartbeat(msgspec.Struct, frozen=True, gc=False):
    """The gossip router's."""


class Banned(msgspec.Struct, frozen=True, gc=False):
    """A peer has offended too often: its connection goes, once the step at hand is over."""

    peer: PeerId


Step = Callable[[UnixMs], Iterable[fx.Effect]]


class Life:
    """A running process. Everything it uses is given to it; `wires` is set before it begins."""

    wires: Wires
    router: Router

    def __init__(
        self,
        number: int,
        account: Address,
        core: NodeCore,
        kernel: Kernel,
        disk: Disk,
        notary: Notary,
        chain: ChainModel | None,
        observer: Observer,
        *,
        cpu: Cpu,
        heartbeat_us: int,
        twist: Callable[["Life", fx.Effect], fx.Effect | None] | None = None,
    ) -> None:
        """twist: what a dishonest node makes of each effect of its core (behaviours.py)."""
        self.number = number
        self.account = account
        self.core = core
        self.kernel = kernel
        self.memory: dict[Any, Any] = {}
        """What a behaviour remembers."""
        self.is_over = False
        self.is_writing = False
        self._disk = disk
        self._notary = notary
        self._chain = chain
        self._observer = observer
        self._cpu = cpu
        self._heartbeat_us = heartbeat_us
        self._twist = twist
        self._engines = Engines(kernel, self)
        self._reputation = Reputation()
        self._limiter = GossipLimiter(GossipRates())
        self._busy_until = 0
        self._acting_at = 0
        self._weighed: tuple[Rpc | None, int] = (None, 0)
        self._alarms = Alarms(kernel, self, self._fire)
        self._waiting: deque[inp.Input | Step] = deque()
        self._rows: list[Row] = []
        self._held: list[fx.Effect] = []
        self._carry = self._build_table()
        self._handlers: dict[type, Callable[[Any], None]] = {
            TimerDue: self._alarms.on_due,
            Written: self._on_written,
            Rpc: self._on_rpc,
            Heartbeat: self._on_heartbeat,
            EngineStep: self._engines.on_step,
            Banned: lambda event: self.wires.drop(event.peer),
        }

    def _build_table(self) -> dict[type, Callable[[Any], None]]:
        """How each effect is carried out; compare `node/driver.py`."""
        table: dict[type, Callable[[Any], None]] = {
            fx.OpenStream: lambda effect: self.wires.open(effect, self._acting_at),
            fx.Send: self._send,
            fx.CloseStream: lambda e: self.wires.end(e.stream, self._acting_at, clean=True),
            fx.ResetStream: lambda e: self.wires.end(e.stream, self._acting_at, clean=False),
            fx.SetTimer: self._set_timer,
            fx.CancelTimer: self._cancel_timer,
            fx.CountTokens: lambda effect: self._engines.count(effect, self._acting_at),
            fx.Generate: lambda effect: self._engines.generate(effect, self._acting_at),
            fx.StopGenerating: lambda effect: self._engines.stop(effect, self._acting_at),
            fx.Publish: self._publish,
            fx.Penalize: self._penalize,
            fx.Emit: lambda _: None,
        }
        on_chain = (fx.FetchChannel, fx.FetchSplit, fx.OpenChannel, fx.TopUpChannel)
        registry = (fx.ReadRegistry, fx.PutAnchor, fx.ReadRatings)
        for kind in (*on_chain, fx.Redeem, fx.PayOut, *registry):
            table[kind] = self._call_chain
        return table

    @property
    def peer(self) -> PeerId:
        """Its peer id."""
        return self.wires.peer

    def open_key(self, number: int) -> PeerSigner:
        """Return the key of a peer that nobody runs: an adversary makes as many as it likes."""
        return self._notary.open_peer(number)

    @property
    def now_ms(self) -> UnixMs:
        """Unix time, milliseconds."""
        return UnixMs(START_MS + self.kernel.now // 1000)

    def begin(self, engines: dict[str, EngineModel], jitter_us: int) -> None:
        """Come alive: the core's first step, and the first heartbeat within `jitter_us`."""
        self._engines.load(engines)
        self._handlers.update(self.wires.handlers)
        self.kernel.at(self.kernel.now + jitter_us, self, Heartbeat())
        self.perform(self.core.start)

    def end(self) -> None:
        """Be killed: what was not durable is lost, and nothing more is done."""
        self.is_over = True
        self.wires.end_process()

    def receive(self, event: msgspec.Struct) -> None:
        """Take an event: one of the models around the core, or an input for the core."""
        if self.is_over:
            return
        handler = self._handlers.get(type(event))
        if handler is not None:
            handler(event)
        else:
            self.take(event)  # type: ignore[arg-type]

    def perform(self, step: Step) -> None:
        """Take a step that is no input, such as `core.withdraw`, as `take` does."""
        self.take(step)

    def take(self, asked: inp.Input | Step) -> None:
        """Hand an input to the core, now or when the disk has written."""
        if self.is_over:
            return
        if self.is_writing:
            if len(self._waiting) >= INPUTS_MAX:
                at = f"{seconds(self.kernel.now):.3f} s"
                raise SimulationError(
                    f"node {self.number} has {INPUTS_MAX} inputs waiting at {at}",
                    hint="a faster disk, or less traffic",
                )
            self._waiting.append(asked)
            return
        self._step(asked)
        if self._rows:
            self._write()

    def _step(self, asked: inp.Input | Step) -> None:
        """Take a step of the core on the virtual CPU, and carry out what comes of it."""
        begins = max(self.kernel.now, self._busy_until)
        now = UnixMs(START_MS + begins // 1000)
        before = self._notary.spent_us
        if callable(asked):
            effects = asked(now)
        else:
            self._observer.on_input(self, asked)
            effects = self.core.step(asked, now)
        spent = self._cpu.step + self._notary.spent_us - before
        if type(asked) is inp.FrameReceived:
            spent += self._cpu.frame
        self._acting_at = self._busy_until = begins + spent
        for effect in effects:
            self._do(effect)

    def _do(self, effect: fx.Effect) -> None:
        if self._twist is not None:
            twisted = self._twist(self, effect)
            if twisted is None:
                return
            effect = twisted
        self._observer.on_effect(self, effect, self._acting_at)
        if isinstance(effect, fx.Persist):
            self._rows += effect.rows
        elif self._rows:
            self._held.append(effect)
        else:
            self._carry[type(effect)](effect)

    def _write(self) -> None:
        if self._cpu.disk:
            self.is_writing = True
            self.kernel.at(self._acting_at + self._cpu.disk, self, Written(len(self._rows)))
        else:
            self._keep()

    def _keep(self) -> None:
        """The rows are durable; what was held back may be done."""
        rows, held = tuple(self._rows), self._held
        self._rows, self._held = [], []
        self._observer.on_rows(self, rows)
        self._disk.apply(rows)
        for effect in held:
            self._carry[type(effect)](effect)

    def _on_written(self, _: Written) -> None:
        self.is_writing = False
        self._acting_at = max(self._acting_at, self.kernel.now)
        self._keep()
        # Those that came meanwhile share the next write, as in the driver.
        while self._waiting:
            self._step(self._waiting.popleft())
        if self._rows:
            self._write()

    def _send(self, effect: fx.Send) -> None:
        self._acting_at += self._cpu.frame
        self._busy_until = max(self._busy_until, self._acting_at)
        self.wires.send(effect, self._acting_at)

    def _set_timer(self, effect: fx.SetTimer) -> None:
        self._alarms.set(effect.timer, (effect.at - START_MS) * 1000)

    def _cancel_timer(self, effect: fx.CancelTimer) -> None:
        self._alarms.cancel(effect.timer)

    def _fire(self, timer: TimerId) -> None:
        self.take(inp.TimerFired(timer))

    def speaks_exchange(self, stream: StreamId) -> bool:
        """Whether a stream carries a job."""
        return self.speaks(stream, EXCHANGE_PROTOCOL)

    def speaks(self, stream: StreamId, protocol: str) -> bool:
        """Whether a stream is of a protocol."""
        end = self.wires.streams.get(stream)
        return end is not None and end.protocol == protocol

    def peer_of(self, stream: StreamId) -> PeerId:
        """Whom a stream, which is open, leads to."""
        connection = self.wires.streams[stream].connection
        is_ours = connection.opener is self.wires
        return (connection.other if is_ours else connection.opener).peer

    def _publish(self, effect: fx.Publish) -> None:
        self.router.publish(effect.topic, effect.payload, self._acting_at)

    def send_rpc(self, peer: PeerId, rpc: Rpc) -> None:
        """Carry an RPC of the router to a neighbour."""
        connection = self.wires.connections.get(peer)
        if connection is not None:
            at = max(self._acting_at, self.kernel.now)
            if rpc is not self._weighed[0]:  # one and the same goes to all of a mesh
                self._weighed = rpc, rpc.size
            self.wires.transmit(connection, self._weighed[1], rpc, at)

    def judge_message(self, message: Message, forwarder: PeerId) -> bool | None:
        """Judge a gossip message, and tell the core of it if it is good."""
        # As the validator of both networks: the limits first.
        if not self._limiter.admit(message.origin, seconds(self.kernel.now)):
            return False
        self._acting_at = max(self.kernel.now, self._busy_until)
        judge = self.core.gossip[message.topic]
        verdict = judge(message.origin, message.payload, self.now_ms)
        if verdict.rejected:
            self._blame(forwarder, "gossip")
            return None
        if not verdict.accepted:
            return False
        self._busy_until = self._acting_at + self._cpu.gossip
        self._observer.on_gossip(self, message)
        topic, payload = message.topic, message.payload
        self.take(inp.GossipArrived(topic, message.origin, forwarder, payload))
        return True

    def _on_rpc(self, event: Rpc) -> None:
        self.router.take(event, self.kernel.now)

    def _on_heartbeat(self, event: Heartbeat) -> None:
        self._acting_at = max(self.kernel.now, self._busy_until)
        self.router.heartbeat(self.kernel.now)
        self.kernel.at(self.kernel.now + self._heartbeat_us, self, event)

    def on_connected(self, peer: PeerId, *, is_outbound: bool) -> None:
        """See wires.Process."""
        self.router.add(peer, self.kernel.now, is_outbound=is_outbound)
        self.take(inp.PeerConnected(peer))

    def on_disconnected(self, peer: PeerId) -> None:
        """See wires.Process."""
        self.router.remove(peer, self.kernel.now)
        self.take(inp.PeerDisconnected(peer))

    def refuses(self, peer: PeerId) -> bool:
        """See wires.Process."""
        return self._reputation.refuses_peer(peer, seconds(self.kernel.now))

    def _penalize(self, effect: fx.Penalize) -> None:
        self._blame(effect.peer, effect.offence)

    def _blame(self, peer: PeerId, offence: str) -> None:
        if self._reputation.blame_peer(peer, offence, seconds(self.kernel.now)):
            self._observer.on_ban(self, peer)
            self.kernel.at(self.kernel.now, self, Banned(peer))

    def regard(self, peer: PeerId) -> float:
        """P5 of the peer's score: what our reputation holds against it, as a number below 0."""
        return -self._reputation.score(peer, seconds(self.kernel.now))

    def _call_chain(self, effect: Any) -> None:
        if self._chain is not None:
            is_first = not get_signed(effect)
            if is_first and isinstance(effect, Deposit):
                effect = self._sign(effect)
            self._chain.call(self, effect, self._acting_at, is_first=is_first)
            return
        answer = answer_without_chain(effect)
        if answer is not None:
            self.kernel.at(self._acting_at, self, answer)

    def _sign(self, effect: Deposit) -> Deposit:
        """Keep what is signed for a deposit before it is sent, as `node/money.py` does."""
        signed = (self.account + effect.payee + self._acting_at.to_bytes(8, "big"),)
        self._disk.apply((build_row(effect, signed, DEPLOYMENT.channel_id),))
        return msgspec.structs.replace(effect, signed=signed)
