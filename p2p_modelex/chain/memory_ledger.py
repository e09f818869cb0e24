"""The state behind `memory.MemoryChain`: balances, channels and registrations as plain tables.

It keeps the contracts' semantics (contracts/src), real EIP-712 voucher signatures included, and
tests/chain holds both to the same behaviour. Each transaction is a block; there is no gas.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import trio
from eth_hash.backends.pysha3 import keccak256 as keccak
from msgspec.structs import replace

from p2p_modelex.chain.abc import (
    ChannelEvent,
    Deployment,
    Redemption,
    RegistryEntry,
)
from p2p_modelex.errors import (
    RemoteProtocolError,
    TransactionFailed,
)
from p2p_modelex.ids import Address, ChannelId, Digest, PublicKey, format_address
from p2p_modelex.records import voucher as voucher_record
from p2p_modelex.records.channel import ChannelState, ChannelTerms, Claim
from p2p_modelex.records.eip712 import word
from p2p_modelex.records.voucher import SignedVoucher
from p2p_modelex.units import Epoch, Wei

URI_BYTES = 256  # NodeRegistry's bound
EPOCH = Epoch(0)  # this version of the token cannot split
HELD_MAX = (2**112 - 1) >> 20  # PaymentChannels' bound before the first of 20 splits
_Kind = Literal["opened", "topped_up", "claimed", "close_started", "closed"]


@dataclass(frozen=True, slots=True)
class Happened:
    event: ChannelEvent
    parties: tuple[bytes, bytes]


class MemoryLedger:
    """What all accounts share. `unreachable = True` makes every port raise ChainUnreachable."""

    def __init__(self, deployment: Deployment, *, now: Callable[[], int], challenge_s: int) -> None:
        """now: unix seconds. challenge_s: how long a close waits for the payee's last vouchers."""
        self.deployment = deployment
        self.unreachable = False
        # As on a devnet, the start's time is all that tells two ledgers apart.
        self.genesis = Digest(keccak(b"genesis" + word(now())))
        self._now = now
        self._challenge_s = challenge_s
        self._balances: dict[Address, int] = {}
        self._channels: dict[ChannelId, ChannelState] = {}
        self._lanes: dict[tuple[ChannelId, int], int] = {}
        self._closed: set[ChannelId] = set()
        self._registrations: dict[tuple[PublicKey, Address], RegistryEntry] = {}
        self._block = 0
        self._happened: list[Happened] = []
        self._news = trio.Event()

    @property
    def supply(self) -> int:
        """All $AI there is, in accounts and in channels; only `mint` changes it."""
        held = sum(channel.deposit - channel.claimed for channel in self._channels.values())
        return sum(self._balances.values()) + held

    def mint(self, to: Address, amount: Wei) -> None:
        """Make $AI from nothing, as a genesis allocation does."""
        self._give(to, amount)

    def balance(self, account: Address) -> Wei:
        return Wei(self._balances.get(account, 0))

    def channel(self, channel: ChannelId) -> ChannelState | None:
        return self._channels.get(channel)

    def registration(self, peer: PublicKey, operator: Address) -> RegistryEntry | None:
        return self._registrations.get((peer, operator))

    def happened(self, since: int) -> Sequence[Happened]:
        """Return what happened, from the given position of the record on."""
        return self._happened[since:]

    async def wait_news(self) -> None:
        await self._news.wait()

    def transfer(self, sender: Address, to: Address, amount: Wei) -> Digest:
        if not any(to):
            raise _revert(f"ERC20InvalidReceiver(receiver={format_address(to)})")
        self._take(sender, amount)
        self._give(to, amount)
        return self._mine()

    def open_channel(
        self,
        payer: Address,
        payee: Address,
        deposit: Wei,
        signer: Address,
        salt: Digest | None = None,
    ) -> ChannelState:
        salt = salt or Digest(word(len(self._channels)))
        terms = ChannelTerms(payer, payee, signer, salt)
        channel = self.deployment.channel_id(terms)
        if channel in self._channels:
            return self._channels[channel]
        if not any(payee) or payee in (self.deployment.channels, self.deployment.token):
            raise _revert(f"InvalidPayee(payee={format_address(payee)})")
        _validate_amount(deposit, 0)
        self._take(payer, deposit)
        state = ChannelState(channel, payer, payee, signer, salt, deposit, Wei(0), EPOCH, 0)
        return self._commit(state, "opened")

    def top_up(self, sender: Address, terms: ChannelTerms, amount: Wei) -> ChannelState:
        state = self._get_open(terms)
        first = self._lanes.get((ChannelId(state.channel), 0), 0)
        _validate_amount(amount, state.deposit - state.claimed + first)
        self._take(sender, amount)
        return self._commit(replace(state, deposit=Wei(state.deposit + amount)), "topped_up")

    def redeem(self, batch: Sequence[Claim]) -> Redemption:
        credited = tuple(self._claim(claim) for claim in batch)
        return Redemption(self._mine(), 0, credited)

    def start_close(self, sender: Address, terms: ChannelTerms) -> ChannelState:
        state = self._get_open(terms)
        if sender != state.payer:
            name = f"channel=0x{state.channel.hex()}"
            raise _revert(f"OnlyPayer({name}, caller={format_address(sender)})")
        closes_at = self._now() + self._challenge_s
        return self._commit(replace(state, closes_at=closes_at), "close_started")

    def finish_close(self, terms: ChannelTerms) -> ChannelState:
        state = self._get_unclosed(terms)
        name = f"channel=0x{state.channel.hex()}"
        if state.is_open:
            raise _revert(f"NotClosing({name})")
        if self._now() < state.closes_at:
            raise _revert(f"ChallengePeriodRunning({name}, closesAt={state.closes_at})")
        self._closed.add(ChannelId(state.channel))
        self._give(Address(state.payer), Wei(state.deposit - state.claimed))
        return self._commit(replace(state, deposit=state.claimed), "closed")

    def register(
        self, operator: Address, peer: PublicKey, digest: Digest, sequence: int, uri: str
    ) -> Digest:
        known = self._registrations.get((peer, operator))
        if not any(peer):
            raise _revert("InvalidPeer()")
        if len(uri.encode()) > URI_BYTES:
            raise _revert(f"UriTooLong(length={len(uri.encode())}, limit={URI_BYTES})")
        if known is not None and sequence <= known.sequence:
            raise _revert(f"StaleSequence(sequence={sequence}, current={known.sequence})")
        self._registrations[peer, operator] = RegistryEntry(
            peer, operator, digest, sequence, uri, whitelisted=False
        )
        return self._mine()

    def _claim(self, claim: Claim) -> Wei:
        """Credit one voucher, 0 if it is bad in any way: the rest of its batch must not suffer."""
        signed = claim.signed
        state = self._channels.get(self.deployment.channel_id(claim.terms))
        if state is None or not self._is_valid(signed, state):
            return Wei(0)
        lane = (ChannelId(state.channel), signed.voucher.lane)
        claimed = self._lanes.get(lane, 0)
        # What the deposit does not cover stays claimable after a top-up.
        credit = Wei(max(0, min(signed.voucher.amount - claimed, state.deposit - state.claimed)))
        if credit:
            self._lanes[lane] = claimed + credit
            self._give(Address(state.payee), credit)
            self._commit(replace(state, claimed=Wei(state.claimed + credit)), "claimed")
        return credit

    def _is_valid(self, signed: SignedVoucher, state: ChannelState) -> bool:
        if state.channel in self._closed or signed.voucher.epoch != state.epoch:
            return False
        # The contract signs the id that the terms make, so a voucher of another channel is void.
        if signed.voucher.channel != state.channel:
            return False
        try:
            signer = voucher_record.recover_signer(signed, self.deployment.channels_domain)
        except RemoteProtocolError:
            return False
        return signer == state.voucher_signer

    def _get_unclosed(self, terms: ChannelTerms) -> ChannelState:
        channel = self.deployment.channel_id(terms)
        state = self._channels.get(channel)
        if state is None:
            raise _revert(f"NoSuchChannel(channel=0x{channel.hex()})")
        if channel in self._closed:
            raise _revert(f"ChannelClosed(channel=0x{channel.hex()})")
        return state

    def _get_open(self, terms: ChannelTerms) -> ChannelState:
        state = self._get_unclosed(terms)
        if not state.is_open:
            name = f"channel=0x{state.channel.hex()}"
            raise _revert(f"ChannelClosing({name}, closesAt={state.closes_at})")
        return state

    def _take(self, account: Address, amount: Wei) -> None:
        held = self._balances.get(account, 0)
        if held < amount:
            raise _revert(
                f"ERC20InsufficientBalance(sender={format_address(account)}, "
                f"balance={held}, needed={amount})"
            )
        self._balances[account] = held - amount

    def _give(self, account: Address, amount: int) -> None:
        self._balances[account] = self._balances.get(account, 0) + amount

    def _commit(self, state: ChannelState, kind: _Kind) -> ChannelState:
        channel = ChannelId(state.channel)
        self._channels[channel] = state
        self._mine()
        event = ChannelEvent(kind, channel, self._block, undone=False)
        self._happened.append(Happened(event, (state.payer, state.payee)))
        self._news.set()
        self._news = trio.Event()
        return state

    def _mine(self) -> Digest:
        self._block += 1
        return Digest(keccak(b"transaction" + word(self._block)))


def _validate_amount(amount: int, held: int) -> None:
    """Refuse what would not fit a channel that holds `held`, with what its lane 0 claimed."""
    limit = HELD_MAX - held
    if not 0 < amount <= limit:
        raise _revert(f"InvalidAmount(amount={amount}, limit={limit})")


def _revert(reason: str) -> TransactionFailed:
    return TransactionFailed(f"it would revert: {reason}")
