"""What we pay: our channels, their lanes, and the vouchers we sign."""

from collections.abc import Iterable
from dataclasses import dataclass, field

import msgspec

from p2p_modelex import limits
from p2p_modelex.core.ledger.seat import OWN_SEAT, Seat
from p2p_modelex.errors import LocalProtocolError, PaymentError
from p2p_modelex.ids import Address, ChannelId, Digest, JobId, PeerId
from p2p_modelex.records import voucher
from p2p_modelex.records.channel import ChannelState, ChannelTerms
from p2p_modelex.records.eip712 import AccountSigner
from p2p_modelex.records.rows import ChannelRow, IssuedVoucherRow, JobRow, MemberRow, Row
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
class _Part:
    """What one peer is paid on a channel. doubts: jobs that ended without agreement, and what more
    it may ask for each, in the epoch of its row. is_tight: it could not take all that the deposit
    had left, which other members were to lend it.
    """

    peer: PeerId | None = None
    lanes: dict[int, _Lane] = field(default_factory=dict)
    doubts: dict[JobId, tuple[JobRow, int]] = field(default_factory=dict)
    is_tight: bool = False


@dataclass(slots=True)
class _Channel:
    """parts: by the index of the payee's seats; they share the deposit."""

    state: ChannelState
    parts: dict[int, _Part] = field(default_factory=dict)

    def get_part(self, index: int) -> _Part:
        return self.parts.setdefault(index, _Part())

    @property
    def lanes(self) -> list[_Lane]:
        return [lane for part in self.parts.values() for lane in part.lanes.values()]


class ReservedLane:
    """One job's hold on a lane, up to a ceiling: the `Purse` of an exchange (exchange.ports)."""

    def __init__(
        self, ledger: "PayerLedger", account: _Channel, index: int, number: int, ceiling: int
    ) -> None:
        self._ledger = ledger
        self._account = account
        self._index = index
        self._part = account.parts[index]
        self._lane = self._part.lanes[number]
        self.base = Wei(self._lane.owed)
        self._most = self.base + ceiling
        self.channel = ChannelId(account.state.channel)
        self.terms = account.state.terms.of_payer
        self.lane = number
        self.epoch = self._lane.epoch

    def note_peer(self, peer: PeerId) -> tuple[Row, ...]:
        """The lanes pay this peer: what a job owes can be found again after a crash."""
        if self._part.peer is not None:
            return ()
        self._part.peer = peer
        if self._index:
            return (MemberRow(self.channel, self._index, peer),)
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
        doubts = self._part.doubts
        _move_doubts(doubts, self.epoch)
        if not 0 < extra <= sum(doubt for _, doubt in doubts.values()):
            self._lane.refusals += 1
            return
        self._lane.owed = earned
        self._lane.conceded |= _use_up(doubts, extra)

    def note_exhausted(self) -> None:
        """The payee has not enough of the deposit for this job. A farm's member is ordered no more
        of than its share then, until there is more (FRM-15).
        """
        self._part.is_tight = True

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
            self._part.doubts[last.job] = (last, last.owed - owed)


class PayerLedger:
    """All channels we pay into. `signer` signs vouchers; `domain` is that of PaymentChannels."""

    def __init__(self, signer: AccountSigner, domain: Digest) -> None:
        self._signer = signer
        self._domain = domain
        self._channels: dict[ChannelId, _Channel] = {}

    def restore(self, rows: Iterable[Row]) -> None:
        """Take over ChannelRow, MemberRow, IssuedVoucherRow and our JobRows; skip other rows.

        A job that was running or lost leaves a doubt at its peer.
        """
        rows = tuple(rows)
        for row in rows:
            if isinstance(row, ChannelRow) and row.is_payer:
                own = _Part(row.peer)
                self._channels[ChannelId(row.state.channel)] = _Channel(row.state, {0: own})
        for row in rows:
            if isinstance(row, MemberRow) and row.channel in self._channels:
                self._channels[row.channel].get_part(row.index).peer = row.peer
        for row in rows:
            if isinstance(row, IssuedVoucherRow):
                self._restore_voucher(row.signed.voucher)
        self._restore_doubts(rows)

    def _restore_voucher(self, promise: Voucher) -> None:
        account = self._channels.get(ChannelId(promise.channel))
        if account is not None:
            lane = _Lane(Epoch(promise.epoch), promise.amount, promise.amount)
            index = promise.lane // limits.LANES_MAX
            account.get_part(index).lanes[promise.lane] = lane

    def _restore_doubts(self, rows: Iterable[Row]) -> None:
        """A row does not say which channel its job was paid on: the parts of one peer, of its own
        and of its farms', have their doubts together, so that none is conceded twice.
        """
        doubts: dict[PeerId, dict[JobId, tuple[JobRow, int]]] = {}
        for row in rows:
            if not isinstance(row, JobRow) or row.is_provider or row.state not in (RUNNING, LOST):
                continue
            if row.owed > row.paid:
                doubts.setdefault(row.peer, {})[row.job] = (row, row.owed - row.paid)
        for account in self._channels.values():
            for part in account.parts.values():
                if part.peer in doubts:
                    part.doubts = doubts[part.peer]

    def note_channel(self, state: ChannelState, peer: PeerId | None) -> tuple[Row, ...]:
        """Take over a channel as the chain has it; PaymentError if its signer is not our key."""
        if state.voucher_signer != self._signer.address:
            raise PaymentError("the channel's vouchers are signed by another key")
        account = self._channels.setdefault(ChannelId(state.channel), _Channel(state))
        if state.deposit > account.state.deposit:
            for part in account.parts.values():
                part.is_tight = False
        account.state = state
        own = account.get_part(0)
        own.peer = peer or own.peer
        return (ChannelRow(state, is_payer=True, peer=own.peer),)

    def get_channels(
        self, payee: Address | None = None, seat: Seat = OWN_SEAT
    ) -> tuple[ChannelState, ...]:
        """Our open channels, all or those to one account; the one with the most left first."""
        found = [
            account
            for account in self._channels.values()
            if account.state.is_open and payee in (None, account.state.payee)
        ]
        latest = max((_find_epoch(account) for account in found), default=Epoch(0))
        found.sort(key=lambda account: -_compute_left(account, latest, seat))
        return tuple(account.state for account in found)

    def get_terms(self, channel: ChannelId) -> ChannelTerms:
        """What names a channel of ours on chain."""
        return self._channels[channel].state.terms

    def get_epoch(self, channel: ChannelId) -> Epoch:
        """The split epoch of our newest voucher on a channel: none is written in an earlier one."""
        return _find_lanes_epoch(self._channels[channel])

    def get_left(self, channel: ChannelId, epoch: Epoch, seat: Seat = OWN_SEAT) -> Wei:
        """What a seat may be paid that is neither promised by a voucher, nor owed, nor reserved by
        a running job.
        """
        return Wei(max(0, _compute_left(self._channels[channel], epoch, seat)))

    def get_lack(self, channel: ChannelId, epoch: Epoch, seat: Seat, ceiling: Wei) -> Wei:
        """What a channel must be topped up by so that a seat has `ceiling` left."""
        account = self._channels[channel]
        part = account.get_part(seat.index)
        latest = _find_epoch(account)
        wanted = rescale(ceiling, epoch, latest)
        whole = _sum_most(account.lanes, latest) + wanted
        share = _sum_most(part.lanes.values(), latest) + wanted
        needed = max(whole, seat.compute_deposit(share)) if part.is_tight else whole
        deposit = rescale(account.state.deposit, account.state.epoch, latest)
        # Rounded up: half a wei too little is too little.
        return Wei(max(0, -rescale(deposit - needed, latest, epoch)))

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
                promised = sum(rescale(x.amount, x.epoch, epoch) for x in account.lanes)
                claimed = rescale(state.claimed, Epoch(state.epoch), epoch)
                deposit = rescale(state.deposit, Epoch(state.epoch), epoch)
                total += max(0, deposit - max(promised, claimed))
        return Wei(total)

    def validate_holder(self, channel: ChannelId, seat: Seat, peer: PeerId) -> None:
        """Raise PaymentError FRM-16 if another member of a farm was paid on the seat's lanes."""
        known = self._channels[channel].get_part(seat.index).peer
        if seat.index and known not in (None, peer):
            raise PaymentError(f"FRM-16: index {seat.index} of this farm was another member's")

    def reserve_lane(
        self, channel: ChannelId, ceiling: Wei, epoch: Epoch, seat: Seat = OWN_SEAT
    ) -> ReservedLane:
        """Hold a free lane for a job of at most `ceiling` wei; PaymentError says why not."""
        account = self._channels.get(channel)
        if account is None or not account.state.is_open:
            raise PaymentError("no open channel", hint="open one, or wait for it to be mined")
        if epoch < _find_lanes_epoch(account):
            raise PaymentError(f"the price is of split epoch {epoch}, the channel's of a later one")
        left = _compute_left(account, epoch, seat)
        if left < ceiling:
            raise PaymentError(
                f"the job may cost {format_ai(ceiling)}, the channel has {format_ai(left)} left",
                hint="lower --max-tokens, or top the channel up",
            )
        part = account.get_part(seat.index)
        number = _choose_lane(part, seat)
        lane = part.lanes.setdefault(number, _Lane(epoch))
        lane.move(epoch)
        _move_debts(part, lane)
        lane.held = lane.owed + ceiling
        return ReservedLane(self, account, seat.index, number, ceiling)

    def sign(self, promise: Voucher) -> SignedVoucher:
        """Sign a voucher of ours."""
        return voucher.sign(promise, self._domain, self._signer)


def _find_lanes_epoch(account: _Channel) -> Epoch:
    """The latest epoch of the lanes, which is that of the vouchers."""
    return max((lane.epoch for lane in account.lanes), default=Epoch(0))


def _find_epoch(account: _Channel) -> Epoch:
    """The latest epoch of the lanes, or of the channel as the chain has it."""
    return max(Epoch(account.state.epoch), _find_lanes_epoch(account))


def _sum_most(lanes: Iterable[_Lane], epoch: Epoch) -> int:
    return sum(rescale(lane.most, lane.epoch, epoch) for lane in lanes)


def _compute_left(account: _Channel, epoch: Epoch, seat: Seat) -> int:
    """What is left for a seat in wei of `epoch`, rounded down; nothing if that is past for our
    vouchers. What is over its share other members lend it, as long as it can have that (FRM-15).
    """
    if epoch < _find_lanes_epoch(account):
        return 0
    latest = _find_epoch(account)
    deposit = rescale(account.state.deposit, account.state.epoch, latest)
    part = account.get_part(seat.index)
    left = deposit - _sum_most(account.lanes, latest)
    if part.is_tight:
        left = min(left, seat.compute_share(deposit) - _sum_most(part.lanes.values(), latest))
    return rescale(left, latest, epoch)


def _choose_lane(part: _Part, seat: Seat) -> int:
    """The free lane with the most debt, then the lowest free one: few lanes are cheap to redeem.

    One that was refused comes last: the order on another may bring a voucher that was lost.
    """
    free = [number for number, lane in part.lanes.items() if lane.held is None]
    if free:
        return min(free, key=lambda number: _rank_lane(part.lanes[number], number))
    if len(part.lanes) >= limits.LANES_MAX:
        raise PaymentError("every lane of the channel is in use", hint="wait for a job to end")
    numbers = range(seat.first_lane, seat.first_lane + limits.LANES_MAX)
    return next(number for number in numbers if number not in part.lanes)


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


def _move_debts(part: _Part, lane: _Lane) -> None:
    """Move the free lanes' debts to the lane whose next voucher will cover them (LED-7)."""
    for other in part.lanes.values():
        if other is not lane and other.held is None and other.owed > other.amount:
            lane.owed += rescale(other.owed - other.amount, other.epoch, lane.epoch)
            other.owed = other.amount
            lane.conceded |= other.conceded
            other.conceded = {}
