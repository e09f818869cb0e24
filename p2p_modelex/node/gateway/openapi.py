"""The OpenAPI 3.1 document, made from the types that requests are read with."""

from functools import cache
from typing import Any

import msgspec

from p2p_modelex import __version__
from p2p_modelex.node.gateway import schema
from p2p_modelex.node.gateway.refusal import ErrorAnswer

_TYPES = (
    schema.ChatRequest,
    schema.ChatCompletion,
    schema.CompletionRequest,
    schema.TextCompletion,
    schema.EmbeddingRequest,
    schema.EmbeddingList,
    schema.ModelList,
    schema.Model,
    schema.Health,
    ErrorAnswer,
)
_REFERENCE = "#/components/schemas/{name}"
_NAME = {"name": "model", "in": "path", "required": True, "schema": {"type": "string"}}


@cache
def build_document() -> bytes:
    """Return the document as JSON."""
    _, components = msgspec.json.schema_components(_TYPES, ref_template=_REFERENCE)
    document = {
        "openapi": "3.1.0",
        "info": {"title": "Modelex gateway", "version": __version__},
        "paths": {
            "/v1/chat/completions": {"post": _stream("ChatRequest", "ChatCompletion")},
            "/v1/completions": {"post": _stream("CompletionRequest", "TextCompletion")},
            "/v1/embeddings": {"post": _post("EmbeddingRequest", "EmbeddingList")},
            "/v1/models": {"get": _get("ModelList")},
            "/v1/models/{model}": {"get": {**_get("Model"), "parameters": [_NAME]}},
            "/health": {"get": {**_get("Health"), "security": []}},
        },
        "components": {
            "schemas": components,
            "securitySchemes": {"key": {"type": "http", "scheme": "bearer"}},
        },
        # Either: without keys whoever is on the machine may ask.
        "security": [{"key": []}, {}],
    }
    return msgspec.json.encode(document)


def _content(name: str) -> dict[str, Any]:
    return {"application/json": {"schema": {"$ref": _REFERENCE.format(name=name)}}}


def _get(answer: str) -> dict[str, Any]:
    return {
        "responses": {
            "200": {"description": "The answer.", "content": _content(answer)},
            "default": {"description": "An error.", "content": _content("ErrorAnswer")},
        }
    }


def _post(asked: str, answer: str) -> dict[str, Any]:
    return {"requestBody": {"required": True, "content": _content(asked)}, **_get(answer)}


def _stream(asked: str, answer: str) -> dict[str, Any]:
    described = _post(asked, answer)
    # With `stream` the same answer comes in pieces.
    described["responses"]["200"]["content"]["text/event-stream"] = {"schema": {"type": "string"}}
    return described
