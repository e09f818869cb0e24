"""What a job holds of a channel we pay into."""

from collections.abc import Callable

from p2p_modelex.core.ledger.lanes import FINISHED, LOST, PaidChannel, move_doubts, use_up
from p2p_modelex.errors import LocalProtocolError
from p2p_modelex.ids import ChannelId, PeerId
from p2p_modelex.records.rows import ChannelRow, IssuedVoucherRow, JobRow, MemberRow, Row
from p2p_modelex.records.voucher import SignedVoucher, Voucher
from p2p_modelex.units import Wei, format_ai


class ReservedLane:
    """One job's hold on a lane, up to a ceiling: the `Purse` of an exchange (exchange.ports)."""

    def __init__(
        self,
        sign: Callable[[Voucher], SignedVoucher],
        account: PaidChannel,
        index: int,
        number: int,
        ceiling: int,
    ) -> None:
        self._sign = sign
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
        signed = self._sign(promise)
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
        move_doubts(doubts, self.epoch)
        if not 0 < extra <= sum(doubt for _, doubt in doubts.values()):
            self._lane.refusals += 1
            return
        self._lane.owed = earned
        self._lane.conceded |= use_up(doubts, extra)

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
