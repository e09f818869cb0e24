"""Log probabilities on the wire: whole numbers, bounded, whatever an engine says."""

import math

import pytest

from p2p_modelex import limits
from p2p_modelex.records import codec
from p2p_modelex.records.job import Chunk
from p2p_modelex.records.logprobs import Alternative, TokenLogprob, build_logprob


def test_an_engines_numbers_become_ours_and_come_back() -> None:
    told = build_logprob(b" yes", -0.25, [(b" no", -1.5), (b" yes", -0.25), (b" so", -9.0)], 2)
    assert told.logprob == -0.25
    assert told.top == (Alternative(b" yes", 250_000), Alternative(b" no", 1_500_000))
    assert told.top[1].logprob == -1.5


@pytest.mark.parametrize(
    ("said", "heard"), [(0.0, 0), (1e-9, 0), (3.0, 0), (-1e9, 2**32 - 1), (-math.inf, 2**32 - 1),
                        (math.inf, 2**32 - 1), (math.nan, 2**32 - 1)]
)  # fmt: skip
def test_whatever_an_engine_says_is_a_number_in_bounds(said: float, heard: int) -> None:
    told = build_logprob(b"x" * 200, said, [(b"y" * 200, said)], 20)
    assert (told.surprisal, told.top[0].surprisal) == (heard, heard)
    assert codec.decode(TokenLogprob, codec.encode(told), limit=1000) == told


def test_a_chunk_of_the_longest_fits_a_frame() -> None:

    token = b"t" * limits.TOKEN_BYTES
    top = (Alternative(token, 2**32 - 1),) * limits.TOP_LOGPROBS_MAX
    told = (TokenLogprob(token, 2**32 - 1, top),) * limits.CHUNK_LOGPROBS_MAX
    text = "\U0001f600" * (limits.CHUNK_TEXT_BYTES // 4)
    chunk = Chunk(bytes(16), 2**32 - 1, text, 2**32 - 1, told)
    assert len(codec.encode(chunk)) <= limits.EXCHANGE_FRAME_BYTES
