"""The envelope: an Ed25519 signature over the exact payload bytes that travel.

Signing input: "modelex/1" | 0x00 | domain | 0x00 | network id (32 bytes) | payload.
Domain and network id separate statements of different kinds and networks, so none replays
as another. The signature covers bytes, not values, so there is no canonicalisation to get wrong.
Rules: protocols/records/README.md (ENV-1 ...). Ed25519: RFC 8032.
"""

import hashlib
from typing import Annotated, Protocol

import msgspec
from nacl.bindings import crypto_sign_open
from nacl.exceptions import BadSignatureError

from p2p_modelex.errors import RemoteProtocolError
from p2p_modelex.ids import Digest, NetworkId, PeerId, PublicKey, peer_id_of
from p2p_modelex.records import codec

_PREFIX = b"modelex/1\x00"


class Envelope(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True, gc=False):
    """A signed payload: the signer (raw Ed25519 key), the exact bytes, the signature (64 bytes)."""

    signer: Annotated[bytes, msgspec.Meta(min_length=32, max_length=32)]
    payload: bytes
    signature: Annotated[bytes, msgspec.Meta(min_length=64, max_length=64)]

    @property
    def peer(self) -> PeerId:
        """The peer id of the signer."""
        return peer_id_of(PublicKey(self.signer))


class PeerSigner(Protocol):
    """Signs with a peer's Ed25519 key; Ed25519 is deterministic, so a core may hold one."""

    @property
    def public_key(self) -> PublicKey: ...

    def sign(self, message: bytes) -> bytes:
        """Return the 64-byte RFC 8032 signature of `message`."""
        ...


def signing_input(domain: str, network: NetworkId, payload: bytes) -> bytes:
    """Return the bytes that an envelope's signature covers (ENV-1).

    domain: ASCII without NUL, one for each kind of statement (ENV-4).
    """
    return _PREFIX + domain.encode("ascii") + b"\x00" + network + payload


def seal(domain: str, network: NetworkId, payload: bytes, signer: PeerSigner) -> Envelope:
    """Sign `payload` for one domain and network."""
    signature = signer.sign(signing_input(domain, network, payload))
    return Envelope(signer.public_key, payload, signature)


def verify(envelope: Envelope, domain: str, network: NetworkId) -> None:
    """Raise RemoteProtocolError ENV-2 unless the signature is good for this domain and network."""
    message = signing_input(domain, network, envelope.payload)
    try:
        crypto_sign_open(envelope.signature + message, envelope.signer)
    except (BadSignatureError, ValueError) as error:
        raise RemoteProtocolError("ENV-2", f"bad signature on a {domain}") from error


def decode_envelope(data: bytes, *, limit: int) -> Envelope:
    """Decode, without verifying; RemoteProtocolError if the bytes are not an envelope."""
    envelope: Envelope = codec.decode(Envelope, data, limit=limit)
    return envelope


def digest(data: bytes) -> Digest:
    """SHA-256 of bytes, the digest used for prompts, completions, records and files."""
    return Digest(hashlib.sha256(data).digest())
