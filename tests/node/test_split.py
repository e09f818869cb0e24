"""Running nodes come through a split of the token on a real chain, and nobody's share changes."""

from collections.abc import AsyncGenerator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import pytest
import trio
from structlog.testing import capture_logs

from p2p_modelex.chain.abc import Chain
from p2p_modelex.chain.devnet import (
    GAS_MONEY,
    SPLIT_NOTICE_BLOCKS,
    SPLIT_PAUSE_BLOCKS,
    TEST_KEYS,
    advance_time,
    bring_up,
    fund,
    grant,
    mine_blocks,
)
from p2p_modelex.chain.evm.port import EvmChain
from p2p_modelex.engine.memory import Fault, MemoryEngine
from p2p_modelex.errors import ConfigurationError, PaymentError
from p2p_modelex.ids import Address, ChannelId
from p2p_modelex.keys.signers import KeyRing
from p2p_modelex.node.completion import Completion
from p2p_modelex.node.configuration import SettlementSettings
from p2p_modelex.node.driver import wall_clock
from p2p_modelex.node.exchange import Exchange
from p2p_modelex.node.node import Node
from p2p_modelex.node.request import Terms
from p2p_modelex.node.restoring import restore
from p2p_modelex.records.advertisement import Offer
from p2p_modelex.records.signers import EvmSigner
from p2p_modelex.units import AI, Wei, rescale
from tests.chain.worlds import EvmWorld
from tests.node.world import MODEL, PRICE, PURSE, World, make_keys, peer_of, wait_for_sellers

CHALLENGE_S = 60
SUPPLY = 10**9 * AI
FIRST, SECOND, BUYER = 1, 2, 3


@dataclass
class AnvilWorld(World):
    """The same mesh, each node with a port of its own to one devnet."""

    url: str = ""

    def open_chain(self, keys: KeyRing) -> Chain:
        return EvmChain(self.url, self.deployment, keys.account, poll_s=0.01)

    async def fund(self, account: Address, money: Wei) -> None:
        await grant(self.url, self.deployment, {account: money})


class GatedEngine(MemoryEngine):
    """Stops in the middle of a job until it is let go on."""

    def __init__(self) -> None:
        super().__init__(MODEL)
        self.gates: list[trio.Event] = []

    async def _step(self, fault: Fault | None, pieces: int) -> None:
        await super()._step(fault, pieces)
        if pieces == 8 and self.gates:
            await self.gates.pop().wait()


@pytest.fixture
async def world(tmp_path: Path) -> AsyncGenerator[AnvilWorld, None]:
    file = tmp_path / "network.toml"
    async with bring_up(file, {}, engine="anvil", challenge_s=CHALLENGE_S) as (net, deployment):
        for number in (FIRST, SECOND):
            await fund(net.url, make_keys(number).account.address, GAS_MONEY)
        yield AnvilWorld(deployment=deployment, url=net.url)


async def buy(exchange: Exchange, provider: int, prompt: str, tokens: int = 16) -> Completion:
    terms = Terms(only=(peer_of(provider),), attempts=1)
    completion = exchange.run(prompt, model=MODEL, terms=terms, max_tokens=tokens)
    with trio.fail_after(10):
        await completion.wait()
    return completion


def get_epoch(completion: Completion) -> int:
    assert completion.row is not None
    return completion.row.receipt.receipt.epoch


def find_offer(exchange: Exchange, provider: int) -> Offer:
    entry = exchange.node.core.directory.get(peer_of(provider))
    assert entry is not None
    return entry.advertisement.offers[0]


def sells_anew(exchange: Exchange, provider: int) -> bool:
    return find_offer(exchange, provider).epoch == 1


async def test_nodes_run_on_through_a_split_and_every_share_stays(world: AnvilWorld) -> None:
    chain = EvmWorld(world.url, world.deployment)
    engine, eager = GatedEngine(), replace(SettlementSettings(), redeem_above=Wei(1))
    async with (
        world.provider(FIRST, engine, settlement=eager) as first,
        world.provider(SECOND, settlement=eager) as second,
        world.requester(BUYER, friends=[FIRST, SECOND], auto_deposit=Wei(AI)) as exchange,
        trio.open_nursery() as nursery,
    ):
        await wait_for_sellers(exchange, 2)
        # A history, so that two jobs may run at once (EXC-19).
        done = [await buy(exchange, FIRST, "before", tokens=64) for _ in range(2)]
        # A job that begins before the split, and stops in the middle of it.
        engine.gates.append(trio.Event())
        gate = engine.gates[0]
        over = trio.Event()
        nursery.start_soon(gather, done, exchange, over)
        with trio.fail_after(5):
            await first.wait_until(lambda: not first.core.is_idle)

        await chain.announce_split()
        await mine_blocks(world.url, SPLIT_NOTICE_BLOCKS)
        done.append(await buy(exchange, FIRST, "in the pause"))
        await redeem(first)
        with pytest.raises(PaymentError, match="nothing can be deposited before block"):
            await buy(exchange, SECOND, "no channel, and none can be opened")
        with pytest.raises(PaymentError, match="paused for a split until block"):
            await buy(exchange, SECOND, "known by now")

        await mine_blocks(world.url, SPLIT_PAUSE_BLOCKS)
        assert [get_epoch(one) for one in done] == [0, 0, 0]
        # Nobody has looked yet, and nothing is wrong with that: vouchers of before count twice.
        done.append(await buy(exchange, FIRST, "after"))
        assert get_epoch(done[-1]) == 0
        await look(exchange.node)
        done.append(await buy(exchange, SECOND, "its provider is behind"))
        done.append(await buy(exchange, FIRST, "so is this one"))
        gate.set()
        with trio.fail_after(5):
            await over.wait()
            for number in (FIRST, SECOND):
                await exchange.node.wait_until(partial(sells_anew, exchange, number))
                assert find_offer(exchange, number).completion_price == 2 * PRICE
        assert sorted(get_epoch(one) for one in done) == [0, 0, 0, 0, 0, 1, 1]
        assert {node.epoch for node in (first, second, exchange.node)} == {1}
        for node in (first, second):
            await wait_redeemed(node)
        await close_channels(world, exchange)
        await check_shares(world, exchange, done)
        nursery.cancel_scope.cancel()


async def gather(done: list[Completion], exchange: Exchange, over: trio.Event) -> None:
    """Keep a job that takes its time."""
    completion = exchange.run(
        "through it", model=MODEL, terms=Terms(only=(peer_of(FIRST),)), max_tokens=32
    )
    await completion.wait()
    done.append(completion)
    over.set()


async def look(node: Node) -> None:
    """As its timer does once a minute."""
    await node._steps.perform(node.core.splits.look)
    with trio.fail_after(5):
        await node.wait_until(lambda: node.epoch == 1)


async def redeem(node: Node) -> None:
    """As its timer does: try to take what it holds to the chain."""
    assert node.core._selling is not None
    await node._steps.perform(node.core._selling.retry)


async def wait_redeemed(node: Node) -> None:
    """Until the chain has credited all it holds."""
    with trio.fail_after(10):
        await node.wait_until(lambda: node.core.is_idle)
        await redeem(node)
        ledger = node.core.payee
        await node.wait_until(lambda: not ledger.claims_to_redeem(wall_clock(), is_forced=True))


async def close_channels(world: AnvilWorld, exchange: Exchange) -> None:
    chain = exchange.node.parts.chain
    assert chain is not None
    names = [row.state.terms for row in await exchange.node.parts.store.channels()]
    assert len(names) == 2
    for name in names:
        await chain.start_close(name)
    await advance_time(world.url, CHALLENGE_S + 1)
    for name in names:
        await chain.finish_close(name)


async def check_shares(world: AnvilWorld, exchange: Exchange, done: list[Completion]) -> None:
    """Everybody has what receipts and deposits say, and all together have the supply."""
    chain = exchange.node.parts.chain
    assert chain is not None
    earned = dict.fromkeys((FIRST, SECOND), 0)
    for completion in done:
        assert completion.row is not None
        receipt = completion.row.receipt.receipt
        number = next(n for n in earned if peer_of(n) == completion.row.peer)
        earned[number] += rescale(receipt.price, receipt.epoch, 1)
    accounts = {number: make_keys(number).account.address for number in (FIRST, SECOND, BUYER)}
    for number, amount in earned.items():
        assert await chain.fetch_balance(accounts[number]) == amount
    left = await chain.fetch_balance(accounts[BUYER])
    assert left == 2 * PURSE - sum(earned.values())
    deployment = world.deployment
    assert deployment.vesting is not None
    others = (EvmSigner(TEST_KEYS[0]).address, deployment.vesting, deployment.channels)
    balances = [await chain.fetch_balance(one) for one in (*accounts.values(), *others)]
    assert balances[-1] == 0
    assert sum(balances) == 2 * SUPPLY


async def test_a_chain_out_of_reach_is_asked_again_and_nothing_stops() -> None:
    world = World()
    async with world.provider(FIRST) as provider, world.requester(BUYER, friends=[FIRST]) as buyer:
        await wait_for_sellers(buyer, 1)
        await buy(buyer, FIRST, "before")
        world.ledger.unreachable = True
        with capture_logs() as logs:
            splits = buyer.node.core.splits
            before = splits._looked_at
            await buyer.node._steps.perform(splits.look)
            with trio.fail_after(5):
                await buyer.node.wait_until(
                    lambda: splits._looked_at > before and not splits._is_looking
                )
            await buy(buyer, FIRST, "without a chain")
        assert [line["event"] for line in logs if line["log_level"] == "warning"] == [
            "split_unreadable"
        ]
        world.ledger.unreachable = False
        world.ledger.announce_split(notice=1, pause=1)
        world.ledger.pass_blocks(2)
        with capture_logs() as logs:
            await look(buyer.node)
        assert [line for line in logs if line["event"] == "split"] == [
            {"event": "split", "log_level": "info", "old_epoch": 0, "new_epoch": 1}
        ]
        assert get_epoch(await buy(buyer, FIRST, "after")) == 1
        assert provider.epoch == 1


async def test_a_provider_that_was_away_when_the_pause_ended_is_paid_when_it_starts() -> None:
    world, eager = World(), replace(SettlementSettings(), redeem_above=Wei(1))
    account = make_keys(FIRST).account.address
    async with world.requester(BUYER, friends=[]) as buyer:
        async with world.provider(FIRST, settlement=eager, friends=[BUYER]) as provider:
            await wait_for_sellers(buyer, 1)
            await buy(buyer, FIRST, "before")
            world.ledger.announce_split(notice=1, pause=50)
            world.ledger.pass_blocks(1)
            await wait_redeemed(provider)
            assert world.ledger.balance(account) == 0
        world.ledger.pass_blocks(50)
        async with world.provider(FIRST, settlement=eager) as provider:
            with trio.fail_after(5):
                await provider.wait_until(lambda: world.ledger.balance(account) > 0)
            [channel] = await provider.parts.store.channels()
            state = world.ledger.channel(ChannelId(channel.state.channel))
            assert state is not None
            assert world.ledger.balance(account) == 2 * state.claimed


async def test_what_was_redeemed_is_told_with_its_epoch() -> None:
    world, eager = World(), replace(SettlementSettings(), redeem_above=Wei(1))
    async with (
        world.provider(FIRST, settlement=eager) as provider,
        world.requester(BUYER, friends=[FIRST]) as buyer,
    ):
        await wait_for_sellers(buyer, 1)
        world.ledger.announce_split(notice=1, pause=1)
        world.ledger.pass_blocks(2)
        await look(provider)
        with capture_logs() as logs:
            await buy(buyer, FIRST, "after")
            await wait_redeemed(provider)
        assert {line["epoch"] for line in logs if line["event"] == "redeemed"} == {1}


async def test_a_configuration_that_is_ahead_of_the_token_is_refused(world: AnvilWorld) -> None:
    async with world.requester(BUYER, friends=[]) as exchange:
        node = exchange.node
        ahead = replace(node._configuration, split_epoch=2)
        with pytest.raises(ConfigurationError, match="split_epoch is 2, but"):
            await restore(node.core, node.parts, ahead)
