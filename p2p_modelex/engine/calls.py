"""Calls of tools, from what models write to what travels (records/tools.py)."""

import hashlib
import json
from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from p2p_modelex.engine.backend import Step, Steps
from p2p_modelex.engine.schema import build_grammar
from p2p_modelex.engine.text import overlap
from p2p_modelex.errors import BadInput, RemoteProtocolError, Unsupported
from p2p_modelex.limits import CALLS_MAX
from p2p_modelex.records import codec
from p2p_modelex.records.job import Message, Request
from p2p_modelex.records.receipt import Finish
from p2p_modelex.records.tools import (
    Call,
    Function,
    Tool,
    ToolBox,
    decode_tools,
    encode_head,
    split_calls,
    strip_marks,
)

OPEN, CLOSE = "<tool_call>", "</tool_call>"
_ID_DIGITS = 9
"""Mistral's templates take no id of another length."""


def read_tools(request: Request) -> ToolBox:
    """Return the tools of a request, none if it has none; Unsupported if they make no sense."""
    try:
        return decode_tools(request.tools) if request.tools else ToolBox(())
    except BadInput as error:
        raise Unsupported(error.message) from error


def read_turn(turn: Message) -> tuple[str, tuple[Call, ...]]:
    """Return what an assistant's or a tool's turn says, and the calls or the result in it."""
    try:
        said, calls = split_calls(turn.content)
    except RemoteProtocolError as error:
        raise Unsupported(f"a turn with half a call: {error.message}") from error
    is_result = len(calls) == 1 and not said and not calls[0].name
    if is_result if turn.role == "tool" else all(call.name for call in calls):
        return said, calls
    raise Unsupported(f"the calls in a turn of role {turn.role} make no sense")


def show_turn(
    turn: Message, marked: Callable[[Any], Any], arguments: Callable[[str], Any]
) -> dict[str, Any]:
    """Return a turn in OpenAI's shape. marked: what becomes of everything that people wrote.
    arguments: how those of a call are shown. Raises Unsupported.
    """
    if turn.role not in ("assistant", "tool"):
        return {"role": turn.role, "content": marked(turn.content)}
    said, calls = read_turn(turn)
    if turn.role == "tool":
        [result] = calls
        return {"role": "tool", "tool_call_id": marked(result.id), "content": marked(result.text)}
    listed = [
        {
            "id": marked(call.id),
            "type": "function",
            "function": {"name": marked(call.name), "arguments": marked(arguments(call.text))},
        }
        for call in calls
    ]
    shown: dict[str, Any] = {"role": "assistant", "content": marked(said)}
    return shown | ({"tool_calls": listed} if listed else {})


def read_arguments(text: str) -> Any:
    """Return the object that arguments are, as templates want them, or what was written instead."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text


def show_tools(tools: str, marked: Callable[[Any], Any]) -> list[dict[str, Any]]:
    """Return tools as chat templates know them. Raises BadInput."""
    return [
        {"type": "function", "function": _show_function(tool.function, marked)}
        for tool in decode_tools(tools).tools
    ]


def _show_function(function: Function, marked: Callable[[Any], Any]) -> dict[str, Any]:
    return {name: marked(value) for name, value in msgspec.to_builtins(function).items()}


def compute_call_id(request: Request, number: int) -> str:
    """Return the id of a request's call: another provider's repetition has the same."""
    whole = codec.encode(msgspec.structs.replace(request, weights=bytes(32)))
    return hashlib.sha256(whole + number.to_bytes(4, "big")).hexdigest()[:_ID_DIGITS]


class CallWriter:
    """Numbers the calls of one completion."""

    def __init__(self, request: Request) -> None:
        self._request = request
        self.calls = 0
        """Calls begun."""

    def begin(self, name: str) -> str:
        """Return what the next call begins with; BadInput for a name that is none, or too many."""
        if not name or self.calls >= CALLS_MAX:
            raise BadInput(f"over {CALLS_MAX} calls" if name else "a call of nothing")
        head = encode_head(compute_call_id(self._request, self.calls), name)
        self.calls += 1
        return head


class _Written(msgspec.Struct, frozen=True):
    """What models write between the tags."""

    name: str
    arguments: msgspec.Raw = msgspec.Raw(b"{}")


class TaggedCalls:
    """Finds the calls in what a model writes, as Qwen's and Hermes's do: JSON between two tags.

    What is no call between tags stays text. Nothing can be said behind a call, so who goes on
    talking there `is_over`.
    """

    def __init__(self, request: Request) -> None:
        self._writer = CallWriter(request)
        self._held = ""
        self._is_inside = False
        self.is_over = False

    @property
    def calls(self) -> int:
        """Calls found."""
        return self._writer.calls

    @property
    def is_holding(self) -> bool:
        """Whether something is held back that may be part of a call."""
        return bool(self._held) or self._is_inside

    def feed(self, text: str) -> str:
        """Take a piece of what the model writes; return what is certain to travel."""
        self._held += text
        shown: list[str] = []
        while True:
            before, found, after = self._held.partition(CLOSE if self._is_inside else OPEN)
            if not found:
                break
            whole = OPEN + before + CLOSE
            shown.append(self._call(before, whole) if self._is_inside else self._say(before))
            self._is_inside, self._held = not self._is_inside, after
        if not self._is_inside:
            certain = len(self._held) - overlap(self._held, OPEN)
            shown.append(self._say(self._held[:certain]))
            self._held = self._held[certain:]
        return "".join(shown)

    def finish(self) -> str:
        """Return what was held back, which may be a call whose end was cut off as a stop."""
        held, self._held = self._held, ""
        if self._is_inside:
            self._is_inside = False
            return self._call(held, OPEN + held)
        return self._say(held)

    def _say(self, text: str) -> str:
        if not self.calls:
            return strip_marks(text)
        self.is_over = self.is_over or bool(text.strip())
        return ""

    def _call(self, written: str, whole: str) -> str:
        try:
            found = msgspec.json.decode(written, type=_Written)
            head = self._writer.begin(found.name)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError, BadInput):
            return self._say(whole)
        return head + strip_marks(bytes(found.arguments).decode())


def read_calls(steps: Steps, request: Request) -> Steps:
    """Pass a job's steps on with the calls found in its text. Tokens go with what they show."""
    tagged, held = TaggedCalls(request), Step()
    while not tagged.is_over:
        try:
            step = next(steps)
        except StopIteration as end:
            finish: Finish = end.value
            break
        text = tagged.feed(step.text)
        held = _add(held, step, text)
        if tagged.is_holding:
            yield Step()
        else:
            yield held
            held = Step()
    else:
        steps.close()
        finish = Finish.STOP
    yield _add(held, Step(), tagged.finish())
    return Finish.TOOL_CALLS if tagged.calls and finish is Finish.STOP else finish


def _add(held: Step, step: Step, text: str) -> Step:
    return Step(
        held.text + text,
        held.tokens + step.tokens,
        held.logprobs + step.logprobs,
        held.cached + step.cached,
    )


def build_call_grammar(box: ToolBox) -> str:
    """Return the grammar of the calls that must be made; Unsupported for a strict tool whose
    parameters no grammar can hold.
    """
    options = [
        {
            "type": "object",
            "properties": {
                "name": {"const": tool.function.name},
                "arguments": _choose_schema(tool),
            },
            "required": ["name", "arguments"],
        }
        for tool in box.wanted
    ]
    call = build_grammar(json.dumps({"anyOf": options})).replace("root ::=", "call ::=", 1)
    tagged = f'"{OPEN}\\n" call "\\n{CLOSE}"'
    more = f' ("\\n" {tagged}){{0,{CALLS_MAX - 1}}}' if box.parallel_tool_calls else ""
    return f"root ::= {tagged}{more}\n{call}"


def _choose_schema(tool: Tool) -> Mapping[str, Any]:
    """Its parameters, or any object where it is not strict and no grammar can hold them."""
    schema = tool.function.parameters or {"type": "object", "properties": {}}
    text = json.dumps(schema)
    try:
        if '"$ref"' in text:  # it would be looked for in the whole that this becomes a part of
            raise Unsupported("a $ref in a tool's parameters")
        build_grammar(text)
    except Unsupported:
        if tool.function.strict:
            raise
        return {"type": "object"}
    return schema
