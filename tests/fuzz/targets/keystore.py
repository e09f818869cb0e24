"""Key files of strangers (an import) and damaged ones of our own: a key, or KeystoreError."""

import json
import os
from contextlib import suppress
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

from p2p_modelex.errors import KeystoreError
from p2p_modelex.keys import account_file, peer_file
from p2p_modelex.keys.keystore import read_account_key
from p2p_modelex.keys.passphrase import read_passphrase
from tests.fuzz import trees
from tests.fuzz.choices import Choices

_KEY, _SEED, _PASSPHRASE = b"\x01" * 32, b"\x02" * 32, "secret"
# Derivations are slow on purpose, so what is still allowed is little while an input is tried.
_WORK_MAX = 2**8
_ACCOUNT: Any = json.loads(account_file.seal_key(_KEY, _PASSPHRASE, scrypt_n=2))
_PEER: Any = json.loads(peer_file.seal_seed(_SEED, _PASSPHRASE, scrypt_n=2))
_PBKDF2: dict[str, Any] = _ACCOUNT | {
    "crypto": _ACCOUNT["crypto"]
    | {"kdf": "pbkdf2", "kdfparams": {"dklen": 32, "c": 1, "prf": "hmac-sha256", "salt": "00"}}
}
_LIKE: tuple[Any, ...] = (
    0,
    1,
    2,
    3,
    2**62,
    -1,
    2.0,
    float("nan"),
    "2",
    "00",
    "0g",
    [],
    [1] * 9,
    {},
    None,
    True,
)
_FOLDER = Path(mkdtemp(dir="/dev/shm" if Path("/dev/shm").is_dir() else None))


def run(content: bytes) -> None:
    allowed, account_file.WORK_MAX = account_file.WORK_MAX, _WORK_MAX
    try:
        _run(content)
    finally:
        account_file.WORK_MAX = allowed


def _run(content: bytes) -> None:
    choices = Choices(content)
    kind = choices.below(8)
    if kind == 0:
        file = choices.rest()
    else:
        value: Any = _PEER if kind < 3 else _PBKDF2 if kind < 4 else _ACCOUNT
        for _ in range(choices.below(4)):
            value = trees.bend(value, choices, _LIKE)
        file = trees.write_json(value)
    if kind in (1, 2):
        _open_peer(file)
    else:
        _open_account(file)


def _open_peer(file: bytes) -> None:
    if any(scrypt > _WORK_MAX for scrypt in _find_numbers(file)):
        return
    with suppress(KeystoreError):
        assert peer_file.open_seed(file, _PASSPHRASE, name="peer.json") == _SEED


def _find_numbers(file: bytes) -> list[float]:
    """The cost a peer file asks for: its bound is in its type, and too high to try here."""
    with suppress(ValueError, RecursionError):
        found = json.loads(file)
        cost = found.get("scrypt_n") if isinstance(found, dict) else None
        return [cost] if isinstance(cost, int | float) else []
    return []


def _open_account(file: bytes) -> None:
    path = _FOLDER / "file"
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "wb") as out:
        out.write(file)
    with suppress(KeystoreError):
        assert len(read_account_key(path, _PASSPHRASE)) == 32
    with suppress(KeystoreError):
        assert read_passphrase(path, environ={}, prompt=None)
