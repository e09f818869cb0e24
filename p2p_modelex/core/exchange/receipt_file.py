"""The receipt file: a finished job as JSON a person can read (protocols/exchange, receipt file).

Bytes are `0x` and hexadecimal digits, amounts are decimal strings of wei, the rest is JSON's own.
"""

import json
import types
import typing
from typing import Any

import msgspec

from p2p_modelex.core.exchange import parameters
from p2p_modelex.errors import BadInput, LocalProtocolError, RemoteProtocolError, VerificationFailed
from p2p_modelex.records import codec
from p2p_modelex.records.rows import ReceiptRow
from p2p_modelex.units import Wei

FORMAT = "modelex receipt"
VERSION = 1


def encode_receipt_file(row: ReceiptRow) -> bytes:
    """Return the file's content, UTF-8 JSON; LocalProtocolError if it would be too large."""
    content = {"format": FORMAT, "version": VERSION, **_show(row)}
    encoded = json.dumps(content, indent=2, ensure_ascii=False).encode() + b"\n"
    if len(encoded) > parameters.RECEIPT_FILE_BYTES:
        raise LocalProtocolError(
            f"a receipt file has at most {parameters.RECEIPT_FILE_BYTES} bytes"
        )
    return encoded


def decode_receipt_file(content: bytes) -> ReceiptRow:
    """Parse a receipt file without verifying it; VerificationFailed if it is not one (EXC-18)."""
    if len(content) > parameters.RECEIPT_FILE_BYTES:
        raise VerificationFailed("file: too large (EXC-18)")
    try:
        shown = json.loads(content)
        if not isinstance(shown, dict) or shown.pop("format", None) != FORMAT:
            raise VerificationFailed("file: not a Modelex receipt (EXC-18)")
        if shown.pop("version", None) != VERSION:
            raise VerificationFailed(f"file: not of version {VERSION} (EXC-18)")
        encoded = codec.encode(_read(ReceiptRow, shown))
        row: ReceiptRow = codec.decode(ReceiptRow, encoded, limit=parameters.RECEIPT_FILE_BYTES)
    # Hostile JSON can hold anything; each of these is what one kind of it raises.
    except (ValueError, TypeError, KeyError, OverflowError, RecursionError) as error:
        raise VerificationFailed(f"file: malformed: {error} (EXC-18)") from error
    except (RemoteProtocolError, BadInput) as error:
        raise VerificationFailed(f"file: {error.message} (EXC-18)") from error
    return row


def _show(value: Any) -> Any:
    match value:
        case msgspec.Struct():
            return {name: _show(getattr(value, name)) for name in value.__struct_fields__}
        case Wei():
            return str(int(value))
        case bytes():
            return "0x" + value.hex()
        case tuple():
            return [_show(item) for item in value]
        case _:
            return value


def _read(kind: Any, shown: Any) -> Any:
    """Return what `_show` showed of a value of type `kind`, as the codec's plain values."""
    while hasattr(kind, "__supertype__") or typing.get_origin(kind) is typing.Annotated:
        kind = kind.__supertype__ if hasattr(kind, "__supertype__") else typing.get_args(kind)[0]
    if typing.get_origin(kind) is tuple:
        return [_read(typing.get_args(kind)[0], item) for item in shown]
    if not isinstance(kind, type) or isinstance(kind, types.GenericAlias):
        return shown
    if issubclass(kind, msgspec.Struct):
        fields = msgspec.structs.fields(kind)
        if set(shown) != {field.name for field in fields}:
            raise ValueError(f"the fields of {kind.__name__} are wrong")
        return [_read(field.type, shown[field.name]) for field in fields]
    if kind is Wei:
        if not isinstance(shown, str) or str(int(shown)) != shown:
            raise ValueError("amounts are decimal strings")
        return int(shown).to_bytes(codec.WEI_BYTES, "big")
    if kind is bytes:
        if not isinstance(shown, str) or not shown.startswith("0x"):
            raise ValueError("bytes are strings that begin with 0x")
        return bytes.fromhex(shown[2:])
    return shown
