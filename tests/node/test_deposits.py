"""A node's deposits while its endpoint goes away, and over its restarts."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import pytest
import trio
import trio.testing
from structlog.testing import capture_logs

from p2p_modelex.chain.abc import Outbox
from p2p_modelex.chain.memory import MemoryChain, MemoryLedger
from p2p_modelex.core import effects as fx
from p2p_modelex.core import inputs as given
from p2p_modelex.core.inputs import Input
from p2p_modelex.errors import ChainError, ChainUnreachable, TransactionFailed, TransactionPending
from p2p_modelex.ids import Address, Digest
from p2p_modelex.node.money import DOUBT_PAUSE_S, Money
from p2p_modelex.records.channel import PAYER_SIGNS, ChannelState, ChannelTerms
from p2p_modelex.records.rows import DepositRow
from p2p_modelex.store.memory import MemoryStore
from p2p_modelex.units import AI, Wei
from tests.node.world import DEPLOYMENT

PAYER, PAYEE = Address(b"\x0a" * 20), Address(b"\x0b" * 20)
SALT = Digest(b"\x0c" * 32)
OPENING = fx.OpenChannel(PAYEE, Wei(AI), SALT)


class Shaky(MemoryChain):
    """Signs a deposit, and fails by the errors that are left, the first first."""

    def __init__(self, ledger: MemoryLedger, *errors: ChainError) -> None:
        super().__init__(ledger, PAYER)
        self.errors = list(errors)
        self.outboxes: list[Outbox] = []

    async def open_channel(
        self,
        payee: Address,
        deposit: Wei,
        signer: Address,
        salt: Digest | None = None,
        outbox: Outbox | None = None,
    ) -> ChannelState:
        await self._shake(outbox)
        return await super().open_channel(payee, deposit, signer, salt, outbox)

    async def top_up(
        self, terms: ChannelTerms, amount: Wei, outbox: Outbox | None = None
    ) -> ChannelState:
        await self._shake(outbox)
        return await super().top_up(terms, amount, outbox)

    async def _shake(self, outbox: Outbox | None) -> None:
        assert outbox is not None
        self.outboxes.append(outbox)
        if not outbox.signed:
            await outbox.put(b"signed")
        if self.errors:
            raise self.errors.pop(0)


class Scene:
    """A ledger, a disk, and what a core was told when."""

    def __init__(self) -> None:
        self.ledger = MemoryLedger(DEPLOYMENT, now=lambda: 1, challenge_s=1)
        self.ledger.mint(PAYER, Wei(3 * AI))
        self.store = MemoryStore()
        self.told: list[tuple[float, Input]] = []

    @asynccontextmanager
    async def live(self, chain: MemoryChain | None) -> AsyncGenerator[Money, None]:
        began = trio.current_time()

        async def tell(happened: Input) -> None:
            self.told.append((trio.current_time() - began, happened))

        async with trio.open_nursery() as nursery:
            yield Money(chain, self.store, tell, nursery)

    def open(self) -> ChannelState:
        return self.ledger.open_channel(PAYER, PAYEE, Wei(AI), PAYER_SIGNS, SALT)


@pytest.mark.parametrize("lost", [TransactionPending("not in time"), ChainUnreachable("gone")])
async def test_a_node_stays_at_what_it_signed_until_it_knows(
    autojump_clock: trio.testing.MockClock, lost: ChainError
) -> None:
    scene = Scene()
    async with scene.live(Shaky(scene.ledger, lost, lost)) as money:
        money.open(OPENING)
    doubt = given.ChannelOpenFailed(PAYEE, str(lost), is_pending=True)
    [opened] = scene.ledger.get_channels()
    assert scene.told == [
        (0.0, doubt),
        (DOUBT_PAUSE_S, doubt),
        (2 * DOUBT_PAUSE_S, given.ChannelOpened(PAYEE, opened)),
    ]


async def test_a_doubt_may_end_badly(autojump_clock: trio.testing.MockClock) -> None:
    scene = Scene()
    errors = TransactionPending("not in time"), TransactionFailed("its nonce was taken")
    async with scene.live(Shaky(scene.ledger, *errors)) as money:
        money.top_up(fx.TopUpChannel(PAYEE, scene.open().terms, Wei(AI)))
    assert [one for _, one in scene.told] == [
        given.ChannelOpenFailed(PAYEE, "not in time", is_pending=True),
        given.ChannelOpenFailed(PAYEE, "its nonce was taken"),
    ]


async def test_a_doubt_is_logged_when_it_begins_changes_and_ends(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """A node may stay at it for hours, and looks every ten seconds."""
    scene = Scene()
    late, refused = (TransactionPending(why) for why in ("not in time", "the endpoint refuses it"))
    chain = Shaky(scene.ledger, late, late, refused, refused, late)
    with capture_logs() as logs:
        async with scene.live(chain) as money:
            money.open(OPENING)
    assert [(line["event"], line.get("reason")) for line in logs] == [
        ("deposit_in_doubt", "not in time"),
        ("deposit_in_doubt", "the endpoint refuses it"),
        ("deposit_in_doubt", "not in time"),
        ("deposited", None),
    ]
    assert len(scene.told) == 6  # the core hears each time


@pytest.mark.parametrize("errors", [(), (TransactionFailed("it reverted"),)])
async def test_what_is_signed_after_the_end_is_not_kept(errors: tuple[ChainError, ...]) -> None:
    """A higher offer may be on its way, while the payee's next deposit is on the same place."""
    scene = Scene()
    chain = Shaky(scene.ledger, *errors)
    async with scene.live(chain) as money:
        money.open(OPENING)
    [outbox], kept = chain.outboxes, await scene.store.deposits()
    await outbox.put(b"signed", b"more")
    assert await scene.store.deposits() == kept


async def test_what_was_signed_is_on_disk_and_is_enough_for_the_next_life() -> None:
    scene = Scene()
    state = scene.open()
    asked = fx.TopUpChannel(PAYEE, state.terms, Wei(AI))
    async with scene.live(MemoryChain(scene.ledger, PAYER)) as money:
        money.top_up(asked)
    [row] = await scene.store.deposits()
    assert row == DepositRow(PAYEE, state.channel, Wei(AI), 0, row.signed)  # type: ignore[arg-type]
    assert row.signed
    # Another such deposit could not be paid for.
    scene.ledger.transfer(PAYER, PAYEE, scene.ledger.balance(PAYER))
    again = fx.TopUpChannel(PAYEE, state.terms, Wei(AI), signed=row.signed)
    async with scene.live(MemoryChain(scene.ledger, PAYER)) as money:
        money.top_up(again)
    [(_, first), (_, second)] = scene.told
    assert first == second
    assert isinstance(second, given.ChannelOpened)
    assert second.state.deposit == 2 * AI


async def test_what_was_not_signed_has_failed(autojump_clock: trio.testing.MockClock) -> None:
    scene = Scene()
    scene.ledger.unreachable = True
    async with scene.live(MemoryChain(scene.ledger, PAYER)) as money:
        money.open(OPENING)
    [(_, failed)] = scene.told
    assert isinstance(failed, given.ChannelOpenFailed)
    assert not failed.is_pending
    assert await scene.store.deposits() == ()
