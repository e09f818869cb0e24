"""What both forms of the chain refuse before redeeming."""

from collections.abc import Sequence

from p2p_modelex.errors import PaymentError
from p2p_modelex.limits import REDEMPTION_VOUCHERS_MAX
from p2p_modelex.records.voucher import SignedVoucher


def validate_batch(vouchers: Sequence[SignedVoucher]) -> None:
    """Raise PaymentError for an empty batch or one over REDEMPTION_VOUCHERS_MAX."""
    if not vouchers:
        raise PaymentError("there is nothing to redeem")
    if len(vouchers) > REDEMPTION_VOUCHERS_MAX:
        raise PaymentError(
            f"{len(vouchers)} vouchers do not fit one transaction",
            hint=f"redeem at most {REDEMPTION_VOUCHERS_MAX} at once",
        )
