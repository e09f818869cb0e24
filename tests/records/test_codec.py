"""WIRE-1 to WIRE-6: a record goes there and back; anything else is a RemoteProtocolError."""

import math
from typing import Any

import msgpack
import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from p2p_modelex.errors import BadInput, LocalProtocolError, RemoteProtocolError
from p2p_modelex.records import codec
from p2p_modelex.records.envelope import Envelope
from p2p_modelex.records.job import Ask, Probe, ProviderMessage, Request, RequesterMessage
from p2p_modelex.units import Wei
from tests.records.strategies import TEXT, struct, wire_structs

LIMIT = 1 << 20
KINDS: list[Any] = [*wire_structs(), RequesterMessage, ProviderMessage]
WIRE_RULES = {"WIRE-1", "WIRE-2", "WIRE-3", "WIRE-4"}

values = st.sampled_from(wire_structs()).flatmap(struct)
plain = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats()
    | st.text(TEXT, max_size=8)
    | st.binary(max_size=70)
    | st.builds(msgpack.ExtType, st.integers(0, 127), st.binary(max_size=4)),
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(st.text(max_size=2), inner),
    max_leaves=20,
)


def check_total(kind: Any, data: bytes) -> None:
    """Decoding gives a value whose encoding is `data`, or a RemoteProtocolError of a WIRE rule."""
    try:
        value = codec.decode(kind, data, limit=LIMIT)
    except RemoteProtocolError as error:
        assert error.rule in WIRE_RULES  # noqa: PT017 - either outcome is right
    else:
        assert codec.encode(value) == data


def broken(rule: str, kind: Any, data: bytes, limit: int = LIMIT) -> None:
    with pytest.raises(RemoteProtocolError) as caught:
        codec.decode(kind, data, limit=limit)
    assert caught.value.rule == rule


@given(values)
def test_every_record_survives_the_journey(value: msgspec.Struct) -> None:
    data = codec.encode(value)
    again = codec.decode(type(value), data, limit=len(data))
    assert again == value
    assert codec.encode(again) == data


@given(st.sampled_from(KINDS), st.binary(max_size=200))
def test_any_bytes_are_judged(kind: Any, data: bytes) -> None:
    check_total(kind, data)


@given(st.sampled_from(KINDS), plain)
def test_any_msgpack_is_judged(kind: Any, value: Any) -> None:
    check_total(kind, msgpack.packb(value))


@given(values, st.integers(0), st.integers(0, 255))
def test_any_changed_byte_is_judged(value: msgspec.Struct, place: int, byte: int) -> None:
    data = bytearray(codec.encode(value))
    data[place % len(data)] = byte
    check_total(type(value), bytes(data))


@given(values, st.integers(0))
def test_every_cut_is_refused(value: msgspec.Struct, place: int) -> None:
    data = codec.encode(value)
    broken("WIRE-2", type(value), data[: place % len(data)])


@given(values, st.binary(min_size=1, max_size=9))
def test_trailing_bytes_are_refused(value: msgspec.Struct, more: bytes) -> None:
    broken("WIRE-2", type(value), codec.encode(value) + more)


@given(values)
def test_one_element_more_is_refused(value: msgspec.Struct) -> None:
    fields = msgpack.unpackb(codec.encode(value))
    broken("WIRE-3", type(value), msgpack.packb([*fields, 0]))


@given(st.sampled_from(wire_structs()).flatmap(struct))
@example(Probe(nonce=1))
def test_a_size_over_the_limit_is_refused_unread(value: msgspec.Struct) -> None:
    data = codec.encode(value)
    broken("WIRE-1", type(value), data, limit=len(data) - 1)
    with pytest.raises(LocalProtocolError):
        codec.encode_bounded(value, len(data) - 1)
    assert codec.encode_bounded(value, len(data)) == data


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\xc1",
        b"\x91" * 5000,
        b"\xdc\x04\x00" * 2000,
        b"\xdd\xff\xff\xff\xff",
        b"\xdf\xff\xff\xff\xff",
        b"\xdb\xff\xff\xff\xff",
        b"\xc6\xff\xff\xff\xff",
        b"\xc9\xff\xff\xff\xff\x01",
        b"\xc7\x00\xff",
        b"\xd6\xff\x00\x00\x00\x00",
        b"\xdc\x04\x01" + b"\x00" * 1025,
    ],
    ids=[
        "nothing",
        "reserved byte",
        "deep",
        "deep and wide",
        "array of 4 Gi",
        "map of 4 Gi",
        "text of 4 GiB",
        "bytes of 4 GiB",
        "extension of 4 GiB",
        "empty time stamp",
        "time stamp",
        "array over the limit",
    ],
)
def test_what_is_not_bounded_msgpack_is_refused(data: bytes) -> None:
    broken("WIRE-2", RequesterMessage, data)


@pytest.mark.parametrize(
    "text",
    [b"\xc3\x28", b"\xed\xa0\x80", b"\xc0\xaf", b"\xf5\x80\x80\x80", b"\xff"],
    ids=["cut", "surrogate", "overlong", "over U+10FFFF", "no UTF-8"],
)
def test_text_that_is_not_utf8_is_refused(text: bytes) -> None:
    broken("WIRE-2", Request, b"\x91" + bytes([0xA0 + len(text)]) + text)


REQUEST = Request("m", bytes(32), "completion", "hi", (), 5, 0.0, 1.0, 0, 0, (), "", 0, "")


def with_field(place: int, value: Any) -> bytes:
    fields = msgpack.unpackb(codec.encode(REQUEST))
    fields[place] = value
    return bytes(msgpack.packb(fields))


@pytest.mark.parametrize("number", [math.nan, math.inf, -math.inf, -1.0, 2.1])
@pytest.mark.parametrize("place", [6, 7], ids=["temperature", "top_p"])
def test_floats_out_of_range_are_refused(place: int, number: float) -> None:
    broken("WIRE-3", Request, with_field(place, number))


@pytest.mark.parametrize("seed", [-1, 2**63, 2**64 - 1, True, None, "1", 1.0])
def test_integers_out_of_range_or_of_another_type_are_refused(seed: Any) -> None:
    broken("WIRE-3", Request, with_field(9, seed))


@pytest.mark.parametrize("name", ["", "a b", "a\n", "\x1b[2J", "modèle", "a" * 65])
def test_names_that_a_terminal_would_obey_or_mistake_are_refused(name: str) -> None:
    broken("WIRE-3", Request, with_field(0, name))


@pytest.mark.parametrize(
    "data",
    [
        b"\x92\x01\xcc\x05",
        b"\x92\x01\xcf\x00\x00\x00\x00\x00\x00\x00\x05",
        b"\x92\x01\xd0\x05",
        b"\xdc\x00\x02\x01\x05",
        b"\xdd\x00\x00\x00\x02\x01\x05",
        b"\x92\xcc\x01\x05",
    ],
    ids=["uint8", "uint64", "int8", "array16", "array32", "long tag"],
)
def test_long_forms_are_refused(data: bytes) -> None:
    assert codec.decode(Probe, b"\x92\x01\x05", limit=8) == Probe(nonce=5)
    broken("WIRE-4", Probe, data, limit=16)


def test_a_float_must_be_eight_bytes() -> None:
    short = b"\xca\x3f\x80\x00\x00"
    data = codec.encode(REQUEST)
    assert b"\xcb" + bytes.fromhex("3ff0000000000000") in data
    broken("WIRE-4", Request, data.replace(b"\xcb" + bytes.fromhex("3ff0000000000000"), short))
    broken("WIRE-4", Request, with_field(7, 1))


@pytest.mark.parametrize("amount", [b"", bytes(15), bytes(17), 5, "0" * 16, None])
def test_an_amount_is_sixteen_bytes(amount: Any) -> None:
    broken("WIRE-3", Wei, msgpack.packb(amount))


@given(st.integers(0, 2**128 - 1))
def test_an_amount_is_big_endian(amount: int) -> None:
    assert codec.encode(Wei(amount)) == b"\xc4\x10" + amount.to_bytes(16, "big")


def test_an_extension_is_no_array() -> None:
    broken("WIRE-3", Probe, msgpack.packb(msgpack.ExtType(1, b"")))


def test_the_unknown_tag_is_refused() -> None:
    broken("WIRE-3", RequesterMessage, msgpack.packb([99, bytes(16)]))
    broken("WIRE-3", RequesterMessage, msgpack.packb([16, bytes(16)]))


def test_a_tag_must_fit_its_struct() -> None:
    broken("WIRE-3", Ask, msgpack.packb([5, bytes(16)]))


def test_text_with_surrogates_is_the_callers_fault() -> None:
    with pytest.raises(BadInput, match="Request"):
        codec.encode(msgspec.structs.replace(REQUEST, text="\ud800"))


def test_only_our_own_types_are_encoded_and_decoded() -> None:
    with pytest.raises(NotImplementedError):
        codec.encode(Envelope(bytes(32), b"", object()))  # type: ignore[arg-type]
    with pytest.raises(NotImplementedError):
        codec.decode(complex, b"\x01", limit=8)
