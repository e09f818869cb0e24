"""EIP712-2 and EIP712-3: our digests are eth-account's, for any statement on any chain."""

from typing import Any

import coincurve
import msgspec
import pytest
from eth_account import Account
from eth_account.messages import encode_typed_data
from hypothesis import given
from hypothesis import strategies as st

from p2p_modelex.errors import RemoteProtocolError
from p2p_modelex.ids import Address, Digest
from p2p_modelex.records import eip712, ownership, receipt, voucher
from tests.records.eip712_vectors import parse_type
from tests.records.strategies import struct

STATEMENTS: dict[Any, Any] = {
    voucher.Voucher: voucher,
    receipt.Receipt: receipt,
    ownership.Ownership: ownership,
}
addresses = st.binary(min_size=20, max_size=20).map(Address)
digests = st.binary(min_size=32, max_size=32).map(Digest)


def camel(name: str) -> str:
    first, *rest = name.split("_")
    return first + "".join(word.capitalize() for word in rest)


def theirs(statement: msgspec.Struct, kind: bytes, chain_id: int, contract: Address) -> bytes:
    primary = type(statement).__name__
    signable = encode_typed_data(
        full_message={
            "types": {
                "EIP712Domain": parse_type(
                    "EIP712Domain(string name,string version,uint256 chainId,"
                    "address verifyingContract)"
                ),
                primary: parse_type(kind.decode()),
            },
            "primaryType": primary,
            "domain": {
                "name": "Modelex",
                "version": "1",
                "chainId": chain_id,
                "verifyingContract": contract,
            },
            "message": {
                camel(name): value for name, value in msgspec.structs.asdict(statement).items()
            },
        }
    )
    account = Account.from_key(b"\x11" * 32)
    return bytes(account.sign_message(signable).message_hash)


@given(st.one_of(*map(struct, STATEMENTS)), st.integers(0, 2**64 - 1), addresses)
def test_the_digest_is_eth_accounts(statement: Any, chain_id: int, contract: Address) -> None:
    module = STATEMENTS[type(statement)]
    domain = eip712.compute_domain(chain_id, contract)
    ours = module.compute_digest(statement, domain)
    assert ours == theirs(statement, module.TYPE, chain_id, contract)


@given(digests, st.binary(max_size=70) | st.binary(min_size=65, max_size=65))
def test_any_signature_is_judged(digest: Digest, signature: bytes) -> None:
    try:
        account = eip712.recover(digest, signature)
    except RemoteProtocolError as error:
        assert error.rule == "EIP712-1"  # noqa: PT017 - either outcome is right
    else:
        assert len(account) == 20


@given(digests, st.binary(min_size=31, max_size=31), st.sampled_from([27, 28]))
def test_any_well_formed_signature_is_judged(digest: Digest, half: bytes, v: int) -> None:
    signature = b"\x00" + half + b"\x00" + half + bytes([v])
    try:
        assert len(eip712.recover(digest, signature)) == 20
    except RemoteProtocolError as error:
        assert error.rule == "EIP712-1"  # noqa: PT017 - either outcome is right


@given(digests, st.integers(1, 2**255))
def test_who_signs_is_recovered_and_the_twin_is_refused(digest: Digest, secret: int) -> None:
    key = coincurve.PrivateKey.from_int(secret)
    signed = key.sign_recoverable(digest, hasher=None)
    v = signed[64] + 27
    account = eip712.recover(digest, signed[:64] + bytes([v]))
    assert account == eip712.address_of(key.public_key)
    order = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141
    high = order - int.from_bytes(signed[32:64], "big")
    twin = signed[:32] + high.to_bytes(32, "big") + bytes([55 - v])
    with pytest.raises(RemoteProtocolError, match="EIP712-1"):
        eip712.recover(digest, twin)
