"""The account's key signs as its standard says, and never shows itself."""

import pickle

import pytest
from eth_account import Account
from eth_keys.datatypes import Signature

from p2p_modelex.errors import BadInput
from p2p_modelex.ids import Digest, format_address
from p2p_modelex.records import eip712
from p2p_modelex.records.signers import EvmSigner

KEY = bytes.fromhex("4c0883a69102937d6231471b5dbb6204fe5129617082792ae468d01a3f362318")


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


def test_neither_text_nor_a_pickle_holds_the_key() -> None:
    signer = EvmSigner(KEY)
    assert repr(signer) == f"EvmSigner({format_address(signer.address)})"
    with pytest.raises(TypeError, match="does not leave"):
        pickle.dumps(signer)
