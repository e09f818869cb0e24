"""What a requester has promised for one job, and what the job's rows say of it."""

from p2p_modelex.core.exchange.intake import Intake
from p2p_modelex.core.exchange.ports import Purse
from p2p_modelex.core.exchange.terms import Purchase
from p2p_modelex.ids import PeerId
from p2p_modelex.records.rows import JobRow, Row
from p2p_modelex.records.voucher import SignedVoucher
from p2p_modelex.units import UnixMs, Wei

_NOTHING = Wei(0)


class Payments:
    """Pays a job out of its purse for what the intake believes. Rows are to be durable before
    anything is sent that relies on them.
    """

    def __init__(self, peer: PeerId, purchase: Purchase, purse: Purse, intake: Intake) -> None:
        self.paid = _NOTHING
        """Wei that were signed for, in all."""
        self.has_promised = False
        """Whether a voucher was signed, so that there are rows of the job."""
        self._peer = peer
        self._job = purchase.job
        self._purse = purse
        self._intake = intake
        self._most = purchase.max_cost

    @property
    def owed(self) -> Wei:
        """What we agree to owe by what we received; a job that we cancelled may bring little."""
        return min(self._intake.owed, self._most)

    @property
    def doubt(self) -> Wei:
        """The most the job may come to cost, while we have paid this much."""
        return self._intake.compute_doubt(self.paid)

    @property
    def is_due(self) -> bool:
        """EXC-9: whether what was earned and not paid is half the window."""
        unpaid = self.owed - self.paid
        return unpaid > 0 and 2 * unpaid >= self._intake.window

    def limit(self) -> None:
        """The job is cancelled: an honest provider delivers no more than the window lets out."""
        self._most = self.doubt

    def promise(self, paid: Wei, now: UnixMs) -> tuple[tuple[Row, ...], SignedVoucher]:
        """Sign for `paid` wei in all; returns rows, and the voucher."""
        voucher, issued = self._sign(paid)
        self.has_promised = True
        known = self._purse.note_peer(self._peer)
        return (*known, *issued, self._build_row("running", self.doubt, now)), voucher

    def pay_rest(self) -> tuple[tuple[Row, ...], SignedVoucher | None]:
        """Sign for what a finished job owes; returns rows, and the voucher unless all was paid."""
        if self.owed <= self.paid:
            return (), None
        voucher, issued = self._sign(self.owed)
        return issued, voucher

    def _sign(self, paid: Wei) -> tuple[SignedVoucher, tuple[Row, ...]]:
        voucher, issued = self._purse.sign(paid)
        self.paid = paid
        return voucher, issued

    def finish(self, now: UnixMs) -> JobRow:
        """The job has ended well: free the lane; returns the job's last row."""
        return self._close("finished", self.owed, self.owed, now)

    def fail(self, owed: Wei, doubt: Wei, now: UnixMs) -> JobRow:
        """The job has ended otherwise: free the lane. owed: wei that it cost by what we received.
        doubt: the most the provider may ask in good faith. Returns the job's last row.
        """
        # What we agreed to and did not sign for must be found again after a crash, too.
        state = "lost" if doubt > owed or owed > self.paid else "failed"
        return self._close(state, owed, max(owed, doubt), now)

    def _close(self, state: str, owed: Wei, most: Wei, now: UnixMs) -> JobRow:
        last = self._build_row(state, most, now)
        self._purse.close(owed, last)
        return last

    def _build_row(self, state: str, owed: Wei, now: UnixMs) -> JobRow:
        epoch = self._purse.epoch
        return JobRow(self._job, False, self._peer, state, owed, self.paid, now, epoch)
