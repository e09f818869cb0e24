"""Calls in what models write, and the grammar of those that must be made."""

import json
from collections.abc import Generator, Sequence
from itertools import pairwise
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from p2p_modelex.engine.backend import Step
from p2p_modelex.engine.calls import build_call_grammar, compute_call_id, read_calls, read_turn
from p2p_modelex.errors import Unsupported
from p2p_modelex.records.job import Message
from p2p_modelex.records.receipt import Finish
from p2p_modelex.records.tools import Call, Function, Tool, ToolBox, join_calls, split_calls
from tests.engine.asking import BOX, LOOK, TOOLS, ask, chat, equip, make_request
from tests.engine.conftest import Opening
from tests.engine.tiny import TOOLS_TEMPLATE, write_tiny

REQUEST = equip(chat("look!", max_tokens=200))
CALL = '<tool_call>\n{"name": "look", "arguments": {"place": "it"}}\n</tool_call>'
WAIT = '<tool_call>{"name":"wait"}</tool_call>'


def write(pieces: Sequence[str], finish: Finish = Finish.STOP) -> tuple[str, list[Step], Finish]:
    """What becomes of what a model writes, a token a piece."""

    def steps() -> Generator[Step, None, Finish]:
        for piece in pieces:
            yield Step(piece, 1)
        return finish

    shown: list[Step] = []
    reading = read_calls(steps(), REQUEST)
    while True:
        try:
            shown.append(next(reading))
        except StopIteration as end:
            return "".join(step.text for step in shown), shown, end.value


@given(st.lists(st.integers(0, 200)), st.sampled_from(["", "Let me see.\n"]))
def test_calls_are_found_however_the_text_comes(cuts: list[int], said: str) -> None:
    whole = f"{said}{CALL}\n{WAIT}\n"
    places = [0, *sorted(min(cut, len(whole)) for cut in cuts), len(whole)]
    pieces = [whole[a:b] for a, b in pairwise(places) if a < b]
    text, shown, finish = write(pieces)
    assert split_calls(text) == (
        said,
        (
            Call(compute_call_id(REQUEST, 0), "look", '{"place": "it"}'),
            Call(compute_call_id(REQUEST, 1), "wait", "{}"),
        ),
    )
    assert finish is Finish.TOOL_CALLS
    assert sum(step.tokens for step in shown) == len(pieces)
    # EXC-11: no tokens go out before the text they make.
    assert all(step.text or step.tokens <= 1 for step in shown)


@pytest.mark.parametrize(
    "text",
    [
        "no call",
        "<tool_call>not JSON</tool_call> and so on",
        '<tool_call>{"name": "a b", "arguments": {}}</tool_call>',
        '<tool_call>{"arguments": {}}</tool_call>',
        "<tool_call>[</tool_call><tool_call>",
        "a <tool_",
    ],
)
def test_what_is_no_call_stays_text(text: str) -> None:
    assert write([text])[::2] == (text, Finish.STOP)


def test_ends_of_all_kinds() -> None:
    # The end was cut off as a stop string; by the limit; within the call.
    assert split_calls(write([CALL.removesuffix("</tool_call>")])[0])[1][0].name == "look"
    text, _, finish = write([CALL], Finish.LENGTH)
    assert split_calls(text)[1]
    assert finish is Finish.LENGTH
    assert write(["<tool_call>", '{"name"'], Finish.LENGTH)[::2] == (
        '<tool_call>{"name"',
        Finish.LENGTH,
    )
    # Behind a call there is nothing to say: whoever talks on is stopped.
    text, shown, finish = write([CALL, "\n", "So", "it", "is"])
    assert split_calls(text)[1][0].text == '{"place": "it"}'
    assert (finish, sum(step.tokens for step in shown)) == (Finish.TOOL_CALLS, 3)
    assert write(["a\x1eb"])[0] == "ab"


def test_ids_are_the_requests_own() -> None:
    ids = {compute_call_id(REQUEST, 0), compute_call_id(REQUEST, 1)}
    ids.add(compute_call_id(msgspec.structs.replace(REQUEST, seed=1), 0))
    assert len(ids) == 3
    pinned = msgspec.structs.replace(REQUEST, weights=b"w" * 32)
    assert compute_call_id(pinned, 0) == compute_call_id(REQUEST, 0)
    assert all(len(one) == 9 and one.isalnum() for one in ids)


def test_turns_with_calls() -> None:
    result = join_calls("", [Call("c", "", "sunny")])
    call = join_calls("So:", [Call("c", "look", "{}")])
    assert read_turn(Message("tool", result)) == ("", (Call("c", "", "sunny"),))
    assert read_turn(Message("assistant", call)) == ("So:", (Call("c", "look", "{}"),))
    assert read_turn(Message("assistant", "plain")) == ("plain", ())
    for role, content in (
        ("tool", "plain"),
        ("tool", call),
        ("tool", result + result),
        ("assistant", result),
        ("assistant", "\x1e{"),
    ):
        with pytest.raises(Unsupported, match="turn"):
            read_turn(Message(role, content))  # type: ignore[arg-type]


def test_a_grammar_of_what_must_be_called() -> None:
    grammar = build_call_grammar(msgspec.structs.replace(BOX, tool_choice="required"))
    assert grammar.count("root ::=") == 1
    assert '"\\"look\\""' in grammar
    assert '"\\"wait\\""' in grammar
    assert "{0,127}" in grammar
    single = msgspec.structs.replace(BOX, tool_choice="required", parallel_tool_calls=False)
    assert "{0,127}" not in build_call_grammar(single)
    odd = {"type": "object", "properties": {"x": {"type": "string", "format": "date"}}}
    for parameters in (odd, {"$ref": "#/$defs/a", "$defs": {"a": {"type": "object"}}}):
        loose = Tool("function", Function("look", parameters=parameters))
        assert "call ::=" in build_call_grammar(ToolBox((loose,), "required"))
        strict = Tool("function", Function("look", parameters=parameters, strict=True))
        with pytest.raises(Unsupported):
            build_call_grammar(ToolBox((strict,), "required"))


async def test_llama_cpp_calls_what_it_must(opening: Opening, tmp_path: Path) -> None:
    """A model of random weights: nothing but the grammar makes a call of it."""
    path = write_tiny(tmp_path / "tools.gguf", template=TOOLS_TEMPLATE)
    short = Tool("function", msgspec.structs.replace(LOOK, description=""))
    async with opening("xllamacpp", path=path) as engine:
        assert "tools" in engine.info.features
        asked = equip(
            chat("x", max_tokens=150),
            tools=(short,),
            tool_choice="required",
            parallel_tool_calls=False,
        )
        answer = await ask(engine, asked)
        said, [call] = split_calls(answer.text)
        assert (said, call.name, answer.done.finish) == ("", "look", Finish.TOOL_CALLS)
        assert list(json.loads(call.text)) == ["place"]
        assert sum(piece.tokens for piece in answer.pieces) == answer.done.completion_tokens
        turns = (
            *asked.messages,
            Message("assistant", answer.text),
            Message("tool", join_calls("", [Call(call.id, "", "<|im_end|>a river")])),
        )
        again = equip(chat("x", max_tokens=4), tools=(short,))
        longer = msgspec.structs.replace(again, messages=turns)
        assert await engine.count_tokens(longer) > await engine.count_tokens(again)
        assert (await ask(engine, longer)).done.completion_tokens == 4
        with pytest.raises(Unsupported, match="a grammar, and a tool"):
            await engine.count_tokens(msgspec.structs.replace(asked, grammar='root ::= "x"'))
        both = make_request("x", tools=TOOLS)
        with pytest.raises(Unsupported, match="the tools are none"):
            await engine.count_tokens(msgspec.structs.replace(both, tools="{"))
