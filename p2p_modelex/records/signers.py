"""An EVM account whose private key is in this process: it signs, and never shows the key."""

import coincurve

from p2p_modelex.errors import BadInput
from p2p_modelex.ids import Address, Digest, format_address
from p2p_modelex.records.eip712 import address_of

KEY_BYTES = 32


class EvmSigner:
    """An EVM account's key (records.eip712.AccountSigner). Deterministic: RFC 6979."""

    __slots__ = ("_address", "_key")

    def __init__(self, private_key: bytes) -> None:
        """Take a secp256k1 private key of 32 bytes; BadInput if it is not one."""
        try:
            # The library pads what is too short, which would make another key of it.
            if len(private_key) != KEY_BYTES:
                raise ValueError
            self._key = coincurve.PrivateKey(private_key)
        except ValueError:
            # Without a cause: the library's message may quote the key.
            raise BadInput("an EVM key is 32 bytes, within the order of secp256k1") from None
        self._address = address_of(self._key.public_key)

    @property
    def address(self) -> Address:
        return self._address

    def sign_digest(self, digest: Digest) -> bytes:
        """Return r | s | v, 65 bytes: s in the lower half (libsecp256k1 sees to it), v 27 or 28."""
        signature = self._key.sign_recoverable(digest, hasher=None)
        return bytes(signature[:64]) + bytes([signature[64] + 27])

    def __repr__(self) -> str:
        return f"EvmSigner({format_address(self._address)})"

    def __reduce__(self) -> str:
        raise TypeError("a key does not leave its process")
