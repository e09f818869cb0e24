"""Amounts are exact, bounded, and written one way."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from p2p_modelex.errors import BadInput
from p2p_modelex.units import UINT128_MAX, Wei, format_ai, parse_ai

amounts = st.integers(0, UINT128_MAX)


@given(amounts)
def test_an_amount_survives_text(amount: int) -> None:
    assert parse_ai(format_ai(amount).removesuffix(" AI")) == amount


@pytest.mark.parametrize(
    ("text", "wei"),
    [
        ("0", 0),
        ("0.25", 25 * 10**16),
        (" 1 ", 10**18),
        ("1.000000000000000001", 10**18 + 1),
        ("123456789012.123456789012345678", 123456789012123456789012345678),
        ("340282366920938463463.374607431768211455", UINT128_MAX),
    ],
)
def test_amounts_are_exact(text: str, wei: int) -> None:
    assert parse_ai(text) == wei


@pytest.mark.parametrize(
    "text",
    [
        "",
        ".",
        "1.",
        ".5",
        "-1",
        "+1",
        "1e3",
        "1_000",
        "1,5",
        "nan",
        "inf",
        "0x10",
        "1 AI",
        "\u0661",
        "0.0000000000000000001",
        "340282366920938463463.374607431768211456",
        "9" * 22,
        "1e999999",
        "1\n2",
    ],
)
def test_what_is_no_amount_is_refused(text: str) -> None:
    with pytest.raises(BadInput):
        parse_ai(text)


@pytest.mark.parametrize("value", [-1, UINT128_MAX + 1])
def test_an_amount_fits_uint128(value: int) -> None:
    with pytest.raises(BadInput):
        Wei(value)


@pytest.mark.parametrize(
    ("wei", "text"), [(0, "0 AI"), (1, "0.000000000000000001 AI"), (-(10**18), "-1 AI")]
)
def test_amounts_are_written_without_trailing_zeros(wei: int, text: str) -> None:
    assert format_ai(wei) == text
