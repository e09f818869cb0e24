"""Identifiers parse from one text form each and from nothing else."""

import re

import base58
import pytest
from eth_utils.address import to_checksum_address
from hypothesis import given
from hypothesis import strategies as st

from p2p_modelex.errors import BadInput
from p2p_modelex.ids import (
    Address,
    PeerId,
    PublicKey,
    format_address,
    format_peer_id,
    network_id_of,
    parse_address,
    parse_peer_id,
    peer_id_of,
    public_key_of,
)

keys = st.binary(min_size=32, max_size=32).map(PublicKey)
KEY = PublicKey(bytes(range(32)))
PEER_TEXT = format_peer_id(peer_id_of(KEY))


@given(keys)
def test_a_peer_id_holds_its_key(key: PublicKey) -> None:
    peer = peer_id_of(key)
    assert public_key_of(peer) == key
    assert parse_peer_id(format_peer_id(peer)) == peer


def test_a_peer_id_reads_as_libp2p_writes_it() -> None:
    assert PEER_TEXT.startswith("12D3KooW")


def test_a_key_has_32_bytes() -> None:
    with pytest.raises(BadInput, match="31"):
        peer_id_of(PublicKey(bytes(31)))


@pytest.mark.parametrize("peer", [b"", bytes(38), peer_id_of(KEY)[:-1], peer_id_of(KEY) + b"\0"])
def test_peer_ids_of_another_kind_are_refused(peer: bytes) -> None:
    with pytest.raises(BadInput):
        public_key_of(PeerId(peer))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "0OIl",
        "é",
        PEER_TEXT[:-1],
        PEER_TEXT + "1",
        PEER_TEXT + " ",
        "1" + PEER_TEXT,
        "Q" * 1_000_000,
        base58.b58encode(bytes(38)).decode(),
    ],
    ids=["empty", "alphabet", "not ASCII", "short", "long", "space", "zero", "huge", "kind"],
)
def test_what_is_no_peer_id_is_refused(text: str) -> None:
    with pytest.raises(BadInput, match=re.escape(repr(text[:80]))) as caught:
        parse_peer_id(text)
    assert caught.value.hint


@given(st.binary(min_size=20, max_size=20).map(Address))
def test_an_address_survives_text(address: Address) -> None:
    assert parse_address(format_address(address)) == address
    assert parse_address("0x" + address.hex().upper()) == address


@pytest.mark.parametrize(
    "text",
    ["", "0x", "00" * 20, "0x" + "00" * 19, "0x" + "00" * 21, "0x" + "zz" * 20, "0x" + "0 " * 20],
)
def test_what_is_no_address_is_refused(text: str) -> None:
    with pytest.raises(BadInput):
        parse_address(text)


# The vectors of EIP-55.
CAPITALS = (
    "0x52908400098527886E0F7030069857D2E4169EE7",
    "0x8617E340B3D01FA5F11F306F4090FD50E238070D",
    "0xde709f2102306220921060314715629080e2fb77",
    "0x27b1fdb04752bbc536007a920d24acb045561c26",
    "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed",
    "0xfB6916095ca1df60bB79Ce92cE3Ea74c37c5d359",
    "0xdbF03B407c01E7cD3CBea99509d93f8DDDC8C6FB",
    "0xD1220A0cf47c7B9Be7A2E6BA89F429762e7b9aDb",
)


@pytest.mark.parametrize("text", CAPITALS)
def test_capitals_that_are_right_are_read(text: str) -> None:
    assert parse_address(text) == parse_address(text.lower()) == bytes.fromhex(text[2:])


@pytest.mark.parametrize("text", CAPITALS[4:])
def test_a_digit_or_a_capital_that_is_wrong_is_refused(text: str) -> None:
    """Each letter in turn, the other way; and a digit that became another."""
    for place, digit in enumerate(text):
        if place >= 2 and digit.isalpha():
            with pytest.raises(BadInput, match=r"is mistyped.*EIP-55"):
                parse_address(text[:place] + digit.swapcase() + text[place + 1 :])
    for place in range(2, len(text)):
        other = "0" if text[place] != "0" else "1"
        with pytest.raises(BadInput, match="is mistyped") as caught:
            parse_address(text[:place] + other + text[place + 1 :])
    assert caught.value.hint


@given(st.binary(min_size=20, max_size=20).map(Address))
def test_capitals_are_as_other_wallets_write_them(address: Address) -> None:
    assert parse_address(to_checksum_address(address)) == address


def test_networks_differ_by_chain_and_by_registry() -> None:
    one, other = Address(bytes(20)), Address(b"\x01" * 20)
    assert len({network_id_of(1, one), network_id_of(2, one), network_id_of(1, other)}) == 3


@pytest.mark.parametrize("chain_id", [-1, 2**64])
def test_a_chain_id_is_a_uint64(chain_id: int) -> None:
    with pytest.raises(BadInput):
        network_id_of(chain_id, Address(bytes(20)))
