"""Transactions: what each effect does to the ledger, what it costs, and how a core is told."""

from dataclasses import dataclass
from typing import NamedTuple, Protocol

import msgspec

from p2p_modelex.chain.memory_ledger import MemoryLedger
from p2p_modelex.chain.memory_refusal import revert
from p2p_modelex.core import effects as fx
from p2p_modelex.core import inputs as inp
from p2p_modelex.ids import Address, PublicKey
from p2p_modelex.records.channel import PAYER_SIGNS, ChannelTerms


class StartClose(msgspec.Struct, frozen=True, gc=False):
    """A payer begins to close a channel; no core does, an operator does."""

    terms: ChannelTerms


class FinishClose(msgspec.Struct, frozen=True, gc=False):
    """And takes the rest when the challenge period is over."""

    terms: ChannelTerms


class Rate(msgspec.Struct, frozen=True, gc=False):
    """An account rates a registered node, in hundredths of a per cent. It gets no answer."""

    peer: PublicKey
    operator: Address
    rating: int


Deed = (
    fx.OpenChannel
    | fx.TopUpChannel
    | fx.Redeem
    | fx.PayOut
    | fx.PutAnchor
    | StartClose
    | FinishClose
    | Rate
)
"""What takes a transaction."""

GAS: dict[type, int] = {
    fx.OpenChannel: 70_889,
    fx.TopUpChannel: 51_799,
    fx.PayOut: 42_238,
    fx.PutAnchor: 35_558,
    StartClose: 36_498,
    FinishClose: 53_132,
    Rate: 85_418,
}
"""contracts/snapshots, which a test holds this to."""
GAS_REGISTER = 119_786
GAS_REDEEM, GAS_VOUCHER = 42_659, 16_380
"""A redeeming, and each voucher in it: a line through the snapshots of 1 and of 100."""
NAMES: dict[type, str] = {
    fx.OpenChannel: "open",
    fx.TopUpChannel: "top_up",
    fx.Redeem: "redeem",
    fx.PayOut: "pay_out",
    fx.PutAnchor: "anchor",
    StartClose: "start_close",
    FinishClose: "finish_close",
    Rate: "rate",
}


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


Deposit = fx.OpenChannel | fx.TopUpChannel


def get_signed(effect: msgspec.Struct) -> tuple[bytes, ...]:
    """Return what was signed for a deposit, if it is one."""
    return effect.signed if isinstance(effect, Deposit) else ()


@dataclass(slots=True, eq=False)
class Transaction:
    """One that waits or is in a block. cap: the most it offers for a gas, in wei. sent, bid, from
    (microseconds): when it was sent, when its cap was set, before which no block takes it.
    is_awaited: whether its sender waits for the receipt. paid: wei for the gas, once it was mined.
    """

    caller: Caller
    effect: Deed
    gas: int
    cap: int
    sent_us: int
    bid_us: int
    is_awaited: bool
    from_us: int = 0
    paid: int = 0

    @property
    def account(self) -> Address:
        """Whose nonce it has."""
        return self.caller.account

    def resume(self, caller: Caller, now_us: int, *, is_awaited: bool) -> None:
        """It was sent before, and its sender, or that one's next life, is back at it."""
        if not caller.is_over:
            self.caller, self.sent_us, self.is_awaited = caller, now_us, is_awaited


class Done(NamedTuple):
    """A transaction as a block took it: in which, whose, and whether it went through."""

    height: int
    account: Address
    effect: Deed
    is_done: bool


def compute_gas(ledger: MemoryLedger, account: Address, effect: Deed) -> int:
    """Return what a transaction uses, in gas."""
    if isinstance(effect, fx.Redeem):
        return GAS_REDEEM + GAS_VOUCHER * len(effect.claims)
    if isinstance(effect, fx.PutAnchor) and ledger.registry.get(effect.peer, account) is None:
        return GAS_REGISTER
    return GAS[type(effect)]


def find_done(ledger: MemoryLedger, account: Address, effect: Deed) -> inp.Input | None:
    """Return the answer where the chain has it already, as the real port looks first."""
    match effect:
        case fx.OpenChannel(payee, _, salt):
            terms = ChannelTerms(account, payee, PAYER_SIGNS, salt)
            state = ledger.channel(ledger.deployment.channel_id(terms))
            return None if state is None else inp.ChannelOpened(payee, state)
        case fx.TopUpChannel(payee, terms) if ledger.has_done(effect.signed):
            state = ledger.channel(ledger.deployment.channel_id(terms))
            assert state is not None
            return inp.ChannelOpened(payee, state)
        case fx.PutAnchor(peer, digest):
            entry = ledger.registry.get(peer, account)
            return inp.AnchorPut() if entry is not None and entry.digest == digest else None
    return None


def transact(ledger: MemoryLedger, account: Address, effect: Deed) -> inp.Input | None:
    """Do it; returns the core's answer, if it gets one. TransactionFailed, PaymentError."""
    match effect:
        case fx.OpenChannel(payee, deposit, salt):
            terms = ChannelTerms(account, payee, PAYER_SIGNS, salt)
            channel = ledger.deployment.channel_id(terms)
            if ledger.channel(channel) is not None:
                raise revert("ChannelExists", channel="0x" + channel.hex())
            state = ledger.open_channel(account, payee, deposit, PAYER_SIGNS, salt)
            return inp.ChannelOpened(payee, state)
        case fx.TopUpChannel(payee, terms, amount):
            state = ledger.top_up(account, terms, amount, effect.signed)
            return inp.ChannelOpened(payee, state)
        case fx.Redeem(claims):
            return inp.Redeemed(claims, ledger.redeem(claims).credited)
        case fx.PutAnchor(peer, digest, sequence):
            ledger.registry.put(account, peer, digest, sequence, "")
            return inp.AnchorPut()
        case fx.PayOut(payee):
            ledger.pay_out(payee)
        case StartClose(terms):
            ledger.start_close(account, terms)
        case FinishClose(terms):
            ledger.finish_close(terms)
        case Rate(peer, operator, rating):
            ledger.registry.rate(account, peer, operator, rating)
    return None


def fail(effect: msgspec.Struct, *, is_known: bool = False) -> inp.Input | None:
    """Return how a core is told that it came to nothing. is_known: it did; else a deposit for which
    something was signed may still be made.
    """
    why = "the chain is out of reach, or refuses"
    match effect:
        case fx.FetchChannel(channel):
            return inp.ChannelFetched(channel, None)
        case fx.FetchSplit():
            return inp.SplitFetched(None)
        case fx.OpenChannel(payee) | fx.TopUpChannel(payee):
            return inp.ChannelOpenFailed(payee, why, bool(effect.signed) and not is_known)
        case fx.Redeem(claims):
            return inp.RedeemFailed(claims, why)
        case fx.ReadRegistry():
            return inp.RegistryLost()
        case fx.PutAnchor():
            return inp.AnchorFailed()
    return None
