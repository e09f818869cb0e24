"""The encrypted keystore: two files, one passphrase.

`account.json` is Web3 Secret Storage version 3 (scrypt, AES-128-CTR, Keccak MAC), which every
Ethereum wallet reads. `peer.json` holds the libp2p seed (peer_file.py).
Files are 0600 in a folder of 0700; a looser one is refused, and nothing is ever overwritten.
"""

import json
import os
import re
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from p2p_modelex.errors import BadInput, KeystoreError
from p2p_modelex.keys import peer_file
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
_KDF_WORK_MAX = 2**24
"""n * r * p of 1 GiB and some seconds: an imported file must not take all memory."""


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
    write_secret(folder / ACCOUNT_FILE, _seal_account(key, passphrase, scrypt_n))
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


def _new_account_key() -> bytes:
    # All but 2^-128 of the 32-byte strings are keys; EvmSigner refuses the rest.
    return os.urandom(32)


def _seal_account(key: bytes, passphrase: str, scrypt_n: int) -> bytes:
    from eth_keyfile.keyfile import create_keyfile_json

    file = create_keyfile_json(key, passphrase.encode(), kdf="scrypt", iterations=scrypt_n)
    return json.dumps(file, indent=2).encode() + b"\n"


def _open_account(content: bytes, passphrase: str, path: Path) -> bytes:
    from eth_keyfile.keyfile import decode_keyfile_json

    try:
        file = json.loads(content)
        _validate_work(file)
        key = bytes(decode_keyfile_json(file, passphrase.encode()))
    # The library raises ValueError for a wrong passphrase and, for a malformed file, whatever
    # its own code trips over.
    except Exception as error:
        if isinstance(error, ValueError) and "MAC" in str(error):
            raise KeystoreError(
                f"wrong passphrase for {path}",
                hint="check MODELEX_PASSPHRASE or the passphrase file",
            ) from None
        raise KeystoreError(
            f"{path} is damaged or not a Web3 keystore", hint="restore it from a backup"
        ) from None
    _validate_account_key(key, path)
    return key


def _validate_work(file: dict[str, Any]) -> None:
    crypto = {name.lower(): value for name, value in file.items()}["crypto"]
    parameters = crypto["kdfparams"]
    work = parameters.get("n", 1) * parameters.get("r", 1) * parameters.get("p", 1)
    if max(work, parameters.get("c", 1)) > _KDF_WORK_MAX:
        raise BadInput("the key derivation asks for too much work")


def _validate_account_key(key: bytes, path: Path) -> None:
    try:
        EvmSigner(key)
    except BadInput as error:
        raise KeystoreError(f"{path}: {error.message}", hint="restore it from a backup") from None
