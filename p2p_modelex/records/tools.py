"""Tools of a chat, and calls of them as text: protocols/exchange, tool calls.

A call stands in a completion behind what else was said: the mark, its id and name as a JSON object,
a line feed, and its arguments as the model wrote them, up to the next mark or the end. So a receipt
covers the calls, a stream needs no message of its own for them, and a turn that made calls is sent
back as it came. The result of a call is a turn in the same form, without a name.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from p2p_modelex import limits
from p2p_modelex.errors import BadInput, RemoteProtocolError

MARK = "\x1e"
"""The record separator of RFC 7464. No JSON has it, so arguments cannot hold it."""

ToolName = Annotated[str, Meta(pattern=r"\A[A-Za-z0-9_.-]{1,64}\Z")]


class Function(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a model may call. parameters: a JSON schema."""

    name: ToolName
    description: str = ""
    parameters: dict[str, Any] | None = None
    strict: bool | None = None


class Tool(msgspec.Struct, frozen=True):
    """OpenAI's shape of a tool."""

    type: Literal["function"]
    function: Function


class _Chosen(msgspec.Struct, frozen=True):
    name: ToolName


class Choice(msgspec.Struct, frozen=True):
    """The tool that must be called."""

    type: Literal["function"]
    function: _Chosen


class ToolBox(msgspec.Struct, frozen=True, omit_defaults=True):
    """What `tools` of a Request says, as OpenAI's API does."""

    tools: Annotated[tuple[Tool, ...], Meta(max_length=limits.TOOLS_MAX)]
    tool_choice: Literal["auto", "none", "required"] | Choice = "auto"
    parallel_tool_calls: bool = True

    @property
    def wanted(self) -> tuple[Tool, ...]:
        """The tools of which one must be called; none where the model may choose."""
        match self.tool_choice:
            case Choice(function=chosen):
                return tuple(one for one in self.tools if one.function.name == chosen.name)
            case "required":
                return self.tools
            case _:
                return ()


def encode_tools(box: ToolBox) -> str:
    """Return the text that travels."""
    return msgspec.json.encode(box).decode()


def decode_tools(text: str) -> ToolBox:
    """Read `tools` of a Request. Raises BadInput."""
    try:
        box = msgspec.json.decode(text, type=ToolBox)
    except (msgspec.MsgspecError, RecursionError) as error:
        raise BadInput(f"the tools are none: {error}") from error
    if isinstance(box.tool_choice, Choice) and not box.wanted:
        raise BadInput(f"tool_choice names no tool: {box.tool_choice.function.name}")
    return box


class Head(msgspec.Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True):
    """What a call begins with. name: empty for the result of one."""

    id: Annotated[str, Meta(min_length=1, max_length=limits.CALL_ID_BYTES)]
    name: ToolName | Literal[""] = ""


@dataclass(frozen=True, slots=True)
class Call:
    """A call of a tool, or its result, which has no name. text: the arguments, or the result."""

    id: str
    name: str
    text: str


@dataclass(frozen=True, slots=True)
class Part:
    """A piece of a completion. index: of the call it belongs to, -1 for what was said before any.
    head: where a call begins.
    """

    index: int
    text: str
    head: Head | None = None


_heads: msgspec.json.Decoder[Head] = msgspec.json.Decoder(Head)


class CallReader:
    """Takes a completion's text apart as it comes."""

    def __init__(self) -> None:
        self.calls = 0
        """Calls begun."""
        self._head: str | None = None

    @property
    def is_whole(self) -> bool:
        """Whether no head is half read."""
        return self._head is None

    def feed(self, text: str) -> list[Part]:
        """Take a piece of the text. Raises RemoteProtocolError EXC-22."""
        first, *rest = text.split(MARK)
        parts = self._go_on(first)
        for part in rest:
            if self._head is not None:
                raise RemoteProtocolError("EXC-22", "a call within a call")
            self._head = ""
            parts += self._go_on(part)
        return parts

    def _go_on(self, text: str) -> list[Part]:
        parts: list[Part] = []
        if self._head is not None:
            more, ended, text = text.partition("\n")
            self._head += more
            if len(self._head) > limits.CALL_HEAD_BYTES:
                raise RemoteProtocolError("EXC-22", "too long a head of a call")
            if not ended:
                return parts
            parts.append(Part(self.calls, "", _read_head(self._head)))
            self._head = None
            self.calls += 1
            if self.calls > limits.CALLS_MAX:
                raise RemoteProtocolError("EXC-22", f"over {limits.CALLS_MAX} calls")
        return [*parts, Part(self.calls - 1, text)] if text else parts


def _read_head(text: str) -> Head:
    try:
        return _heads.decode(text)
    except msgspec.MsgspecError as error:
        raise RemoteProtocolError("EXC-22", f"no head of a call: {error}") from error


def split_calls(text: str) -> tuple[str, tuple[Call, ...]]:
    """Return what was said, and the calls behind it. Raises RemoteProtocolError EXC-22."""
    reader = CallReader()
    said: list[str] = []
    heads: list[Head] = []
    texts: list[list[str]] = []
    for part in reader.feed(text):
        if part.head is not None:
            heads.append(part.head)
            texts.append([])
        else:
            (said if part.index < 0 else texts[part.index]).append(part.text)
    if not reader.is_whole:
        raise RemoteProtocolError("EXC-22", "half a call")
    calls = (Call(one.id, one.name, "".join(text)) for one, text in zip(heads, texts, strict=True))
    return "".join(said), tuple(calls)


def join_calls(said: str, calls: Iterable[Call]) -> str:
    """Return the text of a turn; marks that are in the texts are taken out."""
    shown = (encode_head(one.id, one.name) + strip_marks(one.text) for one in calls)
    return strip_marks(said) + "".join(shown)


def encode_head(call_id: str, name: str) -> str:
    """Return what a call begins with; its arguments follow. Raises BadInput."""
    head = msgspec.json.encode(Head(call_id, name))
    try:
        _heads.decode(head)
    except msgspec.MsgspecError as error:
        raise BadInput(f"no call of a tool: {error}") from error
    return f"{MARK}{head.decode()}\n"


def strip_marks(text: str) -> str:
    """Return text that begins no call."""
    return text.replace(MARK, "")
