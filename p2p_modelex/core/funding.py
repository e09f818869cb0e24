"""Funding: finds a job a channel with enough left, or has one opened or topped up for it."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from p2p_modelex.core.effects import Effect, OpenChannel, TopUpChannel
from p2p_modelex.core.ledger.payer import PayerLedger
from p2p_modelex.core.ledger.reserved import ReservedLane
from p2p_modelex.core.ledger.seat import OWN_SEAT, Seat
from p2p_modelex.core.routing.candidate import Candidate, Want, compute_cost
from p2p_modelex.errors import PaymentError
from p2p_modelex.ids import Address, ChannelId, Digest, JobId, PeerId
from p2p_modelex.records import envelope
from p2p_modelex.records.channel import ChannelState, ChannelTerms, build_salt
from p2p_modelex.records.rows import ChannelRow, DepositRow, Row, SettingRow
from p2p_modelex.units import Epoch, UnixMs, Wei, format_ai, rescale

SALT_SEED = "funding/seed"
"""The setting that our channels' salts are made from. A home that lost its database has another
one, so that it never meets a channel of whose vouchers it knows nothing.
"""

LATE_DEPOSIT = "the deposit for it is not in yet, and may still be made: ask again in a few minutes"


@dataclass(frozen=True, slots=True)
class Budget:
    """What may be spent without asking. auto_deposit: wei into a new channel or an exhausted one,
    0 for never. max_deposits: wei in all open channels together that no voucher has promised.
    epoch: the split epoch of both.
    """

    auto_deposit: Wei
    max_deposits: Wei
    epoch: Epoch = Epoch(0)  # noqa: RUF009  # a NewType of int


@dataclass(slots=True)
class Deposit:
    """A deposit under way: `amount` wei in split epoch `epoch`. channel: the one topped up, None
    for a new one. asker: the job it was made for, None after a restart. waiting: the jobs that want
    to go on after it, in order, the asker among them. signed: what was for it before a restart.
    is_late: nobody can say whether it will be mined, so nobody waits for it. asked_at: None after a
    restart.
    """

    channel: ChannelId | None
    amount: Wei
    epoch: Epoch
    asker: JobId | None
    waiting: dict[JobId, None]
    signed: tuple[bytes, ...] = ()
    is_late: bool = False
    asked_at: UnixMs | None = None


def find_seat(candidate: Candidate) -> tuple[Address, Seat]:
    """Return whom a job there is paid through: the farm that was asked for, or its own account."""
    if candidate.membership is None:
        return Address(candidate.advertisement.accounts[0].ownership.operator), OWN_SEAT
    certificate = candidate.membership.certificate
    return Address(certificate.payee), Seat(certificate.index, certificate.weight)


def can_pay(ledger: PayerLedger, candidate: Candidate, want: Want) -> bool:
    """Whether a channel of ours has what the job can cost there at most: no deposit is wanted."""
    payee, seat = find_seat(candidate)
    left = ledger.find_left(payee, want.epoch, seat)
    return left > 0 and left >= compute_cost(candidate.offer, want)


def build_row(
    asked: OpenChannel | TopUpChannel,
    signed: tuple[bytes, ...],
    name: Callable[[ChannelTerms], ChannelId],
) -> DepositRow:
    """Return what whoever carries out `asked` keeps before any of `signed` is sent (LED-14). name:
    gives a channel's id.
    """
    if isinstance(asked, OpenChannel):
        return DepositRow(asked.payee, None, asked.deposit, asked.epoch, signed)
    return DepositRow(asked.payee, name(asked.terms), asked.amount, asked.epoch, signed)


class Funding:
    """Our channels as a source of lanes; at most one deposit is under way for each payee."""

    def __init__(self, ledger: PayerLedger, budget: Budget) -> None:
        self._ledger = ledger
        self._budget = budget
        self._deposits: dict[Address, Deposit] = {}
        self._seed = b""
        # Closed ones too: a channel's name is never used again.
        self._opened: dict[Address, dict[ChannelId, None]] = {}

    def restore(self, rows: Iterable[Row]) -> None:
        """Take over SALT_SEED, our ChannelRows and DepositRows; other rows are skipped."""
        for row in rows:
            if isinstance(row, SettingRow) and row.name == SALT_SEED:
                self._seed = row.value
            elif isinstance(row, ChannelRow) and row.is_payer:
                self.note_opened(row.state)
            elif isinstance(row, DepositRow) and row.signed:
                self._deposits[row.payee] = Deposit(
                    row.channel, row.amount, Epoch(row.epoch), None, {}, row.signed
                )

    def resume(self) -> list[Effect]:
        """Have those that a restart left in doubt looked after."""
        return [self._request(payee, deposit) for payee, deposit in self._deposits.items()]

    def _request(self, payee: Address, deposit: Deposit) -> Effect:
        amount, epoch, signed = deposit.amount, deposit.epoch, deposit.signed
        if deposit.channel is None:
            return OpenChannel(payee, amount, self._make_salt(payee), epoch, signed)
        terms = self._ledger.get_terms(deposit.channel)
        return TopUpChannel(payee, terms, amount, epoch, signed)

    def note_opened(self, state: ChannelState) -> None:
        """A channel of ours is on record: the next one to its payee gets another name."""
        self._opened.setdefault(Address(state.payee), {})[ChannelId(state.channel)] = None

    def reserve(
        self, payee: Address, ceiling: Wei, epoch: Epoch, seat: Seat, peer: PeerId
    ) -> ReservedLane | None:
        """Reserve a lane on a channel with enough left; None if a deposit is wanted first.

        PaymentError if no deposit would help.
        """
        refusal: PaymentError | None = None
        for state in self._ledger.get_channels(payee, seat):
            channel = ChannelId(state.channel)
            if self._ledger.get_epoch(channel) > epoch:
                raise PaymentError(f"the price is of split epoch {epoch}, our vouchers of a later")
            if self._ledger.get_left(channel, epoch, seat) >= ceiling:
                try:
                    self._ledger.validate_holder(channel, seat, peer)
                    return self._ledger.reserve_lane(channel, ceiling, epoch, seat)
                except PaymentError as error:  # every lane is in use, or another member's
                    refusal = error
        if refusal is not None:
            raise refusal
        return None

    def ask(
        self, job: JobId, payee: Address, ceiling: Wei, epoch: Epoch, seat: Seat, now: UnixMs
    ) -> list[Effect]:
        """Have a deposit made for the job, or let it wait for the one under way.

        A channel that has too little left is topped up: less gas than a new one, and the lanes in
        use stay few. PaymentError if the budget forbids it, or where one is in doubt: a second one
        might be mined as well as the first (LED-14).
        """
        under_way = self._deposits.get(payee)
        if under_way is not None:
            if under_way.is_late:
                raise PaymentError(LATE_DEPOSIT)
            under_way.waiting[job] = None
            return []
        channels = self._ledger.get_channels(payee, seat)
        channel = ChannelId(channels[0].channel) if channels else None
        least = ceiling if channel is None else self._find_lack(channel, epoch, seat, ceiling)
        amount = self._choose_amount(least, epoch)
        deposit = Deposit(channel, amount, epoch, job, {job: None}, asked_at=now)
        self._deposits[payee] = deposit
        return [self._request(payee, deposit)]

    def _find_lack(self, channel: ChannelId, epoch: Epoch, seat: Seat, ceiling: Wei) -> Wei:
        """What a channel must be topped up by. A member that says that its part is used up has the
        deposit grow in proportion, which at a small weight would be all we may spend: PaymentError
        if that is over what we would deposit unasked, and the deposit itself has enough.
        """
        least = self._ledger.get_lack(channel, epoch, seat, ceiling)
        if least <= rescale(self._budget.auto_deposit, self._budget.epoch, epoch):
            return least
        lack = self._ledger.get_lack(channel, epoch, OWN_SEAT, ceiling)
        if not lack:
            more = format_ai(least)
            raise PaymentError(f"FRM-15: this member's part would take {more} more in deposit")
        return lack

    def _make_salt(self, payee: Address) -> Digest:
        """The same until the channel is on record, so that an opening is done once."""
        number = len(self._opened.get(payee, ()))
        return build_salt(envelope.digest(self._seed + payee + number.to_bytes(8, "big")))

    def _choose_amount(self, least: Wei, epoch: Epoch) -> Wei:
        auto_deposit, max_deposits = (
            rescale(amount, self._budget.epoch, epoch)
            for amount in (self._budget.auto_deposit, self._budget.max_deposits)
        )
        if not auto_deposit:
            raise PaymentError("no channel has enough left, and automatic deposits are off")
        promised = sum(rescale(x.amount, x.epoch, epoch) for x in self._deposits.values())
        room = max_deposits - self._ledger.get_unspent(epoch) - promised
        if least > room:
            most = format_ai(max_deposits)
            raise PaymentError(f"no channel has enough left, and max_deposits is {most}")
        return Wei(max(least, min(auto_deposit, room)))

    def settle(self, payee: Address) -> tuple[Deposit | None, tuple[Row, ...]]:
        """The deposit for a payee is made or failed; returns it, None if none was under way, and
        what to persist.
        """
        deposit = self._deposits.pop(payee, None)
        if deposit is None:
            return None, ()
        return deposit, (DepositRow(payee, deposit.channel, deposit.amount, deposit.epoch, ()),)

    def delay(self, payee: Address) -> list[JobId]:
        """Nobody can say whether a deposit will be mined: it counts on, and its waiters, which are
        returned, wait no longer (LED-14).
        """
        deposit = self._deposits.get(payee)
        if deposit is None:
            return []
        deposit.is_late = True
        waiting, deposit.waiting = list(deposit.waiting), {}
        return waiting

    def forget(self, job: JobId) -> None:
        """This job no longer waits. A deposit under way goes on: it cannot be taken back."""
        for deposit in self._deposits.values():
            deposit.waiting.pop(job, None)
