"""Three nodes sell as one farm, on one channel; then the farm takes one of them back."""

from contextlib import AsyncExitStack
from functools import partial
from typing import Any

import pytest
import trio

from p2p_modelex import limits
from p2p_modelex.chain.memory import MemoryChain
from p2p_modelex.core.effects import RunRestarted, TimerId
from p2p_modelex.core.farm.machine import FARMS_TOPIC
from p2p_modelex.core.farming import SEATS_TIMER
from p2p_modelex.core.inputs import TimerFired
from p2p_modelex.engine.memory import Fault, MemoryEngine
from p2p_modelex.errors import BadInput, NoProvider, PaymentError
from p2p_modelex.ids import Address, PeerId, format_peer_id
from p2p_modelex.node.driver import wall_clock
from p2p_modelex.node.exchange import Exchange, Terms
from p2p_modelex.node.farms import Farms
from p2p_modelex.node.node import Node
from p2p_modelex.units import UnixMs
from tests.core.farm.farms import DAY, Farm
from tests.node.world import (
    DEPLOYMENT,
    MODEL,
    World,
    make_keys,
    peer_of,
    read_claims,
    wait_for_sellers,
)

FARM = Farm()
ACCOUNT = Address(b"\xfa" * 20)
WEIGHTS = {1: 5_000, 2: 3_000, 3: 2_000}
THROUGH = Terms(farm="harvest")


def joined(number: int, record: bytes = b"", **changes: Any) -> Farms:
    """The farm as the number-th node's home has it; its index, serial and number are the same."""
    now = wall_clock()
    member = make_keys(number).peer.public_key
    told = {
        "payee": ACCOUNT,
        "index": number,
        "weight": WEIGHTS[number],
        "serial": number,
        "not_before": now - DAY,
        "not_after": now + DAY,
    }
    certificate = FARM.admit(member, DEPLOYMENT.network, **(told | changes))
    return Farms((certificate,), (), (record,) if record else ())


def write(*revoked: int) -> bytes:
    """A record; one that revokes is the newer, even in the same millisecond."""
    made = wall_clock() + len(revoked)
    return FARM.record(made, DEPLOYMENT.network, payee=ACCOUNT, revoked=revoked)


async def buy(exchange: Exchange, **terms: Any) -> PeerId:
    """Buy through the farm and return who served it; its receipt is verified and it is paid."""
    completion = exchange.run(
        "hello", model=MODEL, max_tokens=4, terms=Terms(farm="harvest", **terms)
    )
    await completion.wait()
    assert completion.provider is not None
    return completion.provider


async def wait_idle(node: Node) -> None:
    with trio.fail_after(5):
        await node.wait_until(lambda: node.core.is_idle)


async def test_three_members_sell_on_one_channel_and_redeem_for_the_farm() -> None:
    world = World()
    async with AsyncExitStack() as stack:
        nodes = {
            number: await stack.enter_async_context(
                world.provider(number, farms=joined(number, write()))
            )
            for number in WEIGHTS
        }
        exchange = await stack.enter_async_context(world.requester(4, friends=list(WEIGHTS)))
        await wait_for_sellers(exchange, 3)
        for number in WEIGHTS:
            assert await buy(exchange, only=(peer_of(number),)) == peer_of(number)
        [channel] = exchange.node.core.payer.get_channels()
        assert channel.payee == ACCOUNT
        paid = 0
        for number, node in nodes.items():
            await wait_idle(node)
            [claim] = await read_claims(node.parts.store)
            voucher = claim.signed.voucher
            assert (voucher.channel, voucher.lane) == (channel.channel, number * limits.LANES_MAX)
            paid += voucher.amount
            member = MemoryChain(world.ledger, make_keys(number).account.address)
            assert sum((await member.redeem([claim])).credited) == voucher.amount
        at_farm = await MemoryChain(world.ledger, ACCOUNT).fetch_balance(ACCOUNT)
        assert at_farm == paid > 0


async def test_a_revoked_member_is_not_chosen_and_its_node_shows_it_no_more() -> None:
    """The owner's record reaches one member's home, and by gossip and asking all others."""
    world, first = World(), write()
    async with (
        world.provider(1, farms=joined(1, first)) as owner,
        world.provider(2, farms=joined(2, first), friends=[1]) as revoked,
        world.requester(3, friends=[1, 2]) as exchange,
    ):
        await wait_for_sellers(exchange, 2)
        assert await buy(exchange, only=(peer_of(2),)) == peer_of(2)
        await owner.join_farms(joined(1, write(2)))
        tell = TimerFired(TimerId("farm/tell"))
        await owner._steps.perform(lambda now: owner.core.step(tell, now))
        with trio.fail_after(5):
            for node in (revoked, exchange.node):
                await node.wait_until(partial(_has_revoked, node, 2))
        for _ in range(8):
            assert await buy(exchange) == peer_of(1)
        with pytest.raises(NoProvider, match="RTE-26"):
            await buy(exchange, only=(peer_of(2),))
        own = revoked.core.directory.get(revoked.peer)
        assert own is not None
        assert own.advertisement.farms == ()


def _has_revoked(node: Node, serial: int) -> bool:
    held = node.core.farming.book.get(FARM.public_key, wall_clock())
    return held is not None and serial in held.record.revoked


async def test_who_asks_for_the_first_time_hears_who_was_revoked() -> None:
    """The revoked node keeps its old record and certificate, and another member knows better."""
    world = World()
    first = write()
    async with (
        world.provider(1, farms=joined(1, write(2))),
        world.provider(2, farms=joined(2, first)),
        world.requester(3, friends=[1, 2]) as exchange,
    ):
        await wait_for_sellers(exchange, 2)
        for _ in range(4):
            assert await buy(exchange) == peer_of(1)
        found = await exchange.find_farm("harvest")
        assert found.id == format_peer_id(FARM.peer)
        assert [entry.peer for entry, _ in found.members] == [peer_of(1)]
        assert found.record is not None
        assert found.record.revoked == (2,)


async def test_an_expired_member_is_none() -> None:
    """It advertises without the farm once its certificate no longer outlives what it says."""
    world = World()
    end = wall_clock() + 60_000
    async with (
        world.provider(1, farms=joined(1, write())),
        world.provider(2, farms=joined(2, write(), not_after=end)) as expiring,
        world.requester(3, friends=[1, 2]) as exchange,
    ):
        await wait_for_sellers(exchange, 2)
        assert [await buy(exchange) for _ in range(4)] == [peer_of(1)] * 4
        assert expiring.core.farming.get_shown(wall_clock()) == ()
        later = UnixMs(end + 1)
        expiring.core.step(TimerFired(SEATS_TIMER), later)
        assert expiring.core.farming._seats == ()


async def test_two_members_of_one_index_are_one_to_a_requester() -> None:
    """FRM-16: the lanes are the first one's that was paid there."""
    world = World()
    async with (
        world.provider(1, farms=joined(1, write())),
        world.provider(2, farms=joined(2, write(), index=1)),
        world.requester(3, friends=[1, 2]) as exchange,
    ):
        await wait_for_sellers(exchange, 2)
        assert await buy(exchange, only=(peer_of(2),)) == peer_of(2)
        with pytest.raises(PaymentError, match="FRM-16"):
            await buy(exchange, only=(peer_of(1),))
        assert [await buy(exchange) for _ in range(4)] == [peer_of(2)] * 4


async def test_failover_stays_in_the_farm() -> None:
    world = World()
    brittle = MemoryEngine(MODEL, fault=Fault("crash", after_pieces=1))
    async with (
        world.provider(1, brittle, farms=joined(1, write())),
        world.provider(2, farms=joined(2, write())),
        world.provider(5),
        world.requester(3, friends=[1, 2, 5]) as exchange,
    ):
        await wait_for_sellers(exchange, 3)
        restarted: list[RunRestarted] = []
        for _ in range(6):
            completion = exchange.run("hello", model=MODEL, max_tokens=16, terms=THROUGH)
            restarted += [one async for one in completion if isinstance(one, RunRestarted)]
            assert completion.provider == peer_of(2)
        assert all(one.peer == peer_of(2) for one in restarted)


async def test_a_node_without_the_farm_is_no_member_and_a_bad_name_no_farm() -> None:
    world = World()
    async with world.provider(1), world.requester(2, friends=[1]) as exchange:
        await wait_for_sellers(exchange, 1)
        with pytest.raises(NoProvider, match="RTE-27: nobody sells through farm harvest"):
            await buy(exchange)
        with pytest.raises(NoProvider, match="RTE-27"):
            await exchange.find_farm("harvest")
        with pytest.raises(BadInput, match="neither a farm's name"):
            exchange.run("hello", model=MODEL, terms=Terms(farm="Not A Farm"))


async def test_a_restart_finds_channels_lanes_and_what_a_left_farm_owes() -> None:
    world = World()
    async with (
        world.provider(1, farms=joined(1, write())) as node,
        world.requester(4, friends=[1]) as exchange,
    ):
        await wait_for_sellers(exchange, 1)
        await buy(exchange)
        await wait_idle(node)
    async with (
        world.provider(1) as node,
        world.provider(2, farms=joined(2, write()), friends=[1]) as other,
        world.requester(4, friends=[1, 2]) as exchange,
    ):
        [claim] = node.core.payee.claims_to_redeem(wall_clock(), is_forced=True)
        assert claim.terms.payee == ACCOUNT
        await wait_for_sellers(exchange, 2)
        assert await buy(exchange) == other.peer
        assert len(exchange.node.core.payer.get_channels()) == 1
        assert FARMS_TOPIC in exchange.node.core.gossip
