"""What both forms of the chain refuse before redeeming."""

from collections.abc import Sequence

from p2p_modelex.errors import PaymentError
from p2p_modelex.ids import Address
from p2p_modelex.limits import REDEMPTION_VOUCHERS_MAX
from p2p_modelex.records.channel import Claim


def find_payee(claims: Sequence[Claim]) -> Address:
    """Return whom a batch pays; PaymentError if it is empty, over REDEMPTION_VOUCHERS_MAX, or pays
    more than one.
    """
    if not claims:
        raise PaymentError("there is nothing to redeem")
    if len(claims) > REDEMPTION_VOUCHERS_MAX:
        raise PaymentError(
            f"{len(claims)} vouchers do not fit one transaction",
            hint=f"redeem at most {REDEMPTION_VOUCHERS_MAX} at once",
        )
    payee, *others = {claim.terms.payee: None for claim in claims}
    if others:
        raise PaymentError(
            f"one transaction pays one account, these vouchers {len(others) + 1}",
            hint="redeem those of each payee on their own",
        )
    return Address(payee)
