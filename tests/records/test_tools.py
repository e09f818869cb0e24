"""Tools, and calls of them as text."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from p2p_modelex import limits
from p2p_modelex.errors import BadInput, RemoteProtocolError
from p2p_modelex.records.tools import (
    MARK,
    Call,
    CallReader,
    Choice,
    Function,
    Tool,
    ToolBox,
    decode_tools,
    encode_head,
    encode_tools,
    join_calls,
    split_calls,
)

LOOK = Tool("function", Function("look", "Looks.", {"type": "object"}, strict=True))
SAY = Tool("function", Function("say"))
NAMES = st.from_regex(r"\A[A-Za-z0-9_.-]{1,64}\Z")
TEXTS = st.text(st.characters(exclude_characters=MARK, exclude_categories=["Cs"]))
CALLS = st.lists(st.builds(Call, st.text(min_size=1, max_size=64), NAMES, TEXTS), max_size=4)


def test_a_box_comes_back_and_says_what_must_be_called() -> None:
    for box, wanted in (
        (ToolBox((LOOK, SAY)), ()),
        (ToolBox((LOOK, SAY), "none"), ()),
        (ToolBox((LOOK, SAY), "required", parallel_tool_calls=False), (LOOK, SAY)),
        (ToolBox(()), ()),
    ):
        assert decode_tools(encode_tools(box)) == box
        assert box.wanted == wanted
    named = '"tool_choice":{"type":"function","function":{"name":"say"}}'
    box = decode_tools(encode_tools(ToolBox((LOOK, SAY)))[:-1] + f",{named}}}")
    assert isinstance(box.tool_choice, Choice)
    assert box.wanted == (SAY,)
    with pytest.raises(BadInput, match="names no tool: say"):
        decode_tools(encode_tools(ToolBox((LOOK,)))[:-1] + f",{named}}}")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{}",
        '{"tools":[{"type":"custom","function":{"name":"x"}}]}',
        '{"tools":[{"type":"function","function":{"name":"a b"}}]}',
        '{"tools":[],"tool_choice":"maybe"}',
        '{"tools":[{"type":"function","function":{"name":"x","parameters":' + "[" * 5000,
    ],
)
def test_what_is_no_box(text: str) -> None:
    with pytest.raises(BadInput, match="the tools are none"):
        decode_tools(text)


@given(TEXTS, CALLS)
def test_calls_come_back(said: str, calls: list[Call]) -> None:
    assert split_calls(join_calls(said, calls)) == (said, tuple(calls))


@given(TEXTS, CALLS, st.lists(st.integers(0, 500)))
def test_a_stream_is_read_however_it_is_cut(said: str, calls: list[Call], cuts: list[int]) -> None:
    whole = join_calls(said, calls)
    places = [0, *sorted(min(cut, len(whole)) for cut in cuts), len(whole)]
    reader = CallReader()
    parts = [part for begin, end in pairwise(places) for part in reader.feed(whole[begin:end])]
    assert reader.is_whole
    assert reader.calls == len(calls)
    assert "".join(part.text for part in parts if part.index < 0) == said
    for index, call in enumerate(calls):
        own = [part for part in parts if part.index == index]
        assert own[0].head is not None
        assert (own[0].head.id, own[0].head.name) == (call.id, call.name)
        assert "".join(part.text for part in own) == call.text


def test_marks_in_what_is_said_begin_no_call() -> None:
    text = join_calls(f"a{MARK}b", [Call("c", "look", f'{{"x": "{MARK}{{"}}')])
    assert split_calls(text) == ("ab", (Call("c", "look", '{"x": "{"}'),))


def test_a_result_is_a_call_without_a_name() -> None:
    text = join_calls("", [Call("c", "", "sunny")])
    assert text == f'{MARK}{{"id":"c"}}\nsunny'
    assert split_calls(text) == ("", (Call("c", "", "sunny"),))


def test_what_is_no_call() -> None:
    """EXC-22."""
    for text, why in (
        (f"x{MARK}", "half a call"),
        (f"{MARK}{{}}\n", "no head"),
        (f"{MARK}{MARK}", "within"),
        (MARK + "x" * 600, "too long"),
        (encode_head("c", "look") * (limits.CALLS_MAX + 1), "over 128"),
    ):
        with pytest.raises(RemoteProtocolError, match=why) as caught:
            split_calls(text)
        assert caught.value.rule == "EXC-22"
    for call_id, name in (("", "look"), ("c", "a b"), ("c" * 65, "look")):
        with pytest.raises(BadInput, match="no call of a tool"):
            encode_head(call_id, name)
