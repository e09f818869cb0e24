"""The node's core: composes the machines and sends each input to the one it is for.

`PROTOCOLS` is the one table of what a node can do on a stream.
"""

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from itertools import count
from types import MappingProxyType

import msgspec

from p2p_modelex import limits
from p2p_modelex.core.anchoring.machine import AnchoringMachine
from p2p_modelex.core.buying import Buying
from p2p_modelex.core.choosing import Choosing, Look
from p2p_modelex.core.directory.directory import Directory
from p2p_modelex.core.directory.index import Rng
from p2p_modelex.core.directory.machine import (
    ANNOUNCEMENTS_TOPIC,
    DirectoryMachine,
)
from p2p_modelex.core.directory.sessions import RECONCILE_PROTOCOL
from p2p_modelex.core.effects import CloseStream, Effect, StreamId
from p2p_modelex.core.exchange import parameters as exchange_parameters
from p2p_modelex.core.farm.machine import FARM_PROTOCOL, FARMS_TOPIC
from p2p_modelex.core.farming import Farming
from p2p_modelex.core.fellows import find_fellows
from p2p_modelex.core.inputs import (
    AnchorFailed,
    AnchorPut,
    CancelRun,
    ChannelFetched,
    ChannelOpened,
    ChannelOpenFailed,
    FrameReceived,
    GossipArrived,
    Input,
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
from p2p_modelex.core.ledger.lending import Lending
from p2p_modelex.core.ledger.lines import Lines
from p2p_modelex.core.ledger.payee import PayeeLedger
from p2p_modelex.core.ledger.payer import CONCEDED, PayerLedger
from p2p_modelex.core.members.parameters import MEMBERS_PROTOCOL
from p2p_modelex.core.parts import Identity, Policies, Shop
from p2p_modelex.core.routing.circuits import Circuits
from p2p_modelex.core.routing.decision import Decision
from p2p_modelex.core.routing.history import History
from p2p_modelex.core.routing.loads import ProbeBook
from p2p_modelex.core.routing.probes import PROBE_PROTOCOL, ProbeMachine
from p2p_modelex.core.routing.router import Router
from p2p_modelex.core.selling import Selling
from p2p_modelex.core.sharing import Neighbourhood
from p2p_modelex.core.split_watch import SplitWatch
from p2p_modelex.core.verdict import Verdict
from p2p_modelex.core.wants import build_want
from p2p_modelex.errors import LocalProtocolError
from p2p_modelex.ids import Address, PeerId
from p2p_modelex.records.job import Load
from p2p_modelex.records.ownership import SignedOwnership
from p2p_modelex.records.registry import RegistryEntry
from p2p_modelex.records.rows import JobRow, Row
from p2p_modelex.records.split import SplitState
from p2p_modelex.units import Millis, UnixMs

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


CUT = "cut"
"""The state of a job that we served and lost, once the node has started again."""

FINAL_STATES = (
    *("finished", "failed", CONCEDED),
    *("paid", "unpaid", "engine", "timeout", "internal", "shutting_down", CUT),
)
"""States of job rows that matter no more: a requester's, then a provider's. A `lost` or `running`
row of a job we bought is kept: the provider may yet ask for what it delivered (LED-11).
"""

NO_LOAD = Load(0, 0, 0, 0, 0)
"""The load of a node that sells nothing."""


class NodeCore:
    """One node, without IO: `start`, then `step` for each input."""

    def __init__(
        self, identity: Identity, policies: Policies, shop: Shop | None, rng: Rng, agent: str
    ) -> None:
        self._agent = agent
        self._shop = shop
        numbers = count(2, 2)
        next_stream: Callable[[], StreamId] = lambda: StreamId(next(numbers))  # noqa: E731
        self.directory = Directory(
            identity.network,
            identity.registry_domain,
            identity.peer,
            entries_max=policies.directory.entries_max,
        )
        self.mesh = DirectoryMachine(
            self.directory, identity.peer_signer, rng, next_stream, policies.directory
        )
        self.anchoring = AnchoringMachine(
            identity.peer,
            identity.account_signer.address,
            policies.anchoring,
            lambda: self.directory.own_sequence,
        )
        # Where we are and who owns us, while we advertise it.
        self._told: tuple[Sequence[str], Sequence[SignedOwnership]] | None = None
        self._lines = Lines()
        self.payee = PayeeLedger(
            _payee_of(identity, shop),
            identity.channels_domain,
            policies.settlement,
            self._lines.get_line,
        )
        self.payer = PayerLedger(identity.account_signer, identity.channels_domain)
        self.splits = SplitWatch()
        around = Neighbourhood(
            Lending(self.payee, self._lines, identity.channels_domain),
            next_stream,
            lambda now: find_fellows(self.directory, self.farming.book, now),
        )
        self._selling = self._build_selling(shop, around)
        self.farming = Farming(
            self.directory,
            self.payee,
            next_stream,
            rng,
            Millis(policies.directory.ttl_ms),
            self._advertise_again,
        )
        circuits, loads = Circuits(), ProbeBook()
        own_load = self._selling.get_load if self._selling else lambda: NO_LOAD
        self._probes = ProbeMachine(own_load, next_stream, loads)
        self._choosing = Choosing(
            self.directory,
            Router(rng, circuits, loads, History(), policies.routing),
            self._probes,
            rng,
            self.anchoring.get_standing,
            self.farming.machine,
        )
        self._buying = Buying(
            identity.network,
            identity.registry_domain,
            self._choosing,
            circuits,
            self.payer,
            policies.budget,
            next_stream,
            self.splits,
        )

    def _build_selling(self, shop: Shop | None, around: Neighbourhood) -> Selling | None:
        if shop is None:
            return None
        return Selling(shop.seller, self.payee, shop.slots, shop.slots_of, self.splits, around)

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
        return tuple(
            msgspec.structs.replace(row, state=CUT)
            for row in rows
            if isinstance(row, JobRow) and row.is_provider and row.state not in FINAL_STATES
        )

    def begin_in(self, split: SplitState) -> None:
        """Say in which split epoch the token is; call before `start`."""
        if self.splits.note_epoch(split.epoch):
            self._move()

    def start(self, now: UnixMs) -> list[Effect]:
        """Set the first timers."""
        effects = [*self.mesh.start(now), *self._buying.start(), *self.splits.start(now)]
        effects += [*self.anchoring.start(), *self.farming.machine.start(now)]
        return effects + (self._selling.start(now) if self._selling else [])

    def advertise(
        self, addresses: Sequence[str], accounts: Sequence[SignedOwnership], now: UnixMs
    ) -> list[Effect]:
        """Tell the mesh what we sell and where; again when the addresses change."""
        self._told = addresses, accounts
        offers = self._shop.advertised if self._shop else ()
        section = self.anchoring.claim
        told = self.mesh.set_own(
            offers,
            addresses,
            accounts,
            now,
            agent=self._agent,
            section=section,
            farms=self.farming.get_shown(now),
        )
        own = self.directory.get(self.directory.own)
        return [*told, *self.anchoring.advertise(own.advertisement if own else None, now)]

    def _advertise_again(self, now: UnixMs) -> list[Effect]:
        """Say what has changed of us, if we advertise.

        Where it cannot be said now, as the clock went back or it would be too long, what was said
        holds: prices of before a split are read at twice the number (RTE-4).
        """
        with suppress(LocalProtocolError):
            return self.advertise(*self._told, now) if self._told is not None else []
        return []

    def stock(self, shop: Shop) -> None:
        """Sell this from now on, at its prices moved to the present split epoch; jobs in hand keep
        their terms, and slots stay as they were.

        `advertise` tells the mesh. Only for a node that sells.
        """
        assert self._selling is not None
        self._shop = shop.move(self.splits.epoch)
        self._selling.stock(self._shop.seller)

    def withdraw(self, now: UnixMs) -> list[Effect]:
        """Tell the mesh that we are leaving."""
        self._told = None
        return [*self.mesh.withdraw(now), *self.anchoring.advertise(None, now)]

    def look(self, wanted: RunRequested, now: UnixMs) -> tuple[Look, tuple[Effect, ...]]:
        """Look for providers without ordering; `explain` says whom it would be once `is_ready`."""
        look = self._choosing.look(build_want(wanted, self.splits.epoch), now)
        return look, self._choosing.ask(look, now)

    def is_ready(self, look: Look) -> bool:
        """Whether those who were asked have answered, or did not in time."""
        return self._choosing.is_ready(look)

    def explain(self, look: Look, now: UnixMs) -> Decision:
        """Say who would be tried in which order, and why."""
        return self._choosing.explain(look, now)

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
            case StreamReady(stream) | StreamFailed(stream) | FrameReceived(stream):
                return self._step_stream(stream, happened, now)
            case StreamEnded(stream):
                return self._step_stream(stream, happened, now)
            case TimerFired(timer):
                return self._on_timer(timer.split("/"), happened, now)
            case RegistryRead() | RegistryChanged() | RegistryLost() | AnchorPut() | AnchorFailed():
                return self._step_anchoring(happened, now)
            case ChannelOpened(_, state):
                return self._follow(state.epoch, now) + self._buying.step(happened, now)
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
        epoch = self.splits.epoch
        self.payee.note_epoch(epoch)
        if self._shop is not None and self._selling is not None:
            self._shop = self._shop.move(epoch)
            self._selling.move(self._shop.seller)

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
            case "farm":
                return self._step_farms(happened, now)
            case "split":
                return self.splits.step(happened, now)
            case _:
                return self._selling.step(happened, now) if self._selling else []


def _payee_of(identity: Identity, shop: Shop | None) -> Address:
    if shop is None:
        return identity.account_signer.address
    return Address(shop.seller.ownership.ownership.operator)


__all__ = [
    "ANNOUNCEMENTS_TOPIC",
    "FINAL_STATES",
    "PROTOCOLS",
    "Identity",
    "NodeCore",
    "Policies",
    "Shop",
]
