"""What we pay: our channels, their lanes, and the vouchers we sign."""

from collections.abc import Iterable, Sequence

from p2p_modelex import limits
from p2p_modelex.core.ledger.lanes import (
    LOST,
    RUNNING,
    Lane,
    PaidChannel,
    Part,
    choose_lane,
    compute_left,
    find_epoch,
    find_lanes_epoch,
    move_debts,
    sum_most,
)
from p2p_modelex.core.ledger.reserved import ReservedLane
from p2p_modelex.core.ledger.seat import OWN_SEAT, Seat
from p2p_modelex.errors import PaymentError
from p2p_modelex.ids import Address, ChannelId, Digest, JobId, PeerId
from p2p_modelex.records import voucher
from p2p_modelex.records.channel import ChannelState, ChannelTerms
from p2p_modelex.records.eip712 import AccountSigner
from p2p_modelex.records.rows import ChannelRow, IssuedVoucherRow, JobRow, MemberRow, Row
from p2p_modelex.records.voucher import SignedVoucher, Voucher
from p2p_modelex.units import Epoch, Wei, format_ai, rescale


class PayerLedger:
    """All channels we pay into. `signer` signs vouchers; `domain` is that of PaymentChannels."""

    def __init__(self, signer: AccountSigner, domain: Digest) -> None:
        self._signer = signer
        self._domain = domain
        self._channels: dict[ChannelId, PaidChannel] = {}
        self._by_payee: dict[Address, list[PaidChannel]] = {}

    def restore(self, rows: Iterable[Row]) -> None:
        """Take over ChannelRow, MemberRow, IssuedVoucherRow and our JobRows; skip other rows.

        A job that was running or lost leaves a doubt at its peer.
        """
        rows = tuple(rows)
        for row in rows:
            if isinstance(row, ChannelRow) and row.is_payer:
                self._add(PaidChannel(row.state, {0: Part(row.peer)}))
        for row in rows:
            if isinstance(row, MemberRow) and row.channel in self._channels:
                self._channels[row.channel].get_part(row.index).peer = row.peer
        for row in rows:
            if isinstance(row, IssuedVoucherRow):
                self._restore_voucher(row.signed.voucher)
        self._restore_doubts(rows)

    def _add(self, account: PaidChannel) -> PaidChannel:
        self._channels[ChannelId(account.state.channel)] = account
        self._by_payee.setdefault(Address(account.state.payee), []).append(account)
        return account

    def _restore_voucher(self, promise: Voucher) -> None:
        account = self._channels.get(ChannelId(promise.channel))
        if account is not None:
            lane = Lane(Epoch(promise.epoch), promise.amount, promise.amount)
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
        account = self._channels.get(ChannelId(state.channel)) or self._add(PaidChannel(state))
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
            for account in (self._channels.values() if payee is None else self._to(payee))
            if account.state.is_open
        ]
        latest = max((find_epoch(account) for account in found), default=Epoch(0))
        found.sort(key=lambda account: -compute_left(account, latest, seat))
        return tuple(account.state for account in found)

    def find_left(self, payee: Address, epoch: Epoch, seat: Seat = OWN_SEAT) -> Wei:
        """The most that a seat has left on one of our open channels to an account (get_left)."""
        channels = [account for account in self._to(payee) if account.state.is_open]
        return Wei(max((0, *(compute_left(account, epoch, seat) for account in channels))))

    def _to(self, payee: Address) -> Sequence[PaidChannel]:
        return self._by_payee.get(payee, ())

    def get_terms(self, channel: ChannelId) -> ChannelTerms:
        """What names a channel of ours on chain."""
        return self._channels[channel].state.terms

    def get_epoch(self, channel: ChannelId) -> Epoch:
        """The split epoch of our newest voucher on a channel: none is written in an earlier one."""
        return find_lanes_epoch(self._channels[channel])

    def get_left(self, channel: ChannelId, epoch: Epoch, seat: Seat = OWN_SEAT) -> Wei:
        """What a seat may be paid that is neither promised by a voucher, nor owed, nor reserved by
        a running job.
        """
        return Wei(max(0, compute_left(self._channels[channel], epoch, seat)))

    def get_lack(self, channel: ChannelId, epoch: Epoch, seat: Seat, ceiling: Wei) -> Wei:
        """What a channel must be topped up by so that a seat has `ceiling` left."""
        account = self._channels[channel]
        part = account.get_part(seat.index)
        latest = find_epoch(account)
        wanted = rescale(ceiling, epoch, latest)
        whole = sum_most(account.lanes, latest) + wanted
        share = sum_most(part.lanes.values(), latest) + wanted
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
        if epoch < find_lanes_epoch(account):
            raise PaymentError(f"the price is of split epoch {epoch}, the channel's of a later one")
        left = compute_left(account, epoch, seat)
        if left < ceiling:
            raise PaymentError(
                f"the job may cost {format_ai(ceiling)}, the channel has {format_ai(left)} left",
                hint="lower --max-tokens, or top the channel up",
            )
        part = account.get_part(seat.index)
        number = choose_lane(part, seat)
        lane = part.lanes.setdefault(number, Lane(epoch))
        lane.move(epoch)
        move_debts(part, lane)
        lane.held = lane.owed + ceiling
        return ReservedLane(self.sign, account, seat.index, number, ceiling)

    def sign(self, promise: Voucher) -> SignedVoucher:
        """Sign a voucher of ours."""
        return voucher.sign(promise, self._domain, self._signer)
