"""The lanes of a channel we pay into: what is promised, owed, held and left."""

from collections.abc import Iterable
from dataclasses import dataclass, field

import msgspec

from p2p_modelex import limits
from p2p_modelex.core.ledger.seat import Seat
from p2p_modelex.errors import PaymentError
from p2p_modelex.ids import JobId, PeerId
from p2p_modelex.records.channel import ChannelState
from p2p_modelex.records.rows import JobRow
from p2p_modelex.units import Epoch, Wei, rescale

RUNNING, LOST, CONCEDED, FINISHED = "running", "lost", "conceded", "finished"


@dataclass(slots=True)
class Lane:
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
class Part:
    """What one peer is paid on a channel. doubts: jobs that ended without agreement, and what more
    it may ask for each, in the epoch of its row. is_tight: it could not take all that the deposit
    had left, which other members were to lend it.
    """

    peer: PeerId | None = None
    lanes: dict[int, Lane] = field(default_factory=dict)
    doubts: dict[JobId, tuple[JobRow, int]] = field(default_factory=dict)
    is_tight: bool = False


@dataclass(slots=True)
class PaidChannel:
    """parts: by the index of the payee's seats; they share the deposit."""

    state: ChannelState
    parts: dict[int, Part] = field(default_factory=dict)

    def get_part(self, index: int) -> Part:
        return self.parts.setdefault(index, Part())

    @property
    def lanes(self) -> list[Lane]:
        return [lane for part in self.parts.values() for lane in part.lanes.values()]


def find_lanes_epoch(account: PaidChannel) -> Epoch:
    """The latest epoch of the lanes, which is that of the vouchers."""
    return max((lane.epoch for lane in account.lanes), default=Epoch(0))


def find_epoch(account: PaidChannel) -> Epoch:
    """The latest epoch of the lanes, or of the channel as the chain has it."""
    return max(Epoch(account.state.epoch), find_lanes_epoch(account))


def sum_most(lanes: Iterable[Lane], epoch: Epoch) -> int:
    """The most that the jobs and debts of these lanes may bring, in wei of `epoch`."""
    return sum(rescale(lane.most, lane.epoch, epoch) for lane in lanes)


def compute_left(account: PaidChannel, epoch: Epoch, seat: Seat) -> int:
    """What is left for a seat in wei of `epoch`, rounded down; nothing if that is past for our
    vouchers. What is over its share other members lend it, as long as it can have that (FRM-15).
    """
    if epoch < find_lanes_epoch(account):
        return 0
    latest = find_epoch(account)
    deposit = rescale(account.state.deposit, account.state.epoch, latest)
    part = account.get_part(seat.index)
    left = deposit - sum_most(account.lanes, latest)
    if part.is_tight:
        left = min(left, seat.compute_share(deposit) - sum_most(part.lanes.values(), latest))
    return rescale(left, latest, epoch)


def choose_lane(part: Part, seat: Seat) -> int:
    """The free lane with the most debt, then the lowest free one: few lanes are cheap to redeem.

    One that was refused comes last: the order on another may bring a voucher that was lost.
    PaymentError if all are held.
    """
    free = [number for number, lane in part.lanes.items() if lane.held is None]
    if free:
        return min(free, key=lambda number: _rank_lane(part.lanes[number], number))
    if len(part.lanes) >= limits.LANES_MAX:
        raise PaymentError("every lane of the channel is in use", hint="wait for a job to end")
    numbers = range(seat.first_lane, seat.first_lane + limits.LANES_MAX)
    return next(number for number in numbers if number not in part.lanes)


def _rank_lane(lane: Lane, number: int) -> tuple[int, int, int]:
    return lane.refusals, lane.amount - lane.owed, number


def move_doubts(doubts: dict[JobId, tuple[JobRow, int]], epoch: Epoch) -> None:
    """Write the doubts and their rows in this epoch."""
    for job, (row, doubt) in doubts.items():
        owed, paid, more = (
            Wei(rescale(amount, row.epoch, epoch)) for amount in (row.owed, row.paid, doubt)
        )
        doubts[job] = msgspec.structs.replace(row, owed=owed, paid=paid, epoch=epoch), more


def use_up(doubts: dict[JobId, tuple[JobRow, int]], extra: int) -> dict[JobId, JobRow]:
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


def move_debts(part: Part, lane: Lane) -> None:
    """Move the free lanes' debts to the lane whose next voucher will cover them (LED-7)."""
    for other in part.lanes.values():
        if other is not lane and other.held is None and other.owed > other.amount:
            lane.owed += rescale(other.owed - other.amount, other.epoch, lane.epoch)
            other.owed = other.amount
            lane.conceded |= other.conceded
            other.conceded = {}
