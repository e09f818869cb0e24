"""The two keys of a node, as signers that never show themselves."""

from dataclasses import dataclass, field

import coincurve
from nacl.signing import SigningKey

from p2p_modelex.errors import BadInput
from p2p_modelex.ids import (
    Address,
    Digest,
    PeerId,
    PublicKey,
    format_address,
    format_peer_id,
    peer_id_of,
)
from p2p_modelex.records.eip712 import address_of

SEED_BYTES = 32
KEY_BYTES = 32


class Ed25519Signer:
    """A peer's key (records.envelope.PeerSigner). Ed25519: RFC 8032."""

    __slots__ = ("_key", "_public_key")

    def __init__(self, seed: bytes) -> None:
        """Take a seed of 32 bytes; BadInput otherwise."""
        if len(seed) != SEED_BYTES:
            raise BadInput(f"an Ed25519 seed has {SEED_BYTES} bytes, not {len(seed)}")
        self._key = SigningKey(seed)
        self._public_key = PublicKey(bytes(self._key.verify_key))

    @property
    def public_key(self) -> PublicKey:
        return self._public_key

    @property
    def peer(self) -> PeerId:
        """The peer id of this key."""
        return peer_id_of(self._public_key)

    def sign(self, message: bytes) -> bytes:
        """Return the 64-byte signature of `message`."""
        return self._key.sign(message).signature

    def __repr__(self) -> str:
        return f"Ed25519Signer({format_peer_id(self.peer)})"

    def __reduce__(self) -> str:
        raise TypeError("a key does not leave its process")


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


@dataclass(frozen=True, slots=True)
class KeyRing:
    """An unlocked node: its peer key, its hot EVM account, and the seed that the net needs raw."""

    peer: Ed25519Signer
    account: EvmSigner
    peer_seed: bytes = field(repr=False)
