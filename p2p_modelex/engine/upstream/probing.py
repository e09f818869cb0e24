"""Trying what an upstream is said to be able to do, with one small request for each thing."""

import json
import logging
from collections.abc import Awaitable, Callable, Mapping
from contextlib import aclosing
from types import MappingProxyType

import msgspec

from p2p_modelex.engine.abc import Piece
from p2p_modelex.engine.upstream.counting import count_prompt
from p2p_modelex.engine.upstream.starting import Upstream
from p2p_modelex.engine.upstream.streaming import complete, embed
from p2p_modelex.errors import EngineError, Unsupported
from p2p_modelex.records.advertisement import Kind
from p2p_modelex.records.job import Message, Request
from p2p_modelex.records.tools import MARK, Function, Tool, ToolBox, encode_tools

LOG = logging.getLogger(__name__)

TIMEOUT_S = 60.0
"""The first request may have to load the model (Ollama does so)."""

_SCHEMA = {
    "type": "object",
    "properties": {"answer": {"enum": ["yes"]}},
    "required": ["answer"],
    "additionalProperties": False,
}


async def find_kinds(upstream: Upstream, asked: tuple[Kind, ...]) -> tuple[Kind, ...]:
    """Return what to serve: all of `asked`, or those of chat and completion that work.

    Raises Unsupported if one that was asked for, or each of the two, does not work.
    """
    served: list[Kind] = []
    refusals: list[str] = []
    for kind in asked or ("chat", "completion"):
        try:
            await _run(upstream, build_trial(kind))
        except Unsupported as error:
            if asked:
                raise
            refusals.append(error.message)
        else:
            served.append(kind)
    if not served:
        raise Unsupported("; ".join(refusals), hint="set kinds of the model")
    return tuple(served)


async def find_tokenizer(upstream: Upstream, kinds: tuple[Kind, ...]) -> str:
    """Return how the server counts tokens (Dialect.tokenizes); empty if it does not, as where a
    balancer lets nothing but OpenAI's own paths through.
    """
    tokenizes = upstream.dialect.tokenizes
    try:
        for kind in kinds:
            await count_prompt(upstream.server, tokenizes, upstream.model, build_trial(kind))
    except Unsupported as error:
        LOG.warning("%s counts no tokens: %s", upstream.server.name, error.message)
        return ""
    return tokenizes


async def check_features(upstream: Upstream, kind: Kind, features: tuple[str, ...]) -> None:
    """Raise Unsupported, naming it, for a feature that the upstream does not have."""
    for feature in features:
        try:
            is_there = await TRIALS[feature](upstream, kind)
        except EngineError as error:
            raise Unsupported(f"trying {feature}: {error.message}", hint=error.hint) from error
        if not is_there:
            raise Unsupported(
                f"the upstream ignores {feature}", hint="take it out of features of the model"
            )


def build_trial(
    kind: Kind,
    *,
    grammar: str = "",
    logprobs: int = 0,
    tools: str = "",
    tokens: int = 1,
    warm: bool = False,
) -> Request:
    """Return a small request of a kind."""
    text = "Say yes."
    return Request(
        model="trial",
        weights=bytes(32),
        kind=kind,
        text="" if kind == "chat" else text,
        messages=(Message("user", text),) if kind == "chat" else (),
        max_tokens=tokens,
        temperature=1.0 if warm else 0.0,
        top_p=1.0,
        top_k=0,
        seed=7,
        stop=(),
        grammar=grammar,
        logprobs=logprobs,
        tools=tools,
    )


async def _run(upstream: Upstream, request: Request) -> list[Piece]:
    if request.kind == "embedding":
        outputs = embed(upstream, request, 0, stall_s=TIMEOUT_S)
    else:
        outputs = complete(upstream, request, 0, stall_s=TIMEOUT_S)
    async with aclosing(outputs):
        return [output async for output in outputs if isinstance(output, Piece)]


async def _say(upstream: Upstream, request: Request) -> str:
    return "".join(piece.text for piece in await _run(upstream, request))


async def _has_grammar(upstream: Upstream, kind: Kind) -> bool:
    said = await _say(upstream, build_trial(kind, grammar='root ::= "no, never"', tokens=16))
    return said == "no, never"


async def _has_json_schema(upstream: Upstream, kind: Kind) -> bool:
    said = await _say(upstream, build_trial(kind, grammar=json.dumps(_SCHEMA), tokens=64))
    try:
        return bool(msgspec.json.decode(said) == {"answer": "yes"})
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return False


async def _has_logprobs(upstream: Upstream, kind: Kind) -> bool:
    pieces = await _run(upstream, build_trial(kind, logprobs=1 + 1, tokens=4))
    return any(told.top for piece in pieces for told in piece.logprobs)


async def _has_tools(upstream: Upstream, kind: Kind) -> bool:
    if kind != "chat":
        raise Unsupported("tools are a chat's")
    box = ToolBox((Tool("function", Function("answer")),), "required")
    return MARK in await _say(upstream, build_trial(kind, tools=encode_tools(box), tokens=64))


async def _has_seed(upstream: Upstream, kind: Kind) -> bool:
    trial = build_trial(kind, tokens=12, warm=True)
    return await _say(upstream, trial) == await _say(upstream, trial)


Trial = Callable[[Upstream, Kind], Awaitable[bool]]
TRIALS: Mapping[str, Trial] = MappingProxyType(
    {
        "grammar": _has_grammar,
        "json_schema": _has_json_schema,
        "logprobs": _has_logprobs,
        "seed": _has_seed,
        "tools": _has_tools,
    }
)
"""Features an operator may declare; `stop` is in the API and needs no trial."""
