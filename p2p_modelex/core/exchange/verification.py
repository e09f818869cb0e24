"""Whether a receipt is good: the checks a requester makes live and `modelex verify` makes offline."""

from p2p_modelex.ids import Digest
from p2p_modelex.records.rows import ReceiptRow
from p2p_modelex.units import UnixMs


def verify_receipt_row(row: ReceiptRow, registry_domain: Digest, now: UnixMs | None) -> None:
    """Verify a finished job offline; VerificationFailed names the failing check.

    now: also check that the receipt is not from the future; None skips that.
    """
    raise NotImplementedError
