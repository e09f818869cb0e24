"""The chain as a model: the shipped ledger in memory behind blocks, delays, failures and outages.

The ledger keeps the contracts' semantics (tests/chain holds it to them); here it gets a time.
"""

import random
from collections.abc import Callable
from typing import Protocol

import msgspec

from p2p_modelex.chain.abc import REGISTRY_PAGE_MAX, Deployment
from p2p_modelex.chain.memory_ledger import MemoryLedger
from p2p_modelex.core import effects as fx
from p2p_modelex.core import inputs as inp
from p2p_modelex.errors import ChainError, PaymentError, SimulationError
from p2p_modelex.ids import Address, PublicKey
from p2p_modelex.records.channel import PAYER_SIGNS
from p2p_modelex.records.registry import RegistryEntry
from p2p_modelex.records.split import SplitState
from p2p_modelex.simulation.kernel import Kernel
from p2p_modelex.simulation.scenario.settings import Chain

CALLS_MAX = 1_000_000
"""Calls under way at once."""
DEPLOYMENT = Deployment(
    "simulation", 31337, Address(b"\x01" * 20), Address(b"\x02" * 20), Address(b"\x03" * 20)
)
NUMBER = -2
"""The chain's number in the trace."""
_READS = (fx.FetchChannel, fx.FetchSplit, fx.ReadRegistry, fx.ReadRatings)


class Rate(msgspec.Struct, frozen=True, gc=False):
    """An account rates a registered node, in hundredths of a per cent. It gets no answer."""

    peer: PublicKey
    operator: Address
    rating: int


ChainEffect = (
    fx.FetchChannel
    | fx.FetchSplit
    | fx.OpenChannel
    | fx.TopUpChannel
    | fx.Redeem
    | fx.PayOut
    | fx.ReadRegistry
    | fx.PutAnchor
    | fx.ReadRatings
    | Rate
)


class Caller(Protocol):
    """A node as the chain sees it."""

    @property
    def number(self) -> int: ...

    @property
    def account(self) -> Address: ...

    @property
    def is_over(self) -> bool:
        """Whether the process is gone; what it sent is mined all the same."""
        ...

    def receive(self, event: msgspec.Struct) -> None: ...


class Call(msgspec.Struct, frozen=True, gc=False):
    """A read reaches the endpoint, or a transaction is mined."""

    index: int
    caller: int
    effect: msgspec.Struct


class ChainModel:
    """What all nodes share; `check` is called after each transaction."""

    def __init__(
        self,
        settings: Chain,
        kernel: Kernel,
        rng: random.Random,
        clock: Callable[[], int],
        check: Callable[[MemoryLedger], None],
    ) -> None:
        """clock: unix seconds."""
        self.number = NUMBER
        self.ledger = MemoryLedger(
            DEPLOYMENT, now=clock, challenge_s=settings.challenge // 1_000_000
        )
        self.down_until = 0
        self.transactions = 0
        self._settings = settings
        self._kernel = kernel
        self._rng = rng
        self._check = check
        self._calls: dict[int, Caller] = {}
        self._last = 0
        self._followers: list[Caller] = []
        self._told = 0

    def fetch_split(self) -> SplitState:
        """The split epoch that a node begins in."""
        return self.ledger.split()

    def fetch_registration(self, caller: Caller, peer: bytes) -> RegistryEntry | None:
        """The entry that a node begins with."""
        return self.ledger.registry.get(peer, caller.account)  # type: ignore[arg-type]

    def call(self, caller: Caller, effect: ChainEffect, at: int) -> None:
        """Carry out a core's effect: its answer comes to `caller` as an input."""
        if len(self._calls) >= CALLS_MAX:
            raise SimulationError(f"over {CALLS_MAX} calls wait for the chain", hint="fewer nodes")
        index = self._last = self._last + 1
        self._calls[index] = caller
        when = at + self._settings.read
        if not isinstance(effect, _READS):
            block = self._settings.block
            when = (when // block + 1) * block
        self._kernel.at(when, self, Call(index, caller.number, effect))

    def receive(self, event: Call) -> None:
        """Mine a transaction, or answer a read."""
        caller = self._calls.pop(event.index)
        effect: ChainEffect = event.effect  # type: ignore[assignment]
        luck = self._rng.random()
        is_lost = self._kernel.now < self.down_until or luck < self._settings.fails
        answer = None if is_lost else self._perform(caller, effect)
        if answer is None or self._settings.fails <= luck < 2 * self._settings.fails:
            answer = _fail(effect)
        if answer is not None and not caller.is_over:
            self._kernel.at(self._kernel.now + self._settings.read, caller, answer)
        self._tell_followers()

    def _perform(self, caller: Caller, effect: ChainEffect) -> inp.Input | None:
        """Do it; None where the chain refuses, or has no answer to give."""
        match effect:
            case fx.FetchChannel(channel):
                return inp.ChannelFetched(channel, self.ledger.channel(channel))
            case fx.FetchSplit():
                return inp.SplitFetched(self.ledger.split())
            case fx.ReadRegistry():
                return self._read_registry(caller)
            case fx.ReadRatings(nodes, evaluators):
                get = self.ledger.registry.get_rating
                rated = ((peer, get(peer, operator, evaluators)) for peer, operator in nodes)
                return inp.RatingsRead(tuple(rated))
        try:
            answer = self._transact(caller.account, effect)
        except (ChainError, PaymentError):
            return None
        self.transactions += 1
        self._check(self.ledger)
        return answer

    def _transact(self, account: Address, effect: ChainEffect) -> inp.Input | None:
        match effect:
            case fx.OpenChannel(payee, deposit, salt):
                state = self.ledger.open_channel(account, payee, deposit, PAYER_SIGNS, salt)
                return inp.ChannelOpened(payee, state)
            case fx.TopUpChannel(payee, terms, amount):
                return inp.ChannelOpened(payee, self.ledger.top_up(account, terms, amount))
            case fx.Redeem(claims):
                return inp.Redeemed(claims, self.ledger.redeem(claims).credited)
            case fx.PutAnchor(peer, digest, sequence):
                self.ledger.registry.put(account, peer, digest, sequence, "")
                return inp.AnchorPut()
            case fx.PayOut(payee):
                self.ledger.pay_out(payee)
            case Rate(peer, operator, rating):
                self.ledger.registry.rate(account, peer, operator, rating)
        return None

    def _read_registry(self, caller: Caller) -> inp.Input:
        """Answer with the first page, send the others after it, and then what happens."""
        registry, block = self.ledger.registry, self.ledger.block
        page = registry.page(0, REGISTRY_PAGE_MAX, block)
        answer = inp.RegistryRead(page.entries, True, page.total <= REGISTRY_PAGE_MAX)
        when = self._kernel.now + self._settings.read
        for offset in range(REGISTRY_PAGE_MAX, page.total, REGISTRY_PAGE_MAX):
            more = registry.page(offset, REGISTRY_PAGE_MAX, block)
            is_last = offset + REGISTRY_PAGE_MAX >= page.total
            when += self._settings.read
            self._kernel.at(when, caller, inp.RegistryRead(more.entries, False, is_last))
        self._followers = [one for one in self._followers if one is not caller and not one.is_over]
        self._followers.append(caller)
        return answer

    def _tell_followers(self) -> None:
        news = self.ledger.registry.history.since(self._told)
        self._told += len(news)
        for event in news:
            for follower in self._followers:
                when = self._kernel.now + self._settings.read
                self._kernel.at(when, follower, inp.RegistryChanged(event))


def _fail(effect: ChainEffect) -> inp.Input | None:
    """Return how a core is told that it came to nothing."""
    match effect:
        case fx.FetchChannel(channel):
            return inp.ChannelFetched(channel, None)
        case fx.FetchSplit():
            return inp.SplitFetched(None)
        case fx.OpenChannel(payee) | fx.TopUpChannel(payee):
            return inp.ChannelOpenFailed(payee, "the chain is out of reach, or refuses")
        case fx.Redeem(claims):
            return inp.RedeemFailed(claims, "the chain is out of reach, or refuses")
        case fx.ReadRegistry():
            return inp.RegistryLost()
        case fx.PutAnchor():
            return inp.AnchorFailed()
    return None


def answer_without_chain(effect: ChainEffect) -> inp.Input | None:
    """Return what a node without a chain is told, as node/money.py has it; no registry answers."""
    is_silent = isinstance(effect, fx.ReadRegistry | fx.PutAnchor | fx.ReadRatings)
    return None if is_silent else _fail(effect)
