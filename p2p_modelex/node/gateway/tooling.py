"""Tools in OpenAI's shapes: from an API's request to what travels, and calls on their way back."""

from collections.abc import Sequence

import msgspec

from p2p_modelex.errors import BadInput
from p2p_modelex.node.gateway.refusal import Refusal
from p2p_modelex.node.gateway.schema import ChatMessage, ChatRequest, FunctionCall, ToolCall
from p2p_modelex.records.job import Message
from p2p_modelex.records.tools import (
    Call,
    Part,
    ToolBox,
    decode_tools,
    encode_tools,
    join_calls,
    split_calls,
)


def read_result(param: str, message: ChatMessage, content: str) -> Message:
    """Return a turn of role `tool`. Raises Refusal."""
    if message.tool_call_id is None:
        text = f"{param}: a result needs the tool_call_id of its call"
        raise Refusal(400, "invalid_value", text, param=f"{param}.tool_call_id")
    return _join(param, "tool", "", [Call(message.tool_call_id, "", content)])


def read_calls(param: str, content: str, calls: Sequence[ToolCall]) -> Message:
    """Return an assistant's turn that called tools. Raises Refusal."""
    made = [Call(one.id, one.function.name, one.function.arguments) for one in calls]
    if not all(call.name for call in made):
        raise Refusal(400, "invalid_value", f"{param}: a call of nothing", param=param)
    return _join(param, "assistant", content, made)


def _join(param: str, role: str, said: str, calls: Sequence[Call]) -> Message:
    try:
        content = join_calls(said, calls)
    except BadInput as error:
        raise Refusal(400, "invalid_value", f"{param}: {error.message}", param=param) from error
    return Message("tool" if role == "tool" else "assistant", content)


def read_tools(asked: ChatRequest) -> str:
    """Return what travels of a request's tools: nothing where none can be, or was, called. Raises
    Refusal.
    """
    choice = asked.tool_choice or "auto"
    has_called = any(one.role == "tool" or one.tool_calls for one in asked.messages)
    if choice not in ("auto", "none") and not asked.tools:
        raise Refusal(400, "invalid_value", "tool_choice without tools", param="tool_choice")
    if not has_called and (choice == "none" or not asked.tools):
        return ""
    is_parallel = asked.parallel_tool_calls is not False
    text = encode_tools(ToolBox(tuple(asked.tools or ()), choice, is_parallel))
    try:
        decode_tools(text)
    except BadInput as error:
        raise Refusal(400, "invalid_value", error.message, param="tool_choice") from error
    return text


def show_calls(text: str) -> tuple[str | None, list[ToolCall] | msgspec.UnsetType]:
    """Return a message's content and its calls."""
    said, calls = split_calls(text)
    if not calls:
        return said, msgspec.UNSET
    return said or None, [ToolCall(one.id, FunctionCall(one.name, one.text)) for one in calls]


def show_part(part: Part) -> dict[str, object]:
    """Return the delta of a piece of a stream."""
    if part.index < 0:
        return {"content": part.text}
    function: dict[str, str] = {"arguments": part.text}
    call: dict[str, object] = {"index": part.index, "function": function}
    if part.head is not None:
        function["name"] = part.head.name
        call |= {"id": part.head.id, "type": "function"}
    return {"tool_calls": [call]}
