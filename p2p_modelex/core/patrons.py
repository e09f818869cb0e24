"""Who pays us, and what each has paid: the history that admission goes by.

It is read off the rows that the ledger has kept, so it survives a restart and asks nothing new of
the store. Amounts are compared by their worth: what they are in the last split epoch there can be,
so that a split changes nothing here.
"""

from collections.abc import Iterable

from p2p_modelex.ids import Address, ChannelId
from p2p_modelex.records.rows import ChannelRow, ReceivedVoucherRow, Row
from p2p_modelex.units import SPLITS_MAX, Epoch, rescale


def compute_worth(amount: int, epoch: Epoch | int) -> int:
    """Return what an amount of a split epoch is worth."""
    return rescale(amount, epoch, SPLITS_MAX)


class Patrons:
    """What each account has promised and owes us, over all its channels. Amounts are worths."""

    def __init__(self) -> None:
        self._payer_of: dict[ChannelId, Address] = {}
        # What each lane's newest row says: promised, and earned over that.
        self._lanes: dict[tuple[bytes, int], tuple[int, int]] = {}
        self._paid: dict[Address, int] = {}
        self._debt: dict[Address, int] = {}

    def note(self, rows: Iterable[Row]) -> None:
        """Take over ChannelRow and ReceivedVoucherRow; the rows of a channel come first."""
        for row in rows:
            if isinstance(row, ChannelRow) and not row.is_payer:
                self._payer_of[ChannelId(row.state.channel)] = Address(row.state.payer)
            elif isinstance(row, ReceivedVoucherRow):
                self._note_voucher(row)

    def _note_voucher(self, row: ReceivedVoucherRow) -> None:
        voucher = row.signed.voucher
        payer = self._payer_of.get(ChannelId(voucher.channel))
        if payer is None:
            return
        name = (voucher.channel, voucher.lane)
        was_paid, was_owed = self._lanes.get(name, (0, 0))
        owed = compute_worth(max(0, row.earned - voucher.amount), voucher.epoch)
        paid = compute_worth(voucher.amount, voucher.epoch)
        self._lanes[name] = (paid, owed)
        self._paid[payer] = self._paid.get(payer, 0) + paid - was_paid
        self._debt[payer] = self._debt.get(payer, 0) + owed - was_owed

    def get_payer(self, channel: ChannelId) -> Address:
        """The account behind a channel; one that is not known stands for itself."""
        return self._payer_of.get(channel, Address(channel[:20]))

    def get_paid(self, payer: Address) -> int:
        """What all vouchers of an account promise."""
        return self._paid.get(payer, 0)

    def get_debt(self, payer: Address) -> int:
        """What jobs which are over earned over their vouchers."""
        return self._debt.get(payer, 0)
