"""The node's core: composes the machines and sends each input to the one it is for.

`PROTOCOLS` is the one table of what a node can do on a stream.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import count
from types import MappingProxyType

import msgspec

from p2p_modelex import limits
from p2p_modelex.core.buying import Buying
from p2p_modelex.core.directory.directory import Directory
from p2p_modelex.core.directory.machine import (
    ANNOUNCEMENTS_TOPIC,
    DirectoryMachine,
    Rng,
)
from p2p_modelex.core.directory.sessions import RECONCILE_PROTOCOL
from p2p_modelex.core.directory.settings import DirectorySettings
from p2p_modelex.core.directory.verdict import Verdict
from p2p_modelex.core.effects import CloseStream, Effect, StreamId
from p2p_modelex.core.exchange import parameters as exchange_parameters
from p2p_modelex.core.exchange.terms import Seller
from p2p_modelex.core.funding import Budget
from p2p_modelex.core.inputs import (
    CancelRun,
    ChannelFetched,
    ChannelOpened,
    ChannelOpenFailed,
    FrameReceived,
    Input,
    RunRequested,
    StreamEnded,
    StreamFailed,
    StreamOpened,
    StreamReady,
    TimerFired,
)
from p2p_modelex.core.ledger.payee import PayeeLedger
from p2p_modelex.core.ledger.payer import CONCEDED, PayerLedger
from p2p_modelex.core.ledger.settlement import SettlementPolicy
from p2p_modelex.core.routing.circuits import Circuits
from p2p_modelex.core.routing.loads import ProbeBook
from p2p_modelex.core.routing.probes import PROBE_PROTOCOL, ProbeMachine
from p2p_modelex.core.routing.router import Router
from p2p_modelex.core.selling import Selling
from p2p_modelex.ids import Address, Digest, NetworkId, PeerId
from p2p_modelex.records.advertisement import Offer, Section
from p2p_modelex.records.eip712 import AccountSigner
from p2p_modelex.records.envelope import PeerSigner
from p2p_modelex.records.job import Load
from p2p_modelex.records.ownership import SignedOwnership
from p2p_modelex.records.rows import JobRow, Row
from p2p_modelex.units import UnixMs

PROTOCOLS: Mapping[str, int] = MappingProxyType(
    {
        exchange_parameters.PROTOCOL: limits.EXCHANGE_FRAME_BYTES,
        RECONCILE_PROTOCOL: limits.RECONCILE_FRAME_BYTES,
        PROBE_PROTOCOL: limits.PING_FRAME_BYTES,
    }
)
"""Every protocol a node speaks on streams, with its frame limit in bytes."""

BACKGROUND = frozenset({RECONCILE_PROTOCOL, PROBE_PROTOCOL})
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


@dataclass(frozen=True, slots=True)
class Identity:
    """Who a node is, and where. Domains: the EIP-712 domains of the network's contracts."""

    peer: PeerId
    peer_signer: PeerSigner
    account_signer: AccountSigner
    network: NetworkId
    registry_domain: Digest
    channels_domain: Digest


@dataclass(frozen=True, slots=True)
class Policies:
    """What an operator chooses."""

    budget: Budget
    settlement: SettlementPolicy = field(default_factory=SettlementPolicy)
    directory: DirectorySettings = field(default_factory=DirectorySettings)


@dataclass(frozen=True, slots=True)
class Shop:
    """What a node sells, if it does.

    advertised: the offers others are told. slots: requests the engines run at once in all.
    slots_of: and each model's; one that is missing counts as having them all.
    """

    seller: Seller
    advertised: tuple[Offer, ...]
    slots: int
    slots_of: Mapping[str, int] = field(default_factory=dict)


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
        self.payee = PayeeLedger(
            _payee_of(identity, shop), identity.channels_domain, policies.settlement
        )
        self.payer = PayerLedger(identity.account_signer, identity.channels_domain)
        self._selling = (
            Selling(shop.seller, self.payee, shop.slots, shop.slots_of) if shop else None
        )
        circuits, loads = Circuits(), ProbeBook()
        own_load = self._selling.get_load if self._selling else lambda: NO_LOAD
        self._probes = ProbeMachine(own_load, next_stream, loads)
        self._buying = Buying(
            identity.network,
            identity.registry_domain,
            self.directory,
            Router(rng, circuits, loads),
            circuits,
            self._probes,
            self.payer,
            policies.budget,
            next_stream,
        )

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

    def restore(self, rows: Sequence[Row]) -> tuple[Row, ...]:
        """Take over what is on disk; call before `start`. Returns rows to persist: the jobs that
        we served when the node stopped are over; what they earned stands with their vouchers.
        """
        self._buying.restore(rows)
        self.payee.restore(rows)
        if self._selling is not None:
            self._selling.restore(rows)
        return tuple(
            msgspec.structs.replace(row, state=CUT)
            for row in rows
            if isinstance(row, JobRow) and row.is_provider and row.state not in FINAL_STATES
        )

    def start(self, now: UnixMs) -> list[Effect]:
        """Set the first timers."""
        effects = [*self.mesh.start(now), *self._buying.start()]
        return effects + (self._selling.start(now) if self._selling else [])

    def advertise(
        self,
        addresses: Sequence[str],
        accounts: Sequence[SignedOwnership],
        section: Section,
        now: UnixMs,
    ) -> list[Effect]:
        """Tell the mesh what we sell and where; again when the addresses change."""
        offers = self._shop.advertised if self._shop else ()
        return list(
            self.mesh.set_own(offers, addresses, accounts, now, agent=self._agent, section=section)
        )

    def stock(self, shop: Shop) -> None:
        """Sell this from now on; jobs in hand keep their terms, and slots stay as they were.

        `advertise` tells the mesh. Only for a node that sells.
        """
        assert self._selling is not None
        self._shop = shop
        self._selling.stock(shop.seller)

    def withdraw(self, now: UnixMs) -> list[Effect]:
        """Tell the mesh that we are leaving."""
        return list(self.mesh.withdraw(now))

    def judge_gossip(self, origin: PeerId, payload: bytes, now: UnixMs) -> Verdict:
        """Judge a message on ANNOUNCEMENTS_TOPIC before it is forwarded."""
        return self.mesh.judge_gossip(origin, payload, now)

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
            case RunRequested() | CancelRun() | ChannelOpened() | ChannelOpenFailed():
                return self._buying.step(happened, now)
            case ChannelFetched():
                sold = self._selling.step(happened, now) if self._selling else []
                return self._buying.step(happened, now) + sold
            case _:
                mesh = list(self.mesh.step(happened, now))
                return mesh + (self._selling.step(happened, now) if self._selling else [])

    def _accept(
        self, stream: StreamId, protocol: str, happened: StreamOpened, now: UnixMs
    ) -> list[Effect]:
        if protocol == RECONCILE_PROTOCOL:
            return list(self.mesh.step(happened, now))
        if protocol == PROBE_PROTOCOL:
            return list(self._probes.step(happened, now))
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
        return []

    def _step_probes(self, happened: Input, now: UnixMs) -> list[Effect]:
        effects = list(self._probes.step(happened, now))
        return effects + self._buying.after_probes(now)

    def _on_timer(self, name: list[str], happened: TimerFired, now: UnixMs) -> list[Effect]:
        match name[0]:
            case "exchange":
                return self._step_stream(StreamId(int(name[1])), happened, now)
            case "probe":
                return self._step_probes(happened, now)
            case "directory":
                return list(self.mesh.step(happened, now))
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
