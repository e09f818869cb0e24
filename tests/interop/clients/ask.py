"""litellm and LangChain against a gateway: python ask.py BASE_URL MODEL plain|schema

Prints one JSON object: what they saw. It runs in an environment of its own (requirements.txt).
"""

import json
import sys
from typing import Any, Literal

import litellm
from langchain_openai import ChatOpenAI, OpenAIEmbeddings
from pydantic import BaseModel

litellm.suppress_debug_info = True  # which goes to standard output
HELLO = [{"role": "user", "content": "hello"}]


class Answer(BaseModel):
    """What a model of random weights says only because a schema holds it to that."""

    seven: Literal[7]
    words: list[Literal["yes"]]


def ask_litellm(url: str, model: str) -> dict[str, Any]:
    """Chat whole and streamed, embed, and ask for what nobody has."""
    at = {"api_base": url, "api_key": "none", "max_retries": 0}
    common = at | {"max_tokens": 8, "temperature": 0}
    named = f"openai/{model}"
    whole = litellm.completion(model=named, messages=HELLO, **common)
    events = list(
        litellm.completion(
            model=named,
            messages=HELLO,
            stream=True,
            stream_options={"include_usage": True},
            **common,
        )
    )
    vectors = litellm.embedding(model=named, input=["a", "b"], encoding_format="float", **at)
    failed = ""
    try:
        litellm.completion(model=f"{named}x", messages=HELLO, **common)
    except litellm.NotFoundError as error:
        failed = str(error)
    deltas = [event.choices[0].delta.content or "" for event in events if event.choices]
    return {
        "whole": whole.choices[0].message.content,
        "streamed": "".join(deltas),
        "usages": [whole.usage.total_tokens, events[-1].usage.total_tokens],
        "vectors": [one["embedding"] for one in vectors.data],
        "failed": failed,
    }


def ask_langchain(url: str, model: str) -> dict[str, Any]:
    """The same; its embeddings are of text where they are not to count tokens by themselves."""
    at: dict[str, Any] = {"base_url": url, "api_key": "none", "max_retries": 0}
    chat = ChatOpenAI(model=model, max_tokens=8, temperature=0, stream_usage=True, **at)
    whole = chat.invoke("hello")
    pieces = list(chat.stream("hello"))
    counted = [piece.usage_metadata for piece in pieces if piece.usage_metadata]
    embed = OpenAIEmbeddings(model=model, check_embedding_ctx_length=False, **at)
    return {
        "whole": whole.content,
        "streamed": "".join(str(piece.content) for piece in pieces),
        "usages": [whole.usage_metadata["total_tokens"], counted[-1]["total_tokens"]],
        "vectors": embed.embed_documents(["a", "b"]),
        "batch": [one.content for one in chat.batch(["hello", "hello"])],
    }


def ask_schema(url: str, model: str) -> dict[str, Any]:
    """What both make of a schema."""
    answer = litellm.completion(
        model=f"openai/{model}",
        messages=HELLO,
        max_tokens=120,
        response_format=Answer,
        api_base=url,
        api_key="none",
    )
    chat = ChatOpenAI(model=model, max_tokens=120, base_url=url, api_key="none")
    held = chat.with_structured_output(Answer, method="json_schema").invoke("hello")
    return {
        "litellm": Answer.model_validate_json(answer.choices[0].message.content).seven,
        "langchain": held.seven,
    }


if __name__ == "__main__":
    url, model, what = sys.argv[1:]
    if what == "schema":
        saw = ask_schema(url, model)
    else:
        saw = {"litellm": ask_litellm(url, model), "langchain": ask_langchain(url, model)}
    print(json.dumps(saw))  # noqa: T201  # the caller reads it
