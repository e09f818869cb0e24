"""The encrypted keystore: two files, one passphrase.

`account.json` holds the EVM key as every Ethereum wallet reads it (account_file.py), `peer.json`
the libp2p seed (peer_file.py).
Files are 0600 in a folder of 0700; a looser one is refused, and nothing is ever overwritten.
"""

import json
import os
import re
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from p2p_modelex.errors import BadInput, KeystoreError
from p2p_modelex.ids import Address, PeerId, parse_address, parse_peer_id
from p2p_modelex.keys import account_file, peer_file
from p2p_modelex.keys.files import (
    make_secret_folder,
    read_secret,
    validate_secret_folder,
    write_secret,
)
from p2p_modelex.keys.signers import SEED_BYTES, Ed25519Signer, KeyRing
from p2p_modelex.records.signers import EvmSigner

SCRYPT_N = 2**17
"""OWASP's floor for scrypt with r=8, p=1: about 0.6 s and 128 MiB for each file."""

ACCOUNT_FILE = "account.json"
PEER_FILE = "peer.json"
FARM_FILE = "farm-{}.json"
"""By the farm's name, which is of small letters, digits and `-`."""


def create_keystore(
    folder: Path,
    passphrase: str,
    *,
    account_key: bytes | None = None,
    scrypt_n: int = SCRYPT_N,
) -> KeyRing:
    """Make a peer key and an EVM key (or take `account_key`), encrypt and store both.

    Raises KeystoreError if the folder already holds keys, or cannot be written, or the
    passphrase is empty; BadInput for a bad `account_key`. A lower `scrypt_n` is for tests.
    """
    if not passphrase:
        raise KeystoreError("the passphrase is empty", hint="choose one; the keys hold money")
    for name in (ACCOUNT_FILE, PEER_FILE):
        if (folder / name).exists():
            raise KeystoreError(
                f"{folder / name} exists already",
                hint="keys are never overwritten; choose another data directory or move it away",
            )
    seed = os.urandom(SEED_BYTES)
    key = _new_account_key() if account_key is None else account_key
    ring = KeyRing(Ed25519Signer(seed), EvmSigner(key), seed)
    make_secret_folder(folder)
    # The account comes last: keys that a crash cut off have no account, so no money either.
    write_secret(folder / PEER_FILE, peer_file.seal_seed(seed, passphrase, scrypt_n=scrypt_n))
    write_secret(folder / ACCOUNT_FILE, account_file.seal_key(key, passphrase, scrypt_n=scrypt_n))
    return ring


def unlock_keystore(folder: Path, passphrase: str) -> KeyRing:
    """Decrypt both keys; takes about a second.

    Raises KeystoreError if one is missing, damaged, readable by others, or the passphrase is wrong.
    """
    validate_secret_folder(folder)
    peer_path, account_path = folder / PEER_FILE, folder / ACCOUNT_FILE
    sealed_seed, sealed_account = read_secret(peer_path), read_secret(account_path)
    # Two threads, because scrypt is slow on purpose and leaves the interpreter lock alone.
    with ThreadPoolExecutor(max_workers=2) as pool:
        account = pool.submit(_open_account, sealed_account, passphrase, account_path)
        seed = pool.submit(peer_file.open_seed, sealed_seed, passphrase, name=peer_path)
        return KeyRing(Ed25519Signer(seed.result()), EvmSigner(account.result()), seed.result())


def create_farm_key(
    folder: Path, name: str, passphrase: str, *, scrypt_n: int = SCRYPT_N
) -> Ed25519Signer:
    """Make the key of a farm's owner, encrypt and store it beside the node's.

    Raises KeystoreError if there is one of this name, or the folder cannot be written.
    """
    seed = os.urandom(SEED_BYTES)
    validate_secret_folder(folder)
    sealed = peer_file.seal_seed(seed, passphrase, scrypt_n=scrypt_n)
    write_secret(folder / FARM_FILE.format(name), sealed)
    return Ed25519Signer(seed)


def unlock_farm_key(folder: Path, name: str, passphrase: str) -> Ed25519Signer:
    """Decrypt the key of a farm's owner; KeystoreError as `unlock_keystore`."""
    validate_secret_folder(folder)
    path = folder / FARM_FILE.format(name)
    return Ed25519Signer(peer_file.open_seed(read_secret(path), passphrase, name=path))


def read_account_key(path: Path, passphrase: str = "") -> bytes:
    """Read a private key to import: a Web3 keystore (needs its passphrase) or 64 hex digits.

    Raises KeystoreError if the file is loose, is neither, or the passphrase is wrong.
    """
    content = read_secret(path)
    if content.lstrip().startswith(b"{"):
        return _open_account(content, passphrase, path)
    match = re.fullmatch(rb"\s*(?:0x)?([0-9a-fA-F]{64})\s*", content)
    if match is None:
        raise KeystoreError(
            f"{path} holds no EVM key",
            hint="it should be a keystore (JSON) or 64 hexadecimal digits",
        )
    key = bytes.fromhex(match[1].decode("ascii"))
    _validate_account_key(key, path)
    return key


def read_account(folder: Path) -> Address:
    """Return the account of a keystore, which its file says in clear; KeystoreError if not."""
    path = folder / ACCOUNT_FILE
    try:
        return parse_address("0x" + json.loads(read_secret(path))["address"].removeprefix("0x"))
    except (BadInput, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise KeystoreError(
            f"{path} does not say its account", hint="name the account on the command line"
        ) from None


def read_peer(folder: Path) -> PeerId:
    """Return the peer of a keystore, which its file says in clear; KeystoreError if not."""
    path = folder / PEER_FILE
    try:
        return parse_peer_id(json.loads(read_secret(path))["peer"])
    except (BadInput, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise KeystoreError(
            f"{path} does not say its peer", hint="name the peer on the command line"
        ) from None


def _new_account_key() -> bytes:
    # All but 2^-128 of the 32-byte strings are keys; EvmSigner refuses the rest.
    return os.urandom(32)


def _open_account(content: bytes, passphrase: str, path: Path) -> bytes:
    try:
        key = account_file.open_key(content, passphrase)
    except account_file.WrongPassphrase:
        raise KeystoreError(
            f"wrong passphrase for {path}", hint="check MODELEX_PASSPHRASE or the passphrase file"
        ) from None
    # Whatever a malformed file trips over: a missing field, another type, no JSON at all, or a
    # derivation that takes more memory than there is.
    except (
        *(ValueError, KeyError, TypeError, AttributeError),
        *(OverflowError, RecursionError, MemoryError),
    ):
        raise KeystoreError(
            f"{path} is damaged or not a Web3 keystore", hint="restore it from a backup"
        ) from None
    _validate_account_key(key, path)
    return key


def _validate_account_key(key: bytes, path: Path) -> None:
    try:
        EvmSigner(key)
    except BadInput as error:
        raise KeystoreError(f"{path}: {error.message}", hint="restore it from a backup") from None
