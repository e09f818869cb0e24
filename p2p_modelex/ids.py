"""Identifiers, each a type of its own, so that two byte strings of different meaning stay apart."""

import hashlib
import re
from functools import lru_cache
from typing import NewType

import base58
from eth_hash.backends.pysha3 import keccak256 as keccak

from p2p_modelex.errors import BadInput

PeerId = NewType("PeerId", bytes)
"""A libp2p peer id: the identity multihash of an Ed25519 public key, 38 bytes."""

PublicKey = NewType("PublicKey", bytes)
"""A raw Ed25519 public key, 32 bytes."""

Address = NewType("Address", bytes)
"""An EVM account or contract, 20 bytes."""

Digest = NewType("Digest", bytes)
"""A SHA-256 or Keccak-256 digest, 32 bytes; the field's name or docstring says which."""

NetworkId = NewType("NetworkId", bytes)
"""SHA-256 over chain id and registry address, 32 bytes: part of every signed statement."""

ChannelId = NewType("ChannelId", bytes)
"""A payment channel's identifier on chain, 32 bytes."""

JobId = NewType("JobId", bytes)
"""One inference request, 16 random bytes chosen by the requester."""

# libp2p peer-id specification: identity multihash (0x00, length) of the protobuf
# PublicKey{Type: Ed25519 (1), Data: 32 bytes}.
_ED25519_PREFIX = bytes.fromhex("002408011220")
PEER_ID_BYTES = len(_ED25519_PREFIX) + 32
# 38 bytes are at most 52 base58 digits; the bound matters because decoding is quadratic.
_PEER_ID_TEXT_MAX = 64
_ADDRESS_TEXT = re.compile(r"0x[0-9a-fA-F]{40}")


def peer_id_of(public_key: PublicKey) -> PeerId:
    """Return the peer id of a raw Ed25519 public key (32 bytes)."""
    if len(public_key) != 32:
        raise BadInput(f"an Ed25519 public key has 32 bytes, not {len(public_key)}")
    return PeerId(_ED25519_PREFIX + public_key)


def public_key_of(peer: PeerId) -> PublicKey:
    """Return the raw Ed25519 public key inside a peer id; BadInput if it is of another kind."""
    if len(peer) != PEER_ID_BYTES or not peer.startswith(_ED25519_PREFIX):
        raise BadInput("not an Ed25519 peer id")
    return PublicKey(peer[len(_ED25519_PREFIX) :])


@lru_cache(maxsize=1024)  # 18 us each, for what the same few peers are called in every answer
def format_peer_id(peer: PeerId) -> str:
    """Return the base58 text form, as in `12D3KooW...`."""
    return base58.b58encode(peer).decode("ascii")


def parse_peer_id(text: str) -> PeerId:
    """Parse the base58 text form; BadInput if it is not an Ed25519 peer id."""
    hint = "`modelex nodes` lists peers; their ids begin with 12D3KooW"
    try:
        peer = PeerId(base58.b58decode(text[:_PEER_ID_TEXT_MAX]))
        public_key_of(peer)
    except ValueError as error:
        raise BadInput(f"not a peer id: {text[:80]!r}", hint=hint) from error
    except BadInput as error:
        raise BadInput(f"not an Ed25519 peer id: {text[:80]!r}", hint=hint) from error
    if format_peer_id(peer) != text:
        raise BadInput(f"not the plain form of a peer id: {text[:80]!r}", hint=hint)
    return peer


def parse_address(text: str) -> Address:
    """Parse `0x` and 40 hexadecimal digits; BadInput otherwise.

    Capitals among small letters are a checksum (EIP-55), and BadInput if it is wrong: what is sent
    to a mistyped account is lost.
    """
    if _ADDRESS_TEXT.fullmatch(text) is None:
        raise BadInput(
            f"not an EVM address: {text[:80]!r}", hint="write 0x and 40 hexadecimal digits"
        )
    digits = text[2:]
    if digits not in (digits.lower(), digits.upper(), _capitalise(digits.lower())):
        raise BadInput(
            f"{text} is mistyped: its capitals are not those of its digits (EIP-55)",
            hint="copy the address again from where you have it",
        )
    return Address(bytes.fromhex(digits))


def format_address(address: Address) -> str:
    """Return `0x` and 40 lower-case hexadecimal digits."""
    return "0x" + address.hex()


def _capitalise(digits: str) -> str:
    """Return an address's digits with the capitals that EIP-55 gives them: a letter is large where
    its place in the hash of the small ones has a digit of 8 or more.
    """
    pairs = zip(digits, keccak(digits.encode()).hex()[: len(digits)], strict=True)
    return "".join(digit.upper() if place >= "8" else digit for digit, place in pairs)


def network_id_of(chain_id: int, registry: Address) -> NetworkId:
    """Return the network's identifier: SHA-256("modelex/network" | uint64 chain id | registry).

    BadInput if the chain id is not a uint64. Rule: ENV-3.
    """
    if not 0 <= chain_id < 2**64:
        raise BadInput(f"a chain id lies in 0..2^64-1, not {chain_id}")
    return NetworkId(
        hashlib.sha256(b"modelex/network" + chain_id.to_bytes(8, "big") + registry).digest()
    )
