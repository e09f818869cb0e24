"""The endpoint's answers, read strictly: hex quantities and bytes, logs, headers, receipts.

An endpoint that answers nonsense is as good as absent: every reader raises ChainUnreachable.
"""

from dataclasses import dataclass
from typing import Any

from p2p_modelex.chain.hexadecimal import parse_bytes, parse_quantity
from p2p_modelex.errors import ChainUnreachable
from p2p_modelex.ids import Address, Digest


@dataclass(frozen=True, slots=True)
class Log:
    """An event as a contract emitted it, not yet decoded."""

    address: Address
    topics: tuple[bytes, ...]
    payload: bytes
    block: int


@dataclass(frozen=True, slots=True)
class Header:
    """A block's place in the chain."""

    number: int
    hash: Digest
    parent: Digest
    timestamp: int


@dataclass(frozen=True, slots=True)
class TransactionReceipt:
    """A mined transaction. gas_used: units of gas. contract: what a creation created."""

    transaction: Digest
    block: int
    gas_used: int
    succeeded: bool
    contract: Address | None
    logs: tuple[Log, ...]


def read_quantity(value: Any) -> int:
    """Read a hex quantity such as `0x1b4`."""
    number = parse_quantity(value)
    if number is None:
        raise ChainUnreachable(f"the endpoint sent a malformed number: {str(value)[:80]!r}")
    return number


def read_bytes(value: Any, size: int | None = None) -> bytes:
    """Read hex bytes, of exactly `size` if given."""
    raw = parse_bytes(value, size)
    if raw is None:
        raise ChainUnreachable(f"the endpoint sent malformed bytes: {str(value)[:80]!r}")
    return raw


def to_hex(value: bytes | int) -> str:
    """Return bytes or a quantity as JSON-RPC wants them."""
    return hex(value) if isinstance(value, int) else "0x" + value.hex()


def read_log(value: Any) -> Log:
    fields = _read_object(value)
    topics = fields.get("topics")
    if not isinstance(topics, list) or len(topics) > 4:
        raise ChainUnreachable("the endpoint sent a log with malformed topics")
    return Log(
        Address(read_bytes(fields.get("address"), 20)),
        tuple(read_bytes(topic, 32) for topic in topics),
        read_bytes(fields.get("data")),
        read_quantity(fields.get("blockNumber")),
    )


def read_logs(value: Any) -> tuple[Log, ...]:
    if not isinstance(value, list):
        raise ChainUnreachable("the endpoint sent no list of logs")
    return tuple(read_log(entry) for entry in value)


def read_header(value: Any) -> Header:
    fields = _read_object(value)
    return Header(
        read_quantity(fields.get("number")),
        Digest(read_bytes(fields.get("hash"), 32)),
        Digest(read_bytes(fields.get("parentHash"), 32)),
        read_quantity(fields.get("timestamp")),
    )


def read_receipt(value: Any) -> TransactionReceipt:
    fields = _read_object(value)
    created = fields.get("contractAddress")
    return TransactionReceipt(
        Digest(read_bytes(fields.get("transactionHash"), 32)),
        read_quantity(fields.get("blockNumber")),
        read_quantity(fields.get("gasUsed")),
        read_quantity(fields.get("status")) == 1,
        None if created is None else Address(read_bytes(created, 20)),
        read_logs(fields.get("logs")),
    )


def _read_object(value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise ChainUnreachable(f"the endpoint sent a malformed object: {str(value)[:80]!r}")
    return value
