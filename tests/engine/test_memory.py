from contextlib import aclosing

import msgspec
import pytest
import trio
import trio.testing

from p2p_modelex.engine.abc import Piece
from p2p_modelex.engine.memory import Fault, MemoryEngine
from p2p_modelex.errors import EngineCrashed
from p2p_modelex.records.job import Message, Request
from p2p_modelex.records.receipt import Finish
from tests.engine.asking import ask, chat, make_request


async def test_crashes_when_told_and_works_again() -> None:
    async with MemoryEngine(fault=Fault("crash", after_pieces=3)) as engine:
        pieces = []
        with pytest.raises(EngineCrashed, match="after 3 pieces"):
            async for output in engine.generate(make_request("a")):
                pieces.append(output)  # noqa: PERF401 - what came before the error counts
        assert len(pieces) == 1 + 3
        assert (await ask(engine, make_request("a"))).done.completion_tokens == 16
        assert (engine.statistics().failed, engine.statistics().finished) == (1, 1)


async def test_hangs_when_told(autojump_clock: trio.testing.MockClock) -> None:
    async with MemoryEngine(fault=Fault("hang", after_pieces=1), delay_s=2.0) as engine:
        async with aclosing(engine.generate(make_request("a"))) as stream:
            await anext(stream)
            assert isinstance(await anext(stream), Piece)
            with trio.move_on_after(3600) as scope:
                await anext(stream)
            assert scope.cancelled_caught
        assert engine.statistics().running == 0
        assert engine.statistics().first_token_ms == 2000


async def test_says_what_it_is_told() -> None:
    async with MemoryEngine(reply="to be or not to be") as engine:
        whole = await ask(engine, make_request("a"))
        assert (whole.text, whole.done.finish) == ("to be or not to be", Finish.STOP)
        cut = await ask(engine, make_request("a", max_tokens=2))
        assert (cut.text, cut.done.finish) == ("to be ", Finish.LENGTH)
        score = await ask(engine, make_request("a", kind="score"))
        assert score.text in set("123456789")


async def test_goes_on_with_an_answer_that_is_its_own() -> None:
    async with MemoryEngine(length=8) as engine:
        whole = await ask(engine, chat("hello", max_tokens=8))
        words = whole.text.split(" ")
        asked = chat("hello", max_tokens=5)

        def begin(said: str, turns: tuple[Message, ...] = asked.messages) -> Request:
            return msgspec.structs.replace(asked, messages=(*turns, Message("assistant", said)))

        said = " ".join(words[:3]) + " "
        assert said + (await ask(engine, begin(said))).text == whole.text
        for other in (begin("something else"), begin("", ())):
            assert (await ask(engine, other)).text == ""
