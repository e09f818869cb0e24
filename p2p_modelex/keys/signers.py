"""The two keys of a node, as signers that never show themselves."""

from dataclasses import dataclass, field

from nacl.signing import SigningKey

from p2p_modelex.errors import BadInput
from p2p_modelex.ids import (
    PeerId,
    PublicKey,
    format_peer_id,
    peer_id_of,
)
from p2p_modelex.records.signers import EvmSigner

SEED_BYTES = 32


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


@dataclass(frozen=True, slots=True)
class KeyRing:
    """An unlocked node: its peer key, its hot EVM account, and the seed that the net needs raw."""

    peer: Ed25519Signer
    account: EvmSigner
    peer_seed: bytes = field(repr=False)
