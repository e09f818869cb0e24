"""A node's buying side with sellers on a shelf: the test is their network, chain and driver."""

import random
from dataclasses import replace
from functools import partial
from itertools import count
from typing import Any

import msgspec

from p2p_modelex.core import effects as fx
from p2p_modelex.core import inputs as given
from p2p_modelex.core.buying import Buying
from p2p_modelex.core.choosing import Choosing
from p2p_modelex.core.directory.directory import Directory
from p2p_modelex.core.directory.entry import Entry
from p2p_modelex.core.effects import StreamId
from p2p_modelex.core.exchange import parameters
from p2p_modelex.core.exchange.provider import ProviderExchange
from p2p_modelex.core.exchange.terms import Seller, Ware
from p2p_modelex.core.farm.book import FarmBook
from p2p_modelex.core.farm.machine import FarmMachine, Members
from p2p_modelex.core.funding import Budget, can_pay
from p2p_modelex.core.inputs import RunRequested
from p2p_modelex.core.ledger.payee import PayeeLedger
from p2p_modelex.core.ledger.payer import PayerLedger
from p2p_modelex.core.routing.circuits import Circuits
from p2p_modelex.core.routing.history import History
from p2p_modelex.core.routing.loads import ProbeBook
from p2p_modelex.core.routing.probes import PROBE_PROTOCOL, ProbeMachine
from p2p_modelex.core.routing.profile import PROFILES, Profile
from p2p_modelex.core.routing.router import Router
from p2p_modelex.core.split_watch import SplitWatch
from p2p_modelex.ids import Address, JobId, PeerId
from p2p_modelex.records import codec, envelope, ownership
from p2p_modelex.records.advertisement import Advertisement, Kind, Offer, Section
from p2p_modelex.records.channel import ChannelState, build_salt
from p2p_modelex.records.job import Failed, Load, Refused, RequesterMessage
from p2p_modelex.records.ownership import Ownership
from p2p_modelex.records.receipt import Finish
from p2p_modelex.records.registry import Standing
from p2p_modelex.records.rows import Row
from p2p_modelex.units import UnixMs, Wei
from tests.core.exchange import pair
from tests.core.exchange.pair import (
    CHANNELS,
    DELEGATE,
    ENGINE,
    NETWORK,
    NOW,
    OFFER,
    PAYER,
    REGISTRY,
    REQUEST,
    REQUESTER_KEY,
    TERMS,
    Account,
    PeerKey,
    build_jobs,
)

BUDGET = Budget(Wei(10_000), Wei(1_000_000))
THEIR_STREAM = StreamId(1)


class Vendor:
    """One seller: its keys, what it advertises, and its end of the exchange."""

    def __init__(self, number: int) -> None:
        self.key = PeerKey(f"vendor {number}")
        self.operator = Account(f"operator {number}")
        statement = Ownership(self.key.public_key, self.operator.address, DELEGATE.address, NOW * 2)
        signed = ownership.sign(statement, REGISTRY, self.operator)
        self.seller = Seller(self.key, DELEGATE, signed, NETWORK, REGISTRY, (Ware(OFFER, ENGINE),))
        self.payee = PayeeLedger(self.operator.address, CHANNELS)
        said = Advertisement(
            NOW,
            60_000,
            "t",
            ("/memory/1",),
            (OFFER,),
            (signed,),
            Section.UNREGISTERED,
            (),
            bytes(32),
        )
        self.entry = Entry(self.key.peer, said, b"", NOW, UnixMs(NOW + 600_000), self.key.peer, 1)

    @property
    def account(self) -> Address:
        return self.operator.address

    def sell(self, offer: Offer) -> None:
        self.seller = replace(self.seller, wares=(Ware(offer, ENGINE),))


class Shelf(Directory):
    """A directory whose entries are put there."""

    def __init__(self, vendors: list[Vendor]) -> None:
        super().__init__(NETWORK, REGISTRY, REQUESTER_KEY.peer)
        self.vendors = vendors

    def entries(self) -> tuple[Entry, ...]:
        return tuple(vendor.entry for vendor in self.vendors)

    def find(
        self,
        *,
        model: str | None = None,
        kind: Kind | None = None,
        features: object = (),
        farm: str = "",
        family: str | None = None,
    ) -> tuple[Entry, ...]:
        return self.entries() if OFFER.model in (model or OFFER.model, family) else ()


class Buyer:
    """Buying, stepped; `effects` are those of the last step, `events` all there were."""

    def __init__(
        self, vendors: int = 2, budget: Budget = BUDGET, profile: Profile = PROFILES["default"]
    ) -> None:
        self.budget = budget
        self.vendors = [Vendor(number) for number in range(vendors)]
        self.by_peer = {vendor.key.peer: vendor for vendor in self.vendors}
        self.circuits = Circuits()
        self.history = History()
        self.standings: dict[PeerId, Standing] = {}
        self.shelf = Shelf(self.vendors)
        self.payer = PayerLedger(PAYER, CHANNELS)
        self.splits = SplitWatch()
        self.now = NOW
        numbers = count(2, 2)
        self.book = book = ProbeBook()
        next_stream = lambda: StreamId(next(numbers))  # noqa: E731
        self.probes = ProbeMachine(lambda: Load(0, 0, 0, 0, 0, 0), next_stream, book)
        self.farms = FarmMachine(
            FarmBook(NETWORK), self.find_members, next_stream, random.Random(4)
        )
        self.buying = Buying(
            NETWORK,
            REGISTRY,
            Choosing(
                self.shelf,
                Router(
                    random.Random(1),
                    self.circuits,
                    book,
                    self.history,
                    profile,
                    can_pay=partial(can_pay, self.payer),
                ),
                self.probes,
                random.Random(2),
                lambda peer, _: self.standings.get(peer, Standing.UNREGISTERED),
                self.farms,
            ),
            self.circuits,
            self.payer,
            budget,
            next_stream,
            self.splits,
        )
        self.effects: list[fx.Effect] = []
        self.events: list[fx.RunEvent] = []
        self.rows: list[Row] = []
        self.probing: list[StreamId] = []

    def find_members(self, farm: str) -> Members:
        return [(one.peer, one.advertisement.addresses) for one in self.shelf.entries()]

    def take(self, effects: list[fx.Effect]) -> list[fx.Effect]:
        self.effects = effects
        for effect in effects:
            if isinstance(effect, fx.Emit):
                self.events.append(effect.event)
            elif isinstance(effect, fx.Persist):
                self.rows += effect.rows
            elif isinstance(effect, fx.OpenStream) and effect.protocol == PROBE_PROTOCOL:
                self.probing.append(effect.stream)
        return effects

    def tell(self, happened: given.Input) -> list[fx.Effect]:
        return self.take(self.buying.step(happened, self.now))

    def on_stream(self, happened: given.Input, stream: StreamId) -> list[fx.Effect]:
        return self.take(self.buying.step_stream(stream, happened, self.now))

    def request(self, number: int = 1, *, probed: bool = True, **changes: Any) -> JobId:
        """Ask for a completion; nobody answers the probes."""
        job = JobId(number.to_bytes(16, "big"))
        wanted = RunRequested(
            job=job,
            request=REQUEST,
            max_cost=Wei(2_000),
            max_prompt_price=Wei(100),
            max_completion_price=Wei(100),
            max_window=Wei(1_000),
            only=(),
            denied=(),
            attempts=3,
            is_fast=True,
        )
        self.tell(msgspec.structs.replace(wanted, **changes))
        if probed:
            self.answer_probes()
        return job

    def answer_probes(self) -> None:
        if not self.probing:  # of one candidate nothing is asked
            return
        for stream in self.probing:
            self.probes.step(given.StreamFailed(stream, "closed"), self.now)
        self.probing.clear()
        self.take(self.buying.after_probes(self.now))

    def opened(self) -> fx.OpenStream:
        """The exchange stream that the last step asked for."""
        found = [e for e in self.effects if isinstance(e, fx.OpenStream)]
        assert [one.protocol for one in found] == [parameters.PROTOCOL]
        return found[0]

    def deposits(self) -> list[fx.OpenChannel | fx.TopUpChannel]:
        return [e for e in self.effects if isinstance(e, fx.OpenChannel | fx.TopUpChannel)]

    def vendor(self) -> Vendor:
        """The one whose channel or stream the last step asked for."""
        deposits = self.deposits()
        if not deposits:
            return self.by_peer[self.opened().peer]
        return next(one for one in self.vendors if one.account == deposits[0].payee)

    def make(self, deposit: int = 10_000, *, closes_at: int = 0) -> list[fx.Effect]:
        """Let the chain do the deposit that the last step asked for."""
        wanted = self.deposits()[0]
        state = build_state(wanted.payee, deposit, closes_at)
        vendor = next(one for one in self.vendors if one.account == wanted.payee)
        vendor.payee.note_channel(state)
        return self.tell(given.ChannelOpened(wanted.payee, state))

    def refuse(self, code: str, reason: str = "") -> None:
        """Let the provider of the last stream refuse the order."""
        stream = self.opened().stream
        self.on_stream(given.StreamReady(stream), stream)
        message = Refused(self.ordered(), code, reason, 0)  # type: ignore[arg-type]
        self.on_stream(given.FrameReceived(stream, codec.encode(message)), stream)

    def ordered(self) -> bytes:
        sent = next(e for e in self.effects if isinstance(e, fx.Send))
        message: RequesterMessage = codec.decode(RequesterMessage, sent.payload, limit=10**6)
        return bytes(message.job)

    def fail(self, code: str = "engine") -> None:
        """Let the provider of the last stream start, and fail after one chunk."""
        Sale(self).fail(code)

    def ended(self) -> fx.RunFailed:
        last = self.events[-1]
        assert isinstance(last, fx.RunFailed)
        assert self.buying.is_idle
        return last


class Sale:
    """The provider's end of the exchange that the last step opened."""

    def __init__(self, buyer: Buyer, tokens: int = 5) -> None:
        self.buyer, self.tokens = buyer, tokens
        opened = buyer.opened()
        self.stream = opened.stream
        vendor = buyer.by_peer[opened.peer]
        self.exchange = ProviderExchange(
            THEIR_STREAM, REQUESTER_KEY.peer, vendor.seller, vendor.payee, build_jobs()
        )
        self.exchange.start(buyer.now)
        self.to_provider(buyer.on_stream(given.StreamReady(self.stream), self.stream))

    @property
    def job(self) -> JobId:
        assert self.exchange.job is not None
        return self.exchange.job

    def to_provider(self, effects: list[fx.Effect]) -> None:
        for effect in effects:
            if isinstance(effect, fx.Send) and effect.stream == self.stream:
                self.step(given.FrameReceived(THEIR_STREAM, effect.payload))

    def step(self, happened: given.Input) -> None:
        for effect in self.exchange.step(happened, self.buyer.now):
            if isinstance(effect, fx.Send):
                frame = given.FrameReceived(self.stream, effect.payload)
                if self.buyer.buying.owns(self.stream):
                    self.to_provider(self.buyer.on_stream(frame, self.stream))
            elif isinstance(effect, fx.CountTokens):
                self.step(given.TokensCounted(effect.job, self.tokens))

    def begin(self) -> "Sale":
        self.step(given.EngineStarted(self.job, self.tokens))
        self.step(given.EngineProduced(self.job, "one ", 1))
        return self

    def finish(self) -> None:
        self.step(given.EngineFinished(self.job, Finish.STOP, self.tokens, 1))

    def fail(self, code: str = "engine") -> None:
        self.begin()
        message = codec.encode(Failed(self.job, code, "told to"))  # type: ignore[arg-type]
        self.buyer.on_stream(given.FrameReceived(self.stream, message), self.stream)


def build_state(payee: Address, deposit: int, closes_at: int = 0) -> ChannelState:
    """The payer's one channel to a payee."""
    terms = msgspec.structs.replace(TERMS, payee=payee)
    return pair.build_state(terms, deposit, closes_at=closes_at)


def opening(payee: Address, deposit: int, *, number: int = 0) -> fx.OpenChannel:
    """What a home without a seed asks for when it has had `number` channels to the payee."""
    salt = build_salt(envelope.digest(payee + number.to_bytes(8, "big")))
    return fx.OpenChannel(payee, Wei(deposit), salt)
