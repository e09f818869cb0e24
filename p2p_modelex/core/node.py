"""The node's core: sends each input to the machine that it is for (core/machines.py).

`PROTOCOLS` is the one table of what a node can do on a stream.
"""

from collections.abc import Callable, Mapping, Sequence
from itertools import count
from types import MappingProxyType

from p2p_modelex import limits
from p2p_modelex.core.choosing import Look
from p2p_modelex.core.directory.index import Rng
from p2p_modelex.core.directory.machine import ANNOUNCEMENTS_TOPIC
from p2p_modelex.core.directory.sessions import RECONCILE_PROTOCOL
from p2p_modelex.core.effects import CloseStream, Effect, StreamId
from p2p_modelex.core.exchange import parameters as exchange_parameters
from p2p_modelex.core.farm.machine import FARM_PROTOCOL, FARMS_TOPIC
from p2p_modelex.core.inputs import (
    AnchorFailed,
    AnchorPut,
    CancelRun,
    ChannelFetched,
    ChannelOpened,
    ChannelOpenFailed,
    EngineFailed,
    EngineFinished,
    EngineProduced,
    EngineStarted,
    FrameReceived,
    GossipArrived,
    Input,
    RatingsRead,
    RegistryChanged,
    RegistryLost,
    RegistryRead,
    RunRequested,
    SplitFetched,
    StreamEnded,
    StreamFailed,
    StreamOpened,
    StreamReady,
    TimerFired,
)
from p2p_modelex.core.job_states import cut_jobs
from p2p_modelex.core.machines import NextStream, build_ground, build_trade
from p2p_modelex.core.members.parameters import MEMBERS_PROTOCOL
from p2p_modelex.core.parts import Identity, Policies, Shop
from p2p_modelex.core.presence import Presence
from p2p_modelex.core.routing.candidate import Candidate
from p2p_modelex.core.routing.probes import PROBE_PROTOCOL
from p2p_modelex.core.verdict import Verdict
from p2p_modelex.core.wants import build_want
from p2p_modelex.ids import PeerId
from p2p_modelex.records.ownership import SignedOwnership
from p2p_modelex.records.registry import RegistryEntry
from p2p_modelex.records.rows import Row
from p2p_modelex.records.split import SplitState
from p2p_modelex.units import UnixMs

PROTOCOLS: Mapping[str, int] = MappingProxyType(
    {
        exchange_parameters.PROTOCOL: limits.EXCHANGE_FRAME_BYTES,
        RECONCILE_PROTOCOL: limits.RECONCILE_FRAME_BYTES,
        PROBE_PROTOCOL: limits.PING_FRAME_BYTES,
        MEMBERS_PROTOCOL: limits.MEMBERS_FRAME_BYTES,
        FARM_PROTOCOL: limits.FARM_FRAME_BYTES,
    }
)
"""Every protocol a node speaks on streams, with its frame limit in bytes."""

BACKGROUND = frozenset({RECONCILE_PROTOCOL, PROBE_PROTOCOL, FARM_PROTOCOL, MEMBERS_PROTOCOL})
"""Those that nobody pays for: jobs and money go first."""


class NodeCore:
    """One node, without IO: `start`, then `step` for each input."""

    def __init__(
        self, identity: Identity, policies: Policies, shop: Shop | None, rng: Rng, agent: str
    ) -> None:
        numbers = count(2, 2)
        next_stream: NextStream = lambda: StreamId(next(numbers))  # noqa: E731
        ground = build_ground(identity, policies, shop, rng, next_stream, self._advertise_again)
        self.directory, self.mesh, self.anchoring = ground.directory, ground.mesh, ground.anchoring
        self.payee, self.splits, self.farming = ground.payee, ground.splits, ground.farming
        self._lines = ground.lines
        trade = build_trade(identity, policies, shop, rng, next_stream, ground)
        self.payer, self._ratings, self._probes = trade.payer, trade.ratings, trade.probes
        self.choosing, self._buying, self._selling = trade.choosing, trade.buying, trade.selling
        self._presence = Presence(ground, trade.selling, shop, agent)

    @property
    def frame_limits(self) -> Mapping[str, int]:
        return PROTOCOLS

    @property
    def background(self) -> frozenset[str]:
        return BACKGROUND

    @property
    def is_idle(self) -> bool:
        """Whether no job is in hand, neither sold nor bought."""
        return self._buying.is_idle and (self._selling is None or self._selling.is_idle)

    def restore(self, rows: Sequence[Row], entry: RegistryEntry | None = None) -> tuple[Row, ...]:
        """Take over what is on disk, and our registry entry; call before `start`. Returns rows to
        persist: the jobs that we served when the node stopped are over; what they earned stands
        with their vouchers.
        """
        self.anchoring.restore(rows, entry)
        self.farming.restore(rows)
        self._buying.restore(rows)
        self._lines.restore(rows)
        self.payee.restore(rows)
        if self._selling is not None:
            self._selling.restore(rows)
        return cut_jobs(rows)

    def begin_in(self, split: SplitState) -> None:
        """Say in which split epoch the token is; call before `start`."""
        if self.splits.note_epoch(split.epoch):
            self._move()

    def start(self, now: UnixMs) -> list[Effect]:
        """Set the first timers."""
        effects = [*self.mesh.start(now), *self._buying.start(), *self.splits.start(now)]
        effects += [*self.anchoring.start(), *self.farming.machine.start(now)]
        effects += self._ratings.start(now)
        return effects + (self._selling.start(now) if self._selling else [])

    def advertise(
        self, addresses: Sequence[str], accounts: Sequence[SignedOwnership], now: UnixMs
    ) -> list[Effect]:
        """Tell the mesh what we sell and where; again when the addresses change."""
        return self._presence.advertise(addresses, accounts, now)

    def _advertise_again(self, now: UnixMs) -> list[Effect]:
        return self._presence.advertise_again(now)

    def stock(self, shop: Shop, now: UnixMs) -> None:
        """Sell this from now on, at its prices moved to the present split epoch; jobs in hand keep
        their terms, and slots stay as they were.

        `advertise` tells the mesh. Only for a node that sells.
        """
        self._presence.stock(shop, self.splits.epoch, now)

    def withdraw(self, now: UnixMs) -> list[Effect]:
        """Tell the mesh that we are leaving."""
        return self._presence.withdraw(now)

    def look(self, wanted: RunRequested, now: UnixMs) -> tuple[Look, tuple[Effect, ...]]:
        """Look for providers without ordering; once `choosing.is_ready`, its `explain` says whom it
        would be.
        """
        look = self.choosing.look(build_want(wanted, self.splits.epoch), now)
        return look, self.choosing.ask(look, now)

    def survey(
        self, wanted: RunRequested, known: Sequence[PeerId], now: UnixMs
    ) -> tuple[tuple[Candidate, ...], str, tuple[Effect, ...]]:
        """Return who could serve this, or why nobody could, and what asks all of them for their
        load; `choosing.is_waiting` until they have said it.
        """
        return self.choosing.survey(build_want(wanted, self.splits.epoch), known, now)

    @property
    def gossip(self) -> Mapping[str, Callable[[PeerId, bytes, UnixMs], Verdict]]:
        """The topics to take part in, and who judges a message there before it is forwarded."""
        return {
            ANNOUNCEMENTS_TOPIC: self.mesh.judge_gossip,
            FARMS_TOPIC: self.farming.machine.judge_gossip,
        }

    def step(self, happened: Input, now: UnixMs) -> list[Effect]:
        """Take one input."""
        match happened:
            case StreamOpened(stream, _, protocol):
                return self._accept(stream, protocol, happened, now)
            case (
                FrameReceived(stream)
                | StreamReady(stream)
                | StreamFailed(stream)
                | StreamEnded(stream)
            ):
                return self._step_stream(stream, happened, now)
            case EngineProduced() | EngineStarted() | EngineFinished() | EngineFailed():
                return self._selling.step(happened, now) if self._selling else []
            case TimerFired(timer):
                return self._on_timer(timer.split("/"), happened, now)
            case RegistryRead() | RegistryChanged() | RegistryLost() | AnchorPut() | AnchorFailed():
                return self._step_anchoring(happened, now)
            case ChannelOpened(_, state):
                return self._follow(state.epoch, now) + self._buying.step(happened, now)
            case RatingsRead():
                self._ratings.on_read(happened)
                return []
            case RunRequested() | CancelRun() | ChannelOpenFailed():
                return self._buying.step(happened, now)
            case SplitFetched():
                return self._on_split(happened, now)
            case GossipArrived(topic) if topic == FARMS_TOPIC:
                return self._step_farms(happened, now)
            case ChannelFetched():
                moved = self._follow(happened.state.epoch, now) if happened.state else []
                sold = self._selling.step(happened, now) if self._selling else []
                return moved + self._buying.step(happened, now) + sold
            case _:
                mesh = list(self.mesh.step(happened, now))
                return mesh + (self._selling.step(happened, now) if self._selling else [])

    def _on_split(self, fetched: SplitFetched, now: UnixMs) -> list[Effect]:
        """What the chain says of the token goes to those who wait for it."""
        effects = self.splits.step(fetched, now)
        if fetched.split is not None:
            effects += self._follow(fetched.split.epoch, now)
        if self._selling is not None:
            effects += self._selling.step(fetched, now)
        return effects + self._buying.step(fetched, now)

    def _follow(self, epoch: int, now: UnixMs) -> list[Effect]:
        """The chain has written in this epoch: if it is a later one, prices and limits move to it,
        and the mesh is told.
        """
        if not self.splits.note_epoch(epoch):
            return []
        self._move()
        effects = self._selling.retry(now) if self._selling else []
        return effects + self._advertise_again(now)

    def _move(self) -> None:
        self.payee.note_epoch(self.splits.epoch)
        self._presence.move(self.splits.epoch)

    def _accept(
        self, stream: StreamId, protocol: str, happened: StreamOpened, now: UnixMs
    ) -> list[Effect]:
        if protocol == RECONCILE_PROTOCOL:
            return list(self.mesh.step(happened, now))
        if protocol == PROBE_PROTOCOL:
            return list(self._probes.step(happened, now))
        if protocol == FARM_PROTOCOL:
            return self.farming.machine.step(happened, now)
        if self._selling is not None:
            return self._selling.step(happened, now)
        return [CloseStream(stream)]

    def _step_stream(self, stream: StreamId, happened: Input, now: UnixMs) -> list[Effect]:
        if self._selling is not None and self._selling.owns(stream):
            return self._selling.step_stream(stream, happened, now)
        if self._buying.owns(stream):
            return self._buying.step_stream(stream, happened, now)
        if self.mesh.owns(stream):
            return list(self.mesh.step(happened, now))
        if self._probes.owns(stream):
            return self._step_probes(happened, now)
        if self.farming.machine.owns(stream):
            return self._step_farms(happened, now)
        return []

    def _step_farms(self, happened: Input, now: UnixMs) -> list[Effect]:
        """What a farm says may end a membership of ours, and what runs wait for it."""
        return [*self.farming.step(happened, now), *self._buying.after_probes(now)]

    def _step_probes(self, happened: Input, now: UnixMs) -> list[Effect]:
        effects = list(self._probes.step(happened, now))
        return effects + self._buying.after_probes(now)

    def _step_anchoring(self, happened: Input, now: UnixMs) -> list[Effect]:
        """What changes our own section changes what we say of ourselves."""
        claim = self.anchoring.claim
        effects = self.anchoring.step(happened, now)
        if self.anchoring.claim is claim:
            return effects
        return [*effects, *self._advertise_again(now)]

    def _on_timer(self, name: list[str], happened: TimerFired, now: UnixMs) -> list[Effect]:
        match name[0]:
            case "exchange":
                return self._step_stream(StreamId(int(name[1])), happened, now)
            case "probe":
                return self._step_probes(happened, now)
            case "directory":
                return list(self.mesh.step(happened, now))
            case "anchoring":
                return self._step_anchoring(happened, now)
            case "run":
                return self._buying.step(happened, now)
            case "farm":
                return self._step_farms(happened, now)
            case "ratings":
                return self._ratings.on_timer(now)
            case "split":
                return self.splits.step(happened, now)
            case _:
                return self._selling.step(happened, now) if self._selling else []


__all__ = [
    "ANNOUNCEMENTS_TOPIC",
    "PROTOCOLS",
    "NodeCore",
]
