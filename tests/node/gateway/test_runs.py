"""A request to an engine of the gateway's own node: how it ends early, and what stays whole."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import pytest
import trio
import trio.testing

from p2p_modelex.engine.memory import MemoryEngine
from p2p_modelex.errors import JobFailed
from p2p_modelex.ids import PeerId
from p2p_modelex.node.completion import CompletionPiece
from p2p_modelex.node.gateway.runs import OwnRun, follow, outcome_of
from p2p_modelex.node.request import build_request
from p2p_modelex.records.receipt import Finish

OWN = PeerId(b"own")
REPLY = "one two three four five six"


@asynccontextmanager
async def running(
    delay_s: float, timeout_s: float | None = None
) -> AsyncGenerator[tuple[OwnRun, MemoryEngine], None]:
    async with MemoryEngine("m", reply=REPLY, delay_s=delay_s) as engine:
        yield OwnRun(engine, build_request("x", model="m"), OWN, timeout_s), engine


class Ear:
    """Takes its time over each piece. whole: pieces that it heard out."""

    def __init__(self, takes_s: float = 0.0) -> None:
        self._takes_s = takes_s
        self.begun = trio.Event()
        self.whole = 0

    async def hear(self, _: CompletionPiece) -> None:
        self.begun.set()
        await trio.sleep(self._takes_s)
        self.whole += 1


async def test_a_cancelled_run_ends_once_what_came_is_heard(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with running(0.0) as (run, engine), trio.open_nursery() as nursery:
        ear = Ear(takes_s=0.05)
        nursery.start_soon(follow, run, ear.hear)
        await ear.begun.wait()
        await run.cancel()
    assert ear.whole == 1
    assert outcome_of(run).finish is Finish.CANCELLED
    assert REPLY.startswith(run.text)
    assert engine.statistics().running == 0


async def test_a_cancelled_run_does_not_wait_for_the_engine(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with running(60.0) as (run, engine):
        with trio.fail_after(5):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(follow, run, Ear().hear)
                while not engine.statistics().running:
                    await trio.sleep(0.01)
                await run.cancel()
        assert (run.text, outcome_of(run).finish) == ("", Finish.CANCELLED)
        assert engine.statistics().running == 0


async def test_a_run_out_of_time_fails_once_what_came_is_heard(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with running(0.0, timeout_s=0.1) as (run, engine):
        ear = Ear(takes_s=0.15)
        with pytest.raises(JobFailed, match="no whole answer in time"):
            await follow(run, ear.hear)
    assert ear.whole == 1
    assert run.failed is not None
    assert run.failed.code == "deadline"
    assert engine.statistics().running == 0
