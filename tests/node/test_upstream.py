"""A node in front of a server: what it sells comes from there, and the server's lies stop at it."""

import pytest
import trio

from p2p_modelex.engine.memory import MemoryEngine
from p2p_modelex.engine.spec import EngineSpec, UpstreamSpec
from p2p_modelex.engine.upstream.engine import UpstreamEngine
from p2p_modelex.errors import JobFailed, JobRefused
from p2p_modelex.records.receipt import Finish
from tests.engine.openai_server import HEAD, event, fault, line, saying, serving_openai, usage
from tests.node.world import MODEL, PRICE, World, wait_for_sellers

CHATS = "/v1/chat/completions"


def front(url: str) -> UpstreamEngine:
    return UpstreamEngine(EngineSpec("upstream", MODEL, slots=4, upstream=UpstreamSpec(url, "m")))


@pytest.mark.parametrize("owner", ["vllm", "somebody"])
async def test_a_completion_is_bought_through_the_node(owner: str) -> None:
    world = World()
    async with (
        serving_openai(MemoryEngine("m", slots=8), owner) as server,
        world.provider(1, front(server.url)),
        world.requester(2, friends=[1]) as exchange,
    ):
        await wait_for_sellers(exchange, 1)
        completion = exchange.run("hello there", model=MODEL, max_tokens=16)
        text = await completion.wait()
        assert completion.row is not None
        receipt = completion.row.receipt.receipt
        assert len(text.split()) == receipt.completion_tokens == 16
        # Two words and their template by the server's count, or EXC-17's bound.
        assert receipt.prompt_tokens == (4 if owner == "vllm" else 11 + 64 + 16)
        assert receipt.finish is Finish.LENGTH
        assert completion.paid == receipt.price == PRICE * (receipt.prompt_tokens + 16)

        # A job that is cancelled is no longer the server's either.
        server.engine.delay_s = 0.01
        long = exchange.run("hello", model=MODEL, max_tokens=64)
        async for _ in long:
            await long.cancel()
        with trio.fail_after(2):
            while server.running:
                await trio.lowlevel.checkpoint()


async def test_a_server_that_bills_too_much_is_not_believed() -> None:
    """EXC-11."""
    world = World()
    async with (
        serving_openai(MemoryEngine("m", slots=8)) as server,
        world.provider(1, front(server.url)),
        world.requester(2, friends=[1]) as exchange,
    ):
        await wait_for_sellers(exchange, 1)
        server.ways[CHATS] = saying(HEAD, event("Hello", finish=True), usage(10**9))
        completion = exchange.run("hello", model=MODEL, max_tokens=256)
        assert await completion.wait() == "Hello"
        assert completion.row is not None
        assert completion.row.receipt.receipt.completion_tokens == 5 + 96


async def test_a_server_that_fails_fails_the_job_with_its_reason() -> None:
    world = World()
    async with (
        serving_openai(MemoryEngine("m", slots=8)) as server,
        world.provider(1, front(server.url)),
        world.requester(2, friends=[1]) as exchange,
    ):
        await wait_for_sellers(exchange, 1)
        server.ways[CHATS] = saying(fault(400, {"error": {"message": "no such role"}}))
        with pytest.raises(JobRefused, match=r"unsupported.*no such role"):
            await exchange.run("hello", model=MODEL).wait()
        server.ways[CHATS] = saying(fault(429, {}, "retry-after: 2"))
        with pytest.raises(JobRefused, match="busy"):
            await exchange.run("hello", model=MODEL).wait()
        server.ways[CHATS] = saying(HEAD, event("Hel"), line({"error": {"message": "oom"}}))
        with pytest.raises(JobFailed, match="engine"):
            await exchange.run("hello", model=MODEL).wait()
