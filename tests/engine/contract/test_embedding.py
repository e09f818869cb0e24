"""The `embedding` kind: one vector for a text, paid for by its prompt."""

import math

import pytest

from p2p_modelex.errors import PromptTooLong, Unsupported
from p2p_modelex.records.embedding import decode_vector
from p2p_modelex.records.receipt import Finish
from tests.engine.asking import ask, make_request
from tests.engine.conftest import UPSTREAM, Opening


@pytest.mark.parametrize("name", ["xllamacpp", *UPSTREAM])
async def test_vectors(name: str, opening: Opening) -> None:
    async with opening(name, kinds=("embedding",), slots=2) as engine:
        assert engine.info.kinds == ("embedding",)
        request = make_request("the quick brown fox", kind="embedding", max_tokens=1)
        counted = await engine.count_tokens(request)
        answer = await ask(engine, request)
        assert answer.started.prompt_tokens == answer.done.prompt_tokens == counted > 0
        assert (answer.done.completion_tokens, answer.done.finish) == (0, Finish.STOP)
        vector = decode_vector(answer.text)
        assert any(vector)
        assert all(map(math.isfinite, vector))
        assert decode_vector((await ask(engine, request)).text) == vector
        other = make_request("a slow dog", kind="embedding", max_tokens=1)
        assert decode_vector((await ask(engine, other)).text) != vector

        # A text that just fits is one vector, too: llama.cpp has it in one batch.
        whole = make_request("ab " * 120, kind="embedding", max_tokens=1)
        assert decode_vector((await ask(engine, whole)).text)
        with pytest.raises(PromptTooLong):
            await ask(engine, make_request("word " * 5_000, kind="embedding", max_tokens=1))
        for request, why in (
            (make_request("x"), "serves"),
            (make_request("a\0b", kind="embedding"), "NUL"),
            (make_request("", kind="embedding"), "empty"),
        ):
            with pytest.raises(Unsupported, match=why):
                await ask(engine, request)


async def test_ctransformers_makes_none(opening: Opening) -> None:
    with pytest.raises(Unsupported, match="embeddings"):
        async with opening("ctransformers", kinds=("embedding",)):
            pass
