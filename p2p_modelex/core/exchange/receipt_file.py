"""The receipt file: a finished job as JSON a person can read (protocols/exchange, receipt file)."""

from p2p_modelex.records.rows import ReceiptRow


def encode_receipt_file(row: ReceiptRow) -> bytes:
    """Return the file's content, UTF-8 JSON with hex digests."""
    raise NotImplementedError


def decode_receipt_file(content: bytes) -> ReceiptRow:
    """Parse a receipt file without verifying it; VerificationFailed if it is not one."""
    raise NotImplementedError
