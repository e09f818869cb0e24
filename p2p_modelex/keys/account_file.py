"""`account.json`: Web3 Secret Storage version 3, which every Ethereum wallet reads.

ethereum.org, "Web3 Secret Storage Definition": scrypt (or PBKDF2, in others' files) derives 32
bytes, the first half is the key of AES-128-CTR, the second authenticates the ciphertext by Keccak.
Our own, because the usual library loads a pairing-friendly curve and takes a second of every start.
"""

import hashlib
import hmac
import json
import os
import uuid
from collections.abc import Mapping
from typing import Any

from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.ciphers.modes import CTR
from cryptography.hazmat.primitives.kdf.scrypt import Scrypt
from eth_hash.backends.pysha3 import keccak256 as keccak

from p2p_modelex.records.signers import EvmSigner

WORK_MAX = 2**24
"""n * r * p of 2 GiB and some seconds: an imported file must not take all memory."""

_SCRYPT_R = 8
_HALF = 16


class WrongPassphrase(ValueError):
    """The authentication code does not match: another passphrase, or a changed file."""


def seal_key(key: bytes, passphrase: str, *, scrypt_n: int) -> bytes:
    """Return the file's content for an EVM key of 32 bytes."""
    salt, nonce = os.urandom(32), os.urandom(_HALF)
    parameters = {"dklen": 32, "n": scrypt_n, "r": _SCRYPT_R, "p": 1, "salt": salt.hex()}
    derived = _derive("scrypt", parameters, passphrase)
    sealed = _encrypt(key, derived, nonce)
    crypto = {
        "cipher": "aes-128-ctr",
        "cipherparams": {"iv": nonce.hex()},
        "ciphertext": sealed.hex(),
        "kdf": "scrypt",
        "kdfparams": parameters,
        "mac": _authenticate(derived, sealed).hex(),
    }
    file = {
        "address": EvmSigner(key).address.hex(),
        "crypto": crypto,
        "id": str(uuid.uuid4()),
        "version": 3,
    }
    return json.dumps(file, indent=2).encode() + b"\n"


def open_key(content: bytes, passphrase: str) -> bytes:
    """Return the key. WrongPassphrase; ValueError, KeyError or TypeError if the file is malformed.

    Field names in any case: the first wallets wrote `Crypto`.
    """
    file = _lower(json.loads(content))
    crypto = file["crypto"]
    if file["version"] != 3 or crypto["cipher"] != "aes-128-ctr":
        raise ValueError("not version 3 with aes-128-ctr")
    sealed = bytes.fromhex(crypto["ciphertext"])
    derived = _derive(crypto["kdf"], crypto["kdfparams"], passphrase)
    if not hmac.compare_digest(_authenticate(derived, sealed), bytes.fromhex(crypto["mac"])):
        raise WrongPassphrase
    return _encrypt(sealed, derived, bytes.fromhex(crypto["cipherparams"]["iv"]))


def _lower(value: Any) -> Any:
    if not isinstance(value, dict):
        return value
    return {str(name).lower(): _lower(inner) for name, inner in value.items()}


def _derive(kdf: str, parameters: Mapping[str, Any], passphrase: str) -> bytes:
    salt = bytes.fromhex(parameters["salt"])
    length = parameters["dklen"]
    if kdf == "scrypt":
        n, r, p = parameters["n"], parameters["r"], parameters["p"]
        # Python would multiply a text or a list as well, and fill memory with it.
        if not all(type(one) is int and 0 < one <= WORK_MAX for one in (n, r, p)):
            raise ValueError("the costs of scrypt are no counts")
        _validate(length, n * r * p)
        return Scrypt(salt=salt, length=length, n=n, r=r, p=p).derive(passphrase.encode())
    if kdf != "pbkdf2" or parameters["prf"] != "hmac-sha256":
        raise ValueError("not scrypt, nor PBKDF2 with SHA-256")
    _validate(length, parameters["c"])
    return hashlib.pbkdf2_hmac("sha256", passphrase.encode(), salt, parameters["c"], length)


def _validate(length: int, work: int) -> None:
    if not 32 <= length <= 64 or work > WORK_MAX:
        raise ValueError("the key derivation asks for too much work, or gives too little")


def _authenticate(derived: bytes, sealed: bytes) -> bytes:
    return keccak(derived[_HALF : 2 * _HALF] + sealed)


def _encrypt(text: bytes, derived: bytes, nonce: bytes) -> bytes:
    """Encrypt or, the stream being the same, decrypt."""
    return Cipher(AES(derived[:_HALF]), CTR(nonce)).encryptor().update(text)
