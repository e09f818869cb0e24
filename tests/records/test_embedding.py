"""Vectors as text: what goes in comes out, and anything else is refused (EXC-20)."""

import base64
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from p2p_modelex.errors import BadInput, RemoteProtocolError
from p2p_modelex.records.embedding import DIMENSIONS_MAX, decode_vector, encode_vector


@given(st.lists(st.floats(allow_nan=False, allow_infinity=False, width=32), min_size=1))
def test_vectors_survive(values: list[float]) -> None:
    assert decode_vector(encode_vector(values)) == tuple(values)


@given(st.text() | st.binary().map(lambda raw: base64.b64encode(raw).decode()))
def test_any_text_is_a_vector_or_refused(text: str) -> None:
    try:
        values = decode_vector(text)
    except RemoteProtocolError:
        return
    assert decode_vector(encode_vector(values)) == values


def test_the_longest_vector_fits_the_slack_of_a_job_without_tokens() -> None:
    """EXC-11: text of no tokens has at most COMPLETION_SLACK_BYTES."""
    assert len(encode_vector([0.5] * DIMENSIONS_MAX)) == 65_536


@pytest.mark.parametrize(
    "values", [[], [0.0] * (DIMENSIONS_MAX + 1), [1e39], [float("nan")], [float("inf")]]
)
def test_what_is_no_vector_is_not_written(values: list[float]) -> None:
    with pytest.raises(BadInput, match="vector"):
        encode_vector(values)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "AAAA",
        "AAAAAA",
        "AAAAAA==\n",
        "é",
        base64.b64encode(struct.pack("<f", float("nan"))).decode(),
        base64.b64encode(bytes(4 * DIMENSIONS_MAX + 4)).decode(),
    ],
)
def test_what_is_no_vector_is_not_read(text: str) -> None:
    with pytest.raises(RemoteProtocolError, match="EXC-20"):
        decode_vector(text)
