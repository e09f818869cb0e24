"""Lines: how far each member of a farm may take vouchers on a channel that pays them all.

The demarcation protocol (Barbara and Garcia-Molina, 1992): each member has a part of the deposit,
its line, and looks at nothing else. Who has too little takes from who has too much: the giver
lowers its own line durably before it says so, the taker raises its own durably before it relies on
it. What is under way, or lost, is in nobody's line meanwhile, so the lines never sum up to more
than the deposit, whoever crashes when.

A grant is the sum of all that one member ever gave another on a channel. It only grows, so it may
come twice, late, or again after a crash, and says the same.
"""

from collections.abc import Iterable

import msgspec

from p2p_modelex.core.ledger.amount import Amount
from p2p_modelex.core.ledger.seat import Seat
from p2p_modelex.ids import ChannelId, PeerId
from p2p_modelex.records.channel import ChannelState
from p2p_modelex.records.rows import LoanRow, Row
from p2p_modelex.units import UINT128_MAX, Epoch, Wei, rescale


class Lines:
    """What we gave to the other members, and took of them. Rows that a method returns are to be
    persisted before anything is sent or accepted that relies on them.
    """

    def __init__(self) -> None:
        self._loans: dict[ChannelId, dict[PeerId, LoanRow]] = {}

    def restore(self, rows: Iterable[Row]) -> None:
        """Take over LoanRow; other rows are skipped."""
        for row in rows:
            if isinstance(row, LoanRow):
                self._loans.setdefault(row.channel, {})[row.peer] = row

    def compute_line(self, channel: ChannelId, part: Amount) -> Amount:
        """Return our line (MEM-5). part: what is ours of the deposit by weight."""
        loans = self._loans.get(channel, {}).values()
        latest = max((part.epoch, *(Epoch(loan.epoch) for loan in loans)))
        moved = sum(rescale(loan.taken, loan.epoch, latest) for loan in loans)
        moved -= sum(rescale(loan.given, loan.epoch, latest) for loan in loans)
        # Under nothing only if the owner took weight from us that we had given away; over all that
        # there can be only if a member lies.
        line = part.rescale(latest).wei + moved
        return Amount(Wei(min(max(0, line), UINT128_MAX)), latest)

    def get_line(self, state: ChannelState, seat: Seat) -> int:
        """Our line on a channel, wei in the channel's epoch, rounded down where a member has seen
        a split that has not touched the channel yet.
        """
        epoch = Epoch(state.epoch)
        part = Amount(Wei(seat.compute_share(state.deposit)), epoch)
        line = self.compute_line(ChannelId(state.channel), part)
        return min(rescale(line.wei, line.epoch, epoch), state.deposit)

    def lend(
        self, channel: ChannelId, peer: PeerId, have: Amount, want: Amount, spare: Amount
    ) -> tuple[Amount, tuple[Row, ...]]:
        """Give a member more of our line, and return all it was ever given (MEM-7, MEM-8).

        have: what it has of that. want: what it needs, or nothing to hear what it was given. spare:
        what we can do without; it gets half of that where it wants less, so that it need not ask
        again for the next job.
        """
        latest = max(have.epoch, want.epoch, spare.epoch)
        loan = self._get(channel, peer, latest)
        have, want, spare = (amount.rescale(Epoch(loan.epoch)) for amount in (have, want, spare))
        given = Amount(loan.given, Epoch(loan.epoch))
        more = min(spare.wei, max(want.wei, spare.wei // 2)) if want.wei else 0
        if have.wei < loan.given or not more:
            return given, ()
        row = msgspec.structs.replace(loan, given=Wei(loan.given + more))
        self.restore((row,))
        return Amount(row.given, given.epoch), (row,)

    def take(self, channel: ChannelId, peer: PeerId, given: Amount) -> tuple[Row, ...]:
        """A member says what it gave us in all (MEM-9)."""
        loan = self._get(channel, peer, given.epoch)
        given = given.rescale(Epoch(loan.epoch))
        if given.wei <= loan.taken:
            return ()
        row = msgspec.structs.replace(loan, taken=given.wei)
        self.restore((row,))
        return (row,)

    def get_taken(self, channel: ChannelId, peer: PeerId) -> Amount:
        """What a member ever gave us, as far as we know."""
        loan = self._get(channel, peer, Epoch(0))
        return Amount(loan.taken, Epoch(loan.epoch))

    def _get(self, channel: ChannelId, peer: PeerId, epoch: Epoch) -> LoanRow:
        """What is between us and a member, in this epoch or a later one that it is in."""
        loan = self._loans.get(channel, {}).get(peer)
        if loan is None:
            return LoanRow(channel, peer, Wei(0), Wei(0), epoch)
        if loan.epoch >= epoch:
            return loan
        given, taken = (Wei(rescale(x, loan.epoch, epoch)) for x in (loan.given, loan.taken))
        return LoanRow(channel, peer, given, taken, epoch)
