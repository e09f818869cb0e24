"""Lending of our lines: the `Books` of what members share (core.members.ports)."""

from collections.abc import Iterable, Sequence
from typing import Protocol

from p2p_modelex.core.ledger.accounts import ChannelAccount
from p2p_modelex.core.ledger.amount import Amount
from p2p_modelex.core.ledger.lines import Lines
from p2p_modelex.core.ledger.payee import PayeeLedger
from p2p_modelex.ids import Address, ChannelId, Digest, PeerId
from p2p_modelex.records.channel import ChannelTerms, compute_id
from p2p_modelex.records.farm import WHOLE
from p2p_modelex.records.rows import Row
from p2p_modelex.records.voucher import SignedVoucher
from p2p_modelex.units import Epoch, Wei, rescale

RECENT_MAX = 256
"""Channels remembered for having been used: many more than members tell each other of."""

_EVERY_LANE = -1
_NOTHING = Amount(Wei(0), Epoch(0))


class Wanted(Protocol):
    """A job that wants a lane: `core.exchange.sale.Stake`."""

    @property
    def signed(self) -> SignedVoucher: ...
    @property
    def ceiling(self) -> Wei: ...
    @property
    def epoch(self) -> Epoch: ...


class Lending:
    """What our line on a channel has to spare, and who gets it. domain: that of PaymentChannels."""

    def __init__(self, ledger: PayeeLedger, lines: Lines, domain: Digest) -> None:
        self._ledger = ledger
        self._lines = lines
        self._domain = domain
        # The latest last.
        self._recent: dict[ChannelId, None] = {}

    def get_id(self, terms: ChannelTerms) -> ChannelId:
        """The channel that these terms name."""
        return compute_id(terms, self._domain)

    def is_known(self, channel: ChannelId) -> bool:
        """Whether we have it as the chain has it."""
        return self._ledger.get_account(channel) is not None

    def get_part(self, channel: ChannelId, weight: int) -> Amount:
        """What so many basis points of a deposit are; nothing of a channel that is not known."""
        account = self._ledger.get_account(channel)
        if account is None:
            return _NOTHING
        return Amount(Wei(account.state.deposit * weight // WHOLE), Epoch(account.state.epoch))

    def note_used(self, channel: ChannelId) -> None:
        """Something happened there: others are told of it first."""
        self._recent.pop(channel, None)
        self._recent[channel] = None
        if len(self._recent) > RECENT_MAX:
            del self._recent[next(iter(self._recent))]

    def get_spares(self, payee: Address, limit: int) -> Sequence[tuple[ChannelId, Amount]]:
        """What we can do without on the channels to a payee that were used last."""
        found: list[tuple[ChannelId, Amount]] = []
        for channel in reversed(self._recent):
            account = self._ledger.get_account(channel)
            if account is not None and account.state.payee == payee and len(found) < limit:
                found.append((channel, self._compute_spare(account)))
        return found

    def compute_lack(self, channel: ChannelId, jobs: Iterable[Wanted]) -> Amount:
        """Return what our line is too short by for all of these jobs to begin (MEM-5). Those whose
        vouchers are not signed by the payer do not count: anybody can name a channel (MEM-6).
        """
        account = self._ledger.get_account(channel)
        jobs = tuple(job for job in jobs if self._ledger.is_signed(job.signed))
        if account is None or not jobs:
            return _NOTHING
        epoch = max(account.epoch, Epoch(account.state.epoch), *(job.epoch for job in jobs))
        needed = account.compute_most(_EVERY_LANE, epoch, self._ledger.jobs)
        for job in jobs:
            promise = job.signed.voucher
            amount = rescale(promise.amount, promise.epoch, epoch)
            ceiling = rescale(job.ceiling, job.epoch, epoch)
            most = max(amount, account.compute_due(promise.lane, epoch) + ceiling)
            needed += max(0, most - self._compute_most_of(account, promise.lane, epoch))
        # Vouchers may say more than all members together could take, and than an amount can be.
        needed = min(needed, rescale(account.state.deposit, account.state.epoch, epoch))
        line = self._ledger.get_line(account).rescale(epoch)
        return Amount(Wei(max(0, needed - line.wei)), epoch)

    def _compute_most_of(self, account: ChannelAccount, lane: int, epoch: Epoch) -> int:
        every, others = (
            account.compute_most(but, epoch, self._ledger.jobs) for but in (_EVERY_LANE, lane)
        )
        return every - others

    def _compute_spare(self, account: ChannelAccount) -> Amount:
        """What is left of our line if every job costs its ceiling (MEM-7)."""
        epoch = max(account.epoch, Epoch(account.state.epoch))
        line = self._ledger.get_line(account).rescale(epoch)
        most = account.compute_most(_EVERY_LANE, epoch, self._ledger.jobs)
        return Amount(Wei(max(0, line.wei - most)), epoch)

    def get_taken(self, channel: ChannelId, peer: PeerId) -> Amount:
        """What a member ever gave us, as far as we know."""
        return self._lines.get_taken(channel, peer)

    def lend(
        self, channel: ChannelId, peer: PeerId, have: Amount, want: Amount
    ) -> tuple[Amount, tuple[Row, ...]]:
        """Give a member more of our line; returns all it was ever given, and rows to persist."""
        self.note_used(channel)
        account = self._ledger.get_account(channel)
        spare = _NOTHING if account is None else self._compute_spare(account)
        return self._lines.lend(channel, peer, have, want, spare)

    def take(self, channel: ChannelId, peer: PeerId, given: Amount) -> tuple[Row, ...]:
        """Take over what a member gave us in all; returns rows to persist."""
        self.note_used(channel)
        return self._lines.take(channel, peer, given)
