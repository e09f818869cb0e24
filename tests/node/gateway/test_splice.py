"""What a stream may go on with after a failover."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from p2p_modelex.node.gateway.splice import Diverged, Splice
from p2p_modelex.records.logprobs import build_logprob

PIECES = st.lists(st.text("ab", max_size=3), max_size=8)


@given(PIECES, st.integers(0, 24), st.integers(0, 24), st.randoms(use_true_random=False))
def test_the_same_text_goes_on_whatever_its_pieces(
    pieces: list[str], first: int, second: int, rng: random.Random
) -> None:
    """However often it begins anew, and however it is cut, what is passed on is the text."""
    whole = "".join(pieces)
    splice, passed = Splice(), ""
    for stop in (first, second, len(whole)):
        splice.restart()
        at = 0
        while at < min(stop, len(whole)):
            size = rng.randint(1, 4)
            passed += splice.feed(whole[at : min(at + size, stop)])
            at += size
    splice.finish()
    assert passed == whole


@given(st.integers(0, 9), st.integers(1, 4), st.integers(1, 4))
def test_tokens_told_of_once_are_not_told_of_again(said: int, size: int, other: int) -> None:
    told = tuple(build_logprob(b"%d" % number, -1.0, [], 0) for number in range(12))
    splice = Splice()
    passed = [splice.skip(told[at : min(at + size, said)]) for at in range(0, said, size)]
    splice.restart()
    passed += [splice.skip(told[at : at + other]) for at in range(0, 12, other)]
    assert sum(passed, ()) == told


@given(st.text("ab", min_size=1), st.text("ab", min_size=1))
def test_another_text_is_found_out(said: str, other: str) -> None:
    splice = Splice()
    splice.feed(said)
    splice.restart()
    if other.startswith(said):
        assert splice.feed(other) == other[len(said) :]
        return
    with pytest.raises(Diverged):
        splice.feed(other)
        splice.finish()
