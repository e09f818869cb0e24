"""What we pay: our channels, their lanes, and the vouchers we sign."""

from collections.abc import Iterable
from dataclasses import dataclass, field

import msgspec

from p2p_modelex import limits
from p2p_modelex.errors import LocalProtocolError, PaymentError
from p2p_modelex.ids import Address, ChannelId, Digest, JobId, PeerId
from p2p_modelex.records import voucher
from p2p_modelex.records.channel import ChannelState, ChannelTerms
from p2p_modelex.records.eip712 import AccountSigner
from p2p_modelex.records.rows import ChannelRow, IssuedVoucherRow, JobRow, Row
from p2p_modelex.records.voucher import SignedVoucher, Voucher
from p2p_modelex.units import Epoch, Wei, format_ai, rescale

RUNNING, LOST, CONCEDED, FINISHED = "running", "lost", "conceded", "finished"


@dataclass(slots=True)
class _Lane:
    """amount: cumulative wei signed; owed: cumulative wei we agree to; both in `epoch`. held: the
    most the job that holds it may bring `amount` to, or None while it is free. refusals: orders in
    a row that the payee refused for a debt we know nothing of. conceded: rows of the doubts used
    up for what is in `owed`; they change with the voucher that pays it, and not before.
    """

    epoch: Epoch
    amount: int = 0
    owed: int = 0
    held: int | None = None
    refusals: int = 0
    conceded: dict[JobId, JobRow] = field(default_factory=dict)

    @property
    def most(self) -> int:
        return max(self.amount, self.owed, self.held or 0)

    def move(self, epoch: Epoch) -> None:
        self.amount = rescale(self.amount, self.epoch, epoch)
        self.owed = rescale(self.owed, self.epoch, epoch)
        self.epoch = epoch


@dataclass(slots=True)
class _Channel:
    """doubts: jobs that ended without agreement, and what more the payee may ask for each, in the
    epoch of its row.
    """

    state: ChannelState
    peer: PeerId | None
    lanes: dict[int, _Lane] = field(default_factory=dict)
    doubts: dict[JobId, tuple[JobRow, int]] = field(default_factory=dict)


class ReservedLane:
    """One job's hold on a lane, up to a ceiling: the `Purse` of an exchange (exchange.ports)."""

    def __init__(self, ledger: "PayerLedger", account: _Channel, number: int, ceiling: int) -> None:
        self._ledger = ledger
        self._account = account
        self._lane = account.lanes[number]
        self.base = Wei(self._lane.owed)
        self._most = self.base + ceiling
        self.channel = ChannelId(account.state.channel)
        self.terms = account.state.terms.of_payer
        self.lane = number
        self.epoch = self._lane.epoch

    def note_peer(self, peer: PeerId) -> tuple[Row, ...]:
        """The channel pays this peer: what a job owes can be found again after a crash."""
        if self._account.peer is not None:
            return ()
        self._account.peer = peer
        return (ChannelRow(self._account.state, is_payer=True, peer=peer),)

    def sign(self, paid: Wei) -> tuple[SignedVoucher, tuple[Row, ...]]:
        """Sign the voucher that brings what this job was paid to `paid`, in all (LED-10).

        What earlier jobs still owe is covered by it too, and credit they left is used up first.
        LocalProtocolError if that is more than the reserved ceiling.
        """
        amount = max(self.base + paid, self._lane.amount)
        if self.base + paid > self._most:
            raise LocalProtocolError(f"{format_ai(paid)} is more than was reserved for the job")
        promise = Voucher(self.channel, self.lane, Wei(amount), self.epoch)
        signed = self._ledger.sign(promise)
        self._lane.amount = amount
        rows: tuple[Row, ...] = (IssuedVoucherRow(signed), *self._lane.conceded.values())
        self._lane.conceded.clear()
        return signed, rows

    def note_debt(self, earned: Wei) -> None:
        """The payee wants `earned` on this lane: the next job here pays it if we are in doubt of
        that much (LED-11). If not, it may lack a voucher of another lane: that one comes next.
        """
        extra = earned - self._lane.owed
        _move_doubts(self._account.doubts, self.epoch)
        if not 0 < extra <= sum(doubt for _, doubt in self._account.doubts.values()):
            self._lane.refusals += 1
            return
        self._lane.owed = earned
        self._lane.conceded |= _use_up(self._account.doubts, extra)

    def close(self, owed: Wei, last: JobRow) -> None:
        """Free the lane. owed: wei the job cost by what we received; what the vouchers do not
        cover of it goes with the next job's first. last: the job's last row; if its state is
        `lost`, its `owed` is the most the payee may ask in good faith.
        """
        self._lane.held = None
        if last.state == FINISHED:
            self._lane.refusals = 0
        self._lane.owed = max(self._lane.owed, self.base + owed)
        if last.state == LOST and last.owed > owed:
            self._account.doubts[last.job] = (last, last.owed - owed)


class PayerLedger:
    """All channels we pay into. `signer` signs vouchers; `domain` is that of PaymentChannels."""

    def __init__(self, signer: AccountSigner, domain: Digest) -> None:
        self._signer = signer
        self._domain = domain
        self._channels: dict[ChannelId, _Channel] = {}

    def restore(self, rows: Iterable[Row]) -> None:
        """Take over ChannelRow, IssuedVoucherRow and our JobRows; other rows are skipped.

        A job that was running or lost leaves a doubt on the channel to its peer.
        """
        rows = tuple(rows)
        for row in rows:
            if isinstance(row, ChannelRow) and row.is_payer:
                self._channels[ChannelId(row.state.channel)] = _Channel(row.state, row.peer)
        for row in rows:
            if isinstance(row, IssuedVoucherRow):
                self._restore_voucher(row.signed.voucher)
            elif isinstance(row, JobRow) and not row.is_provider and row.state in (RUNNING, LOST):
                self._restore_doubt(row)

    def _restore_voucher(self, promise: Voucher) -> None:
        account = self._channels.get(ChannelId(promise.channel))
        if account is not None:
            lane = _Lane(Epoch(promise.epoch), promise.amount, promise.amount)
            account.lanes[promise.lane] = lane

    def _restore_doubt(self, row: JobRow) -> None:
        for account in self._channels.values():
            if account.peer == row.peer and row.owed > row.paid:
                account.doubts[row.job] = (row, row.owed - row.paid)

    def note_channel(self, state: ChannelState, peer: PeerId | None) -> tuple[Row, ...]:
        """Take over a channel as the chain has it; PaymentError if its signer is not our key."""
        if state.voucher_signer != self._signer.address:
            raise PaymentError("the channel's vouchers are signed by another key")
        account = self._channels.setdefault(ChannelId(state.channel), _Channel(state, peer))
        account.state = state
        account.peer = peer or account.peer
        return (ChannelRow(state, is_payer=True, peer=account.peer),)

    def get_channels(self, payee: Address | None = None) -> tuple[ChannelState, ...]:
        """Our open channels, all or those to one account; the one with the most left first."""
        found = [
            account
            for account in self._channels.values()
            if account.state.is_open and payee in (None, account.state.payee)
        ]
        latest = max((_find_epoch(account) for account in found), default=Epoch(0))
        found.sort(key=lambda account: -_compute_left(account, latest))
        return tuple(account.state for account in found)

    def get_terms(self, channel: ChannelId) -> ChannelTerms:
        """What names a channel of ours on chain."""
        return self._channels[channel].state.terms

    def get_epoch(self, channel: ChannelId) -> Epoch:
        """The split epoch of our newest voucher on a channel: none is written in an earlier one."""
        return _find_lanes_epoch(self._channels[channel])

    def get_left(self, channel: ChannelId, epoch: Epoch) -> Wei:
        """What is neither promised by a voucher, nor owed, nor reserved by a running job."""
        return Wei(max(0, _compute_left(self._channels[channel], epoch)))

    def get_deposits(self, epoch: Epoch) -> Wei:
        """What lies in all our open channels."""
        states = [account.state for account in self._channels.values() if account.state.is_open]
        left = [(state.deposit - state.claimed, state.epoch) for state in states]
        return Wei(sum(rescale(amount, written, epoch) for amount, written in left))

    def get_unspent(self, epoch: Epoch) -> Wei:
        """What no voucher has promised away of our open channels' deposits: what the payees can
        not take.
        """
        total = 0
        for account in self._channels.values():
            if account.state.is_open:
                state = account.state
                promised = sum(rescale(x.amount, x.epoch, epoch) for x in account.lanes.values())
                claimed = rescale(state.claimed, Epoch(state.epoch), epoch)
                deposit = rescale(state.deposit, Epoch(state.epoch), epoch)
                total += max(0, deposit - max(promised, claimed))
        return Wei(total)

    def reserve_lane(self, channel: ChannelId, ceiling: Wei, epoch: Epoch) -> ReservedLane:
        """Hold a free lane for a job of at most `ceiling` wei; PaymentError says why not."""
        account = self._channels.get(channel)
        if account is None or not account.state.is_open:
            raise PaymentError("no open channel", hint="open one, or wait for it to be mined")
        if epoch < _find_lanes_epoch(account):
            raise PaymentError(f"the price is of split epoch {epoch}, the channel's of a later one")
        left = _compute_left(account, epoch)
        if left < ceiling:
            raise PaymentError(
                f"the job may cost {format_ai(ceiling)}, the channel has {format_ai(left)} left",
                hint="lower --max-tokens, or top the channel up",
            )
        number = _choose_lane(account)
        lane = account.lanes.setdefault(number, _Lane(epoch))
        lane.move(epoch)
        _move_debts(account, lane)
        lane.held = lane.owed + ceiling
        return ReservedLane(self, account, number, ceiling)

    def sign(self, promise: Voucher) -> SignedVoucher:
        """Sign a voucher of ours."""
        return voucher.sign(promise, self._domain, self._signer)


def _find_lanes_epoch(account: _Channel) -> Epoch:
    """The latest epoch of the lanes, which is that of the vouchers."""
    return max((lane.epoch for lane in account.lanes.values()), default=Epoch(0))


def _find_epoch(account: _Channel) -> Epoch:
    """The latest epoch of the lanes, or of the channel as the chain has it."""
    return max(Epoch(account.state.epoch), _find_lanes_epoch(account))


def _compute_left(account: _Channel, epoch: Epoch) -> int:
    """What is left in wei of `epoch`, rounded down; nothing if that is past for our vouchers."""
    if epoch < _find_lanes_epoch(account):
        return 0
    latest = _find_epoch(account)
    deposit = rescale(account.state.deposit, account.state.epoch, latest)
    left = deposit - sum(rescale(x.most, x.epoch, latest) for x in account.lanes.values())
    return rescale(left, latest, epoch)


def _choose_lane(account: _Channel) -> int:
    """The free lane with the most debt, then the lowest free one: few lanes are cheap to redeem.

    One that was refused comes last: the order on another may bring a voucher that was lost.
    """
    free = [number for number, lane in account.lanes.items() if lane.held is None]
    if free:
        return min(free, key=lambda number: _rank_lane(account.lanes[number], number))
    if len(account.lanes) >= limits.LANES_MAX:
        raise PaymentError("every lane of the channel is in use", hint="wait for a job to end")
    return next(n for n in range(limits.LANES_MAX) if n not in account.lanes)


def _rank_lane(lane: _Lane, number: int) -> tuple[int, int, int]:
    return lane.refusals, lane.amount - lane.owed, number


def _move_doubts(doubts: dict[JobId, tuple[JobRow, int]], epoch: Epoch) -> None:
    """Write the doubts and their rows in this epoch."""
    for job, (row, doubt) in doubts.items():
        owed, paid, more = (
            Wei(rescale(amount, row.epoch, epoch)) for amount in (row.owed, row.paid, doubt)
        )
        doubts[job] = msgspec.structs.replace(row, owed=owed, paid=paid, epoch=epoch), more


def _use_up(doubts: dict[JobId, tuple[JobRow, int]], extra: int) -> dict[JobId, JobRow]:
    """Take `extra` wei out of the doubts, the oldest first; return the rows that say so.

    What is left of them stands: the payee may not have missed its other streams yet.
    """
    rows: dict[JobId, JobRow] = {}
    for job, (row, doubt) in list(doubts.items()):
        used = min(doubt, extra)
        extra -= used
        if used == doubt:
            del doubts[job]
            rows[job] = msgspec.structs.replace(row, state=CONCEDED)
        elif used:
            rows[job] = msgspec.structs.replace(row, state=LOST, owed=Wei(row.owed - used))
            doubts[job] = rows[job], doubt - used
    return rows


def _move_debts(account: _Channel, lane: _Lane) -> None:
    """Move the free lanes' debts to the lane whose next voucher will cover them (LED-7)."""
    for other in account.lanes.values():
        if other is not lane and other.held is None and other.owed > other.amount:
            lane.owed += rescale(other.owed - other.amount, other.epoch, lane.epoch)
            other.owed = other.amount
            lane.conceded |= other.conceded
            other.conceded = {}
