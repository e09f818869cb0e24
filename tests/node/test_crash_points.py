"""A node's disk fails, or its process ends, at every single write of a paid job.

Whatever the write was, the node started again on what survived owes and is owed what was signed:
a few jobs later the books of both ends agree, and the chain has all the money.
"""

from collections.abc import AsyncGenerator
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import trio

from p2p_modelex.engine.memory import MemoryEngine
from p2p_modelex.errors import ModelexError, StoreError
from p2p_modelex.ids import ChannelId, JobId
from p2p_modelex.node.exchange import Exchange
from p2p_modelex.node.node import Node
from p2p_modelex.node.settling import Books, settle
from p2p_modelex.records.rows import ReceiptRow
from p2p_modelex.store.memory import MemoryStore
from p2p_modelex.store.sqlite import SqliteStore
from p2p_modelex.units import Wei
from tests.node.world import DEPLOYMENT, MODEL, PRICE, PURSE, World, make_keys, read_claims
from tests.store.failing import FailingStore, Mode

PROVIDER, BUYER = 1, 2
TOKENS = 100
WINDOW = 64 * PRICE  # ModelSettings.credit_tokens
JOBS_TO_AGREE = 3
LITTLE = Wei(200 * PRICE)  # of which a job may cost 185
LIFE_S = 40.0
WRITES_MIN = 6
CUT_AT = 7
"""The buyer's write that stands for the middle of a job: its second voucher or third."""


@dataclass
class Scene:
    """One provider, one buyer, and a disk of theirs that is going to fail."""

    world: World
    stores: dict[int, FailingStore]
    finished: list[ReceiptRow] = field(default_factory=list)
    """What the buyer was told is done and receipted."""

    @asynccontextmanager
    async def alive(self, number: int) -> AsyncGenerator[None, None]:
        """The block is a node's life: it ends without an error where the disk ends it."""
        with trio.CancelScope() as scope:
            self._on_death = scope.cancel
            try:
                yield
            except StoreError:
                assert self.stores[number].is_struck

    def _die(self) -> None:
        self._on_death()

    def arm(self, number: int, mode: Mode, at: int) -> None:
        self.stores[number].arm(mode, at, self._die)

    def provider(self) -> AbstractAsyncContextManager[Node]:
        engine = MemoryEngine(MODEL, length=TOKENS)
        return self.world.provider(PROVIDER, engine, friends=[BUYER])

    async def buy(self, exchange: Exchange) -> None:
        """A job to its receipt, or to an error of ours."""
        completion = exchange.run("hello", model=MODEL, max_tokens=TOKENS)
        try:
            await completion.wait()
        except ModelexError:
            return
        assert completion.row is not None
        self.finished.append(completion.row)


@asynccontextmanager
async def open_scene(folder: Path | None) -> AsyncGenerator[Scene, None]:
    world = World()
    world.ledger.mint(make_keys(BUYER).account.address, PURSE)
    async with AsyncExitStack() as stack:
        stores = {}
        for number in (PROVIDER, BUYER):
            inner = MemoryStore() if folder is None else SqliteStore(folder / f"{number}.sqlite")
            stores[number] = FailingStore(await stack.enter_async_context(inner))
        world.stores.update(stores)
        yield Scene(world, stores)


async def crash_buyer_with_little(scene: Scene, mode: Mode, at: int) -> None:
    """Its deposits last for a job each."""
    await crash_buyer(scene, mode, at, jobs=2, auto_deposit=LITTLE)


async def crash_buyer(scene: Scene, mode: Mode, at: int, *, jobs: int = 1, **limits: Wei) -> None:
    async with scene.world.provider(PROVIDER, MemoryEngine(MODEL, length=TOKENS)) as provider:
        scene.arm(BUYER, mode, at)
        async with (
            scene.alive(BUYER),
            scene.world.requester(BUYER, friends=[PROVIDER], **limits) as exchange,
        ):
            for _ in range(jobs):
                await scene.buy(exchange)
        scene.stores[BUYER].disarm()
        await provider.wait_until(lambda: provider.core.is_idle)
        async with scene.world.requester(BUYER, friends=[PROVIDER], **limits) as exchange:
            with trio.fail_after(LIFE_S):
                await exchange.node.wait_until(lambda: knows_deposits(scene, exchange))
            await come_to_terms(scene, exchange, provider)
        await check_chain(scene, provider)


async def crash_buyer_again(scene: Scene, mode: Mode, at: int) -> None:
    """It was cut off in mid-job, and goes at some write of its next life."""
    engine = MemoryEngine(MODEL, length=TOKENS)
    async with scene.world.provider(PROVIDER, engine) as provider:
        scene.arm(BUYER, "dies after", CUT_AT)
        await live_and_buy(scene)
        await provider.wait_until(lambda: provider.core.is_idle)
        scene.arm(BUYER, mode, at)
        await live_and_buy(scene)
        await provider.wait_until(lambda: provider.core.is_idle)
        async with scene.world.requester(BUYER, friends=[PROVIDER]) as exchange:
            await come_to_terms(scene, exchange, provider)
        await check_chain(scene, provider, cut=2)


async def live_and_buy(scene: Scene) -> None:
    async with scene.alive(BUYER), scene.world.requester(BUYER, friends=[PROVIDER]) as exchange:
        await scene.buy(exchange)
    scene.stores[BUYER].disarm()


async def crash_provider(scene: Scene, mode: Mode, at: int) -> None:
    async with scene.world.requester(BUYER, friends=[]) as exchange, trio.open_nursery() as nursery:
        bought = trio.Event()

        async def buy() -> None:
            await scene.buy(exchange)
            bought.set()

        scene.arm(PROVIDER, mode, at)
        async with scene.alive(PROVIDER), scene.provider() as provider:
            await exchange.node.wait_until(lambda: len(exchange.nodes()) == 1)
            nursery.start_soon(buy)
            await bought.wait()
            await provider.wait_until(lambda: provider.core.is_idle)
        is_begun = bool(exchange.nodes())
        if is_begun:
            await bought.wait()
        scene.stores[PROVIDER].disarm()
        before = {entry.advertisement.sequence for entry in exchange.nodes()}
        async with scene.provider() as provider:
            await exchange.node.wait_until(
                lambda: {e.advertisement.sequence for e in exchange.nodes()} not in (before, set())
            )
            await come_to_terms(scene, exchange, provider)
            await check_chain(scene, provider)


def knows_deposits(scene: Scene, exchange: Exchange) -> bool:
    """Whether a buyer's channels are as the chain has them."""
    known = exchange.node.core.payer.get_channels()
    return all(scene.world.ledger.channel(ChannelId(one.channel)) == one for one in known)


async def come_to_terms(scene: Scene, exchange: Exchange, provider: Node) -> None:
    """A few jobs later nothing is owed, and both have the same vouchers."""
    check_promises(await held(scene), await issued(scene))
    for _ in range(JOBS_TO_AGREE):
        before = len(scene.finished)
        await scene.buy(exchange)
        await provider.wait_until(lambda: provider.core.is_idle)
        rows = await scene.stores[PROVIDER].received_vouchers()
        owed = sum(row.earned for row in rows)
        if len(scene.finished) > before and owed <= sum((await held(scene)).values()):
            break
    else:
        raise AssertionError("no agreement")
    assert await held(scene) == await issued(scene)


async def held(scene: Scene) -> dict[tuple[bytes, int], int]:
    rows = await scene.stores[PROVIDER].received_vouchers()
    promises = [row.signed.voucher for row in rows]
    return {(promise.channel, promise.lane): promise.amount for promise in promises}


async def issued(scene: Scene) -> dict[tuple[bytes, int], int]:
    rows = await scene.stores[BUYER].issued_vouchers()
    promises = [row.signed.voucher for row in rows]
    return {(promise.channel, promise.lane): promise.amount for promise in promises}


def check_promises(
    provider: dict[tuple[bytes, int], int], buyer: dict[tuple[bytes, int], int]
) -> None:
    """No voucher was acted on that its writer does not know of, or sent that was not durable."""
    for lane, amount in provider.items():
        assert amount <= buyer[lane]


async def check_chain(scene: Scene, provider: Node, *, cut: int = 1) -> None:
    """One deposit, receipts for what is done, and the price of it, or a window more, redeemed."""
    stores, ledger = scene.stores, scene.world.ledger
    for row in scene.finished:
        job = JobId(row.receipt.receipt.job)
        assert await stores[BUYER].receipts(job=job) == (row,)
        [theirs] = await stores[PROVIDER].receipts(job=job)
        assert theirs.receipt == row.receipt
    [known] = await stores[BUYER].channels()
    opened = {one.channel for one in ledger.history.since(0) if one.kind == "opened"}
    assert opened == {known.state.channel}, "the deposit is made once and known"
    assert provider.parts.chain is not None
    promised = sum((await held(scene)).values())
    redemption = await provider.parts.chain.redeem(await read_claims(stores[PROVIDER]))
    assert sum(redemption.credited) == promised
    prices = sum(row.receipt.receipt.price for row in scene.finished)
    assert prices <= promised <= prices + cut * (job_price(scene) + WINDOW)
    state = ledger.channel(ChannelId(known.state.channel))
    assert state is not None
    assert state.deposit == known.state.deposit, "what was added is known"
    got = ledger.balance(make_keys(PROVIDER).account.address)
    left = ledger.balance(make_keys(BUYER).account.address)
    assert got + left + state.deposit - state.claimed == PURSE


def job_price(scene: Scene) -> Wei:
    """What the job that was cut off may have come to: as much as the others."""
    return scene.finished[0].receipt.receipt.price


MODES: tuple[Mode, ...] = ("dies before", "dies after", "fails")
SIDES = {
    "buyer": (BUYER, crash_buyer, 12),
    "buyer with little": (BUYER, crash_buyer_with_little, 19),
    "buyer again": (BUYER, crash_buyer_again, 12),
    "provider": (PROVIDER, crash_provider, 14),
}
"""Who crashes, how, and a write that does not come any more."""


@pytest.mark.slow
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("side", SIDES)
async def test_whatever_write_a_node_ends_at_its_next_life_settles_what_was_signed(
    side: str, mode: Mode
) -> None:
    await crash_at_every_write(side, mode, None)


@pytest.mark.slow
@pytest.mark.parametrize("side", ["buyer with little", "provider"])
async def test_nor_does_it_matter_to_a_real_disk(side: str, tmp_path: Path) -> None:
    await crash_at_every_write(side, "dies after", tmp_path)


async def crash_at_every_write(side: str, mode: Mode, folder: Path | None) -> None:
    """All at once, since a life is mostly waiting for the mesh to notice it."""
    struck: dict[int, bool] = {}
    *_, too_many = SIDES[side]
    async with trio.open_nursery() as nursery:
        for at in range(1, too_many + 1):
            place = None if folder is None else folder / str(at)
            if place is not None:
                place.mkdir()
            nursery.start_soon(crash_once, side, mode, at, place, struck)
    # How many vouchers a job takes varies a little with the time it takes.
    assert all(struck[at] for at in range(1, WRITES_MIN + 1))
    assert not struck[too_many]


async def crash_once(
    side: str, mode: Mode, at: int, folder: Path | None, struck: dict[int, bool]
) -> None:
    number, crash, _ = SIDES[side]
    try:
        with trio.fail_after(LIFE_S):
            async with open_scene(folder) as scene:
                await crash(scene, mode, at)
                struck[at] = scene.stores[number].was_struck
    except BaseException as error:
        error.add_note(f"{side} {mode} write {at}")
        raise


async def test_a_settlement_that_was_not_noted_is_not_paid_twice() -> None:
    async with open_scene(None) as scene, scene.world.provider(PROVIDER) as provider:
        async with scene.world.requester(BUYER, friends=[PROVIDER]) as exchange:
            await come_to_terms(scene, exchange, provider)
        chain, account = provider.parts.chain, make_keys(PROVIDER).account.address
        assert chain is not None
        books = Books(chain, scene.stores[PROVIDER], DEPLOYMENT, make_keys(PROVIDER))
        scene.arm(PROVIDER, "dies before", 1)
        async with scene.alive(PROVIDER):
            await settle(books)
        scene.stores[PROVIDER].disarm()
        got = await chain.fetch_balance(account)
        assert got == sum((await held(scene)).values()) > 0
        [again] = await settle(books)
        assert (again.credited, again.skipped) == (0, again.vouchers)
        assert await chain.fetch_balance(account) == got
        assert await settle(books) == []
