"""The state behind `memory.MemoryChain`: balances, channels and registrations as plain tables.

It keeps the contracts' semantics (contracts/src), real EIP-712 voucher signatures included, and
tests/chain holds both to the same behaviour. Each transaction is a block; there is no gas.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from eth_hash.backends.pysha3 import keccak256 as keccak
from msgspec.structs import replace

from p2p_modelex.chain.abc import (
    ChannelEvent,
    Deployment,
    Redemption,
)
from p2p_modelex.chain.memory_authorizations import MemoryAuthorizations
from p2p_modelex.chain.memory_history import History
from p2p_modelex.chain.memory_refusal import revert
from p2p_modelex.chain.memory_registry import MemoryRegistry
from p2p_modelex.chain.memory_token import MemoryToken, Scaled
from p2p_modelex.chain.redemption import find_payee
from p2p_modelex.errors import RemoteProtocolError
from p2p_modelex.ids import Address, ChannelId, Digest, format_address
from p2p_modelex.records import voucher as voucher_record
from p2p_modelex.records.authorization import AuthorizedTransfer
from p2p_modelex.records.channel import ChannelState, ChannelTerms, Claim
from p2p_modelex.records.eip712 import word
from p2p_modelex.records.split import SplitState
from p2p_modelex.records.voucher import SignedVoucher
from p2p_modelex.units import SPLITS_MAX, Epoch, Wei, rescale

HELD_MAX = 2**112 - 1
"""What a channel's slot holds once all splits to come have doubled it (Front.sol)."""

_Kind = Literal["opened", "topped_up", "claimed", "close_started", "closed"]


@dataclass(frozen=True, slots=True)
class Saved:
    """A ledger's state after a block. tables: copies, of values that never change."""

    block: int
    tables: tuple[Any, ...]
    told: int


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
        self._token = MemoryToken()
        self._channels: dict[ChannelId, ChannelState] = {}
        self._lanes: dict[tuple[ChannelId, int], Scaled] = {}
        # Claimed while a split paused the token: paid with the next redeeming.
        self._unpaid: dict[Address, Scaled] = {}
        self._closed: set[ChannelId] = set()
        self.registry = MemoryRegistry(self._mine_numbered)
        self.authorizations = MemoryAuthorizations(deployment)
        self._block = 0
        self._done: set[tuple[bytes, ...]] = set()  # top-ups, by what was signed for them
        self.history: History[ChannelEvent] = History()

    @property
    def supply(self) -> int:
        """All $AI there is, in accounts and in channels; only `mint` and splits change it."""
        return self._token.supply(self._block)

    def mint(self, to: Address, amount: Wei) -> None:
        """Make $AI from nothing, as a genesis allocation does."""
        self._token.mint(to, amount, self._block)

    def announce_split(self, *, notice: int, pause: int) -> None:
        """As the token's owner: split after `notice` blocks and `pause` blocks of pause."""
        self._token.announce_split(self._next, notice=notice, pause=pause)
        self._mine()

    def pass_blocks(self, count: int) -> None:
        """Let blocks without transactions pass."""
        self._block += count

    def split(self) -> SplitState:
        return self._token.split(self._block)

    def balance(self, account: Address) -> Wei:
        return Wei(self._token.balance(account, self._block))

    def channel(self, channel: ChannelId) -> ChannelState | None:
        return self._channels.get(channel)

    @property
    def block(self) -> int:
        """The newest block's number."""
        return self._block

    def get_channels(self) -> Sequence[ChannelState]:
        """Every channel that was opened, in that order."""
        return tuple(self._channels.values())

    def claimed(self, channel: ChannelId, lane: int) -> Wei:
        """What was claimed on a lane, wei in the token's epoch."""
        return Wei(self._token.read(self._lanes.get((channel, lane), (0, Epoch(0))), self._block))

    def unpaid(self, payee: Address) -> Wei:
        """What was claimed for a payee and not paid out yet."""
        return Wei(self._token.read(self._unpaid.get(payee, (0, Epoch(0))), self._block))

    def is_closed(self, channel: ChannelId) -> bool:
        """Whether what was left of a channel went back to its payer."""
        return channel in self._closed

    def save(self) -> Saved:
        """Return what `restore` goes back to: a copy of each table, none of what is in them."""
        tables = (
            dict(self._channels),
            dict(self._lanes),
            dict(self._unpaid),
            set(self._closed),
            self._token.save(),
            self.registry.save(),
            self.authorizations.save(),
            set(self._done),
        )
        return Saved(self._block, tables, self.history.length)

    def restore(self, saved: Saved) -> None:
        """Go back to an earlier state, as a reorg does; what happened since is told as undone."""
        channels, lanes, unpaid, closed, token, registry, authorizations, done = saved.tables
        self._channels, self._lanes = dict(channels), dict(lanes)
        self._unpaid, self._closed = dict(unpaid), set(closed)
        self._token.restore(token)
        self.registry.restore(registry)
        self.authorizations.restore(authorizations)
        self._done = set(done)
        self._block = saved.block
        self.history.undo_since(saved.told)

    def transfer(self, sender: Address, to: Address, amount: Wei) -> Digest:
        if not any(to):
            raise revert("ERC20InvalidReceiver", receiver=format_address(to))
        self._token.transfer(sender, to, amount, self._next)
        return self._mine()

    def transfer_authorized(self, transfer: AuthorizedTransfer, signature: bytes) -> Digest:
        written = self.authorizations.check(transfer, signature, self._epoch, self._now())
        amount = Wei(rescale(transfer.wei, written, self._epoch))
        transaction = self.transfer(transfer.payer, transfer.to, amount)
        self.authorizations.use(transfer)
        return transaction

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
        # The transfer comes first, as in transferAndCall: so do its refusals.
        self._token.validate_transfer(payer, deposit, self._next)
        if not any(payee) or payee in (self.deployment.channels, self.deployment.token):
            raise revert("InvalidPayee", payee=format_address(payee))
        self._validate_amount(deposit, 0)
        self._token.transfer(payer, self.deployment.channels, deposit, self._next)
        state = ChannelState(channel, payer, payee, signer, salt, deposit, Wei(0), self._epoch, 0)
        return self._commit(state, "opened")

    def has_done(self, signed: tuple[bytes, ...]) -> bool:
        """Whether the top-up was made for which this was signed."""
        return signed in self._done

    def top_up(
        self, sender: Address, terms: ChannelTerms, amount: Wei, signed: tuple[bytes, ...] = ()
    ) -> ChannelState:
        """signed: what was, if it is to be made once."""
        if self.has_done(signed):
            return self._channels[self.deployment.channel_id(terms)]
        self._token.validate_transfer(sender, amount, self._next)
        state = self._move(self._get_open(terms))
        first = self._lanes.get((ChannelId(state.channel), 0), (0, self._epoch))
        held = state.deposit - state.claimed + self._token.read(first, self._next)
        self._validate_amount(amount, held)
        self._token.transfer(sender, self.deployment.channels, amount, self._next)
        if signed:
            self._done.add(signed)
        return self._commit(replace(state, deposit=Wei(state.deposit + amount)), "topped_up")

    def redeem(self, batch: Sequence[Claim]) -> Redemption:
        """Claim and pay out; in a split's pause only claim, and pay out with the next call."""
        payee = find_payee(batch)
        credited = tuple(self._claim(claim) for claim in batch)
        if not self._token.is_paused(self._next):
            self._pay(payee)
        return Redemption(self._mine(), 0, credited)

    def pay_out(self, payee: Address) -> Wei:
        owed = self._pay(payee)
        if owed:
            self._mine()
        return owed

    def _pay(self, payee: Address) -> Wei:
        owed = self._token.read(self._unpaid.get(payee, (0, Epoch(0))), self._next)
        if owed:
            self._token.transfer(self.deployment.channels, payee, owed, self._next)
            del self._unpaid[payee]
        return Wei(owed)

    def start_close(self, sender: Address, terms: ChannelTerms) -> ChannelState:
        state = self._get_unclosed(terms)
        if sender != state.payer:
            caller = format_address(sender)
            raise revert("OnlyPayer", channel="0x" + state.channel.hex(), caller=caller)
        self._require_open(state)
        closes_at = self._now() + self._challenge_s
        return self._commit(replace(state, closes_at=closes_at), "close_started")

    def finish_close(self, terms: ChannelTerms) -> ChannelState:
        state = self._get_unclosed(terms)
        name = "0x" + state.channel.hex()
        if state.is_open:
            raise revert("NotClosing", channel=name)
        if self._now() < state.closes_at:
            raise revert("ChallengePeriodRunning", channel=name, closesAt=state.closes_at)
        return self._close(state)

    def close_as_payee(self, sender: Address, terms: ChannelTerms) -> ChannelState:
        state = self._get_unclosed(terms)
        if sender != state.payee:
            caller = format_address(sender)
            raise revert("OnlyPayee", channel="0x" + state.channel.hex(), caller=caller)
        # As the port has it: closed without a challenge period, since ever.
        return self._close(replace(state, closes_at=max(1, state.closes_at)))

    def _close(self, state: ChannelState) -> ChannelState:
        state = self._move(state)
        refund = state.deposit - state.claimed
        if refund:  # where nothing is left to transfer, no pause of the token matters
            self._token.transfer(self.deployment.channels, Address(state.payer), refund, self._next)
        self._closed.add(ChannelId(state.channel))
        return self._commit(replace(state, deposit=state.claimed), "closed")

    def _claim(self, claim: Claim) -> Wei:
        """Credit one voucher, 0 if it is bad in any way: the rest of its batch must not suffer."""
        signed, epoch = claim.signed, self._epoch
        voucher = signed.voucher
        state = self._channels.get(self.deployment.channel_id(claim.terms))
        if state is None or not self._is_valid(signed, state):
            return Wei(0)
        state = self._move(state)
        lane, payee = (ChannelId(state.channel), voucher.lane), Address(state.payee)
        claimed = self._token.read(self._lanes.get(lane, (0, epoch)), self._next)
        # What the deposit does not cover stays claimable after a top-up.
        wanted = rescale(voucher.amount, voucher.epoch, epoch) - claimed
        credit = Wei(max(0, min(wanted, state.deposit - state.claimed)))
        if credit:
            unpaid = self._token.read(self._unpaid.get(payee, (0, epoch)), self._next)
            self._lanes[lane] = claimed + credit, epoch
            self._unpaid[payee] = unpaid + credit, epoch
            self._record(replace(state, claimed=Wei(state.claimed + credit)), "claimed")
        return credit

    def _is_valid(self, signed: SignedVoucher, state: ChannelState) -> bool:
        if state.channel in self._closed or signed.voucher.epoch > self._epoch:
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
            raise revert("NoSuchChannel", channel="0x" + channel.hex())
        if channel in self._closed:
            raise revert("ChannelClosed", channel="0x" + channel.hex())
        return state

    def _move(self, state: ChannelState) -> ChannelState:
        """The channel with its amounts in the token's epoch, as touching it writes them."""
        epoch = self._epoch
        deposit, claimed = (
            Wei(rescale(amount, state.epoch, epoch)) for amount in (state.deposit, state.claimed)
        )
        return replace(state, deposit=deposit, claimed=claimed, epoch=epoch)

    def _get_open(self, terms: ChannelTerms) -> ChannelState:
        state = self._get_unclosed(terms)
        self._require_open(state)
        return state

    def _require_open(self, state: ChannelState) -> None:
        if not state.is_open:
            name = "0x" + state.channel.hex()
            raise revert("ChannelClosing", channel=name, closesAt=state.closes_at)

    def _validate_amount(self, amount: int, held: int) -> None:
        """Refuse what would not fit a channel that holds `held`, with what its lane 0 claimed."""
        limit = (HELD_MAX >> (SPLITS_MAX - self._epoch)) - held
        if not 0 < amount <= limit:
            raise revert("InvalidAmount", amount=amount, limit=limit)

    @property
    def _next(self) -> int:
        """The block that a transaction now goes into."""
        return self._block + 1

    @property
    def _epoch(self) -> Epoch:
        return self._token.split(self._next).epoch

    def _commit(self, state: ChannelState, kind: _Kind) -> ChannelState:
        self._record(state, kind)
        self._mine()
        return state

    def _record(self, state: ChannelState, kind: _Kind) -> None:
        """Keep what the transaction at hand did to a channel."""
        channel = ChannelId(state.channel)
        self._channels[channel] = state
        self.history.add(ChannelEvent(kind, channel, self._next, undone=False))

    def _mine_numbered(self) -> tuple[int, Digest]:
        transaction = self._mine()
        return self._block, transaction

    def _mine(self) -> Digest:
        self._block += 1
        return Digest(keccak(b"transaction" + word(self._block)))
