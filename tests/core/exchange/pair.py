"""A requester and a provider joined in memory, with an engine, a chain and disks that are lists."""

import hashlib
from collections import deque
from dataclasses import dataclass, field, replace
from typing import Any

import coincurve
import msgspec
from nacl.signing import SigningKey

from p2p_modelex.core import effects as fx
from p2p_modelex.core import inputs as given
from p2p_modelex.core.exchange.parameters import OPEN_JOBS_MAX
from p2p_modelex.core.exchange.provider import ProviderExchange
from p2p_modelex.core.exchange.requester import RequesterExchange
from p2p_modelex.core.exchange.terms import OpenJobs, Purchase, Seller, Ware
from p2p_modelex.core.ledger.payee import PayeeLedger
from p2p_modelex.core.ledger.payer import PayerLedger
from p2p_modelex.core.ledger.reserved import ReservedLane
from p2p_modelex.ids import (
    Address,
    ChannelId,
    Digest,
    JobId,
    NetworkId,
    PeerId,
    PublicKey,
    peer_id_of,
)
from p2p_modelex.records import eip712, ownership
from p2p_modelex.records.advertisement import Offer
from p2p_modelex.records.channel import PAYER_SIGNS, ChannelState, ChannelTerms, compute_id
from p2p_modelex.records.job import Message, Request
from p2p_modelex.records.logprobs import TokenLogprob
from p2p_modelex.records.ownership import Ownership
from p2p_modelex.records.receipt import Finish
from p2p_modelex.records.rows import Row
from p2p_modelex.records.voucher import Voucher
from p2p_modelex.units import Epoch, UnixMs, Wei

NOW = UnixMs(1_800_000_000_000)
NETWORK = NetworkId(b"n" * 32)
REGISTRY = eip712.compute_domain(31337, Address(b"r" * 20))
CHANNELS = eip712.compute_domain(31337, Address(b"c" * 20))
WEIGHTS = Digest(b"w" * 32)
ENGINE = Digest(b"e" * 32)
WAIT_MS = 777
R_STREAM, P_STREAM = fx.StreamId(2), fx.StreamId(3)


class Account:
    """An EVM key from a name."""

    def __init__(self, name: str) -> None:
        self._key = coincurve.PrivateKey(hashlib.sha256(name.encode()).digest())

    @property
    def address(self) -> Address:
        return eip712.address_of(self._key.public_key)

    def sign_digest(self, digest: Digest) -> bytes:
        signature = self._key.sign_recoverable(digest, hasher=None)
        return signature[:64] + bytes([signature[64] + 27])


class PeerKey:
    """An Ed25519 key from a name."""

    def __init__(self, name: str) -> None:
        self._key = SigningKey(hashlib.sha256(name.encode()).digest())

    @property
    def public_key(self) -> PublicKey:
        return PublicKey(bytes(self._key.verify_key))

    @property
    def peer(self) -> PeerId:
        return peer_id_of(self.public_key)

    def sign(self, message: bytes) -> bytes:
        return self._key.sign(message).signature


PAYER, OPERATOR, DELEGATE, STRANGER = (Account(n) for n in ("payer", "op", "delegate", "stranger"))
TERMS = ChannelTerms(PAYER.address, OPERATOR.address, PAYER_SIGNS, b"C" * 32)
CHANNEL = compute_id(TERMS, CHANNELS)
PROVIDER_KEY, REQUESTER_KEY, OTHER_KEY = (PeerKey(n) for n in ("provider", "requester", "other"))

OFFER = Offer(
    model="tiny",
    weights=WEIGHTS,
    kinds=("completion", "chat"),
    context_length=4096,
    max_tokens=1024,
    features=(),
    prompt_price=Wei(2),
    completion_price=Wei(10),
    epoch=0,
    credit_tokens=8,
    deferred_discount=0,
)
REQUEST = Request(
    model="tiny",
    weights=bytes(32),
    kind="completion",
    text="Once upon a time",
    messages=(),
    max_tokens=64,
    temperature=0.0,
    top_p=1.0,
    top_k=0,
    seed=0,
    stop=(),
    grammar="",
    logprobs=0,
    tools="",
)
CHAT = Request(
    **{
        **{name: getattr(REQUEST, name) for name in REQUEST.__struct_fields__},
        "kind": "chat",
        "text": "",
        "messages": (Message("user", "Hello"),),
    }
)
OWNERSHIP = ownership.sign(
    Ownership(PROVIDER_KEY.public_key, OPERATOR.address, DELEGATE.address, NOW * 2),
    REGISTRY,
    OPERATOR,
)


def build_state(terms: ChannelTerms, deposit: int = 10_000, **changes: Any) -> ChannelState:
    """A channel with these terms on which nothing was claimed."""
    state = ChannelState(
        channel=compute_id(terms, CHANNELS),
        payer=terms.payer,
        payee=terms.payee,
        signer=terms.signer,
        salt=terms.salt,
        deposit=Wei(deposit),
        claimed=Wei(0),
        epoch=0,
        closes_at=0,
    )
    return msgspec.structs.replace(state, **changes)


STATE = build_state(TERMS)


def cover_due(payee: PayeeLedger, promise: Voucher) -> Wei:
    """The base of a first voucher that covers what is due, and pays the rest ahead."""
    account = payee._channels.get(ChannelId(promise.channel))
    epoch = Epoch(promise.epoch)
    if account is None or epoch < account.epoch:
        return Wei(0)
    return Wei(min(promise.amount, account.compute_due(promise.lane, epoch)))


def build_seller(offer: Offer = OFFER) -> Seller:
    return Seller(PROVIDER_KEY, DELEGATE, OWNERSHIP, NETWORK, REGISTRY, (Ware(offer, ENGINE),))


def build_jobs(limit: int = OPEN_JOBS_MAX) -> OpenJobs:
    """A provider that expects room in WAIT_MS."""
    return OpenJobs(lambda: WAIT_MS, limit)


def build_job(number: int = 1) -> JobId:
    return JobId(number.to_bytes(16, "big"))


def build_purchase(number: int = 1, **changes: object) -> Purchase:
    purchase = Purchase(
        job=build_job(number),
        request=REQUEST,
        offer=OFFER,
        ownership=OWNERSHIP,
        max_cost=Wei(2_000),
        max_window=Wei(2_000),
        network=NETWORK,
        registry_domain=REGISTRY,
    )
    return replace(purchase, **changes)  # type: ignore[arg-type]


def build_payer(state: ChannelState = STATE) -> PayerLedger:
    payer = PayerLedger(PAYER, CHANNELS)
    payer.note_channel(state, PROVIDER_KEY.peer)
    return payer


def build_payee(state: ChannelState | None = STATE) -> PayeeLedger:
    payee = PayeeLedger(OPERATOR.address, CHANNELS)
    if state is not None:
        payee.note_channel(state)
    return payee


@dataclass
class Side:
    """What the driver of one end saw: rows kept, events told, timers set."""

    rows: list[Row] = field(default_factory=list)
    events: list[fx.RunEvent] = field(default_factory=list)
    penalties: list[fx.Penalize] = field(default_factory=list)
    timers: dict[fx.TimerId, UnixMs] = field(default_factory=dict)
    asked: list[fx.Effect] = field(default_factory=list)
    """CountTokens, Generate, StopGenerating, FetchChannel, in order."""
    inbox: deque[bytes | bool] = field(default_factory=deque)
    """Frames on the way to this end; then True for a close in good order, False for a reset."""


class Pair:
    """One job's stream. `pump` carries frames until nothing moves."""

    def __init__(
        self,
        purchase: Purchase | None = None,
        *,
        payer: PayerLedger | None = None,
        payee: PayeeLedger | None = None,
        seller: Seller | None = None,
        jobs: OpenJobs | None = None,
        prompt_tokens: int = 5,
        lane: ReservedLane | None = None,
    ) -> None:
        self.purchase = purchase or build_purchase()
        self.payer = payer or build_payer()
        self.payee = payee or build_payee()
        self.prompt_tokens = prompt_tokens
        self.now = NOW
        epoch = Epoch(self.purchase.offer.epoch)
        self.lane = lane or self.payer.reserve_lane(CHANNEL, self.purchase.max_cost, epoch)
        self.requester = RequesterExchange(R_STREAM, PROVIDER_KEY.peer, self.purchase, self.lane)
        self.provider = ProviderExchange(
            P_STREAM, REQUESTER_KEY.peer, seller or build_seller(), self.payee, jobs or build_jobs()
        )
        self.r, self.p = Side(), Side()

    def start(self) -> None:
        self.carry(self.p, self.r, self.provider.start(self.now))
        self.carry(self.r, self.p, self.requester.start(self.now))

    def carry(self, side: Side, other: Side, effects: list[fx.Effect]) -> None:
        for effect in effects:
            match effect:
                case fx.Persist(rows):
                    side.rows += rows
                case fx.Send(_, payload):
                    other.inbox.append(payload)
                case fx.CloseStream():
                    other.inbox.append(True)
                case fx.ResetStream():
                    other.inbox.append(False)
                case fx.SetTimer(timer, at):
                    side.timers[timer] = at
                case fx.CancelTimer(timer):
                    side.timers.pop(timer, None)
                case fx.Emit(event):
                    side.events.append(event)
                case fx.Penalize():
                    side.penalties.append(effect)
                case _:
                    side.asked.append(effect)

    def to_provider(self, happened: given.Input) -> list[fx.Effect]:
        effects = self.provider.step(happened, self.now)
        self.carry(self.p, self.r, effects)
        return effects

    def to_requester(self, happened: given.Input) -> list[fx.Effect]:
        effects = self.requester.step(happened, self.now)
        self.carry(self.r, self.p, effects)
        return effects

    def move(self, *, to_provider: bool) -> bool:
        """Deliver one frame or ending; False if none is on the way."""
        inbox = self.p.inbox if to_provider else self.r.inbox
        if not inbox:
            return False
        stream = P_STREAM if to_provider else R_STREAM
        first = inbox.popleft()
        happened: given.Input = (
            given.StreamEnded(stream, first, "")
            if isinstance(first, bool)
            else given.FrameReceived(stream, first)
        )
        (self.to_provider if to_provider else self.to_requester)(happened)
        return True

    def pump(self) -> None:
        while self.move(to_provider=True) or self.move(to_provider=False) or self._count():
            pass

    def _count(self) -> bool:
        """Answer what the provider asked of its engine and chain, except to generate."""
        for asked in list(self.p.asked):
            if isinstance(asked, fx.CountTokens):
                self.p.asked.remove(asked)
                self.to_provider(given.TokensCounted(asked.job, self.prompt_tokens))
                return True
        return False

    @property
    def has_generate(self) -> bool:
        return any(isinstance(asked, fx.Generate) for asked in self.p.asked)

    def begin(self) -> None:
        """Run until the engine has admitted the job."""
        self.start()
        self.pump()
        assert self.has_generate
        self.to_provider(given.EngineStarted(self.purchase.job, self.prompt_tokens))
        self.pump()

    def produce(self, text: str, tokens: int = 1, *told: TokenLogprob) -> None:
        self.to_provider(given.EngineProduced(self.purchase.job, text, tokens, told))

    def finish(self, tokens: int, finish: Finish = Finish.STOP) -> None:
        job = self.purchase.job
        self.to_provider(given.EngineFinished(job, finish, self.prompt_tokens, tokens))

    def fire(self, side: Side, name: str) -> None:
        """Let a timer's time come."""
        timer = next(timer for timer in side.timers if timer.endswith("/" + name))
        self.now = UnixMs(max(self.now, side.timers.pop(timer)))
        step = self.to_provider if side is self.p else self.to_requester
        step(given.TimerFired(timer))

    def elapse(self, side: Side, name: str) -> None:
        """Let a timer fire until it is not set again (a deadline that moved sets itself again)."""
        while any(timer.endswith("/" + name) for timer in side.timers):
            self.fire(side, name)
