"""How the servers that speak the OpenAI API differ, as a table.

A server that is none of those named gets the API's common part alone: what it might ignore in
silence is refused instead.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import msgspec

from p2p_modelex.engine.calls import read_tools, show_turn
from p2p_modelex.engine.prompt import SCORE_ANSWERS
from p2p_modelex.engine.schema import build_grammar
from p2p_modelex.errors import Unsupported
from p2p_modelex.records.job import Request, is_schema

_SCORE_GRAMMAR = f"root ::= [{SCORE_ANSWERS}]"
_SEED_RANGE = 2**31 - 1
Fields = dict[str, Any]


def _vllm_sampling(request: Request) -> Fields:
    # Without these a model's generation_config.json decides.
    return {"top_k": request.top_k or -1, "min_p": 0.0, "repetition_penalty": 1.0}


def _llamacpp_sampling(request: Request) -> Fields:
    return {"top_k": request.top_k, "min_p": 0.0, "repeat_penalty": 1.0}


@dataclass(frozen=True, slots=True)
class Dialect:
    """One kind of server.

    owner: what it writes as `owned_by` of its models. sampling: fields that make it sample as a
    request says; None where it has no top_k. grammar: the field that holds a GBNF grammar, outer
    to inner; empty where there is none. has_schemas: whether JSON schemas go as `response_format`;
    if not they go as grammars. tokenizes: how /tokenize is asked: for text and chats, for text
    alone, or by llama.cpp's way.
    """

    owner: str = ""
    sampling: Callable[[Request], Fields] | None = None
    grammar: tuple[str, ...] = ()
    has_schemas: bool = True
    tokenizes: str = ""


DIALECTS: Mapping[str, Dialect] = MappingProxyType(
    {
        "openai": Dialect(),
        "vllm": Dialect(
            "vllm", _vllm_sampling, ("structured_outputs", "grammar"), tokenizes="chat"
        ),
        "sglang": Dialect("sglang", _vllm_sampling, ("ebnf",), tokenizes="text"),
        # Its own schemas are not heeded for every vocabulary (seen in llama.cpp of 2026-10).
        "llamacpp": Dialect(
            "llamacpp", _llamacpp_sampling, ("grammar",), has_schemas=False, tokenizes="llamacpp"
        ),
    }
)


def find_dialect(owner: str) -> str:
    """Return the name of the dialect of a server that calls itself `owner`."""
    found = (name for name, dialect in DIALECTS.items() if owner and dialect.owner == owner)
    return next(found, "openai")


def build_messages(request: Request) -> list[Fields]:
    """Return a chat's turns as the API has them. Raises Unsupported for calls that are none."""
    if not request.tools:
        return [{"role": one.role, "content": one.content} for one in request.messages]
    return [show_turn(one, lambda text: text, str) for one in request.messages]


def build_tools(request: Request) -> Fields:
    """Return the fields that say what may be called. Raises Unsupported."""
    box = read_tools(request)
    return dict(msgspec.to_builtins(box)) if box.tools else {}


def get_text(request: Request) -> str:
    """Return the prompt that is no chat; see PromptBuilder for why scores end without a space."""
    return request.text.rstrip() if request.kind == "score" else request.text


def build_body(dialect: Dialect, model: str, request: Request) -> Fields:
    """Return the JSON that asks for a streamed completion; Unsupported if the dialect has no word
    for something.
    """
    scoring = request.kind == "score"
    body: Fields = {
        "model": model,
        "max_tokens": 1 if scoring else request.max_tokens,
        "temperature": 0.0 if scoring else request.temperature,
        "top_p": request.top_p,
        "seed": request.seed % _SEED_RANGE,
        "stream": True,
        "stream_options": {"include_usage": True},
    }
    if request.stop:
        body["stop"] = list(request.stop)
    if request.kind == "chat":
        body |= {"messages": build_messages(request), **build_tools(request)}
    else:
        body |= {"prompt": get_text(request)}
    if request.logprobs:
        body |= _ask_logprobs(request)
    if dialect.sampling is not None:
        body |= dialect.sampling(request)
    elif request.top_k:
        raise Unsupported("top_k is not in the OpenAI API", hint="use top_p")
    if scoring:
        return body | _constrain_grammar(dialect, _SCORE_GRAMMAR)
    return body | _constrain(dialect, request)


def _ask_logprobs(request: Request) -> Fields:
    most = request.logprobs - 1
    if request.kind == "chat":
        return {"logprobs": True, "top_logprobs": most}
    # With 0 some servers tell of none.
    return {"logprobs": max(most, 1)}


def _constrain(dialect: Dialect, request: Request) -> Fields:
    if not is_schema(request.grammar):
        return _constrain_grammar(dialect, request.grammar)
    if not dialect.has_schemas:
        return _constrain_grammar(dialect, build_grammar(request.grammar))
    if request.kind != "chat":
        raise Unsupported("the upstream has JSON schemas for chats only")
    schema = {"name": "answer", "strict": True, "schema": msgspec.Raw(request.grammar.encode())}
    return {"response_format": {"type": "json_schema", "json_schema": schema}}


def _constrain_grammar(dialect: Dialect, grammar: str) -> Fields:
    if not grammar:
        return {}
    if not dialect.grammar:
        raise Unsupported("the upstream has no grammars")
    fields: Any = grammar
    for name in reversed(dialect.grammar):
        fields = {name: fields}
    return dict(fields)
