"""The OpenAPI 3.1 document, made from the types that requests are read with."""

from functools import cache
from typing import Any

import msgspec

from p2p_modelex import __version__
from p2p_modelex.node.gateway import replies, schema
from p2p_modelex.node.gateway.batches import shapes
from p2p_modelex.node.gateway.refusal import ErrorAnswer

_TYPES = (
    schema.ChatRequest,
    replies.ChatCompletion,
    schema.CompletionRequest,
    replies.TextCompletion,
    schema.EmbeddingRequest,
    replies.EmbeddingList,
    replies.ModelList,
    replies.Model,
    replies.Health,
    shapes.FileObject,
    shapes.FileList,
    shapes.FileDeleted,
    shapes.BatchRequest,
    shapes.Batch,
    shapes.BatchList,
    ErrorAnswer,
)
_REFERENCE = "#/components/schemas/{name}"


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
            "/v1/models/{model}": {"get": _get("Model"), **_named("model")},
            "/v1/files": {
                "get": _list("FileList", "after", "limit", "order", "purpose"),
                "post": _upload(),
            },
            "/v1/files/{file}": {
                "get": _get("FileObject"),
                "delete": _get("FileDeleted"),
                **_named("file"),
            },
            "/v1/files/{file}/content": {"get": _download(), **_named("file")},
            "/v1/batches": {
                "get": _list("BatchList", "after", "limit"),
                "post": _post("BatchRequest", "Batch"),
            },
            "/v1/batches/{batch}": {"get": _get("Batch"), **_named("batch")},
            "/v1/batches/{batch}/cancel": {"post": _get("Batch"), **_named("batch")},
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


def _named(what: str) -> dict[str, Any]:
    name = {"name": what, "in": "path", "required": True, "schema": {"type": "string"}}
    return {"parameters": [name]}


def _list(answer: str, *names: str) -> dict[str, Any]:
    described = _get(answer)
    described["parameters"] = [
        {"name": name, "in": "query", "schema": {"type": "string"}} for name in names
    ]
    return described


def _upload() -> dict[str, Any]:
    fields = {"purpose": {"const": "batch"}, "file": {"type": "string", "format": "binary"}}
    form = {"type": "object", "properties": fields, "required": ["purpose", "file"]}
    content = {"multipart/form-data": {"schema": form}}
    return {"requestBody": {"required": True, "content": content}, **_get("FileObject")}


def _download() -> dict[str, Any]:
    described = _get("FileObject")
    described["responses"]["200"]["content"] = {"application/octet-stream": {}}
    return described


def _post(asked: str, answer: str) -> dict[str, Any]:
    return {"requestBody": {"required": True, "content": _content(asked)}, **_get(answer)}


def _stream(asked: str, answer: str) -> dict[str, Any]:
    described = _post(asked, answer)
    # With `stream` the same answer comes in pieces.
    described["responses"]["200"]["content"]["text/event-stream"] = {"schema": {"type": "string"}}
    return described
