"""Our Web3 Secret Storage against the one that Ethereum's own tools use."""

import json
import sys

import pytest
from eth_account import Account

from p2p_modelex.keys.account_file import WrongPassphrase, open_key, seal_key

KEY = bytes.fromhex("4c0883a69102937d6231471b5dbb6204fe5129617082792ae468d01a3f362318")
PASSPHRASE = "korrekt Pferd 🔑"

# The two test vectors of the definition on ethereum.org.
VECTOR_KEY = "7a28b5ba57c53603b0b07b56bba752f7784bf506fa95edc395f5cf6c7514fe9d"
PBKDF2 = {
    "crypto": {
        "cipher": "aes-128-ctr",
        "cipherparams": {"iv": "6087dab2f9fdbbfaddc31a909735c1e6"},
        "ciphertext": "5318b4d5bcd28de64ee5559e671353e16f075ecae9f99c7a79a38af5f869aa46",
        "kdf": "pbkdf2",
        "kdfparams": {
            "c": 262144,
            "dklen": 32,
            "prf": "hmac-sha256",
            "salt": "ae3cd4e7013836a3df6bd7241b12db061dbe2c6785853cce422d148a624ce0bd",
        },
        "mac": "517ead924a9d0dc3124507e3393d175ce3ff7c1e96529c6c555ce9e51205e9b2",
    },
    "id": "3198bc9c-6672-5ab3-d995-4942343ae5b6",
    "version": 3,
}


def test_the_definitions_own_vector_opens() -> None:
    assert open_key(json.dumps(PBKDF2).encode(), "testpassword").hex() == VECTOR_KEY


def test_ethereums_tools_read_what_we_write() -> None:
    file = json.loads(seal_key(KEY, PASSPHRASE, scrypt_n=2))
    assert bytes(Account.decrypt(file, PASSPHRASE)) == KEY
    assert "0x" + file["address"] == Account.from_key(KEY).address.lower()


@pytest.mark.parametrize("kdf", ["scrypt", "pbkdf2"])
def test_we_read_what_ethereums_tools_write(kdf: str) -> None:
    file = Account.encrypt(KEY, PASSPHRASE, kdf=kdf, iterations=2)  # type: ignore[arg-type]
    assert open_key(json.dumps(file).encode(), PASSPHRASE) == KEY
    with pytest.raises(WrongPassphrase):
        open_key(json.dumps(file).encode(), "guess")


def test_old_wallets_wrote_names_in_capitals() -> None:
    file = json.loads(seal_key(KEY, PASSPHRASE, scrypt_n=2))
    file["Crypto"] = file.pop("crypto")
    assert open_key(json.dumps(file).encode(), PASSPHRASE) == KEY


@pytest.mark.parametrize(
    ("field", "value"),
    [("dklen", 16), ("dklen", 2**30), ("n", 2**30), ("n", 3), ("r", 2**20), ("p", -1)],
)
def test_a_derivation_without_sense_is_refused_before_it_runs(field: str, value: int) -> None:
    file = json.loads(seal_key(KEY, PASSPHRASE, scrypt_n=2))
    file["crypto"]["kdfparams"][field] = value
    with pytest.raises((ValueError, OverflowError)):
        open_key(json.dumps(file).encode(), PASSPHRASE)


@pytest.mark.parametrize("field", ["cipher", "kdf"])
def test_another_cipher_or_derivation_is_refused(field: str) -> None:
    file = json.loads(seal_key(KEY, PASSPHRASE, scrypt_n=2))
    file["crypto"][field] = "rot13"
    with pytest.raises(ValueError, match="not"):
        open_key(json.dumps(file).encode(), PASSPHRASE)


def test_the_recursion_limit_is_the_interpreters() -> None:
    """The library that this replaces raised it to 100,000, where deep JSON kills the process."""
    import subprocess

    program = "import sys; from p2p_modelex.keys import keystore; print(sys.getrecursionlimit())"
    found = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True)
    assert int(found.stdout) == 1000
