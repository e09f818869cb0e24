"""EIP-712 statements that a contract can check: voucher, receipt, ownership proof, report.

The digests are made by hand (19 us against 540 us through eth-account) and held to eth-account
and to the Solidity views by shared vectors in protocols/records/vectors.
"""

from typing import Protocol

import coincurve
from eth_hash.backends.pysha3 import keccak256 as keccak

from p2p_modelex.errors import RemoteProtocolError
from p2p_modelex.ids import Address, Digest

NAME = "Modelex"
VERSION = "1"
_DOMAIN_TYPE = keccak(
    b"EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)"
)
# Half the order of secp256k1: EIP-2 refuses the upper half, which would make signatures malleable.
_HALF_ORDER = 0x7FFFFFFFFFFFFFFFFFFFFFFFFFFFFFFF5D576E7357A4501DDFE92F46681B20A0


class AccountSigner(Protocol):
    """Signs with an EVM account's key; RFC 6979 makes it deterministic, so a core may hold one."""

    @property
    def address(self) -> Address: ...

    def sign_digest(self, digest: Digest) -> bytes:
        """Return the 65-byte signature r | s | v of a 32-byte digest."""
        ...


def word(value: int) -> bytes:
    """Return an unsigned integer as an ABI word (32 bytes, big-endian)."""
    return value.to_bytes(32, "big")


def signed_word(value: int) -> bytes:
    """Return a signed integer as an ABI word: two's complement over all 32 bytes."""
    return value.to_bytes(32, "big", signed=True)


def left(value: bytes) -> bytes:
    """Return an address as an ABI word: zero-padded on the left."""
    return value.rjust(32, b"\0")


def right(value: bytes) -> bytes:
    """Return a bytesN value as an ABI word: zero-padded on the right."""
    return value.ljust(32, b"\0")


def compute_domain(
    chain_id: int, contract: Address, *, name: str = NAME, version: str = VERSION
) -> Digest:
    """Return the EIP-712 domain separator of a contract on a chain (EIP712-2)."""
    fields = (_DOMAIN_TYPE, keccak(name.encode()), keccak(version.encode()))
    return Digest(keccak(b"".join(fields) + word(chain_id) + left(contract)))


def compute_digest(domain: Digest, type_hash: bytes, *words: bytes) -> Digest:
    """Return the digest to sign: keccak(0x1901 | domain | keccak(type hash | words)) (EIP712-3)."""
    return Digest(keccak(b"\x19\x01" + domain + keccak(type_hash + b"".join(words))))


def recover(digest: Digest, signature: bytes) -> Address:
    """Return the account that signed `digest`; RemoteProtocolError EIP712-1 if malformed."""
    if len(signature) != 65 or signature[64] not in (27, 28):
        raise RemoteProtocolError("EIP712-1", "a signature is r | s | v with v 27 or 28")
    if int.from_bytes(signature[32:64], "big") > _HALF_ORDER:
        raise RemoteProtocolError("EIP712-1", "s is in the upper half")
    try:
        key = coincurve.PublicKey.from_signature_and_message(
            signature[:64] + bytes([signature[64] - 27]), digest, hasher=None
        )
    except Exception as error:  # coincurve raises bare Exception and ValueError for bad points
        raise RemoteProtocolError("EIP712-1", "not a secp256k1 signature") from error
    return address_of(key)


def address_of(key: coincurve.PublicKey) -> Address:
    """Return the EVM address of a secp256k1 public key."""
    return Address(keccak(key.format(compressed=False)[1:])[12:])
