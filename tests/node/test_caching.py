"""A conversation stays where it was read, and what that saves is told (RTE-50)."""

from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, aclosing
from dataclasses import replace
from itertools import pairwise

from p2p_modelex.core.prefixes import ReadBook, compute_turns
from p2p_modelex.engine.abc import Done, Output
from p2p_modelex.engine.memory import MemoryEngine
from p2p_modelex.ids import PeerId
from p2p_modelex.node.exchange import Exchange, build_request
from p2p_modelex.node.routing_profiles import ProfileSettings
from p2p_modelex.records.job import Message, Request
from tests.node.world import MODEL, World, wait_for_sellers

SELLERS = 6


class Remembering(MemoryEngine):
    """Keeps every prompt that it has read, as engines do, and says so."""

    def __init__(self) -> None:
        super().__init__(MODEL)
        self._book: ReadBook[bool] = ReadBook()

    async def generate(self, request: Request) -> AsyncGenerator[Output, None]:
        turns = compute_turns(request)
        _, share = self._book.find(turns) or (False, 0.0)
        async with aclosing(super().generate(request)) as outputs:
            async for output in outputs:
                if isinstance(output, Done):
                    self._book.note(turns, True)
                    cached = int(output.prompt_tokens * share)
                    yield replace(output, cached_tokens=cached)
                else:
                    yield output


async def talk(exchange: Exchange, name: str) -> tuple[list[PeerId], list[float]]:
    """Who served each turn of a conversation, and the share of its prompt that was kept there."""
    turns: list[Message] = [Message("system", "Be brief. " * 20)]
    peers, shares = [], []
    for number in range(8):
        turns.append(Message("user", f"{name} asks: " + f"what about {number}? " * 5))
        completion = exchange.request(build_request(turns, model=MODEL, max_tokens=8))
        turns.append(Message("assistant", await completion.wait()))
        assert completion.provider is not None
        assert completion.row is not None
        peers.append(completion.provider)
        shares.append(completion.cached_tokens / completion.row.receipt.receipt.prompt_tokens)
    return peers, shares


async def test_conversations_stay_where_they_were_read() -> None:
    world = World()
    async with AsyncExitStack() as stack:
        for number in range(1, SELLERS + 1):
            await stack.enter_async_context(world.provider(number, Remembering()))
        friends = range(1, SELLERS + 1)
        # In memory all answer at once, and how soon is a matter of chance.
        own = ProfileSettings("own", latency=0, late_binding=False)
        exchange = await stack.enter_async_context(
            world.requester(99, friends=list(friends), profiles=(own,), profile="own")
        )
        await wait_for_sellers(exchange, SELLERS)
        moved, saved = 0, []
        for name in ("Ada", "Bob", "Cy"):
            peers, shares = await talk(exchange, name)
            moved += sum(one != other for one, other in pairwise(peers[2:]))
            saved += shares[3:]
        # Chosen without it, ten of the fifteen turns move, and three fifths are kept.
        assert moved <= 3
        assert sum(saved) / len(saved) > 0.75
