"""Short ways to make requests and collect answers."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from p2p_modelex.engine.abc import Done, Engine, Piece, Started
from p2p_modelex.records.advertisement import Kind
from p2p_modelex.records.job import Message, Request
from p2p_modelex.records.tools import Function, Tool, ToolBox, encode_tools


def make_request(
    text: str = "",
    *,
    kind: Kind = "completion",
    messages: Sequence[Message] = (),
    max_tokens: int = 16,
    temperature: float = 0.0,
    top_p: float = 1.0,
    top_k: int = 0,
    seed: int = 7,
    stop: tuple[str, ...] = (),
    grammar: str = "",
    logprobs: int = 0,
    tools: str = "",
    weights: bytes = bytes(32),
) -> Request:
    return Request(
        model="m",
        weights=weights,
        kind=kind,
        text=text,
        messages=tuple(messages),
        max_tokens=max_tokens,
        temperature=temperature,
        top_p=top_p,
        top_k=top_k,
        seed=seed,
        stop=stop,
        grammar=grammar,
        logprobs=logprobs,
        tools=tools,
    )


LOOK = Function(
    "look",
    "Looks at a place.",
    {
        "type": "object",
        "properties": {"place": {"type": "string", "maxLength": 4}},
        "required": ["place"],
    },
)
BOX = ToolBox((Tool("function", LOOK), Tool("function", Function("wait"))))
TOOLS = encode_tools(BOX)


def equip(request: Request, **changes: Any) -> Request:
    """The request with tools."""
    tools = encode_tools(msgspec.structs.replace(BOX, **changes))
    return msgspec.structs.replace(request, tools=tools)


def chat(*contents: str, max_tokens: int = 16) -> Request:
    messages = [Message("user", content) for content in contents]
    return make_request(kind="chat", messages=messages, max_tokens=max_tokens)


@dataclass
class Answer:
    started: Started
    pieces: list[Piece]
    done: Done

    @property
    def text(self) -> str:
        return "".join(piece.text for piece in self.pieces)


async def ask(engine: Engine, request: Request) -> Answer:
    outputs = [output async for output in engine.generate(request)]
    started, *pieces, done = outputs
    assert isinstance(started, Started)
    assert isinstance(done, Done)
    return Answer(started, [piece for piece in pieces if isinstance(piece, Piece)], done)
