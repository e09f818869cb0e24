"""An EVM account whose private key is in this process."""

import coincurve

from p2p_modelex.errors import BadInput
from p2p_modelex.ids import Address, Digest
from p2p_modelex.records.eip712 import address_of


class KeyAccount:
    """Signs with a private key held in memory; implements `records.eip712.AccountSigner`."""

    def __init__(self, private_key: bytes) -> None:
        """Take a secp256k1 private key, 32 bytes; BadInput if it is not one."""
        try:
            # The library pads what is too short, which would make another key of it.
            if len(private_key) != 32:
                raise ValueError
            self._key = coincurve.PrivateKey(private_key)
        except (ValueError, TypeError):
            # Without a cause: the library's message may quote the key.
            raise BadInput("an EVM private key is 32 bytes, in the order of secp256k1") from None
        self._address = address_of(self._key.public_key)

    @property
    def address(self) -> Address:
        return self._address

    def sign_digest(self, digest: Digest) -> bytes:
        """Return r | s | v (65 bytes, v 27 or 28, s in the lower half as libsecp256k1 makes it)."""
        signature = self._key.sign_recoverable(digest, hasher=None)
        return signature[:64] + bytes([signature[64] + 27])

    def __repr__(self) -> str:
        return f"KeyAccount(0x{self._address.hex()})"
