"""What an exchange needs of the ledger. Its classes satisfy these by shape; node.py joins them."""

from typing import Protocol

from p2p_modelex.ids import ChannelId, JobId, PeerId
from p2p_modelex.records.channel import ChannelTerms, PayerTerms
from p2p_modelex.records.rows import JobRow, Row
from p2p_modelex.records.voucher import SignedVoucher
from p2p_modelex.units import Epoch, Wei


class Till(Protocol):
    """The provider's side of the money: `core.ledger.payee.PayeeLedger`.

    Amounts of a job are relative to its lane at the job's start, in the job's epoch.
    Rows are to be persisted before anything is sent that relies on them.
    """

    def identify(self, terms: PayerTerms, signed: SignedVoucher) -> ChannelTerms:
        """The terms that name the voucher's channel to us on chain; JobRefused if they do not."""
        ...

    def is_short(self, signed: SignedVoucher, epoch: Epoch, ceiling: Wei) -> bool:
        """Whether, as far as is known, the channel may not have enough left for the whole job."""
        ...

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
        """Give a job the lane of its first voucher; JobRefused says why not.

        epoch: that of the job's prices. base: what the payer's books have of earlier jobs on the
        lane. window, ceiling: wei, how far the provider works ahead and the most the job can cost.
        """
        ...

    def receive(self, job: JobId, signed: SignedVoucher) -> tuple[Row, ...]:
        """Take a bigger voucher of a job that holds or held a lane; JobRefused if it is no good."""
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
        """The job is over: free the lane; what it earned over its vouchers is now a debt."""
        ...


class Purse(Protocol):
    """The requester's side: one reserved lane, `core.ledger.payer.ReservedLane`."""

    @property
    def channel(self) -> ChannelId: ...

    @property
    def terms(self) -> PayerTerms:
        """What the payee needs to know the channel by."""
        ...

    @property
    def lane(self) -> int: ...

    @property
    def epoch(self) -> Epoch: ...

    @property
    def base(self) -> Wei:
        """What earlier jobs cost, cumulative on the lane: a voucher pays this job what it is over.

        It goes with the first voucher, so that books that differ are found before anything is
        begun.
        """
        ...

    def note_peer(self, peer: PeerId) -> tuple[Row, ...]:
        """The channel pays this peer: what a job owes can be found again after a crash."""
        ...

    def sign(self, paid: Wei) -> tuple[SignedVoucher, tuple[Row, ...]]:
        """Sign the voucher that brings what this job was paid to `paid`, in all.

        LocalProtocolError if that is more than the reserved ceiling.
        """
        ...

    def note_debt(self, earned: Wei) -> None:
        """A provider refused `debt`: it wants a voucher of at least this amount on this lane."""
        ...

    def note_exhausted(self) -> None:
        """A provider refused `channel_exhausted`."""
        ...

    def close(self, owed: Wei, last: JobRow) -> None:
        """Free the lane. owed: wei the job cost by what we received. last: the job's last row; if
        its state is `lost`, its `owed` is the most the provider may ask in good faith.
        """
        ...
