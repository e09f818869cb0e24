"""An API's request from anybody, or a batch's form: requests that peers would take, or a refusal in
OpenAI's shape.
"""

from collections.abc import Callable
from typing import Any

import msgspec

from p2p_modelex import limits
from p2p_modelex.node.gateway.asking import Asked, Room, read_chat, read_completion, read_embedding
from p2p_modelex.node.gateway.batches.form import read_form
from p2p_modelex.node.gateway.batches.running import LINES_MAX, read_lines
from p2p_modelex.node.gateway.refusal import ErrorAnswer, Refusal
from p2p_modelex.node.gateway.schema import CHOICES_MAX, INPUTS_MAX
from p2p_modelex.records import codec
from p2p_modelex.records.job import Request
from tests.fuzz import trees
from tests.fuzz.choices import Choices

_SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {"a": {"$ref": "#/$defs/b"}, "c": {"type": ["integer", "null"]}},
    "required": ["a"],
    "$defs": {"b": {"anyOf": [{"enum": ["x", 1]}, {"type": "array", "items": {"$ref": "#"}}]}},
}
_COMMON: dict[str, Any] = {
    "model": "m",
    "n": 2,
    "stream": True,
    "stream_options": {"include_usage": True},
    "max_tokens": 5,
    "temperature": 0.5,
    "top_p": 0.5,
    "seed": 3,
    "stop": ["x"],
    "modelex": {"ceiling": "0.5", "attempts": 2, "weights": "ab" * 32, "only": []},
    "logit_bias": {},
    "frequency_penalty": 0,
}
_CHAT: dict[str, Any] = {
    **_COMMON,
    "messages": [
        {"role": "system", "content": "be kind"},
        {"role": "user", "content": [{"type": "text", "text": "a"}]},
    ],
    "response_format": {"type": "json_schema", "json_schema": {"name": "s", "schema": _SCHEMA}},
    "tools": [],
}
_COMPLETION: dict[str, Any] = {**_COMMON, "prompt": ["once"], "echo": False}
_EMBEDDING: dict[str, Any] = {
    "model": "m",
    "input": ["once", "twice"],
    "encoding_format": "base64",
    "modelex": _COMMON["modelex"],
}
_LIKE: tuple[Any, ...] = (
    *(None, True, 0, 1, -1, 0.5, 2**63, -(2**63), 2**200, 1e308, "", "a" * 300, "\ud800", "\0"),
    *([], {}, [1], ["x"], {"a": 1}, "tool", "developer", "score", "1" * 60, "#/$defs/b", "object"),
    *({"type": "string"}, {"$ref": "#/$defs/b"}, {"type": "text", "text": "b"}),
)


def run(content: bytes) -> None:
    choices = Choices(content)
    number = choices.byte()
    if number < 8:
        _upload(choices.rest())
        return
    read, good, most = _choose(number)
    if choices.chance(48):
        body = choices.rest()
    else:
        value: Any = good
        for _ in range(choices.below(5)):
            value = trees.bend(value, choices, _LIKE)
        body = trees.write_json(value)
    try:
        asked = read(body, lambda _: 64)
    except Refusal as refusal:
        _check_refusal(refusal)
        return
    assert 1 <= len(asked.requests) <= most
    for request in asked.requests:
        encoded = codec.encode(request)
        assert codec.decode(Request, encoded, limit=limits.EXCHANGE_FRAME_BYTES) == request


def _upload(body: bytes) -> None:
    try:
        for part in read_form("multipart/form-data; boundary=b", b"--b\r\n" + body).values():
            lines = read_lines(part.content, "/v1/embeddings")
            assert 1 <= len(lines) <= LINES_MAX
    except Refusal as refusal:
        _check_refusal(refusal)


def _choose(number: int) -> tuple[Callable[[bytes, Room], Asked], dict[str, Any], int]:
    if number >= 96:
        return read_chat, _CHAT, CHOICES_MAX
    if number >= 32:
        return read_completion, _COMPLETION, CHOICES_MAX
    return read_embedding, _EMBEDDING, INPUTS_MAX


def _check_refusal(refusal: Refusal) -> None:
    assert refusal.status == 400
    shown = msgspec.json.decode(refusal.body, type=ErrorAnswer)
    assert shown.error.message
    assert shown.error.type == "invalid_request_error"
