"""What we pay: our channels, their lanes, and the vouchers we sign."""

from collections.abc import Iterable

from p2p_modelex.ids import Address, ChannelId, Digest, PeerId
from p2p_modelex.records.channel import ChannelState
from p2p_modelex.records.eip712 import AccountSigner
from p2p_modelex.records.rows import Row
from p2p_modelex.records.voucher import SignedVoucher
from p2p_modelex.units import Epoch, UnixMs, Wei


class ReservedLane:
    """One job's hold on a lane, up to a ceiling: the `Purse` of an exchange."""

    channel: ChannelId
    lane: int
    epoch: Epoch

    def sign(self, paid: Wei) -> tuple[SignedVoucher, tuple[Row, ...]]:
        """Sign the voucher that brings what this job was paid to `paid`, in all."""
        raise NotImplementedError

    def note_debt(self, lane: int, earned: Wei) -> None:
        """The provider says it earned `earned` in all on that lane."""
        raise NotImplementedError

    def close(self, owed: Wei, doubt: Wei, now: UnixMs) -> None:
        """Free the lane; what is owed over the vouchers is settled by the next job's first."""
        raise NotImplementedError


class PayerLedger:
    """All channels we pay into. `signer` signs vouchers; `domain` is that of PaymentChannels."""

    def __init__(self, signer: AccountSigner, domain: Digest) -> None:
        raise NotImplementedError

    def restore(self, rows: Iterable[Row]) -> None:
        """Take over what is on disk: ChannelRow, IssuedVoucherRow, JobRow; other rows are skipped."""
        raise NotImplementedError

    def note_channel(self, state: ChannelState, peer: PeerId | None) -> tuple[Row, ...]:
        """Take over a channel as the chain has it; PaymentError if its signer is not ours."""
        raise NotImplementedError

    def get_channels(self, payee: Address) -> tuple[ChannelState, ...]:
        """Our open channels to that account, the one with the most left first."""
        raise NotImplementedError

    def get_left(self, channel: ChannelId, epoch: Epoch) -> Wei:
        """What is neither promised by a voucher, nor owed, nor reserved by a running job."""
        raise NotImplementedError

    def reserve_lane(self, channel: ChannelId, ceiling: Wei, epoch: Epoch) -> ReservedLane:
        """Hold a free lane for a job of at most `ceiling` wei; PaymentError says why not."""
        raise NotImplementedError
