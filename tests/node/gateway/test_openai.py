"""OpenAI's own Python library against the gateway, over a mesh in memory."""

import json
from decimal import Decimal
from pathlib import Path

import openai
import pytest
import trio
from openai.types.chat import ChatCompletionChunk

from p2p_modelex.engine.memory import Fault, MemoryEngine
from p2p_modelex.engine.registry import open_engine
from p2p_modelex.engine.spec import EngineSpec
from p2p_modelex.ids import format_peer_id
from tests.engine.tiny import write_tiny
from tests.node.gateway.serving import serve
from tests.node.world import MODEL, peer_of

HELLO = "hello"


async def test_chat_whole_and_streamed_is_the_same() -> None:
    def work(library: openai.OpenAI) -> None:
        whole = library.chat.completions.create(
            model=MODEL, messages=[{"role": "user", "content": HELLO}], max_tokens=8, temperature=0
        )
        said = whole.choices[0].message.content
        assert said
        assert whole.usage is not None
        with library.chat.completions.create(
            model=MODEL,
            messages=[{"role": "user", "content": HELLO}],
            max_tokens=8,
            temperature=0,
            stream=True,
            stream_options={"include_usage": True},
        ) as stream:
            chunks = list(stream)
        assert "".join(_text(chunk) for chunk in chunks) == said
        assert chunks[-1].usage == whole.usage

    async with serve() as served:
        await served.use(work)


def _text(chunk: ChatCompletionChunk) -> str:
    return "".join(choice.delta.content or "" for choice in chunk.choices)


async def test_completions_models_and_extras() -> None:
    def work(library: openai.OpenAI) -> None:
        answer = library.completions.with_raw_response.create(
            model=MODEL, prompt="once", max_tokens=4, extra_body={"modelex": {"ceiling": "0.1"}}
        )
        peer = format_peer_id(peer_of(1))
        assert answer.headers["x-modelex-provider"] == peer
        [choice] = answer.parse().choices
        assert choice.model_extra is not None
        assert choice.model_extra["modelex"]["provider"] == peer
        [model] = library.models.list()
        assert (model.id, library.models.retrieve(MODEL).id) == (MODEL, MODEL)

    async with serve() as served:
        await served.use(work)


async def test_embeddings_by_one_and_by_many() -> None:
    texts = [f"headline {number}" for number in range(20)]

    def work(library: openai.OpenAI) -> None:
        one = library.embeddings.create(model=MODEL, input=texts[3])  # asks for base64
        many = library.embeddings.create(model=MODEL, input=texts, encoding_format="float")
        assert [found.index for found in many.data] == list(range(20))
        assert many.data[3].embedding == one.data[0].embedding
        assert len({tuple(found.embedding) for found in many.data}) == 20
        assert (one.usage.prompt_tokens, many.usage.total_tokens) == (2, 40)
        assert one.usage.model_extra is not None
        assert many.usage.model_extra is not None
        costs = [
            Decimal(one.usage.model_extra["cost"]),
            Decimal(many.usage.model_extra["cost"]),
        ]
        assert costs[1] == 20 * costs[0] > 0
        assert one.data[0].model_extra is not None
        assert one.data[0].model_extra["modelex"]["receipt"]
        with pytest.raises(openai.BadRequestError, match="dimensions"):
            library.embeddings.create(model=MODEL, input="x", dimensions=2)
        with pytest.raises(openai.BadRequestError) as caught:
            library.chat.completions.create(
                model=MODEL, messages=[{"role": "user", "content": HELLO}]
            )
        assert caught.value.code == "unsupported"

    async with serve(MemoryEngine(MODEL, kinds=("embedding",))) as served:
        await served.use(work)
        assert len(await served.exchange.node.parts.store.receipts()) == 21


@pytest.mark.slow
async def test_a_schema_holds_the_answer_of_a_provider(tmp_path: Path) -> None:
    """A model of random weights, on the mesh: nothing but the schema makes JSON of what it says."""
    path = await trio.to_thread.run_sync(write_tiny, tmp_path / "tiny.gguf")
    schema = {"type": "array", "items": {"enum": [7]}, "minItems": 2, "maxItems": 2}

    def work(library: openai.OpenAI) -> str | None:
        answer = library.chat.completions.create(
            model=MODEL,
            messages=[{"role": "user", "content": HELLO}],
            max_tokens=40,
            response_format={
                "type": "json_schema",
                "json_schema": {"name": "sevens", "schema": schema, "strict": True},
            },
        )
        return answer.choices[0].message.content

    async with serve(open_engine(EngineSpec("xllamacpp", MODEL, path))) as served:
        said = await served.use(work)
        assert said is not None
        assert json.loads(said) == [7, 7]


async def test_errors_come_as_the_librarys_own() -> None:
    def work(library: openai.OpenAI) -> None:
        def ask(model: str = MODEL, **more: object) -> None:
            library.chat.completions.create(
                model=model,
                messages=[{"role": "user", "content": HELLO}],
                extra_body=more,
            )

        with pytest.raises(openai.NotFoundError) as caught:
            ask("memori")
        assert caught.value.code == "model_not_found"
        with pytest.raises(openai.BadRequestError, match="frequency_penalty"):
            ask(frequency_penalty=1)
        with pytest.raises(openai.APIStatusError, match="the cheapest is") as dear:
            ask(modelex={"ceiling": "0.000000001"})
        assert dear.value.status_code == 402

    async with serve() as served:
        await served.use(work)


async def test_a_provider_that_dies_in_mid_answer_is_not_noticed() -> None:
    dying = MemoryEngine(MODEL, delay_s=0.05, fault=Fault("crash", 3, jobs=99))

    def work(library: openai.OpenAI) -> list[list[str]]:
        routes = []
        for _ in range(8):
            with library.chat.completions.create(
                model=MODEL,
                messages=[{"role": "user", "content": HELLO}],
                max_tokens=8,
                temperature=0,
                stream=True,
            ) as stream:
                chunks = list(stream)
            assert len("".join(map(_text, chunks)).split()) == 8
            assert chunks[-1].choices[0].model_extra is not None
            routes.append(chunks[-1].choices[0].model_extra["modelex"]["route"])
        return routes

    async with serve(dying, MemoryEngine(MODEL)) as served:
        routes = await served.use(work)
        assert [format_peer_id(peer_of(number)) for number in (1, 2)] in routes


async def test_leaving_a_stream_cancels_the_job() -> None:
    slow = MemoryEngine(MODEL, delay_s=0.02, length=500)

    def work(library: openai.OpenAI) -> None:
        with library.chat.completions.create(
            model=MODEL,
            messages=[{"role": "user", "content": HELLO}],
            max_tokens=500,
            stream=True,
        ) as stream:
            assert next(stream).choices

    async with serve(slow) as served:
        await served.use(work)
        node = served.exchange.node
        with trio.fail_after(10):
            await node.wait_until(lambda: node.core.is_idle)
        [row] = await node.parts.store.receipts()
        assert row.receipt.receipt.completion_tokens < 250
