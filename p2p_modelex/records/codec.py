"""The one msgpack codec: arrays in field order, strict types, every limit named.

Untrusted bytes pass three gates, cheap ones first: the size limit, msgpack's own structural
limits, and msgspec's typed conversion into frozen structs. Anything else is RemoteProtocolError.
Wire format: protocols/records/README.md.
"""

from functools import cache
from typing import Any

import msgpack
import msgspec

from p2p_modelex.errors import BadInput, LocalProtocolError, RemoteProtocolError
from p2p_modelex.units import Wei

WEI_BYTES = 16
# More than any record holds; msgpack allocates what a length claims before it has read so much.
_ARRAY_MAX = 1024


# WIRE-6: msgpack has no integer of 128 bits, so an amount travels as 16 bytes.
def _encode_foreign(value: Any) -> Any:
    if isinstance(value, Wei):
        return value.to_bytes(WEI_BYTES, "big")
    raise NotImplementedError(type(value).__name__)


def _decode_foreign(kind: type, value: Any) -> Any:
    if kind is Wei:
        if not isinstance(value, bytes) or len(value) != WEI_BYTES:
            raise ValueError(f"an amount is {WEI_BYTES} bytes")
        return Wei(int.from_bytes(value, "big"))
    raise NotImplementedError(kind.__name__)


@cache
def _boxed(kind: Any) -> Any:
    """Return a struct whose one field is a `kind`.

    msgspec remembers what it learns of a struct, but works a union out anew each time: 19 us.
    """
    return msgspec.defstruct("Boxed", [("value", kind)], array_like=True, frozen=True)


_encoder = msgspec.msgpack.Encoder(enc_hook=_encode_foreign)


def encode(value: Any) -> bytes:
    """Return the msgpack form of a struct of this package (rules WIRE-2 to WIRE-4).

    BadInput if a text has lone surrogates (WIRE-5), as arguments that are not UTF-8 do.
    """
    try:
        return _encoder.encode(value)
    except UnicodeEncodeError as error:
        raise BadInput(f"{type(value).__name__} holds text that is not Unicode") from error


def encode_bounded(value: Any, limit: int) -> bytes:
    """As `encode`; LocalProtocolError if the result is over `limit` bytes."""
    data = encode(value)
    if len(data) > limit:
        raise LocalProtocolError(f"{type(value).__name__} has {len(data)} bytes, limit {limit}")
    return data


def decode(kind: Any, data: bytes, *, limit: int) -> Any:
    """Decode one value of `kind` (a struct type or a union of tagged ones).

    Raises RemoteProtocolError (WIRE-1 size, WIRE-2 msgpack, WIRE-3 types, WIRE-4 not minimal).
    """
    if len(data) > limit:
        raise RemoteProtocolError("WIRE-1", f"{len(data)} bytes, limit {limit}")
    try:
        plain = msgpack.unpackb(
            data,
            raw=False,
            use_list=True,
            strict_map_key=True,
            max_str_len=limit,
            max_bin_len=limit,
            max_array_len=_ARRAY_MAX,
            max_map_len=0,
            max_ext_len=0,
        )
    # msgpack raises several unrelated classes on bad input; StackError, for depth, is a ValueError.
    except (ValueError, TypeError, msgpack.UnpackException) as error:
        raise RemoteProtocolError("WIRE-2", f"not msgpack: {error}") from error
    try:
        boxed = msgspec.convert([plain], _boxed(kind), strict=True, dec_hook=_decode_foreign)
    except msgspec.ValidationError as error:
        raise RemoteProtocolError("WIRE-3", str(error)) from error
    # The one form: no cheaper check sees every long form of a number, a length or a float.
    if encode(boxed.value) != data:
        raise RemoteProtocolError("WIRE-4", "not the minimal msgpack form")
    return boxed.value
