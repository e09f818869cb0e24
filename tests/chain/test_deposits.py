"""A port makes a deposit once, whose answer was lost or whose node died."""

import pytest
import trio

from p2p_modelex.chain.evm.port import EvmChain
from p2p_modelex.chain.evm.rpc import Rpc
from p2p_modelex.errors import StoreError, TransactionFailed, TransactionPending
from p2p_modelex.ids import Digest
from p2p_modelex.records.channel import ChannelState, ChannelTerms
from p2p_modelex.units import AI, Wei
from tests.chain.pool import Disk
from tests.chain.worlds import EvmWorld, World, new_key

SALT = Digest(b"\5" * 32)


async def test_a_top_up_whose_answer_was_lost_is_not_done_twice(world: World) -> None:
    key, payer = await world.new_account()
    channel = await payer.open_channel(new_key().address, Wei(AI), payer.account)
    disk = Disk()
    topped = await payer.top_up(channel.terms, Wei(AI), disk.open())
    assert topped.deposit == 2 * AI
    assert await payer.top_up(channel.terms, Wei(AI), disk.open()) == topped
    async with world.port(key, world.deployment) as later:
        assert await later.top_up(channel.terms, Wei(AI), disk.open()) == topped
        another = await later.top_up(channel.terms, Wei(AI), Disk().open())
    assert another.deposit == 3 * AI


@pytest.mark.parametrize("is_opening", [True, False])
async def test_a_deposit_that_was_made_and_cannot_be_read_has_not_failed(
    evm: EvmWorld, monkeypatch: pytest.MonkeyPatch, is_opening: bool
) -> None:
    key, other = await evm.new_account()
    payee, disk = new_key().address, Disk()
    there = await other.open_channel(payee, Wei(AI), other.account)
    async with EvmChain(evm.url, evm.deployment, key, poll_s=0.01) as port:

        async def deposit() -> ChannelState:
            if is_opening:
                return await port.open_channel(payee, Wei(AI), key.address, SALT, disk.open())
            return await port.top_up(there.terms, Wei(AI), disk.open())

        async def refuse(terms: ChannelTerms, block: str) -> None:
            if disk.signed:
                raise TransactionFailed("a read was refused: out of gas")

        with monkeypatch.context() as patch:
            patch.setattr(port._channels, "fetch", refuse)
            for _ in range(2):
                with pytest.raises(TransactionPending, match="cannot be read"):
                    await deposit()
        assert (await deposit()).deposit == (AI if is_opening else 2 * AI)
        assert await port.fetch_balance(key.address) == 98 * AI


async def test_a_top_up_is_not_told_of_a_state_before_its_block(
    evm: EvmWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One machine of an endpoint may be behind the other, that had the receipt: the payer would top
    up once more.
    """
    key, payer = await evm.new_account()
    channel = await payer.open_channel(new_key().address, Wei(AI), payer.account)
    topped = list[ChannelState]()
    async with (
        EvmChain(evm.url, evm.deployment, key, confirmations=2, poll_s=0.01) as port,
        Rpc(evm.url) as rpc,
    ):
        await rpc.call("anvil_mine", "0x2", retry=False)
        fetch = port._channels.fetch

        async def fetch_behind(terms: ChannelTerms, block: str) -> ChannelState | None:
            return channel if block == "latest" else await fetch(terms, block)

        monkeypatch.setattr(port._channels, "fetch", fetch_behind)

        async def top_up() -> None:
            topped.append(await port.top_up(channel.terms, Wei(AI), Disk().open()))

        with trio.fail_after(20):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(top_up)
                while await payer.fetch_channel(channel.terms) == channel:
                    await trio.sleep(0.01)
                await trio.sleep(0.1)
                await rpc.call("anvil_mine", "0x2", retry=False)
    assert [state.deposit for state in topped] == [2 * AI]


async def test_an_opening_with_an_outbox_is_done_once(world: World) -> None:
    _, payer = await world.new_account()
    payee, disk = new_key().address, Disk()
    opened = await payer.open_channel(payee, Wei(AI), payer.account, SALT, disk.open())
    assert disk.signed
    assert await payer.open_channel(payee, Wei(AI), payer.account, SALT, disk.open()) == opened
    assert await payer.fetch_balance(payer.account) == 99 * AI


async def test_a_port_sends_no_deposit_that_it_cannot_keep(world: World) -> None:
    _, payer = await world.new_account()
    channel = await payer.open_channel(new_key().address, Wei(AI), payer.account)
    disk = Disk()
    disk.is_full = True
    with pytest.raises(StoreError):
        await payer.top_up(channel.terms, Wei(AI), disk.open())
    with pytest.raises(StoreError):
        await payer.open_channel(new_key().address, Wei(AI), payer.account, SALT, disk.open())
    assert await payer.fetch_balance(payer.account) == 99 * AI


async def test_a_top_up_that_is_mined_in_the_next_life_is_found(on_anvil: EvmWorld) -> None:
    """The endpoint lost it from its pool, and has it again from who is back."""
    key, payer = await on_anvil.new_account()
    channel = await payer.open_channel(new_key().address, Wei(AI), payer.account)
    disk, topped = Disk(), list[ChannelState]()
    async with Rpc(on_anvil.url) as rpc, on_anvil.port(key, on_anvil.deployment) as later:

        async def resume() -> None:
            topped.append(await later.top_up(channel.terms, Wei(AI), disk.open()))

        await rpc.call("evm_setAutomine", False, retry=False)
        try:
            assert isinstance(payer, EvmChain)
            payer._sender._receipt_timeout_s = 0.1
            with pytest.raises(TransactionPending, match="was not mined"):
                await payer.top_up(channel.terms, Wei(AI), disk.open())
            await rpc.call("anvil_dropAllTransactions", retry=False)
            with trio.fail_after(20):
                async with trio.open_nursery() as nursery:
                    assert isinstance(later, EvmChain)
                    later._sender._repair_s = 0.05
                    nursery.start_soon(resume)
                    while not int((await rpc.call("txpool_status"))["pending"], 16):
                        await trio.sleep(0.01)
                    await rpc.call("evm_mine", retry=False)
        finally:
            await rpc.call("evm_setAutomine", True, retry=False)
    assert [state.deposit for state in topped] == [2 * AI]
    assert await payer.fetch_balance(payer.account) == 98 * AI
