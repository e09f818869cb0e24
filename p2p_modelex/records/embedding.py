"""A vector as the text of a completion: base64 of its numbers, each a little-endian 32-bit float.

As OpenAI's `encoding_format: base64` has it; decimal digits would take three times the room.
"""

import base64
import binascii
import math
import struct
from collections.abc import Sequence

from p2p_modelex.errors import BadInput, RemoteProtocolError

DIMENSIONS_MAX = 12_288
"""The longest vector: its text just fits the slack that a job of no completion tokens has."""

_FLOAT_BYTES = 4


def encode_vector(values: Sequence[float]) -> str:
    """Return the text; BadInput for no numbers, too many, or one that no 32-bit float holds."""
    if not 0 < len(values) <= DIMENSIONS_MAX:
        raise BadInput(f"a vector of {len(values)} numbers; it has 1 to {DIMENSIONS_MAX}")
    try:
        raw = struct.pack(f"<{len(values)}f", *values)
    except (OverflowError, struct.error) as error:
        raise BadInput(f"a vector holds what is no 32-bit number: {error}") from error
    if not all(map(math.isfinite, values)):
        raise BadInput("a vector holds a number that is not finite")
    return base64.b64encode(raw).decode("ascii")


def decode_vector(text: str) -> tuple[float, ...]:
    """Return the numbers; RemoteProtocolError EXC-20 if the text is no vector."""
    try:
        raw = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise RemoteProtocolError("EXC-20", f"an embedding that is not base64: {error}") from error
    count, rest = divmod(len(raw), _FLOAT_BYTES)
    if rest or not 0 < count <= DIMENSIONS_MAX:
        raise RemoteProtocolError("EXC-20", f"an embedding of {len(raw)} bytes")
    values = struct.unpack(f"<{count}f", raw)
    if not all(map(math.isfinite, values)):
        raise RemoteProtocolError("EXC-20", "an embedding with a number that is not finite")
    return values
