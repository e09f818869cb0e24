"""`peer.json`: a libp2p Ed25519 seed under a passphrase.

scrypt (RFC 7914) makes the key, ChaCha20-Poly1305 (RFC 8439) seals the seed. The peer id stands
in clear for the operator and is bound to the seal, so that no file passes for another peer's.
"""

import os
from typing import Annotated, Literal

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from cryptography.hazmat.primitives.kdf.scrypt import Scrypt
from msgspec import Meta

from p2p_modelex.errors import KeystoreError
from p2p_modelex.ids import format_peer_id
from p2p_modelex.keys.signers import Ed25519Signer

_SALT_BYTES = 16
_NONCE_BYTES = 12
_SCRYPT_R = 8
SCRYPT_N_MAX = 2**20
"""1 GiB at r=8: a damaged file must not take all memory."""

_Hex = Annotated[str, Meta(pattern="^([0-9a-f]{2})*$", max_length=256)]


class PeerFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The JSON object; r is 8 and p is 1. Bytes are lower-case hexadecimal."""

    kind: Literal["modelex/peer-key"]
    version: Literal[1]
    peer: str
    scrypt_n: Annotated[int, Meta(ge=2, le=SCRYPT_N_MAX)]
    salt: _Hex
    nonce: _Hex
    sealed: _Hex


def seal_seed(seed: bytes, passphrase: str, *, scrypt_n: int) -> bytes:
    """Return the file's content for a seed of 32 bytes."""
    peer = format_peer_id(Ed25519Signer(seed).peer)
    salt, nonce = os.urandom(_SALT_BYTES), os.urandom(_NONCE_BYTES)
    cipher = ChaCha20Poly1305(_derive(passphrase, salt, scrypt_n))
    sealed = cipher.encrypt(nonce, seed, _binding(peer))
    file = PeerFile("modelex/peer-key", 1, peer, scrypt_n, salt.hex(), nonce.hex(), sealed.hex())
    return msgspec.json.format(msgspec.json.encode(file), indent=2) + b"\n"


def open_seed(content: bytes, passphrase: str, *, name: object) -> bytes:
    """Return the seed; KeystoreError if the passphrase is wrong or the file is damaged.

    name: what to call the file in the message.
    """
    try:
        file = msgspec.json.decode(content, type=PeerFile)
        key = _derive(passphrase, bytes.fromhex(file.salt), file.scrypt_n)
    except (msgspec.DecodeError, ValueError, MemoryError) as error:
        raise KeystoreError(
            f"{name} is damaged or of a newer version: {error}", hint="restore it from a backup"
        ) from error
    try:
        return ChaCha20Poly1305(key).decrypt(
            bytes.fromhex(file.nonce), bytes.fromhex(file.sealed), _binding(file.peer)
        )
    except (InvalidTag, ValueError):
        raise KeystoreError(
            f"wrong passphrase for {name}, or the file was changed",
            hint="check MODELEX_PASSPHRASE or the passphrase file",
        ) from None


def _binding(peer: str) -> bytes:
    return f"modelex/peer-key/1/{peer}".encode()


def _derive(passphrase: str, salt: bytes, scrypt_n: int) -> bytes:
    return Scrypt(salt=salt, length=32, n=scrypt_n, r=_SCRYPT_R, p=1).derive(passphrase.encode())
