"""Numbers and bytes as JSON-RPC has them (hex encoding of Ethereum's execution API)."""

from typing import Any

_WORD_HEX = 66  # 0x and 32 bytes


def parse_quantity(value: Any) -> int | None:
    """Return the number of a quantity such as `0x1b4`, at most 256 bits; None if it is not one."""
    if not isinstance(value, str) or not value.startswith("0x") or len(value) > _WORD_HEX:
        return None
    try:
        return int(value, 16)
    except ValueError:
        return None


def parse_bytes(value: Any, size: int | None = None) -> bytes | None:
    """Return hex bytes, of exactly `size` if given; None if they are not that."""
    if not isinstance(value, str) or not value.startswith("0x"):
        return None
    try:
        raw = bytes.fromhex(value[2:])
    except ValueError:
        return None
    return raw if size in (None, len(raw)) else None
