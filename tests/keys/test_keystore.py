"""The keystore keeps keys from everybody but the operator, and from being lost."""

import json
from pathlib import Path

import pytest
from eth_account import Account

from p2p_modelex.errors import BadInput, KeystoreError
from p2p_modelex.ids import format_address, format_peer_id
from p2p_modelex.keys import keystore
from p2p_modelex.keys.files import write_secret
from p2p_modelex.keys.keystore import (
    ACCOUNT_FILE,
    PEER_FILE,
    create_keystore,
    read_account_key,
    unlock_keystore,
)
from p2p_modelex.keys.signers import KeyRing

KEY = bytes.fromhex("4c0883a69102937d6231471b5dbb6204fe5129617082792ae468d01a3f362318")
PASSPHRASE = "korrekt Pferd 🔑"
CHEAP = 2


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "keys"


@pytest.fixture
def ring(folder: Path) -> KeyRing:
    return create_keystore(folder, PASSPHRASE, account_key=KEY, scrypt_n=CHEAP)


def test_what_was_stored_is_unlocked(folder: Path, ring: KeyRing) -> None:
    again = unlock_keystore(folder, PASSPHRASE)
    assert again.peer.peer == ring.peer.peer
    assert again.account.address == ring.account.address
    assert again.peer_seed == ring.peer_seed


def test_new_keys_differ_each_time(tmp_path: Path) -> None:
    rings = [create_keystore(tmp_path / name, "x", scrypt_n=CHEAP) for name in ("a", "b")]
    assert rings[0].peer.peer != rings[1].peer.peer
    assert rings[0].account.address != rings[1].account.address


def test_wallets_read_the_account_file(folder: Path, ring: KeyRing) -> None:
    file = json.loads((folder / "account.json").read_text())
    assert bytes(Account.decrypt(file, PASSPHRASE)) == KEY
    assert file["crypto"]["kdf"] == "scrypt"
    assert "0x" + file["address"].lower().removeprefix("0x") == format_address(ring.account.address)


def test_the_peer_file_names_the_peer_and_not_the_seed(folder: Path, ring: KeyRing) -> None:
    text = (folder / "peer.json").read_text()
    assert format_peer_id(ring.peer.peer) in text
    assert ring.peer_seed.hex() not in text


def test_files_are_private_and_nothing_else_is_left(folder: Path, ring: KeyRing) -> None:
    assert sorted(file.name for file in folder.iterdir()) == ["account.json", "peer.json"]
    assert folder.stat().st_mode & 0o777 == 0o700
    assert all(file.stat().st_mode & 0o777 == 0o600 for file in folder.iterdir())


def test_scrypt_is_as_hard_as_recommended_unless_a_test_says_otherwise(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert keystore.SCRYPT_N == 2**17
    create_keystore(folder, "x")
    assert json.loads((folder / "account.json").read_text())["crypto"]["kdfparams"]["n"] == 2**17
    assert json.loads((folder / "peer.json").read_text())["scrypt_n"] == 2**17
    unlock_keystore(folder, "x")


@pytest.mark.parametrize("name", ["account.json", "peer.json"])
def test_keys_are_never_overwritten(folder: Path, ring: KeyRing, name: str) -> None:
    other = "peer.json" if name == "account.json" else "account.json"
    (folder / other).unlink()
    before = (folder / name).read_bytes()
    with pytest.raises(KeystoreError, match="exists already"):
        create_keystore(folder, PASSPHRASE, scrypt_n=CHEAP)
    assert (folder / name).read_bytes() == before
    assert not (folder / other).exists()


def test_a_wrong_passphrase_is_called_that(folder: Path, ring: KeyRing) -> None:
    with pytest.raises(KeystoreError, match="wrong passphrase") as caught:
        unlock_keystore(folder, "guess")
    assert "guess" not in str(caught.value)
    assert "MODELEX_PASSPHRASE" in caught.value.hint


def test_an_empty_passphrase_is_refused(folder: Path) -> None:
    with pytest.raises(KeystoreError, match="empty"):
        create_keystore(folder, "")


def test_a_bad_key_to_import_leaves_nothing_behind(folder: Path) -> None:
    with pytest.raises(BadInput):
        create_keystore(folder, PASSPHRASE, account_key=b"short", scrypt_n=CHEAP)
    assert not folder.exists()


def test_a_loose_file_or_folder_is_refused_with_the_remedy(folder: Path, ring: KeyRing) -> None:
    (folder / "peer.json").chmod(0o640)
    with pytest.raises(KeystoreError, match="mode 640") as caught:
        unlock_keystore(folder, PASSPHRASE)
    assert f"chmod 600 {folder / 'peer.json'}" in caught.value.hint
    (folder / "peer.json").chmod(0o600)
    folder.chmod(0o755)
    with pytest.raises(KeystoreError) as caught:
        unlock_keystore(folder, PASSPHRASE)
    assert f"chmod 700 {folder}" in caught.value.hint


def test_missing_keys_are_named(tmp_path: Path, folder: Path, ring: KeyRing) -> None:
    with pytest.raises(KeystoreError, match="cannot read"):
        unlock_keystore(tmp_path / "none", PASSPHRASE)
    (folder / "account.json").unlink()
    with pytest.raises(KeystoreError, match=r"account\.json"):
        unlock_keystore(folder, PASSPHRASE)


@pytest.mark.parametrize("name", ["account.json", "peer.json"])
@pytest.mark.parametrize(
    "content", [b"", b"{}", b"[]", b"not json", b'{"crypto": 3}', b"\xff\xfe", b'{"version": 3}']
)
def test_a_damaged_file_is_named(folder: Path, ring: KeyRing, name: str, content: bytes) -> None:
    (folder / name).write_bytes(content)
    with pytest.raises(KeystoreError, match=f"{name} is damaged"):
        unlock_keystore(folder, PASSPHRASE)


def test_a_peer_file_does_not_pass_for_another_peer(folder: Path, ring: KeyRing) -> None:
    path = folder / "peer.json"
    path.write_text(path.read_text().replace(format_peer_id(ring.peer.peer), "12D3KooWother"))
    with pytest.raises(KeystoreError, match="was changed"):
        unlock_keystore(folder, PASSPHRASE)


def test_a_file_that_asks_for_all_memory_is_refused(folder: Path, ring: KeyRing) -> None:
    path = folder / "account.json"
    file = json.loads(path.read_text())
    file["crypto"]["kdfparams"]["n"] = 2**30
    path.write_text(json.dumps(file))
    with pytest.raises(KeystoreError, match="damaged"):
        unlock_keystore(folder, PASSPHRASE)
    peer = folder / "peer.json"
    peer.write_text(peer.read_text().replace('"scrypt_n": 2', '"scrypt_n": 1073741824'))
    with pytest.raises(KeystoreError):
        unlock_keystore(folder, PASSPHRASE)


def test_a_folder_or_file_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(KeystoreError, match="cannot make"):
        create_keystore(tmp_path / "file" / "keys", PASSPHRASE, scrypt_n=CHEAP)
    with pytest.raises(KeystoreError, match="cannot write"):
        write_secret(tmp_path / "none" / "key", b"x")


def test_a_file_that_appears_meanwhile_is_not_overwritten(tmp_path: Path) -> None:
    write_secret(tmp_path / "key", b"first")
    with pytest.raises(KeystoreError, match="exists already"):
        write_secret(tmp_path / "key", b"second")
    assert [path.read_bytes() for path in tmp_path.iterdir()] == [b"first"]


@pytest.mark.parametrize("text", [KEY.hex(), "0x" + KEY.hex() + "\n", f"  {KEY.hex().upper()} "])
def test_a_hex_key_is_imported(tmp_path: Path, text: str) -> None:
    path = tmp_path / "key"
    path.write_text(text)
    path.chmod(0o600)
    assert read_account_key(path) == KEY


def test_a_wallets_keystore_is_imported(tmp_path: Path) -> None:
    path = tmp_path / "UTC--wallet"
    path.write_text(json.dumps(Account.encrypt(KEY, "theirs", kdf="scrypt", iterations=2)))
    path.chmod(0o600)
    assert read_account_key(path, "theirs") == KEY
    with pytest.raises(KeystoreError, match="wrong passphrase"):
        read_account_key(path, "ours")


@pytest.mark.parametrize("text", ["", "0x12", "g" * 64, "0" * 64, "f" * 64, "1" * 100_000])
def test_a_file_without_a_key_is_refused_without_quoting_it(tmp_path: Path, text: str) -> None:
    path = tmp_path / "key"
    path.write_text(text)
    path.chmod(0o600)
    with pytest.raises(KeystoreError) as caught:
        read_account_key(path)
    assert not text or text not in f"{caught.value} {caught.value.hint}"


def test_a_loose_key_file_is_not_imported(tmp_path: Path) -> None:
    path = tmp_path / "key"
    path.write_text(KEY.hex())
    path.chmod(0o644)
    with pytest.raises(KeystoreError, match="others can read"):
        read_account_key(path)


def test_account_and_peer_are_read_without_a_passphrase(folder: Path, ring: KeyRing) -> None:
    assert keystore.read_account(folder) == ring.account.address
    assert keystore.read_peer(folder) == ring.peer.peer


@pytest.mark.parametrize("content", [b"", b"[]", b"{}", b'{"address": 7, "peer": 7}', b"[" * 9999])
def test_a_file_that_names_nobody_is_told(tmp_path: Path, content: bytes) -> None:
    for name, read in ((ACCOUNT_FILE, keystore.read_account), (PEER_FILE, keystore.read_peer)):
        write_secret(tmp_path / name, content)
        with pytest.raises(KeystoreError, match=f"{name} does not say its"):
            read(tmp_path)
