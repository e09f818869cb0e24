"""The encrypted keystore: two files, one passphrase.

`account.json` is Web3 Secret Storage version 3 (scrypt, AES-128-CTR, Keccak MAC), which every
Ethereum wallet reads. `peer.json` holds the libp2p seed under scrypt and ChaCha20-Poly1305.
Files are 0600 in a folder of 0700; a looser one is refused, and nothing is ever overwritten.
"""

from pathlib import Path

from p2p_modelex.keys.signers import KeyRing

SCRYPT_N = 2**17
"""OWASP's floor for scrypt with r=8, p=1: about 0.6 s and 128 MiB for each file."""


def create_keystore(
    folder: Path,
    passphrase: str,
    *,
    account_key: bytes | None = None,
    scrypt_n: int = SCRYPT_N,
) -> KeyRing:
    """Make a peer key and an EVM key (or take `account_key`), encrypt and store both.

    Raises KeystoreError if the folder already holds keys, or cannot be written, or the
    passphrase is empty. A lower `scrypt_n` is for tests.
    """
    raise NotImplementedError


def unlock_keystore(folder: Path, passphrase: str) -> KeyRing:
    """Decrypt both keys, about a second. KeystoreError: missing, damaged, loose, wrong passphrase."""
    raise NotImplementedError


def read_account_key(path: Path, passphrase: str = "") -> bytes:
    """Read a private key to import: a Web3 keystore (needs its passphrase) or 64 hex digits."""
    raise NotImplementedError
