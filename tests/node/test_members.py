"""Members of a farm as whole nodes: one deposit between them, one word on when there is room."""

from contextlib import AsyncExitStack
from functools import partial

import pytest
import trio
import trio.testing

from p2p_modelex.core import line, pace
from p2p_modelex.core.effects import Effect
from p2p_modelex.core.inputs import TimerFired
from p2p_modelex.core.members.machine import TELL_TIMER
from p2p_modelex.engine.memory import Fault, MemoryEngine
from p2p_modelex.errors import JobRefused, PaymentError
from p2p_modelex.ids import format_peer_id
from p2p_modelex.node.exchange import Exchange, Terms
from p2p_modelex.node.node import Node
from p2p_modelex.store.memory import MemoryStore
from p2p_modelex.units import UnixMs, Wei
from tests.core.farm.farms import DAY, Farm
from tests.node.world import (
    DEPLOYMENT,
    MODEL,
    PRICE,
    World,
    make_keys,
    peer_of,
    wait_for_sellers,
)

FARM = Farm()
WEIGHTS = {1: 5_000, 2: 3_000, 3: 2_000}
MEMBERS = tuple(WEIGHTS)
BUYER = 4
TOKENS = 64
COST, CEILING = 65, 149
"""Of a job, in PRICE: what it costs, and what its payer reserves, since it cannot count tokens."""


async def enter_farm(world: World, stack: AsyncExitStack, **engines: MemoryEngine) -> list[Node]:
    """Three members that know each other; engines: `of_1` is that of the first."""
    nodes = []
    for number in MEMBERS:
        friends = [one for one in MEMBERS if one < number]
        provider = world.provider(number, engines.get(f"of_{number}"), friends=friends)
        nodes.append(await stack.enter_async_context(provider))
        await nodes[-1]._steps.perform(partial(join, nodes[-1], number))
    with trio.fail_after(5):
        for node in nodes:
            await node.wait_until(partial(knows_all, node))
    await tell(nodes)
    return nodes


def join(node: Node, number: int, now: UnixMs) -> list[Effect]:
    """Be a member of the farm, by the number-th certificate."""
    certificate = FARM.admit(
        make_keys(number).peer.public_key,
        DEPLOYMENT.network,
        index=number,
        serial=number,
        weight=WEIGHTS[number],
        not_before=now - DAY,
        not_after=now + DAY,
    )
    return node.core.farming.join((certificate,), (), (), now)


def knows_all(node: Node) -> bool:
    return len(node.core.directory.find(farm=format_peer_id(FARM.peer))) == len(MEMBERS) - 1


async def tell(nodes: list[Node]) -> None:
    """Every member tells its fellows, without waiting for the time to come, and hears them."""
    for node in nodes:
        await node._steps.perform(partial(node.core.step, TimerFired(TELL_TIMER)))
    await trio.testing.wait_all_tasks_blocked()


async def buy(exchange: Exchange, number: int) -> None:
    """Buy one job of COST from a member."""
    terms = Terms(farm="harvest", only=(peer_of(number),))
    completion = exchange.run(
        "hello", model=MODEL, kind="completion", max_tokens=TOKENS, terms=terms
    )
    await completion.wait()
    assert completion.paid == COST * PRICE


async def read_promised(nodes: list[Node]) -> list[int]:
    """What the vouchers promise that each member holds, in PRICE."""
    with trio.fail_after(5):
        for node in nodes:
            await node.wait_until(partial(is_idle, node))
    held = [await node.parts.store.received_vouchers() for node in nodes]
    return [sum(row.signed.voucher.amount for row in rows) // PRICE for rows in held]


def is_idle(node: Node) -> bool:
    return node.core.is_idle


def deposit(jobs: int) -> dict[str, Wei]:
    """Deposits that are enough for so many jobs."""
    money = Wei(((jobs - 1) * COST + CEILING) * PRICE)
    return {"auto_deposit": money, "max_deposits": money}


async def test_a_whole_deposit_is_spent_at_the_member_with_the_least_part() -> None:
    world = World()
    async with AsyncExitStack() as stack:
        nodes = await enter_farm(world, stack)
        requester = world.requester(BUYER, friends=list(MEMBERS), **deposit(8))
        exchange = await stack.enter_async_context(requester)
        await wait_for_sellers(exchange, 3)
        for _ in range(8):
            await buy(exchange, 3)
        assert await read_promised(nodes) == [0, 0, 8 * COST]
        [channel] = exchange.node.core.payer.get_channels()
        assert channel.deposit == deposit(8)["auto_deposit"], "it was never topped up"


async def test_a_payer_that_forgets_what_it_promised_is_refused_by_the_last() -> None:
    """It goes from member to member with books in which the whole deposit is left."""
    world = World()
    async with AsyncExitStack() as stack:
        nodes = await enter_farm(world, stack)
        for number in MEMBERS:
            async with world.requester(BUYER, friends=list(MEMBERS), **deposit(1)) as exchange:
                await wait_for_sellers(exchange, 3)
                if number < 3:
                    await buy(exchange, number)
                else:
                    with pytest.raises(PaymentError, match="channel_exhausted: LED-6"):
                        await buy(exchange, number)
            forgetful = MemoryStore()
            await forgetful.apply(await world.stores[BUYER].channels())
            world.stores[BUYER] = forgetful
        assert await read_promised(nodes) == [COST, COST, 0]


async def test_a_full_member_says_when_the_farm_has_room(monkeypatch: pytest.MonkeyPatch) -> None:
    """MEM-11: its own line stands still, and another member is idle."""
    monkeypatch.setattr(line, "WAITING_MAX", 1)
    world = World()
    async with AsyncExitStack() as stack:
        stuck = MemoryEngine(MODEL, slots=1, fault=Fault("hang", after_pieces=1, jobs=9))
        nodes = await enter_farm(world, stack, of_1=stuck)
        buyers = [
            await stack.enter_async_context(world.requester(number, friends=list(MEMBERS)))
            for number in range(BUYER, BUYER + 3)
        ]
        crowd = await stack.enter_async_context(trio.open_nursery())
        stack.callback(crowd.cancel_scope.cancel)
        for number, buyer in enumerate(buyers[:-1]):
            await wait_for_sellers(buyer, 3)
            crowd.start_soon(buy, buyer, 1)
            with trio.fail_after(5):
                await nodes[0].wait_until(partial(has_jobs, nodes[0], number + 1))
        await wait_for_sellers(buyers[-1], 3)
        assert await get_refused(buyers[-1], "harvest") == pace.WAIT_MIN_MS
        alone = "who buys of it alone is told of its own line, of which nothing is known yet"
        assert await get_refused(buyers[-1], "") == pace.WAIT_FIRST_MS, alone


def has_jobs(node: Node, many: int) -> bool:
    """Whether so many are with the engine or in line."""
    selling = node.core._selling
    assert selling is not None
    load = selling.get_load()
    return load.running + load.waiting == many


async def get_refused(exchange: Exchange, farm: str) -> int:
    """Be refused by the first member; returns when to come again, in ms."""
    terms = Terms(farm=farm, only=(peer_of(1),))
    completion = exchange.run("hello", model=MODEL, max_tokens=TOKENS, terms=terms)
    with pytest.raises(JobRefused, match="busy"):
        await completion.wait()
    assert completion.failed is not None
    return completion.failed.retry_after_ms
