"""The `score` kind on the shipped sentiment model."""

import pytest

from p2p_modelex.errors import Unsupported
from p2p_modelex.records.receipt import Finish
from tests.engine.asking import ask, make_request
from tests.engine.conftest import NATIVE, Opening


@pytest.mark.parametrize("name", NATIVE)
async def test_scores_headlines(name: str, opening: Opening, sentiment: object) -> None:
    async with opening(name, path=sentiment, kinds=("score", "completion")) as engine:
        scores = []
        for headline in ("Apple shares surge on record profit", "Acme files for bankruptcy"):
            text = f"Headline: {headline}\nSentiment:"
            answer = await ask(engine, make_request(text, kind="score", max_tokens=1))
            assert answer.done.finish is Finish.STOP
            assert answer.done.completion_tokens == 1
            scores.append(int(answer.text))
        assert scores == [9, 1]
        # Without knowing better the answer is still one digit, and space around the text is moot.
        odd = await ask(
            engine, make_request("日本 \n", kind="score", max_tokens=5, temperature=2.0)
        )
        assert odd.text in set("123456789")
        with pytest.raises(Unsupported, match="chat"):
            await ask(engine, make_request("x", kind="chat"))
