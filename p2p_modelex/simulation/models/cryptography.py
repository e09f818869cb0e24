"""Signatures in a simulation: the real ones, or stubs that cost a hundredth and forge no easier.

A stub's signature is a keyed hash of the message, and the key never leaves this object: a node
can sign only through the signers it was given, so an adversary in the model has no more luck than
with real keys. Either way each operation is charged to the virtual CPU of whoever did it.
"""

import hashlib
from collections.abc import Callable
from typing import Annotated, Protocol

import msgspec
from msgspec import Meta

from p2p_modelex.errors import RemoteProtocolError
from p2p_modelex.ids import Address, Digest, NetworkId, PeerId, PublicKey, peer_id_of
from p2p_modelex.keys.signers import Ed25519Signer
from p2p_modelex.records import eip712, envelope
from p2p_modelex.records.eip712 import AccountSigner
from p2p_modelex.records.envelope import Envelope, PeerSigner
from p2p_modelex.records.signers import EvmSigner
from p2p_modelex.simulation.randomness import derive

_BAD_POINT = "not a secp256k1 signature"


class Costs(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Microseconds of CPU; measured on one core of a 2.5 GHz server (`make bench`, signatures).

    peer_sign_us: an Ed25519 signature. peer_verify_us: checking one. account_sign_us: one of
    secp256k1. account_recover_us: recovering who signed one.
    """

    peer_sign_us: Annotated[int, Meta(ge=0, le=1_000_000)] = 25
    peer_verify_us: Annotated[int, Meta(ge=0, le=1_000_000)] = 60
    account_sign_us: Annotated[int, Meta(ge=0, le=1_000_000)] = 30
    account_recover_us: Annotated[int, Meta(ge=0, le=1_000_000)] = 60


class Scheme(Protocol):
    """What stands behind the signatures of one world."""

    def open_peer(self, number: int) -> PeerSigner: ...

    def open_account(self, number: int) -> AccountSigner: ...

    def verify(self, opened: Envelope, domain: str, network: NetworkId) -> None: ...

    def recover(self, digest: Digest, signature: bytes) -> Address: ...


class RealScheme:
    """Ed25519 and secp256k1, with keys derived from the seed."""

    def __init__(self, seed: int) -> None:
        self._seed = seed
        # Taken now: while a world is being run the names in records/ lead here.
        self._verify, self._recover = envelope.verify, eip712.recover

    def open_peer(self, number: int) -> PeerSigner:
        return Ed25519Signer(derive(self._seed, "peer key", number))

    def open_account(self, number: int) -> AccountSigner:
        return EvmSigner(derive(self._seed, "account key", number))

    def verify(self, opened: Envelope, domain: str, network: NetworkId) -> None:
        self._verify(opened, domain, network)

    def recover(self, digest: Digest, signature: bytes) -> Address:
        return self._recover(digest, signature)


class StubScheme:
    """BLAKE2b with a key that only this object has."""

    def __init__(self, seed: int) -> None:
        self._seed = seed
        self._secret = derive(seed, "stub secret")

    def open_peer(self, number: int) -> PeerSigner:
        public_key = PublicKey(derive(self._seed, "peer key", number))
        return _StubPeer(public_key, lambda message: self._mark(public_key, message, 64))

    def open_account(self, number: int) -> AccountSigner:
        address = Address(derive(self._seed, "account key", number)[:20])
        return _StubAccount(address, lambda digest: self._mark(address, digest, 32))

    def verify(self, opened: Envelope, domain: str, network: NetworkId) -> None:
        message = envelope.signing_input(domain, network, opened.payload)
        if self._mark(opened.signer, message, 64) != opened.signature:
            raise RemoteProtocolError("ENV-2", f"bad signature on a {domain}")

    def recover(self, digest: Digest, signature: bytes) -> Address:
        """As EIP-712's: the signer in `r`, if the mark in `s` is right, else somebody else."""
        if len(signature) != 65 or signature[64] not in (27, 28):
            raise RemoteProtocolError("EIP712-1", "a signature is r | s | v with v 27 or 28")
        if signature[32] >= 0x40 or any(signature[:12]):
            raise RemoteProtocolError("EIP712-1", _BAD_POINT)
        signer = Address(signature[12:32])
        if _build_signature(signer, self._mark(signer, digest, 32)) == signature:
            return signer
        return Address(hashlib.blake2b(digest + signature, digest_size=20).digest())

    def _mark(self, signer: bytes, message: bytes, size: int) -> bytes:
        return hashlib.blake2b(message, digest_size=size, key=self._secret + signer).digest()


class _StubPeer:
    def __init__(self, public_key: PublicKey, mark: Callable[[bytes], bytes]) -> None:
        self._public_key = public_key
        self._mark = mark

    @property
    def public_key(self) -> PublicKey:
        return self._public_key

    def sign(self, message: bytes) -> bytes:
        return self._mark(message)


class _StubAccount:
    def __init__(self, address: Address, mark: Callable[[Digest], bytes]) -> None:
        self._address = address
        self._mark = mark

    @property
    def address(self) -> Address:
        return self._address

    def sign_digest(self, digest: Digest) -> bytes:
        return _build_signature(self._address, self._mark(digest))


def _build_signature(signer: Address, mark: bytes) -> bytes:
    """Shape a mark as r | s | v: `s` must lie in the lower half of the order."""
    return signer.rjust(32, b"\0") + bytes([mark[0] & 0x3F]) + mark[1:] + b"\x1b"


class Notary:
    """A scheme that charges each operation, and remembers who signed what: what nobody signed and
    somebody believed is a forgery (checkers.py).
    """

    def __init__(self, scheme: Scheme, costs: Costs) -> None:
        self.spent_us = 0
        """Virtual CPU since the start, of all nodes together; a step's own is the difference."""
        self._scheme = scheme
        self._costs = costs
        # What was signed, by (signer, digest of message): at most one a signature made.
        self._signed: dict[bytes, None] = {}

    def open_peer(self, number: int) -> PeerSigner:
        """Return a node's peer key."""
        signer = self._scheme.open_peer(number)
        return _StubPeer(signer.public_key, lambda message: self._sign_peer(signer, message))

    def open_account(self, number: int) -> AccountSigner:
        """Return a node's EVM account."""
        signer = self._scheme.open_account(number)
        return _Account(signer, self._sign_account)

    def verify(self, opened: Envelope, domain: str, network: NetworkId) -> None:
        """As records.envelope.verify."""
        self.spent_us += self._costs.peer_verify_us
        self._scheme.verify(opened, domain, network)

    def charge_verifying(self) -> None:
        """Charge for a peer's signature that is known to be good."""
        self.spent_us += self._costs.peer_verify_us

    def recover(self, digest: Digest, signature: bytes) -> Address:
        """As records.eip712.recover."""
        self.spent_us += self._costs.account_recover_us
        return self._scheme.recover(digest, signature)

    def has_signed(self, peer: PeerId, message: bytes) -> bool:
        """Whether this peer signed these bytes, whatever a signature looks like."""
        return _name(peer, message) in self._signed

    def account_has_signed(self, account: bytes, digest: Digest) -> bool:
        """Whether this account signed this digest."""
        return account + digest in self._signed

    def _sign_peer(self, signer: PeerSigner, message: bytes) -> bytes:
        self.spent_us += self._costs.peer_sign_us
        self._signed[_name(peer_id_of(signer.public_key), message)] = None
        return signer.sign(message)

    def _sign_account(self, signer: AccountSigner, digest: Digest) -> bytes:
        self.spent_us += self._costs.account_sign_us
        self._signed[signer.address + digest] = None
        return signer.sign_digest(digest)


class _Account:
    def __init__(
        self, signer: AccountSigner, sign: Callable[[AccountSigner, Digest], bytes]
    ) -> None:
        self._signer = signer
        self._sign = sign

    @property
    def address(self) -> Address:
        return self._signer.address

    def sign_digest(self, digest: Digest) -> bytes:
        return self._sign(self._signer, digest)


def _name(peer: PeerId, message: bytes) -> bytes:
    return peer + hashlib.blake2b(message, digest_size=16).digest()
