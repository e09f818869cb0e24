"""What an exchange needs of the ledger. Its classes satisfy these by shape; node.py joins them."""

from dataclasses import dataclass
from typing import Protocol

from p2p_modelex.ids import ChannelId, JobId
from p2p_modelex.records.channel import ChannelState
from p2p_modelex.records.rows import Row
from p2p_modelex.records.voucher import SignedVoucher
from p2p_modelex.units import Epoch, UnixMs, Wei


@dataclass(frozen=True, slots=True)
class LaneOpening:
    """A job holds a lane: what its first voucher prepaid, and the rows that record it."""

    paid: Wei
    rows: tuple[Row, ...]


class Till(Protocol):
    """The provider's side of the money: `core.ledger.payee.PayeeLedger`.

    Amounts of a job are relative to its lane's state at the job's start, in the job's epoch.
    """

    def note_channel(self, state: ChannelState) -> tuple[Row, ...]:
        """Take over a channel as the chain has it; no rows if it does not pay us."""
        ...

    def open_lane(
        self, job: JobId, signed: SignedVoucher, epoch: Epoch, window: Wei
    ) -> LaneOpening:
        """Give a job the lane of its first voucher; JobRefused says why not."""
        ...

    def receive(self, job: JobId, signed: SignedVoucher) -> LaneOpening:
        """Take a bigger voucher; `paid` is the job's total. JobRefused if it is no good."""
        ...

    def get_paid(self, job: JobId) -> Wei:
        """What the job was paid so far."""
        ...

    def earn(self, job: JobId, earned: Wei) -> None:
        """Note what the job has earned so far in all."""
        ...

    def settle(self, job: JobId) -> tuple[Row, ...]:
        """The work is done: the lane may serve a new job whose voucher covers this one."""
        ...

    def close(self, job: JobId) -> tuple[Row, ...]:
        """The job is over: free the lane; what it earned over its voucher is now a debt."""
        ...


class Purse(Protocol):
    """The requester's side: one reserved lane, `core.ledger.payer.ReservedLane`."""

    @property
    def channel(self) -> ChannelId: ...

    @property
    def lane(self) -> int: ...

    @property
    def epoch(self) -> Epoch: ...

    def sign(self, paid: Wei) -> tuple[SignedVoucher, tuple[Row, ...]]:
        """Sign the voucher that brings what this job was paid to `paid`, in all.

        LocalProtocolError if that is less than before or more than the reserved ceiling.
        """
        ...

    def note_debt(self, lane: int, earned: Wei) -> None:
        """A provider refused `debt`: it says it earned this much in all on that lane."""
        ...

    def close(self, owed: Wei, doubt: Wei, now: UnixMs) -> None:
        """Free the lane. owed: wei the job cost by what we received. doubt: the most the provider
        may in good faith say it cost, if it ended without agreement; else the same as owed."""
        ...
