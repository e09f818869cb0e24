"""Parameters of JSON-RPC calls, read strictly; what is malformed raises BadParameter."""

from typing import Any

from p2p_modelex.chain.hexadecimal import parse_bytes, parse_quantity
from p2p_modelex.chain.pyevm.evm import Request
from p2p_modelex.ids import Address

_LATEST = frozenset({"latest", "safe", "finalized"})
_NOBODY = Address(bytes(20))


class BadParameter(ValueError):
    """The caller sent something else than the method takes."""


def read_quantity(value: Any) -> int:
    """Read a hex quantity; a plain number is taken too, as anvil does."""
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**256:
        return value
    number = parse_quantity(value)
    if number is None:
        raise BadParameter(f"not a quantity: {str(value)[:80]!r}")
    return number


def read_bytes(value: Any, size: int | None = None) -> bytes:
    raw = parse_bytes(value, size)
    if raw is None:
        raise BadParameter(f"not {size or 'any'} bytes in hex: {str(value)[:80]!r}")
    return raw


def read_address(value: Any) -> Address:
    return Address(read_bytes(value, 20))


def read_tag(value: Any) -> int | str:
    """Return a block's number, or one of "latest", "pending"."""
    if value is None or value in _LATEST:
        return "latest"
    if value == "pending":
        return "pending"
    return 0 if value == "earliest" else read_quantity(value)


def read_object(value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise BadParameter(f"not an object: {str(value)[:80]!r}")
    return value


def read_request(value: Any) -> Request:
    fields = read_object(value)
    payload = fields.get("input", fields.get("data"))
    return Request(
        read_address(fields["from"]) if fields.get("from") else _NOBODY,
        read_address(fields["to"]) if fields.get("to") else None,
        read_quantity(fields.get("value") or 0),
        b"" if payload is None else read_bytes(payload),
        read_quantity(fields["gas"]) if fields.get("gas") else None,
    )


def read_addresses(value: Any) -> frozenset[bytes] | None:
    """Return the addresses a filter admits; None for all."""
    if value is None:
        return None
    return frozenset(map(read_address, value if isinstance(value, list) else [value]))


def read_topics(value: Any) -> list[frozenset[bytes] | None]:
    """Return for each position the topics a filter admits; None for all."""
    if value is None:
        return []
    if not isinstance(value, list) or len(value) > 4:
        raise BadParameter("topics are a list of at most 4")
    return [None if one is None else _read_choice(one) for one in value]


def _read_choice(value: Any) -> frozenset[bytes]:
    return frozenset(read_bytes(one, 32) for one in (value if isinstance(value, list) else [value]))
