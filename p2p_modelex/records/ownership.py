"""The ownership proof: an EVM operator vouches for a peer and names the hot key that acts for it.

Rules: protocols/records/README.md (OWN-1 ...). The reverse direction, the peer vouching for the
operator, is the advertisement that carries the proof.
"""

from functools import lru_cache

import msgspec
from eth_hash.backends.pysha3 import keccak256 as keccak

from p2p_modelex.errors import RemoteProtocolError
from p2p_modelex.ids import Address, Digest, PublicKey
from p2p_modelex.records import eip712
from p2p_modelex.records.types import U64, Bytes20, Bytes32, Signature65
from p2p_modelex.units import UnixMs

TYPE = b"Ownership(bytes32 peer,address operator,address delegate,uint64 notAfter)"
_TYPE_HASH = keccak(TYPE)
PROOFS_KEPT = 256
"""Proofs whose signers are remembered."""


class Ownership(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True, gc=False):
    """`operator` owns the peer with Ed25519 key `peer`; `delegate` signs the peer's receipts.

    Payments to the node go to channels whose payee is `operator` (OWN-4).
    not_after: unix ms, the last at which the statement holds.
    """

    peer: Bytes32
    operator: Bytes20
    delegate: Bytes20
    not_after: U64


class SignedOwnership(
    msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True, gc=False
):
    """An ownership statement and the operator's signature."""

    ownership: Ownership
    signature: Signature65


def compute_digest(ownership: Ownership, domain: Digest) -> Digest:
    """Return the EIP-712 digest; `domain` is that of the NodeRegistry contract."""
    return eip712.compute_digest(
        domain,
        _TYPE_HASH,
        ownership.peer,
        eip712.left(ownership.operator),
        eip712.left(ownership.delegate),
        eip712.word(ownership.not_after),
    )


def sign(ownership: Ownership, domain: Digest, signer: eip712.AccountSigner) -> SignedOwnership:
    """Sign with the operator's key."""
    return SignedOwnership(ownership, signer.sign_digest(compute_digest(ownership, domain)))


# A proof comes again with each renewal of an advertisement and each job; recovering takes 60 us.
@lru_cache(PROOFS_KEPT)
def _recover(signed: SignedOwnership, domain: Digest) -> Address:
    return eip712.recover(compute_digest(signed.ownership, domain), signed.signature)


def validate(signed: SignedOwnership, peer: PublicKey, domain: Digest, now: UnixMs) -> None:
    """Raise RemoteProtocolError unless the proof is by its operator, for `peer`, holding at `now`.

    OWN-1, OWN-2, OWN-3; EIP712-1 if the signature is malformed.
    """
    if signed.ownership.peer != peer:
        raise RemoteProtocolError("OWN-1", "the proof is for another peer")
    if signed.ownership.not_after < now:
        raise RemoteProtocolError("OWN-2", "the proof has expired")
    if _recover(signed, domain) != signed.ownership.operator:
        raise RemoteProtocolError("OWN-3", "the proof is not signed by its operator")
