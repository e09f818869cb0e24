"""A market in memory for maps: providers that come and go, a buyer, and the books of both."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

import trio

from p2p_modelex.engine.abc import Engine
from p2p_modelex.engine.memory import MemoryEngine
from p2p_modelex.node.exchange import Exchange
from p2p_modelex.node.mapping.maps import Map
from p2p_modelex.node.mapping.results import MapResult
from p2p_modelex.node.mapping.template import Template
from p2p_modelex.node.node import Node
from p2p_modelex.records.receipt import Receipt
from p2p_modelex.units import Wei
from tests.node.world import MODEL, PRICE, World, wait_for_sellers

BUYER = 99
TEMPLATE = Template(model=MODEL, text="Rate {headline}", max_tokens=4)
COST = Wei(PRICE * (2 + 2 + 4))
"""Two words and two tokens of the chat's form, and four to answer."""


def headlines(many: int) -> list[dict[str, object]]:
    return [{"headline": f"h{number}", "id": f"n{number}"} for number in range(many)]


class Cast:
    """Providers that may come and go while others work."""

    def __init__(self, world: World, nursery: trio.Nursery) -> None:
        self._world = world
        self._nursery = nursery
        self._scopes: dict[int, trio.CancelScope] = {}
        self.nodes: dict[int, Node] = {}

    async def join(self, number: int, engine: Engine | None = None) -> None:
        quick = MemoryEngine(MODEL, slots=2, delay_s=0.002)
        await self._nursery.start(self._live, number, engine or quick)

    async def _live(self, number: int, engine: Engine, *, task_status: Any) -> None:
        friends = [other for other in self._scopes if other != number][:1]
        with trio.CancelScope() as self._scopes[number]:
            async with self._world.provider(number, engine, friends=friends) as node:
                self.nodes[number] = node
                task_status.started()
                await trio.sleep_forever()

    def kill(self, number: int) -> None:
        """End it in the midst of whatever it does."""
        self._scopes[number].cancel()

    async def wait_paid(self, number: int, amount: int) -> None:
        """Wait until its vouchers are worth that much, the last of which may be on the way."""
        with trio.fail_after(5):
            while await self._count_paid(number) != amount:
                await trio.sleep(0.02)

    async def _count_paid(self, number: int) -> int:
        rows = await self._world.stores[number].received_vouchers()
        return sum(row.signed.voucher.amount for row in rows)


@asynccontextmanager
async def market(*numbers: int) -> AsyncGenerator[tuple[World, Cast], None]:
    """A world with these providers in it."""
    world = World()
    async with trio.open_nursery() as nursery:
        cast = Cast(world, nursery)
        for number in numbers:
            await cast.join(number)
        yield world, cast
        nursery.cancel_scope.cancel()


@asynccontextmanager
async def buyer(world: World, *friends: int, **limits: Any) -> AsyncGenerator[Exchange, None]:
    async with world.requester(BUYER, friends=friends, **limits) as exchange:
        await wait_for_sellers(exchange, len(friends))
        yield exchange


async def collect(results: Map) -> list[MapResult]:
    return [result async for result in results]


async def read_receipts(world: World, seller: int) -> list[Receipt]:
    """The receipts that a provider has signed."""
    rows = await world.stores[seller].receipts(limit=10_000)
    return [row.receipt.receipt for row in rows if row.is_provider]


async def paid_out(world: World) -> int:
    """What the buyer's vouchers promise, all of it."""
    rows = await world.stores[BUYER].issued_vouchers()
    return sum(row.signed.voucher.amount for row in rows)


def check(results: list[MapResult], many: int) -> None:
    """They are whole, in order, and each other's answer is not its own."""
    assert [result.index for result in results] == list(range(many))
    assert [result.id for result in results] == [f"n{number}" for number in range(many)]
    assert all(result.error is None and result.text for result in results)
    assert len({result.receipt for result in results}) == many
