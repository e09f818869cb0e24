"""Builds envelope.json and ownership.json of protocols/records.

Ed25519 is signed by `cryptography` (OpenSSL), where the package verifies with libsodium.
"""

import hashlib
from typing import Any

import msgpack
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from nacl.bindings import (
    crypto_core_ed25519_add,
    crypto_core_ed25519_scalar_add,
    crypto_core_ed25519_scalar_mul,
    crypto_core_ed25519_scalar_reduce,
    crypto_scalarmult_ed25519_base_noclamp,
)

from tests.records import eip712_vectors

SEED = bytes(range(32))
CHAIN_ID = 31337
REGISTRY = bytes.fromhex(eip712_vectors.CONTRACTS["registry"][2:])
NETWORK = hashlib.sha256(b"modelex/network" + CHAIN_ID.to_bytes(8, "big") + REGISTRY).digest()
OTHER_NETWORK = hashlib.sha256(b"modelex/network" + (1).to_bytes(8, "big") + REGISTRY).digest()
# Order of the base point, RFC 8032 section 5.1.
_L = 2**252 + 27742317777372353535851937790883648493
# A point of order 8.
_ORDER_8 = bytes.fromhex("26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05")
_PEER_ID_PREFIX = bytes.fromhex("002408011220")


def _signing_input(domain: str, network: bytes, payload: bytes) -> bytes:
    return b"modelex/1\x00" + domain.encode() + b"\x00" + network + payload


def _hex(data: bytes) -> str:
    return "0x" + data.hex()


def _with_torsion(payload: bytes) -> dict[str, tuple[bytes, bytes, bytes]]:
    """Signatures that some libraries take: they hold times the cofactor, or R is of small order."""
    secret, nonce = ((n).to_bytes(32, "little") for n in (12345, 67890))
    plain, commitment = map(crypto_scalarmult_ed25519_base_noclamp, (secret, nonce))
    zero, identity = bytes(32), (1).to_bytes(32, "little")

    def sign(key: bytes, r: bytes, k: bytes) -> tuple[bytes, bytes, bytes]:
        covered = _signing_input("advertisement", NETWORK, payload)
        h = crypto_core_ed25519_scalar_reduce(hashlib.sha512(r + key + covered).digest())
        s = crypto_core_ed25519_scalar_add(k, crypto_core_ed25519_scalar_mul(h, secret))
        return key, payload, r + s

    return {
        "an R of small order": sign(plain, identity, zero),
        "an R that is good times the cofactor": sign(
            plain, crypto_core_ed25519_add(commitment, _ORDER_8), nonce
        ),
        "a key that is good times the cofactor": sign(
            crypto_core_ed25519_add(plain, _ORDER_8), commitment, nonce
        ),
    }


def _invalid(public: bytes, payload: bytes, signature: bytes) -> list[dict[str, str]]:
    s = int.from_bytes(signature[32:], "little")
    small = (1).to_bytes(32, "little")
    good = ("advertisement", NETWORK, public, payload, signature)
    cases = {
        "a payload changed in one bit": (
            *good[:3],
            bytes([payload[0] ^ 1]) + payload[1:],
            signature,
        ),
        "a payload with a byte more": (*good[:3], payload + b"\x00", signature),
        "another domain": ("quote", *good[1:]),
        "another network": (good[0], OTHER_NETWORK, *good[2:]),
        "a signature changed in one bit": (*good[:4], bytes([signature[0] ^ 1]) + signature[1:]),
        "s + L, the malleable twin": (*good[:4], signature[:32] + (s + _L).to_bytes(32, "little")),
        "a key of small order": (*good[:2], small, payload, small + bytes(32)),
        "a key that is no point": (*good[:2], b"\x02" + bytes(31), payload, signature),
        "all zero": (*good[:2], bytes(32), payload, bytes(64)),
        **{name: (*good[:2], *made) for name, made in _with_torsion(payload).items()},
    }
    return [
        {
            "domain": domain,
            "name": name,
            "network": _hex(network),
            "payload": _hex(body),
            "rule": "ENV-2",
            "signature": _hex(signed),
            "signer": _hex(signer),
        }
        for name, (domain, network, signer, body, signed) in cases.items()
    ]


def build_envelopes() -> dict[str, Any]:
    """Return envelope.json. Format: protocols/README.md, `envelope`."""
    key = Ed25519PrivateKey.from_private_bytes(SEED)
    public = key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
    valid = []
    for domain, payload in (("advertisement", b"payload"), ("quote", b""), ("quote", b"\x00" * 64)):
        covered = _signing_input(domain, NETWORK, payload)
        signature = key.sign(covered)
        valid.append(
            {
                "domain": domain,
                "encoded": _hex(bytes(msgpack.packb([public, payload, signature]))),
                "name": f"{domain} over {len(payload)} bytes",
                "network": _hex(NETWORK),
                "payload": _hex(payload),
                "peerId": _hex(_PEER_ID_PREFIX + public),
                "seed": _hex(SEED),
                "signature": _hex(signature),
                "signer": _hex(public),
                "signingInput": _hex(covered),
            }
        )
    covered = _signing_input("advertisement", NETWORK, b"payload")
    return {
        "format": "envelope/1",
        "rules": ["ENV-1", "ENV-2", "ENV-3", "ENV-4"],
        "networks": [
            {"chainId": CHAIN_ID, "network": _hex(NETWORK), "registry": _hex(REGISTRY)},
            {"chainId": 1, "network": _hex(OTHER_NETWORK), "registry": _hex(REGISTRY)},
        ],
        "valid": valid,
        "invalid": _invalid(public, b"payload", key.sign(covered)),
    }


def build_ownerships() -> dict[str, Any]:
    """Return ownership.json. Format: protocols/README.md, `ownership`."""
    good = eip712_vectors.build()["ownerships"][0]
    until = int(good["notAfter"])
    fields = ("peer", "operator", "delegate", "notAfter", "signature")
    proof = {name: good[name] for name in fields}
    raw = bytes.fromhex(good["signature"][2:])
    flipped = raw[:64] + bytes([55 - raw[64]])
    other = eip712_vectors.address_of("payer")
    cases: list[tuple[str, str, int, dict[str, Any]]] = [
        ("good", "", until - 1, {}),
        ("good to the last millisecond", "", until, {}),
        ("for another peer", "OWN-1", until, {"expectedPeer": "0x" + "07" * 32}),
        ("a millisecond late", "OWN-2", until + 1, {}),
        ("by somebody else", "OWN-3", until, {"operator": other}),
        ("with another delegate", "OWN-3", until, {"delegate": other}),
        ("with a longer life", "OWN-3", until, {"notAfter": str(until + 1)}),
        ("with the other v", "OWN-3", until, {"signature": _hex(flipped)}),
        ("with a malformed signature", "EIP712-1", until, {"signature": _hex(raw[:64] + b"\x00")}),
    ]
    return {
        "format": "ownership/1",
        "rules": ["OWN-1", "OWN-2", "OWN-3", "OWN-4"],
        "cases": [
            {
                "expectedPeer": good["peer"],
                **proof,
                **changed,
                "name": name,
                "now": str(now),
                "rule": rule,
            }
            for name, rule, now, changed in cases
        ],
    }
