"""What we are paid: channels to us, the vouchers we hold, debts, and when to redeem."""

from collections.abc import Callable, Iterable, Mapping

from p2p_modelex.core.ledger import rules
from p2p_modelex.core.ledger.accounts import ChannelAccount, JobAccount
from p2p_modelex.core.ledger.amount import Amount
from p2p_modelex.core.ledger.seat import OWN_SEAT, Seat, get_share
from p2p_modelex.core.ledger.settlement import Settlement, SettlementPolicy
from p2p_modelex.errors import JobRefused
from p2p_modelex.ids import Address, ChannelId, Digest, JobId
from p2p_modelex.records.channel import (
    ChannelState,
    ChannelTerms,
    Claim,
    PayerTerms,
    compute_id,
)
from p2p_modelex.records.rows import ChannelRow, ReceivedVoucherRow, RedeemedRow, Row
from p2p_modelex.records.voucher import SignedVoucher, Voucher
from p2p_modelex.units import Epoch, UnixMs, Wei, rescale

CHANNELS_MAX = 10_000
"""Each channel cost its payer a transaction; at about 1 KiB they take 10 MiB."""


class PayeeLedger:
    """All channels that pay us: our own account `payee`, or a farm's where we have a seat. The
    `Till` of every provider exchange (see exchange.ports).

    domain: the EIP-712 domain of PaymentChannels. get_line: the part of a channel's deposit that
    counts for our seat, wei in the channel's epoch (LED-6). Rows that a method returns are to be
    persisted before anything is sent that relies on them.
    """

    def __init__(
        self,
        payee: Address,
        domain: Digest,
        policy: SettlementPolicy | None = None,
        get_line: Callable[[ChannelState, Seat], int] = get_share,
    ) -> None:
        self._domain = domain
        self._get_line = get_line
        self._own = payee
        # Those that ended too: what they hold is ours to redeem.
        self._seats = {payee: OWN_SEAT}
        self._taken: dict[Address, None] = {payee: None}
        self._settlement = Settlement(policy or SettlementPolicy())
        self._channels: dict[ChannelId, ChannelAccount] = {}
        self._jobs: dict[JobId, JobAccount] = {}

    @property
    def payees(self) -> tuple[Address, ...]:
        """The accounts that channels here pay, our own first."""
        return tuple(self._seats)

    def take_seats(self, seats: Mapping[Address, Seat]) -> None:
        """Sit at these payees, of farms, from now on and at no others: the seats left take no new
        jobs, and what they hold can be redeemed still.
        """
        self._taken = {self._own: None, **dict.fromkeys(seats)}
        self._seats |= seats
        for account in self._channels.values():
            account.seat = self._seats[Address(account.state.payee)]

    def restore(self, rows: Iterable[Row]) -> None:
        """Take over ChannelRow, ReceivedVoucherRow and RedeemedRow; other rows are skipped.

        The rows may come in any order, after the seats were taken; those of channels that do not
        pay us are skipped too.
        """
        rows = tuple(rows)
        for row in rows:
            if isinstance(row, ChannelRow) and not row.is_payer:
                self.note_channel(row.state)
        for row in rows:
            if isinstance(row, ReceivedVoucherRow):
                self._restore_voucher(row)
            elif isinstance(row, RedeemedRow):
                self._restore_redeemed(row)

    def _restore_redeemed(self, row: RedeemedRow) -> None:
        account = self._channels.get(row.channel)
        if account is not None:
            account.get_lane(row.lane).redeemed = row.amount

    def _restore_voucher(self, row: ReceivedVoucherRow) -> None:
        promise = row.signed.voucher
        account = self._channels.get(ChannelId(promise.channel))
        if account is not None:
            lane = account.get_lane(promise.lane)
            lane.signed, lane.amount, lane.earned = row.signed, promise.amount, row.earned
            lane.epoch = Epoch(promise.epoch)

    def note_channel(self, state: ChannelState) -> tuple[Row, ...]:
        """Take over a channel as the chain has it (also when it is topped up or begins to close).

        Nothing happens, and no rows come, if it does not pay us or there are too many that did:
        one that never brought a voucher makes room, and is read from the chain again if it does.
        """
        channel = ChannelId(state.channel)
        seat = self._seats.get(Address(state.payee))
        if seat is None:
            return ()
        account = self._channels.get(channel)
        if account is not None:
            account.state = state
        elif self._make_room():
            self._channels[channel] = ChannelAccount(state, seat)
        else:
            return ()
        return (ChannelRow(state, is_payer=False, peer=None),)

    def _make_room(self) -> bool:
        if len(self._channels) < CHANNELS_MAX:
            return True
        unused = next((key for key, held in self._channels.items() if held.is_unused), None)
        if unused is None:
            return False
        del self._channels[unused]
        return True

    def get_account(self, channel: ChannelId) -> ChannelAccount | None:
        """The books of a channel, if it pays us."""
        return self._channels.get(channel)

    @property
    def jobs(self) -> Mapping[JobId, JobAccount]:
        """The jobs that hold or held a lane."""
        return self._jobs

    def get_line(self, account: ChannelAccount) -> Amount:
        """The part of a channel's deposit that counts for our seat (LED-6)."""
        line = self._get_line(account.state, account.seat)
        return Amount(Wei(line), Epoch(account.state.epoch))

    def get_channels(self) -> tuple[ChannelState, ...]:
        """All channels that pay us."""
        return tuple(account.state for account in self._channels.values())

    def identify(self, terms: PayerTerms, signed: SignedVoucher) -> ChannelTerms:
        """Return the terms that name the voucher's channel to us on chain; JobRefused if they do
        not (LED-12). They cost one hash for each of our payees, which tells which of them is paid,
        and nothing else is believed of a channel's parties.
        """
        for payee in self._seats:
            whole = terms.to(payee)
            if compute_id(whole, self._domain) == signed.voucher.channel:
                return whole
        raise JobRefused("bad_voucher", "LED-12: its channel is not that of the terms")

    def is_short(self, signed: SignedVoucher, epoch: Epoch, ceiling: Wei) -> bool:
        """Whether a job might cost more than is left, as far as we know: a payer that topped its
        channel up knows more, and must not find its vouchers refused in mid-job.
        """
        promise = signed.voucher
        account = self._channels.get(ChannelId(promise.channel))
        if account is None or epoch < account.epoch:
            return False
        most = account.compute_most(promise.lane, epoch, self._jobs) + promise.amount + ceiling
        return not account.covers(most, epoch, self.get_line(account).wei)

    def open_lane(
        self,
        job: JobId,
        signed: SignedVoucher,
        epoch: Epoch,
        *,
        base: Wei,
        window: Wei,
        ceiling: Wei,
    ) -> tuple[Row, ...]:
        """Give a job the lane of its first voucher; JobRefused says why not (LED-1 to LED-8)."""
        promise = signed.voucher
        channel, number = ChannelId(promise.channel), promise.lane
        account = self._channels.get(channel)
        if account is None:
            raise JobRefused("no_channel", "LED-1: the channel is not known to pay us")
        if not account.state.is_open:
            raise JobRefused("no_channel", "LED-1: the channel is closing")
        if account.state.payee not in self._taken:
            raise JobRefused("no_channel", "LED-13: our membership in this farm has ended")
        wanted = JobAccount(channel, number, epoch, base, window, ceiling)
        line = self.get_line(account).wei
        rules.validate_opening(account, wanted, promise, self._jobs, line)
        rules.validate_signature(account, signed, self._domain)
        rows = account.move_debts(number, epoch)
        lane = account.get_lane(number)
        lane.take(signed)
        lane.earned = base
        lane.holder = job
        self._jobs[job] = wanted
        return (*rows, lane.build_row(signed))

    def receive(self, job: JobId, signed: SignedVoucher) -> tuple[Row, ...]:
        """Take a bigger voucher of a job; JobRefused if it is no good.

        One that brings nothing new is no offence and no row: it may have been overtaken.
        """
        held = self._jobs[job]
        promise = signed.voucher
        if (promise.channel, promise.lane) != (held.channel, held.lane):
            raise JobRefused("bad_voucher", "LED-5: not the lane of this job")
        account = self._channels[held.channel]
        lane = account.get_lane(held.lane)
        if lane.holder != job:
            return ()
        rules.validate_epoch(promise, held.epoch, lane.epoch)
        if promise.amount == lane.amount:
            return ()
        rules.validate_bigger(account, held, promise, self.get_line(account).wei)
        rules.validate_signature(account, signed, self._domain)
        lane.take(signed)
        return (lane.build_row(signed),)

    def is_signed(self, signed: SignedVoucher) -> bool:
        """Whether a voucher of a channel that pays us is signed by who may."""
        account = self._channels.get(ChannelId(signed.voucher.channel))
        try:
            if account is not None:
                rules.validate_signature(account, signed, self._domain)
        except JobRefused:
            return False
        return account is not None

    def get_paid(self, job: JobId) -> Wei:
        """What the job was paid so far, credit left on its lane by earlier jobs included."""
        held = self._jobs[job]
        lane = self._channels[held.channel].get_lane(held.lane)
        # A later job may have taken the settled lane over, in a later epoch.
        return Wei(rescale(lane.amount, lane.epoch, held.epoch) - held.base)

    def earn(self, job: JobId, earned: Wei) -> None:
        """Note what the job has earned so far in all."""
        held = self._jobs[job]
        lane = self._channels[held.channel].get_lane(held.lane)
        if lane.holder == job:
            lane.earned = held.base + earned

    def settle(self, job: JobId) -> tuple[Row, ...]:
        """The work is done: the lane may serve a new job whose voucher covers this one."""
        held = self._jobs[job]
        held.is_settling = True
        return self._build_rows(job, held)

    def close(self, job: JobId) -> tuple[Row, ...]:
        """The job is over: free the lane; what it earned over its vouchers is now a debt."""
        held = self._jobs[job]
        rows = self._build_rows(job, held)
        lane = self._channels[held.channel].get_lane(held.lane)
        if lane.holder == job:
            lane.holder = None
        del self._jobs[job]
        return rows

    def _build_rows(self, job: JobId, held: JobAccount) -> tuple[Row, ...]:
        lane = self._channels[held.channel].get_lane(held.lane)
        if lane.holder != job or lane.signed is None:
            return ()
        return (lane.build_row(lane.signed),)

    def get_debt(self, channel: ChannelId) -> Wei:
        """What ended jobs earned on the channel over their vouchers, in its lanes' latest epoch."""
        account = self._channels[channel]
        free = [lane for lane in account.lanes.values() if lane.holder is None]
        return Wei(sum(rescale(lane.debt, lane.epoch, account.epoch) for lane in free))

    def claims_to_redeem(self, now: UnixMs, *, is_forced: bool = False) -> tuple[Claim, ...]:
        """The vouchers worth redeeming now by the policy; with is_forced, all that bring anything.

        Call it now and then: a voucher's age counts from the first call that saw it.
        """
        return self._settlement.choose(self._channels.values(), now, is_forced=is_forced)

    def note_redeemed(self, promise: Voucher) -> tuple[Row, ...]:
        """The chain has credited a lane with all of a voucher of ours, maybe not the newest."""
        channel = ChannelId(promise.channel)
        account = self._channels.get(channel)
        if account is None:
            return ()
        lane = account.get_lane(promise.lane)
        lane.redeemed = rescale(promise.amount, promise.epoch, lane.epoch)
        self._settlement.note_redeemed(channel)
        return (RedeemedRow(channel, promise.lane, Wei(lane.redeemed)),)

    def get_redeemed(self) -> tuple[ChannelId, ...]:
        """The channels of which we noted that something was redeemed."""
        return tuple(key for key, held in self._channels.items() if held.is_redeemed)

    def take_back(self, state: ChannelState) -> tuple[Row, ...]:
        """Count nothing of a channel of ours as redeemed if the chain has claimed less there than
        we noted, and holds something still: a reorg undid it, and all lanes are tried anew.
        """
        return self._channels[ChannelId(state.channel)].take_back(state)

    def note_epoch(self, epoch: Epoch) -> None:
        """The token has split: what the settlement policy says is worth more wei now."""
        self._settlement.note_epoch(epoch)
