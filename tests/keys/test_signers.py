"""The two keys sign as their standards say, and never show themselves."""

import pickle

import pytest
from nacl.signing import VerifyKey

from p2p_modelex.errors import BadInput
from p2p_modelex.ids import NetworkId, format_address
from p2p_modelex.keys.signers import Ed25519Signer, KeyRing
from p2p_modelex.records import envelope
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


def test_a_key_is_not_pickled_into_another_process() -> None:
    with pytest.raises(TypeError, match="does not leave"):
        pickle.dumps(Ed25519Signer(SEED))
