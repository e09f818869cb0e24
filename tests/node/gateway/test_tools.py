"""Tools through the gateway: OpenAI's own library, a mesh that calls them, and who cannot."""

import json
from pathlib import Path
from typing import Any

import openai
import pytest
import trio
from openai.types.chat import ChatCompletionMessageParam, ChatCompletionToolParam

from p2p_modelex.core.exchange.verification import verify_receipt_row
from p2p_modelex.engine.memory import Fault, MemoryEngine
from p2p_modelex.engine.registry import open_engine
from p2p_modelex.engine.spec import EngineSpec
from p2p_modelex.records.receipt import Finish
from p2p_modelex.records.tools import split_calls
from tests.engine.tiny import TOOLS_TEMPLATE, write_tiny
from tests.node.gateway.serving import serve
from tests.node.world import DEPLOYMENT, MODEL

LOOK: ChatCompletionToolParam = {
    "type": "function",
    "function": {
        "name": "look",
        "description": "Looks at a place.",
        "parameters": {
            "type": "object",
            "properties": {"place": {"type": "string"}},
            "required": ["place"],
        },
    },
}
WAIT: ChatCompletionToolParam = {"type": "function", "function": {"name": "wait"}}


def _ask() -> list[ChatCompletionMessageParam]:
    return [{"role": "user", "content": "What is at the market?"}]


async def test_a_round_trip_with_the_official_library() -> None:
    """It is asked, a tool is called, its result is sent back, and read."""

    def work(library: openai.OpenAI) -> None:
        turns = _ask()
        called = library.chat.completions.create(model=MODEL, messages=turns, tools=[LOOK, WAIT])
        [choice] = called.choices
        assert choice.finish_reason == "tool_calls"
        assert choice.message.content is None
        assert choice.message.tool_calls is not None
        [call] = choice.message.tool_calls
        assert call.type == "function"
        assert (call.function.name, json.loads(call.function.arguments)) == (
            "look",
            {"place": "market"},
        )
        # The library's own shape of the turn goes back as it is.
        turns += [
            choice.message,  # type: ignore[list-item]
            {"role": "tool", "tool_call_id": call.id, "content": "a river"},
        ]
        then = library.chat.completions.create(model=MODEL, messages=turns, tools=[LOOK, WAIT])
        assert then.choices[0].message.content == "It is a river"
        assert then.choices[0].finish_reason == "stop"
        assert then.choices[0].message.tool_calls is None

    async with serve() as served:
        await served.use(work)
        rows = await served.exchange.node.parts.store.receipts()
    ended = {row.receipt.receipt.finish: row for row in rows}
    assert ended.keys() == {Finish.TOOL_CALLS, Finish.STOP}
    for row in ended.values():
        verify_receipt_row(row, DEPLOYMENT.registry_domain, None)
    _, [call] = split_calls(ended[Finish.TOOL_CALLS].completion)
    assert (call.name, json.loads(call.text)) == ("look", {"place": "market"})


async def test_a_stream_of_calls_is_put_together_by_the_library() -> None:
    def work(library: openai.OpenAI) -> None:
        asked: Any = {"model": MODEL, "messages": _ask(), "tools": [LOOK, WAIT], "seed": 5}
        whole = library.chat.completions.create(**asked).choices[0].message.tool_calls
        with library.chat.completions.stream(**asked) as stream:
            events = [event.type for event in stream]
            last = stream.get_final_completion().choices[0]
        assert "tool_calls.function.arguments.delta" in events
        assert last.finish_reason == "tool_calls"
        assert last.message.tool_calls is not None
        assert whole is not None
        [streamed], [made] = last.message.tool_calls, whole
        assert (streamed.id, streamed.function.name) == (made.id, made.function.name)
        assert streamed.function.arguments == made.function.arguments

    async with serve() as served:
        await served.use(work)


async def test_the_tool_that_must_be_called_is_and_none_if_none_may_be() -> None:
    async with serve() as served:
        named = {"type": "function", "function": {"name": "wait"}}
        asked = {"tools": [LOOK, WAIT], "max_tokens": 30}
        [choice] = (await served.chat(**asked, tool_choice=named)).json["choices"]
        assert choice["message"]["tool_calls"][0]["function"] == {"name": "wait", "arguments": "{}"}
        [choice] = (await served.chat(**asked, tool_choice="none")).json["choices"]
        assert choice["message"]["content"]
        assert "tool_calls" not in choice["message"]


async def test_two_choices_and_logprobs_stream_side_by_side() -> None:
    async with serve() as served:
        asked = {"tools": [LOOK], "n": 2, "seed": 1, "logprobs": True, "max_tokens": 30}
        whole = (await served.chat(**asked)).json["choices"]
        events = (await served.chat(**asked, stream=True)).events
        for choice in whole:
            own = [
                one
                for event in events
                for one in event["choices"]
                if one["index"] == choice["index"]
            ]
            calls = [call for one in own for call in one["delta"].get("tool_calls", ())]
            [made] = choice["message"]["tool_calls"]
            assert calls[0]["id"] == made["id"]
            written = "".join(call["function"]["arguments"] for call in calls)
            assert written == made["function"]["arguments"]
            told = [one for part in own if part["logprobs"] for one in part["logprobs"]["content"]]
            assert told == choice["logprobs"]["content"]


async def test_a_failover_repeats_the_call() -> None:
    """The id of a call is made of the request, so the next provider's text is the same."""
    dying = MemoryEngine(MODEL, delay_s=0.05, fault=Fault("crash", 2, jobs=99))
    async with serve(dying, MemoryEngine(MODEL)) as served:
        for _ in range(8):  # routing is a draw: the crashing one is met sooner or later
            reply = await served.chat(tools=[LOOK], seed=3, stream=True, max_tokens=30)
            last = reply.events[-1]["choices"][0]
            assert last["finish_reason"] == "tool_calls"
            if len(last["modelex"]["route"]) > 1:
                return
        raise AssertionError("the crashing provider was never asked")


class Toolless(MemoryEngine):
    """An engine as most are."""

    def __init__(self) -> None:
        super().__init__(MODEL)
        self._info = type(self._info)(
            **{name: getattr(self._info, name) for name in self._info.__slots__}
            | {"features": ("logprobs", "seed", "stop")}
        )


async def test_where_nobody_calls_tools_it_is_said_what_there_is() -> None:
    def work(library: openai.OpenAI) -> None:
        with pytest.raises(
            openai.BadRequestError, match=r"chat with tools; .* with logprobs, seed"
        ):
            library.chat.completions.create(model=MODEL, messages=_ask(), tools=[LOOK])
        plain = library.chat.completions.create(
            model=MODEL, messages=_ask(), tools=[LOOK], tool_choice="none", max_tokens=4
        )
        assert plain.choices[0].message.content

    async with serve(Toolless()) as served:
        await served.use(work)


async def test_llama_cpp_calls_a_tool_on_the_mesh(tmp_path: Path) -> None:
    """A model of random weights: nothing but the grammar makes a call of what it says."""
    path = tmp_path / "tools.gguf"
    await trio.to_thread.run_sync(lambda: write_tiny(path, template=TOOLS_TEMPLATE))
    place = {"type": "string", "maxLength": 4}
    parameters = {"type": "object", "properties": {"at": place}, "required": ["at"]}
    look: Any = {"type": "function", "function": {"name": "look", "parameters": parameters}}

    def work(library: openai.OpenAI) -> None:
        asked: Any = {
            "model": MODEL,
            "messages": [{"role": "user", "content": "x"}],
            "tools": [look],
            "tool_choice": "required",
            "parallel_tool_calls": False,
            "max_tokens": 150,
            "temperature": 0,
        }
        whole = library.chat.completions.create(**asked).choices[0]
        with library.chat.completions.stream(**asked) as stream:
            streamed = stream.get_final_completion().choices[0]
        for choice in (whole, streamed):
            assert choice.finish_reason == "tool_calls"
            assert choice.message.tool_calls is not None
            [call] = choice.message.tool_calls
            assert call.type == "function"
            assert call.function.name == "look"
            assert list(json.loads(call.function.arguments)) == ["at"]

    async with serve(open_engine(EngineSpec("xllamacpp", MODEL, path))) as served:
        await served.use(work)
