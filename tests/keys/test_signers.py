"""The two keys sign as their standards say, and never show themselves."""

import pickle

import pytest
from eth_account import Account
from eth_keys.datatypes import Signature
from nacl.signing import VerifyKey

from p2p_modelex.errors import BadInput
from p2p_modelex.ids import Digest, NetworkId, format_address
from p2p_modelex.keys.signers import Ed25519Signer, KeyRing
from p2p_modelex.records import eip712, envelope
from p2p_modelex.records.signers import EvmSigner

SEED = bytes(range(32))
KEY = bytes.fromhex("4c0883a69102937d6231471b5dbb6204fe5129617082792ae468d01a3f362318")


def test_ed25519_matches_rfc_8032_test_1() -> None:
    seed = bytes.fromhex("9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60")
    signer = Ed25519Signer(seed)
    assert signer.public_key.hex() == (
        "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a"
    )
    assert signer.sign(b"").hex().startswith("e5564300c360ac729086e2cc806e828a84877f1eb8e5d974")


def test_a_sealed_envelope_verifies() -> None:
    network = NetworkId(b"\7" * 32)
    sealed = envelope.seal("test", network, b"payload", Ed25519Signer(SEED))
    envelope.verify(sealed, "test", network)
    VerifyKey(Ed25519Signer(SEED).public_key)


def test_the_account_is_the_one_that_wallets_show() -> None:
    assert format_address(EvmSigner(KEY).address) == Account.from_key(KEY).address.lower()


@pytest.mark.parametrize("number", range(8))
def test_account_signatures_recover_and_have_a_low_s(number: int) -> None:
    signer = EvmSigner(KEY)
    digest = Digest(bytes([number]) * 32)
    signature = signer.sign_digest(digest)
    assert len(signature) == 65
    assert signature[64] in (27, 28)
    assert eip712.recover(digest, signature) == signer.address
    theirs = Signature(signature[:64] + bytes([signature[64] - 27]))
    assert theirs.recover_public_key_from_msg_hash(digest).to_canonical_address() == signer.address
    assert signer.sign_digest(digest) == signature, "deterministic"


@pytest.mark.parametrize("key", [b"", b"\1" * 31, bytes(32), b"\xff" * 32])
def test_a_bad_account_key_is_refused_without_quoting_it(key: bytes) -> None:
    with pytest.raises(BadInput) as caught:
        EvmSigner(key)
    assert caught.value.__cause__ is None


def test_a_bad_seed_is_refused() -> None:
    with pytest.raises(BadInput, match="32 bytes"):
        Ed25519Signer(b"short")


def test_no_text_form_holds_a_secret() -> None:
    ring = KeyRing(Ed25519Signer(SEED), EvmSigner(KEY), SEED)
    for text in (repr(ring), str(ring), repr(ring.peer), repr(ring.account), f"{ring}"):
        for secret in (SEED, KEY):
            assert secret.hex() not in text
            assert repr(secret)[2:-1] not in text
    assert format_address(ring.account.address) in repr(ring)


@pytest.mark.parametrize("signer", [Ed25519Signer(SEED), EvmSigner(KEY)])
def test_a_key_is_not_pickled_into_another_process(signer: object) -> None:
    with pytest.raises(TypeError, match="does not leave"):
        pickle.dumps(signer)
