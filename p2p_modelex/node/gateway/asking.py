"""From an API's request to requests of ours: what is taken, and what is refused rather than lost.

Pure: bytes in, `Asked` out, or a Refusal that names the field.
"""

import re
import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Annotated, Any, Literal, TypeVar

import msgspec
from msgspec import Meta

from p2p_modelex import limits
from p2p_modelex.engine.schema import build_grammar
from p2p_modelex.errors import BadInput, Unsupported
from p2p_modelex.ids import PeerId, parse_peer_id
from p2p_modelex.node.gateway.refusal import Refusal
from p2p_modelex.node.gateway.schema import (
    ChatMessage,
    ChatRequest,
    CompletionRequest,
    Conversation,
    EmbeddingRequest,
    ModelexTerms,
    ResponseFormat,
)
from p2p_modelex.node.gateway.tooling import read_calls, read_result, read_tools
from p2p_modelex.node.request import ATTEMPTS, TIMEOUT_MAX_S, Terms, build_request
from p2p_modelex.records.advertisement import Kind
from p2p_modelex.records.farm import parse_farm
from p2p_modelex.records.job import Message, Request
from p2p_modelex.units import parse_ai

# `developer` is what OpenAI calls the system's role since 2024.
_ROLES: dict[str, Literal["system", "user", "assistant", "tool"]] = {
    "system": "system",
    "developer": "system",
    "user": "user",
    "assistant": "assistant",
    "tool": "tool",
}
# A field is refused unless it has one of these values, with which nothing changes.
_NEUTRAL: dict[str, tuple[Any, ...]] = {
    "frequency_penalty": (None, 0),
    "presence_penalty": (None, 0),
    "repetition_penalty": (None, 1),
    "min_p": (None, 0),
    "logit_bias": (None, {}),
    "functions": (None, []),
    "function_call": (None, "none", "auto"),
    "modalities": (None, ["text"]),
    "prediction": (None,),
    "web_search_options": (None,),
    "moderation": (None,),
    "best_of": (None, 1),
    "echo": (None, False),
    "suffix": (None, ""),
    "dimensions": (None,),
}
_ANY_WEIGHTS = bytes(32)
_ANY_OBJECT = '{"type":"object"}'
_HEADERS = {
    "timeout_s": "x-modelex-timeout",
    "conversation": "x-modelex-conversation",
    "explains": "x-modelex-explain",
}
_FIELD = re.compile(r"^(.*?) - at `\$\.?(.*?)`$", re.DOTALL)
_TEXT_ONLY = "as text: providers have their own tokenizers"
R = TypeVar("R", bound=msgspec.Struct)
Shape = Literal["chat", "text", "float", "base64"]
"""What the answers look like: those of a chat, texts, or vectors written in one of two ways."""
Room = Callable[[str], int]
"""A model's name to the tokens generated where a request does not say how many."""


@dataclass(frozen=True, slots=True)
class Asked:
    """What somebody wants: one request of ours for each choice, or text to embed."""

    requests: tuple[Request, ...]
    terms: Terms
    shape: Shape
    is_stream: bool = False
    wants_usage: bool = False


def read_chat(body: bytes, room: Room) -> Asked:
    """Read a ChatRequest. Raises Refusal."""
    asked = decode(ChatRequest, body)
    if asked.top_logprobs and not asked.logprobs:
        message = "top_logprobs needs logprobs to be true"
        raise Refusal(400, "invalid_value", message, param="top_logprobs")
    logprobs = (asked.top_logprobs or 0) if asked.logprobs else None
    messages = tuple(_read_message(at, message) for at, message in enumerate(asked.messages))
    tokens = asked.max_completion_tokens or asked.max_tokens or room(asked.model)
    schema = _read_format(asked.response_format)
    return _build(asked, messages, "chat", tokens, schema, logprobs, read_tools(asked))


def read_completion(body: bytes, room: Room) -> Asked:
    """Read a CompletionRequest. Raises Refusal."""
    asked = decode(CompletionRequest, body)
    prompt = asked.prompt
    if isinstance(prompt, list):
        if len(prompt) != 1 or not isinstance(prompt[0], str):
            message = f"one prompt a request, and {_TEXT_ONLY}"
            raise Refusal(400, "unsupported", message, param="prompt")
        prompt = prompt[0]
    kind: Kind = (asked.modelex and asked.modelex.kind) or "completion"
    tokens = asked.max_tokens or room(asked.model)
    return _build(asked, prompt, kind, tokens, "", asked.logprobs)


def read_embedding(body: bytes, _room: Room) -> Asked:
    """Read an EmbeddingRequest. Raises Refusal."""
    asked = decode(EmbeddingRequest, body)
    texts = [asked.input] if isinstance(asked.input, str) else asked.input
    for at, text in enumerate(texts):
        if not isinstance(text, str):
            raise Refusal(400, "unsupported", f"input is taken {_TEXT_ONLY}", param="input")
        if not text:
            raise Refusal(400, "invalid_value", f"input[{at}] is empty", param="input")
    try:
        terms, weights = _read_terms(asked.modelex)
        requests = [
            build_request(text, model=asked.model, kind="embedding", max_tokens=1, weights=weights)
            for text in texts
        ]
    except BadInput as error:
        raise Refusal(400, "invalid_value", error.message) from error
    return Asked(tuple(requests), terms, asked.encoding_format or "float")


def decode(kind: type[R], body: bytes) -> R:
    """Read what was asked. Raises Refusal, naming the field, also for what nobody can honour."""
    try:
        asked = msgspec.json.decode(body, type=kind)
    except msgspec.ValidationError as error:
        found = _FIELD.match(str(error))
        message, param = (found[1], found[2]) if found else (str(error), None)
        shown = f"{param}: {message}" if param else message
        raise Refusal(400, "invalid_value", shown, param=param) from error
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise Refusal(400, "malformed_json", f"the body is not JSON: {error}") from error
    for name, neutral in _NEUTRAL.items():
        if getattr(asked, name, None) not in neutral:
            raise _unsupported(name)
    return asked


def _unsupported(name: str) -> Refusal:
    message = f"{name} is not supported: no provider of the mesh could honour it"
    return Refusal(400, "unsupported", message, param=name)


def _read_message(at: int, message: ChatMessage) -> Message:
    param = f"messages[{at}]"
    role = _ROLES.get(message.role)
    if role is None or message.function_call or (message.tool_calls and role != "assistant"):
        reason = f"there is no role {message.role[:40]!r}"
        if role is not None or message.role == "function":
            reason = "calls are an assistant's tool_calls, results are turns of role tool"
        raise Refusal(400, "unsupported", f"{param}: {reason}", param=f"{param}.role")
    content = message.content
    if isinstance(content, list):
        others = sorted({part.type for part in content} - {"text"})
        if others:
            reason = f"{param}: only text is supported, not {', '.join(others)[:80]}"
            raise Refusal(400, "unsupported", reason, param=f"{param}.content")
        content = "".join(part.text for part in content)
    if message.tool_calls:
        return read_calls(param, content or "", message.tool_calls)
    if content is None:
        reason = f"{param} has no content"
        raise Refusal(400, "invalid_value", reason, param=f"{param}.content")
    return read_result(param, message, content) if role == "tool" else Message(role, content)


def _read_format(wanted: ResponseFormat | None) -> str:
    """Return the JSON schema of an answer's format, empty for free text.

    It travels as it is, for the provider's server to hold to; made a grammar here only to see
    that every provider can.
    """
    if wanted is None or wanted.type == "text":
        return ""
    if wanted.type == "json_object":
        return _ANY_OBJECT
    if wanted.json_schema is None or wanted.json_schema.schema is None:
        raise Refusal(
            400, "invalid_value", "response_format has no schema", param="response_format"
        )
    schema = msgspec.json.encode(wanted.json_schema.schema).decode()
    param = "response_format.json_schema.schema"
    if len(schema) > limits.GRAMMAR_BYTES:
        message = f"{param}: it is over {limits.GRAMMAR_BYTES} characters; simplify it"
        raise Refusal(400, "unsupported", message, param=param)
    try:
        build_grammar(schema)
    except Unsupported as error:
        raise Refusal(400, "unsupported", f"{param}: {error.message}", param=param) from error
    return schema


def _build(
    asked: ChatRequest | CompletionRequest,
    prompt: str | Sequence[Message],
    kind: Kind,
    tokens: int,
    grammar: str,
    logprobs: int | None,
    tools: str = "",
) -> Asked:
    temperature = 1.0 if asked.temperature is None else asked.temperature
    seed = 0 if asked.seed is None else asked.seed % 2**63
    if asked.seed is None and temperature > 0:
        # Sampled answers differ from time to time as with OpenAI, and still repeat on failover.
        seed = secrets.randbits(62)
    stop = (asked.stop,) if isinstance(asked.stop, str) else tuple(asked.stop or ())
    try:
        terms, weights = _read_terms(asked.modelex)
        # OpenAI's own name for what keeps requests with a cache.
        terms = replace(terms, conversation=terms.conversation or asked.prompt_cache_key or "")
        request = build_request(
            prompt,
            model=asked.model,
            kind=kind,
            max_tokens=tokens,
            temperature=temperature,
            top_p=asked.top_p or 1.0,
            top_k=asked.top_k or 0,
            seed=seed,
            stop=stop,
            grammar=grammar,
            logprobs=logprobs,
            tools=tools,
            weights=weights,
        )
    except BadInput as error:
        raise Refusal(400, "invalid_value", error.message) from error
    return Asked(
        requests=tuple(
            msgspec.structs.replace(request, seed=(seed + at) % 2**63) for at in range(asked.n or 1)
        ),
        terms=terms,
        shape="chat" if kind == "chat" else "text",
        is_stream=bool(asked.stream),
        wants_usage=bool(asked.stream_options and asked.stream_options.include_usage),
    )


def _read_terms(wanted: ModelexTerms | None) -> tuple[Terms, bytes]:
    """Return the terms and the digest of the weights, which is zeros for any."""
    weights = _ANY_WEIGHTS
    if wanted is None:
        return Terms(), weights
    if wanted.weights is not None:
        try:
            weights = bytes.fromhex(wanted.weights)
        except ValueError:
            weights = b""
        if len(weights) != 32:
            raise BadInput("modelex.weights: 64 hexadecimal digits, as /v1/models has them")
    terms = Terms(
        max_cost=None if wanted.ceiling is None else parse_ai(wanted.ceiling),
        only=_read_peers(wanted.only),
        denied=_read_peers(wanted.denied),
        attempts=wanted.attempts or ATTEMPTS,
        is_fast=not wanted.quote,
        section=wanted.section,
        farm=parse_farm(wanted.farm) if wanted.farm else "",
        timeout_s=wanted.timeout,
        hedge=wanted.hedge,
        may_continue=wanted.may_continue,
        conversation=wanted.conversation or "",
        explains=wanted.explain,
    )
    return terms, weights


def take_headers(asked: Asked, headers: Mapping[str, str]) -> Asked:
    """Return what was asked with what its head says, for programs that cannot add to the body;
    where the body says it too, the body counts. Raises Refusal.
    """
    told = {
        field: headers[_HEADERS[field]]
        for field in _HEADERS
        if _HEADERS[field] in headers and not getattr(asked.terms, field)
    }
    if not told:
        return asked
    try:
        read = msgspec.convert(told, _Head, strict=False)
    except msgspec.ValidationError as error:
        names = ", ".join(_HEADERS[field] for field in told)
        raise Refusal(400, "invalid_value", f"{names}: {error}") from error
    changes = {field: getattr(read, field) for field in told}
    return replace(asked, terms=replace(asked.terms, **changes))


class _Head(msgspec.Struct, frozen=True):
    timeout_s: Annotated[float, Meta(gt=0, le=TIMEOUT_MAX_S)] | None = None
    conversation: Conversation = ""
    explains: bool = False


def _read_peers(texts: Sequence[str]) -> tuple[PeerId, ...]:
    return tuple(parse_peer_id(text) for text in texts)
