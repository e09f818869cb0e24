"""Answers against the types of OpenAI's own library, and its requests' fields against ours.

The library lets anything pass as it reads; here its types are held to, and what they do not know is
what Modelex adds, and nothing else.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pydantic
import pytest
from openai.types import (
    Batch,
    Completion,
    CreateEmbeddingResponse,
    ErrorObject,
    FileDeleted,
    FileObject,
    Model,
    completion_create_params,
    embedding_create_params,
)
from openai.types.chat import ChatCompletion, ChatCompletionChunk
from openai.types.chat import completion_create_params as chat_create_params

from p2p_modelex.engine.memory import MemoryEngine
from p2p_modelex.node.gateway import schema
from p2p_modelex.node.home import Home
from tests.node.gateway.serving import CHAT, Reply, serve
from tests.node.world import MODEL

OURS = {"modelex", "cost"}
# What OpenAI takes and what changes nothing here (docs/gateway.md).
IGNORED = {
    "audio",  # goes with `modalities`, which is refused
    "metadata",
    "prompt_cache_options",
    "prompt_cache_retention",
    "reasoning_effort",
    "safety_identifier",
    "service_tier",
    "store",
    "user",
    "verbosity",
}


def extras(found: Any) -> Iterator[str]:
    """Names that a type does not know, however deep."""
    if isinstance(found, pydantic.BaseModel):
        yield from found.model_extra or {}
        for name in type(found).model_fields:
            yield from extras(getattr(found, name))
    elif isinstance(found, list):
        for item in found:
            yield from extras(item)


def hold(kind: type[pydantic.BaseModel], shown: Any) -> None:
    """What was answered is of the type, and complete."""
    found = kind.model_validate(shown)
    assert set(extras(found)) <= OURS, shown
    required = {name for name, field in kind.model_fields.items() if field.is_required()}
    assert required <= shown.keys()


async def test_chats() -> None:
    async with serve() as served:
        hold(ChatCompletion, (await served.chat(n=2, stop=["x", "y"], user="u")).json)
        usage = {"include_usage": True}
        events = (await served.chat(n=2, stream=True, stream_options=usage)).events
        for event in events:
            hold(ChatCompletionChunk, event)
        assert events[-1]["choices"] == []
        assert events[-1]["usage"]["completion_tokens"] == 16
        assert {event["usage"] for event in events[:-1]} == {None}


async def test_completions() -> None:
    async with serve() as served:
        asked = {"model": MODEL, "prompt": "once", "max_tokens": 4}
        hold(Completion, (await served.ask("POST", "/v1/completions", asked)).json)
        streamed = await served.ask("POST", "/v1/completions", {**asked, "stream": True})
        for event in streamed.events[:-1]:
            # OpenAI's type has no null here; its own streams do, before the end.
            assert event["choices"][0].pop("finish_reason") is None
            hold(Completion, event | {"choices": [event["choices"][0] | {"finish_reason": "stop"}]})
        hold(Completion, streamed.events[-1])


async def test_embeddings_and_models() -> None:
    async with serve(MemoryEngine(MODEL, kinds=("embedding",))) as served:
        for form in ("float", "base64"):
            asked = {"model": MODEL, "input": ["a", "b"], "encoding_format": form}
            shown = (await served.ask("POST", "/v1/embeddings", asked)).json
            if form == "float":
                hold(CreateEmbeddingResponse, shown)
        [model] = (await served.ask("GET", "/v1/models")).json["data"]
        hold(Model, model)
        hold(Model, (await served.ask("GET", f"/v1/models/{MODEL}")).json)


async def test_files_and_batches(tmp_path: Path) -> None:
    home = Home(tmp_path)
    home.create()
    line = {"custom_id": "a", "method": "POST", "url": "/v1/chat/completions", "body": CHAT}
    async with serve(home=home) as served:
        file = await served.use(lambda library: _upload(library, line))
        hold(FileObject, file)
        asked = {
            "input_file_id": file["id"],
            "endpoint": "/v1/chat/completions",
            "completion_window": "24h",
        }
        hold(Batch, (await served.ask("POST", "/v1/batches", asked)).json)
        [batch] = (await served.ask("GET", "/v1/batches")).json["data"]
        hold(Batch, batch)
        await served.ask("POST", f"/v1/batches/{batch['id']}/cancel")
        for file in (await served.ask("GET", "/v1/files")).json["data"]:
            hold(FileObject, file)
            gone = await served.ask("DELETE", f"/v1/files/{file['id']}")
            if gone.status == 200:
                hold(FileDeleted, gone.json)


def _upload(library: Any, line: object) -> Any:
    file = ("in.jsonl", pydantic.TypeAdapter(object).dump_json(line))
    return library.files.with_raw_response.create(file=file, purpose="batch").http_response.json()


async def test_errors() -> None:
    async with serve() as served:
        for reply in (
            await served.chat(model="x"),
            await served.chat(temperature=9),
            await served.ask("GET", "/v1/nothing"),
            await served.ask("POST", "/v1/chat/completions", b"{"),
        ):
            assert isinstance(reply, Reply)
            hold(ErrorObject, reply.error)


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        (schema.ChatRequest, chat_create_params.CompletionCreateParamsBase),
        (schema.CompletionRequest, completion_create_params.CompletionCreateParamsBase),
        (schema.EmbeddingRequest, embedding_create_params.EmbeddingCreateParams),
    ],
)
def test_every_field_of_openai_is_taken_refused_or_ignored_on_purpose(
    ours: Any, theirs: Any
) -> None:
    assert theirs.__annotations__.keys() - IGNORED <= {*ours.__struct_fields__}
    assert not IGNORED & {*ours.__struct_fields__}
