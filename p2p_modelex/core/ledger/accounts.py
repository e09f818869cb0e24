"""The payee's books: a channel, its lanes, and the jobs that hold them."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from p2p_modelex.core.ledger.seat import Seat
from p2p_modelex.ids import ChannelId, JobId
from p2p_modelex.records.channel import ChannelState
from p2p_modelex.records.rows import ReceivedVoucherRow, RedeemedRow, Row
from p2p_modelex.records.voucher import SignedVoucher
from p2p_modelex.units import Epoch, Wei, rescale


@dataclass(slots=True)
class JobAccount:
    """A job that holds or held a lane. base: the lane's cumulative wei before the job; window,
    ceiling: wei it may be ahead, and cost at most.
    """

    channel: ChannelId
    lane: int
    epoch: Epoch
    base: int
    window: int
    ceiling: int
    is_settling: bool = False


@dataclass(slots=True)
class LaneAccount:
    """A lane: cumulative wei promised, earned and redeemed, all in `epoch`, and who holds it."""

    epoch: Epoch
    signed: SignedVoucher | None = None
    amount: int = 0
    earned: int = 0
    redeemed: int = 0
    holder: JobId | None = None

    @property
    def debt(self) -> int:
        """What was earned over the voucher."""
        return max(0, self.earned - self.amount)

    def move(self, epoch: Epoch) -> None:
        """Write the amounts in a later or the same epoch."""
        self.amount = rescale(self.amount, self.epoch, epoch)
        self.earned = rescale(self.earned, self.epoch, epoch)
        self.redeemed = rescale(self.redeemed, self.epoch, epoch)
        self.epoch = epoch

    def take(self, signed: SignedVoucher) -> None:
        """Take over a bigger voucher of the lane's epoch."""
        self.signed, self.amount = signed, signed.voucher.amount

    def build_row(self, signed: SignedVoucher) -> ReceivedVoucherRow:
        """Return what is to be kept of the lane."""
        return ReceivedVoucherRow(signed, Wei(self.earned))


@dataclass(slots=True)
class ChannelAccount:
    """A channel, our seat at its payee, and our lanes. The compute methods answer in the units of
    an epoch that is none of the lanes' past; the chain may have written the channel in a later one.
    """

    state: ChannelState
    seat: Seat
    lanes: dict[int, LaneAccount] = field(default_factory=dict)

    def get_lane(self, lane: int) -> LaneAccount:
        """The lane, made empty if it is new."""
        known = self.lanes.get(lane)
        if known is None:
            known = self.lanes[lane] = LaneAccount(Epoch(0))
        return known

    @property
    def is_unused(self) -> bool:
        """Whether no voucher was ever taken."""
        return all(lane.signed is None for lane in self.lanes.values())

    @property
    def is_redeemed(self) -> bool:
        """Whether it is noted that something was redeemed."""
        return any(lane.redeemed for lane in self.lanes.values())

    @property
    def epoch(self) -> Epoch:
        """The latest epoch of the lanes."""
        return max((lane.epoch for lane in self.lanes.values()), default=Epoch(0))

    def covers(self, amount: int, epoch: Epoch, line: int) -> bool:
        """Whether the part of the deposit that counts, `line`, is as much as this."""
        latest = max(epoch, self.state.epoch)
        return rescale(amount, epoch, latest) <= rescale(line, self.state.epoch, latest)

    def compute_promised(self, but: int, epoch: Epoch) -> int:
        """What the vouchers of all lanes but one promise."""
        return sum(
            rescale(lane.amount, lane.epoch, epoch)
            for number, lane in self.lanes.items()
            if number != but
        )

    def compute_committed(self, but: int, epoch: Epoch, jobs: Mapping[JobId, JobAccount]) -> int:
        """As promised, and what running jobs may come to be owed on top (LED-6)."""
        total = 0
        for number, lane in self.lanes.items():
            if number != but:
                most = max(lane.amount, lane.earned)
                job = jobs[lane.holder] if lane.holder is not None else None
                if job is not None and not job.is_settling:
                    most = max(lane.amount, min(lane.amount + job.window, job.base + job.ceiling))
                total += rescale(most, lane.epoch, epoch)
        return total

    def compute_most(self, but: int, epoch: Epoch, jobs: Mapping[JobId, JobAccount]) -> int:
        """The most that all lanes but one may come to, if every job costs its ceiling."""
        total = 0
        for number, lane in self.lanes.items():
            if number != but:
                job = jobs[lane.holder] if lane.holder is not None else None
                most = job.base + job.ceiling if job is not None else lane.earned
                total += rescale(max(lane.amount, most), lane.epoch, epoch)
        return total

    def compute_due(self, number: int, epoch: Epoch) -> int:
        """What a voucher on this lane must reach: its own work and every free lane's debt."""
        lane = self.get_lane(number)
        due = rescale(lane.earned, lane.epoch, epoch)
        return due + sum(
            rescale(other.debt, other.epoch, epoch)
            for key, other in self.lanes.items()
            if key != number and other.holder is None
        )

    def move_debts(self, number: int, epoch: Epoch) -> tuple[Row, ...]:
        """Move the free lanes' debts to this lane, whose new voucher of `epoch` covers them.

        Returns what changed but the lane itself. What was redeemed of it is kept in the epoch of
        its voucher.
        """
        lane = self.get_lane(number)
        due, is_moved = self.compute_due(number, epoch), lane.epoch != epoch
        lane.move(epoch)
        lane.earned = due
        rows: list[Row] = []
        if is_moved and lane.redeemed:
            rows.append(RedeemedRow(ChannelId(self.state.channel), number, Wei(lane.redeemed)))
        for key, other in self.lanes.items():
            if key != number and other.holder is None and other.debt and other.signed is not None:
                other.earned = other.amount
                rows.append(other.build_row(other.signed))
        return tuple(rows)

    def take_back(self, state: ChannelState) -> tuple[Row, ...]:
        """Count nothing as redeemed if the chain has claimed less than is noted, and holds
        something still: a reorg undid it, and all lanes are tried anew.
        """
        epoch = max(self.epoch, Epoch(state.epoch))
        noted = sum(rescale(lane.redeemed, lane.epoch, epoch) for lane in self.lanes.values())
        is_whole = rescale(state.claimed, state.epoch, epoch) >= noted
        if is_whole or state.claimed == state.deposit:
            return ()
        rows: list[Row] = []
        for number, lane in self.lanes.items():
            if lane.redeemed:
                lane.redeemed = 0
                rows.append(RedeemedRow(ChannelId(state.channel), number, Wei(0)))
        return tuple(rows)
