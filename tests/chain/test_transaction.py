"""Our encoding of transactions against eth-account's, an independent implementation."""

from eth_account import Account
from hypothesis import given
from hypothesis import strategies as st

from p2p_modelex.chain.evm.transaction import (
    Transaction,
    encode_rlp,
    read_transaction,
    recover_sender,
    sign_transaction,
)
from p2p_modelex.ids import Address
from p2p_modelex.records.signers import EvmSigner

_KEY = bytes.fromhex("59c6995e998f97a5a0044966f0945389dc9e86dae88c7a8412f4603b6b78690d")

transactions = st.builds(
    Transaction,
    chain_id=st.integers(1, 2**40),
    nonce=st.integers(0, 2**32),
    tip=st.integers(0, 2**64),
    fee_cap=st.integers(2**64, 2**70),
    gas=st.integers(21_000, 2**25),
    to=st.one_of(st.none(), st.binary(min_size=20, max_size=20).map(Address)),
    value=st.integers(0, 2**128),
    payload=st.one_of(st.binary(max_size=80), st.binary(min_size=250, max_size=300)),
)


@given(transactions)
def test_a_signed_transaction_is_byte_for_byte_that_of_eth_account(tx: Transaction) -> None:
    fields: dict[str, object] = {
        "type": 2,
        "chainId": tx.chain_id,
        "nonce": tx.nonce,
        "maxPriorityFeePerGas": tx.tip,
        "maxFeePerGas": tx.fee_cap,
        "gas": tx.gas,
        "value": tx.value,
        "data": tx.payload,
    }
    if tx.to is not None:
        fields["to"] = tx.to
    expected = Account.sign_transaction(fields, _KEY)
    signed = sign_transaction(tx, EvmSigner(_KEY))
    assert signed.raw == bytes(expected.raw_transaction)
    assert signed.hash == bytes(expected.hash)
    assert read_transaction(signed.raw) == (tx, signed)
    assert recover_sender(signed.raw) == EvmSigner(_KEY).address


def test_rlp_has_the_forms_of_the_yellow_paper() -> None:
    assert encode_rlp(b"dog") == b"\x83dog"
    assert encode_rlp([b"cat", b"dog"]) == b"\xc8\x83cat\x83dog"
    assert encode_rlp(b"") == encode_rlp(0) == b"\x80"
    assert encode_rlp([]) == b"\xc0"
    assert encode_rlp(15) == b"\x0f"
    assert encode_rlp(1024) == b"\x82\x04\x00"
    assert encode_rlp([[], [[]]]) == b"\xc3\xc0\xc1\xc0"
    assert encode_rlp(b"x" * 56) == b"\xb8\x38" + b"x" * 56
