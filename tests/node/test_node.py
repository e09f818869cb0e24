"""Whole nodes against each other, everything real but the outside."""

import pytest
import trio
import trio.testing
from structlog.testing import capture_logs

from p2p_modelex.core.effects import RunRestarted
from p2p_modelex.core.exchange.parameters import PROTOCOL as EXCHANGE
from p2p_modelex.core.exchange.verification import verify_receipt_row
from p2p_modelex.engine.memory import Fault, MemoryEngine
from p2p_modelex.errors import ModelexError, NoProvider
from p2p_modelex.node.configuration import Configuration
from p2p_modelex.node.exchange import Terms
from p2p_modelex.node.node import FLUSH_S
from p2p_modelex.units import AI, Wei, format_ai
from tests.node.world import (
    DEPLOYMENT,
    MODEL,
    PRICE,
    World,
    make_keys,
    peer_of,
    read_claims,
    wait_for_sellers,
)


async def test_a_prompt_is_answered_signed_and_paid() -> None:
    world = World()
    async with world.provider(1) as provider, world.requester(2, friends=[1]) as exchange:
        await wait_for_sellers(exchange, 1)
        completion = exchange.run("hello", model=MODEL, max_tokens=16)
        text = await completion.wait()
        assert text
        assert completion.row is not None
        verify_receipt_row(completion.row, DEPLOYMENT.registry_domain, None)
        assert completion.paid == completion.row.receipt.receipt.price > 0
        with trio.fail_after(5):
            await provider.wait_until(lambda: provider.core.is_idle)
        held = await provider.parts.store.received_vouchers()
        assert [row.signed.voucher.amount for row in held] == [completion.paid]


async def test_a_crash_in_mid_stream_leads_to_the_next_provider() -> None:
    world = World()
    brittle = MemoryEngine(MODEL, fault=Fault("crash", after_pieces=3))
    cheap, dear = Wei(PRICE // 10), PRICE
    async with (
        world.provider(1, brittle, price=cheap),
        world.provider(2, price=dear),
        world.requester(3, friends=[1, 2]) as exchange,
    ):
        await wait_for_sellers(exchange, 2)
        for _ in range(6):  # routing is a draw: the brittle one is met sooner or later
            completion = exchange.run("hello", model=MODEL, max_tokens=16)
            failovers = [piece async for piece in completion if isinstance(piece, RunRestarted)]
            assert completion.row is not None
            if failovers:
                break
        assert failovers[0].why.code == "engine"
        assert completion.provider == make_keys(2).peer.peer


async def test_unknown_models_and_prices_over_the_ceiling_name_the_way_out() -> None:
    world = World()
    async with world.provider(1), world.requester(2, friends=[1]) as exchange:
        await wait_for_sellers(exchange, 1)
        with pytest.raises(NoProvider, match=MODEL):
            await exchange.run("hello", model="memori").wait()
        terms = Terms(max_cost=Wei(1))
        with pytest.raises(ModelexError):
            await exchange.run("hello", model=MODEL, terms=terms).wait()


async def test_a_requester_without_money_is_told_so() -> None:
    world = World()
    async with (
        world.provider(1),
        world.requester(2, friends=[1], money=Wei(0)) as exchange,
    ):
        await wait_for_sellers(exchange, 1)
        with capture_logs() as logs, pytest.raises(ModelexError) as caught:
            await exchange.run("hello", model=MODEL).wait()
        wants = format_ai(Configuration().requester.auto_deposit)
        poor = f"the account has 0 AI, the deposit wants {wants} (requester.auto_deposit)"
        assert str(caught.value) == f"no_channel: {poor}"
        assert [line["log_level"] for line in logs if line.get("reason") == poor] == ["info"]


async def test_a_top_up_the_account_cannot_pay_is_not_sent() -> None:
    world = World()
    small = {"auto_deposit": Wei(100 * PRICE), "max_deposits": Wei(1000 * PRICE)}
    async with (
        world.provider(1) as provider,
        world.requester(2, friends=[1], money=Wei(100 * PRICE), **small) as exchange,
    ):
        await wait_for_sellers(exchange, 1)
        with pytest.raises(ModelexError, match="the account has 0 AI, the deposit wants"):
            for _ in range(30):
                await exchange.run("hello", model=MODEL, max_tokens=8).wait()
                with trio.fail_after(5):
                    await provider.wait_until(lambda: provider.core.is_idle)
        [channel] = await exchange.node.parts.store.channels()
        assert channel.state.deposit == 100 * PRICE


async def test_leaving_the_iteration_cancels_the_job_and_pays_what_came() -> None:
    world = World()
    slow = MemoryEngine(MODEL, delay_s=0.01)
    async with world.provider(1, slow) as provider, world.requester(2, friends=[1]) as exchange:
        await wait_for_sellers(exchange, 1)
        completion = exchange.run("hello", model=MODEL, max_tokens=64)
        pieces = 0
        pieces_stream = completion.__aiter__()
        async for _ in pieces_stream:
            pieces += 1
            if pieces == 3:
                break
        await pieces_stream.aclose()
        with trio.fail_after(5):
            await provider.wait_until(lambda: provider.core.is_idle)
        receipts = await provider.parts.store.receipts()
        assert receipts[0].receipt.receipt.completion_tokens < 64


async def test_money_is_conserved_through_settlement() -> None:
    world = World()
    async with world.provider(1) as provider, world.requester(2, friends=[1]) as exchange:
        await wait_for_sellers(exchange, 1)
        paid = 0
        for number in range(5):
            completion = exchange.run(f"prompt {number}", model=MODEL, max_tokens=8)
            await completion.wait()
            paid += completion.paid
        with trio.fail_after(5):
            await provider.wait_until(lambda: provider.core.is_idle)
        assert provider.parts.chain is not None
        redemption = await provider.parts.chain.redeem(await read_claims(provider.parts.store))
        assert sum(redemption.credited) == paid
        account = make_keys(1).account.address
        assert await provider.parts.chain.fetch_balance(account) == paid
        assert world.ledger.supply == 100 * AI


async def test_a_leaving_node_refuses_new_jobs_and_is_not_held_up_by_silent_streams() -> None:
    world = World()
    async with world.provider(1) as provider, world.requester(2, friends=[1]) as exchange:
        await wait_for_sellers(exchange, 1)
        network = exchange.node.parts.network
        for _ in range(3):
            await network.open_stream(provider.peer, EXCHANGE, frame_limit=100)
        with trio.fail_after(FLUSH_S + 2):
            await provider.leave()
        with pytest.raises(ModelexError):
            await exchange.run("hello", model=MODEL).wait()


async def test_a_leaving_node_has_told_its_neighbours() -> None:
    world = World()
    async with world.provider(1) as provider, world.requester(2, friends=[1]) as exchange:
        await wait_for_sellers(exchange, 1)
        await provider.leave()
        entry = exchange.node.core.directory.get(provider.peer)
        assert entry is not None
        assert entry.withdrawn


async def test_jobs_in_hand_are_finished_and_paid_before_leaving() -> None:
    world = World()
    slow = MemoryEngine(MODEL, delay_s=0.005)
    async with world.provider(1, slow) as provider, world.requester(2, friends=[1]) as exchange:
        await wait_for_sellers(exchange, 1)
        completion = exchange.run("hello", model=MODEL, max_tokens=32)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(completion.wait)
            with trio.fail_after(5):
                await provider.wait_until(lambda: not provider.core.is_idle)
            await provider.leave()
        assert completion.row is not None
        held = await provider.parts.store.received_vouchers()
        assert sum(row.signed.voucher.amount for row in held) == completion.paid


async def test_a_caller_that_left_its_events_unread_is_told(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("p2p_modelex.node.driver.RUN_EVENTS_MAX", 2)
    world = World()
    slow = MemoryEngine(MODEL, delay_s=0.04)  # each piece is a chunk
    async with world.provider(1, slow) as provider, world.requester(2, friends=[1]) as exchange:
        await wait_for_sellers(exchange, 1)
        completion = exchange.run("hello", model=MODEL, max_tokens=64)
        with pytest.raises(ModelexError, match="unread"):
            async for _ in completion:
                await trio.sleep(0.5)
        with trio.fail_after(5):
            await provider.wait_until(lambda: provider.core.is_idle)
        receipts = await provider.parts.store.receipts()
        assert receipts[0].receipt.receipt.completion_tokens < 64


async def test_a_channel_is_topped_up_when_it_runs_out() -> None:
    world = World()
    small = {"auto_deposit": Wei(100 * PRICE), "max_deposits": Wei(150 * PRICE)}
    async with (
        world.provider(1) as provider,
        world.requester(2, friends=[1], **small) as exchange,
    ):
        await wait_for_sellers(exchange, 1)
        paid = 0
        for _ in range(30):
            completion = exchange.run("hello", model=MODEL, max_tokens=8)
            await completion.wait()
            paid += completion.paid
            with trio.fail_after(5):
                await provider.wait_until(lambda: provider.core.is_idle)
        [channel] = await exchange.node.parts.store.channels()
        assert channel.state.deposit >= paid > 100 * PRICE
        held = await provider.parts.store.received_vouchers()
        assert sum(row.signed.voucher.amount for row in held) == paid


async def test_a_provider_that_moved_is_found_in_the_dht() -> None:
    world = World()
    async with (
        world.provider(3, price=Wei(PRICE * 50)),
        world.provider(1, announce=("/memory/999",), friends=[3]),
        world.requester(2, friends=[3]) as exchange,
    ):
        await wait_for_sellers(exchange, 2)
        terms = Terms(only=(peer_of(1),))
        assert await exchange.run("hello", model=MODEL, max_tokens=8, terms=terms).wait()


async def test_a_known_seller_is_found_without_a_bootstrap_peer(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("p2p_modelex.node.joining.GRACE_S", 0)
    world = World()
    async with world.provider(1), world.provider(3, friends=[1]):
        async with world.requester(2, friends=[1]) as exchange:
            await wait_for_sellers(exchange, 2)
        world.mesh.cut(peer_of(2), peer_of(3))
        async with world.requester(2, friends=[]) as exchange:
            assert await exchange.node.wait_synced(5)
            assert exchange.node.parts.network.connected() == (peer_of(1),)
            terms = Terms(only=(peer_of(1),))
            assert await exchange.run("hello", model=MODEL, max_tokens=8, terms=terms).wait()


async def test_known_peers_are_left_alone_where_a_bootstrap_peer_answers(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("p2p_modelex.node.joining.GRACE_S", 5)
    world = World()
    async with world.provider(1), world.provider(3, friends=[1]):
        for _ in range(2):
            async with world.requester(2, friends=[1]) as exchange:
                await wait_for_sellers(exchange, 2)
                await trio.testing.wait_all_tasks_blocked()
                assert exchange.node.parts.network.connected() == (peer_of(1),)
