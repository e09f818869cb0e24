"""Constrained field types shared by the records; the constraints are those of rule WIRE-3."""

from typing import Annotated

from msgspec import Meta

from p2p_modelex import limits

U16 = Annotated[int, Meta(ge=0, le=2**16 - 1)]
U32 = Annotated[int, Meta(ge=0, le=2**32 - 1)]
# msgspec keeps bounds in an int64; times, sequences and seeds do not miss the top bit.
U64 = Annotated[int, Meta(ge=0, le=2**63 - 1)]
Bytes16 = Annotated[bytes, Meta(min_length=16, max_length=16)]
Bytes20 = Annotated[bytes, Meta(min_length=20, max_length=20)]
Bytes32 = Annotated[bytes, Meta(min_length=32, max_length=32)]
Signature65 = Annotated[bytes, Meta(min_length=65, max_length=65)]
"""A secp256k1 signature r | s | v with v in {27, 28} and s in the lower half (EIP-2)."""
# Names and addresses end on people's terminals: no space, no control character, no look-alike.
_PRINTABLE_ASCII = r"\A[!-~]+\Z"
Name = Annotated[str, Meta(max_length=limits.NAME_BYTES, pattern=_PRINTABLE_ASCII)]
AddressText = Annotated[str, Meta(max_length=limits.ADDRESS_TEXT_BYTES, pattern=_PRINTABLE_ASCII)]
"""A multiaddr as text; whether it parses is the network's to say."""
