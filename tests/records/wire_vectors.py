"""Builds protocols/records/vectors/wire.json: one encoding of every message, and broken ones.

The bytes are packed by the msgpack library from plain lists, not by our encoder.
"""

from enum import IntEnum
from typing import Any

import msgpack
import msgspec

from p2p_modelex.units import Wei
from tests.records.examples import EXAMPLES, JOB


def _tag(value: msgspec.Struct) -> list[Any]:
    tag = type(value).__struct_config__.tag
    return [] if tag is None else [tag]


def plain(value: Any) -> Any:
    """Return what msgpack packs: lists in field order, 16 bytes for an amount (WIRE-2)."""
    match value:
        case msgspec.Struct():
            fields = type(value).__struct_fields__
            return _tag(value) + [plain(getattr(value, name)) for name in fields]
        case Wei():
            return value.to_bytes(16, "big")
        case IntEnum():
            return int(value)
        case tuple():
            return [plain(item) for item in value]
    return value


def readable(value: Any) -> Any:
    """Return the JSON form: objects by field name, 0x for bytes, decimal text for amounts."""
    match value:
        case msgspec.Struct():
            fields = type(value).__struct_fields__
            return {name: readable(getattr(value, name)) for name in fields}
        case bytes():
            return "0x" + value.hex()
        case Wei():
            return str(int(value))
        case IntEnum():
            return int(value)
        case tuple():
            return [readable(item) for item in value]
    return value


def _invalid() -> list[dict[str, str]]:
    cancel = bytes(msgpack.packb([5, JOB]))
    chunk = [18, JOB, 0, "hi", 1]
    cases: list[tuple[str, str, str, bytes]] = [
        ("nothing", "Cancel", "WIRE-2", b""),
        ("cut", "Cancel", "WIRE-2", cancel[:-1]),
        ("a byte more", "Cancel", "WIRE-2", cancel + b"\x00"),
        ("the reserved byte", "Cancel", "WIRE-2", b"\x92\x05\xc1"),
        (
            "text that is not UTF-8",
            "Chunk",
            "WIRE-2",
            b"\x95\x12\xc4\x10" + JOB + b"\x00\xa1\xff\x01",
        ),
        (
            "a surrogate in text",
            "Chunk",
            "WIRE-2",
            b"\x95\x12\xc4\x10" + JOB + b"\x00\xa3\xed\xa0\x80\x01",
        ),
        ("5,000 arrays deep", "Cancel", "WIRE-2", b"\x91" * 5000),
        ("an array that claims 4 Gi elements", "Cancel", "WIRE-2", b"\xdd\xff\xff\xff\xff"),
        ("a time stamp", "Cancel", "WIRE-2", b"\x92\x05\xd6\xff\x00\x00\x00\x00"),
        ("a map", "Cancel", "WIRE-2", b"\x81\xa3job\xc4\x10" + JOB),
        ("an empty map", "Cancel", "WIRE-3", b"\x80"),
        ("another tag", "Cancel", "WIRE-3", msgpack.packb([6, JOB])),
        ("no tag", "Cancel", "WIRE-3", msgpack.packb([JOB])),
        ("a field less", "Chunk", "WIRE-3", msgpack.packb(chunk[:-1])),
        ("a field more", "Chunk", "WIRE-3", msgpack.packb([*chunk, 0])),
        ("text for bytes", "Cancel", "WIRE-3", msgpack.packb([5, "0123456789abcdef"])),
        ("15 bytes for 16", "Cancel", "WIRE-3", msgpack.packb([5, JOB[:15]])),
        ("a negative count", "Chunk", "WIRE-3", msgpack.packb([18, JOB, 0, "hi", -1])),
        ("a count over 2^32-1", "Chunk", "WIRE-3", msgpack.packb([18, JOB, 0, "hi", 2**32])),
        ("2^63", "Probe", "WIRE-3", msgpack.packb([1, 2**63])),
        ("true for 1", "Probe", "WIRE-3", msgpack.packb([1, True])),
        ("a float for an integer", "Probe", "WIRE-3", msgpack.packb([1, 5.0])),
        ("nil", "Probe", "WIRE-3", msgpack.packb([1, None])),
        ("a code that does not exist", "Failed", "WIRE-3", msgpack.packb([21, JOB, "bored", ""])),
        ("an amount of 15 bytes", "Started", "WIRE-3", msgpack.packb([17, JOB, 1, bytes(15)])),
        ("an amount as an integer", "Started", "WIRE-3", msgpack.packb([17, JOB, 1, 5])),
        ("5 in two bytes", "Probe", "WIRE-4", b"\x92\x01\xcc\x05"),
        ("5 in nine bytes", "Probe", "WIRE-4", b"\x92\x01\xcf" + (5).to_bytes(8, "big")),
        ("a long array head", "Probe", "WIRE-4", b"\xdc\x00\x02\x01\x05"),
        ("a long bytes head", "Cancel", "WIRE-4", b"\x92\x05\xc5\x00\x10" + JOB),
        (
            "a long text head",
            "Chunk",
            "WIRE-4",
            b"\x96\x12\xc4\x10" + JOB + b"\x00\xd9\x02hi\x01\x90",
        ),
    ]
    return [
        {"kind": kind, "name": name, "rule": rule, "encoded": "0x" + bytes(data).hex()}
        for name, kind, rule, data in cases
    ]


def build() -> dict[str, Any]:
    """Return the whole file. Format: protocols/README.md, `wire`."""
    return {
        "format": "wire/1",
        "rules": ["WIRE-1", "WIRE-2", "WIRE-3", "WIRE-4", "WIRE-5", "WIRE-6"],
        "valid": [
            {
                "encoded": "0x" + bytes(msgpack.packb(plain(value))).hex(),
                "kind": type(value).__name__,
                "name": name,
                "value": readable(value),
            }
            for name, value in EXAMPLES.items()
        ],
        "invalid": _invalid(),
    }
