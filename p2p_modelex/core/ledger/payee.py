"""What we are paid: channels to us, the vouchers we hold, debts, and when to redeem."""

from collections.abc import Iterable
from dataclasses import dataclass

from p2p_modelex.ids import Address, ChannelId, Digest, JobId
from p2p_modelex.records.channel import ChannelState
from p2p_modelex.records.rows import Row
from p2p_modelex.records.voucher import SignedVoucher
from p2p_modelex.units import AI, Millis, UnixMs, Wei


@dataclass(frozen=True, slots=True)
class SettlementPolicy:
    """When a channel's vouchers are worth a transaction.

    threshold: wei not yet redeemed on the channel. max_age_ms: how long the oldest of them waits.
    minimum: wei under which it is never worth the gas, even when the channel closes.
    """

    threshold: Wei = Wei(10 * AI)
    max_age_ms: Millis = Millis(24 * 3600 * 1000)
    minimum: Wei = Wei(1)


class PayeeLedger:
    """All channels that pay `payee`: the `Till` of every provider exchange (see ports.Till).

    domain: the EIP-712 domain of PaymentChannels.
    """

    def __init__(
        self, payee: Address, domain: Digest, policy: SettlementPolicy | None = None
    ) -> None:
        raise NotImplementedError

    def restore(self, rows: Iterable[Row], now: UnixMs) -> None:
        """Take over ChannelRow, ReceivedVoucherRow, RedeemedRow; other rows are skipped."""
        raise NotImplementedError

    def note_channel(self, state: ChannelState) -> tuple[Row, ...]:
        """Take over a channel as the chain has it (also when it begins to close or is topped up)."""
        raise NotImplementedError

    def get_debt(self, channel: ChannelId) -> Wei:
        """What ended jobs earned on the channel over their vouchers."""
        raise NotImplementedError

    def vouchers_to_redeem(
        self, now: UnixMs, *, is_forced: bool = False
    ) -> tuple[SignedVoucher, ...]:
        """The vouchers worth redeeming now by the policy; with is_forced all that bring anything."""
        raise NotImplementedError

    def note_redeemed(self, channel: ChannelId, lane: int, amount: Wei) -> tuple[Row, ...]:
        """The chain has credited a lane with `amount` wei in all."""
        raise NotImplementedError

