"""A split of the token, the same on every chain: announced, paused, doubled."""

from collections.abc import AsyncGenerator

import pytest

from p2p_modelex.chain.devnet import Engine, bring_up
from p2p_modelex.errors import TransactionFailed
from p2p_modelex.records import voucher as voucher_record
from p2p_modelex.records.channel import ChannelState, Claim
from p2p_modelex.records.signers import EvmSigner
from p2p_modelex.records.split import SplitState
from p2p_modelex.records.voucher import Voucher
from p2p_modelex.units import AI, Epoch, Wei
from tests.chain.worlds import (
    CHALLENGE_S,
    NOTICE,
    PAUSE,
    EvmWorld,
    MemoryWorld,
    World,
    authorize,
    new_key,
)


@pytest.fixture(params=["memory", "anvil", "pyevm"])
async def fresh(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> AsyncGenerator[World, None]:
    """A world of its own: a split is for ever."""
    if request.param == "memory":
        yield MemoryWorld()
        return
    engine: Engine = request.param
    file = tmp_path_factory.mktemp("network") / "network.toml"
    async with (
        bring_up(file, {}, engine=engine, challenge_s=CHALLENGE_S) as (net, deployment),
        EvmWorld(net.url, deployment) as world,
    ):
        yield world


def promise(
    world: World, channel: ChannelState, key: EvmSigner, amount: int, epoch: int, lane: int = 0
) -> Claim:
    voucher = Voucher(channel.channel, lane, Wei(amount), epoch)
    return Claim(channel.terms, voucher_record.sign(voucher, world.deployment.channels_domain, key))


async def test_a_split_pauses_transfers_and_then_doubles_every_amount(fresh: World) -> None:
    world = fresh
    key, payer = await world.new_account(Wei(100 * AI))
    payee_key, payee = await world.new_account(Wei(0))
    channel = await payer.open_channel(payee_key.address, Wei(10 * AI), key.address)
    name = channel.terms
    first = promise(world, channel, key, 2 * AI + 1, 0)
    assert (await payee.redeem([first])).credited == (2 * AI + 1,)
    early = promise(world, channel, key, 9 * AI, 1, lane=3)
    assert (await payee.redeem([early])).credited == (0,), "of an epoch that is not yet"
    signed = authorize(world, key, new_key().address, 3 * AI)

    await world.announce_split()
    split = await payer.fetch_split()
    announced = split.block
    assert split == SplitState(Epoch(0), announced, announced + NOTICE, announced + NOTICE + PAUSE)
    with pytest.raises(TransactionFailed, match="SplitPending"):
        await world.announce_split()
    assert not split.is_paused
    await payer.transfer(new_key().address, Wei(AI))

    await world.pass_blocks(NOTICE - 3)
    assert not (await payer.fetch_split()).is_paused
    await world.pass_blocks(1)
    paused = await payer.fetch_split()
    assert paused.is_paused
    assert (paused.epoch, paused.splits_at) == (0, split.splits_at)
    refusal = rf"TransfersPaused\(splitsAt={split.splits_at}\)"
    for attempt in (
        payer.transfer(new_key().address, Wei(1)),
        payer.open_channel(new_key().address, Wei(1), key.address),
        payer.top_up(name, Wei(1)),
    ):
        with pytest.raises(TransactionFailed, match=refusal):
            await attempt

    await world.pass_blocks(PAUSE)
    assert (await payer.fetch_split()).is_paused is False, "the next block has it behind it"
    await world.pass_blocks(1)
    after = await payer.fetch_split()
    assert (after.epoch, after.pauses_at, after.splits_at) == (1, 0, 0)
    assert await payer.fetch_epoch() == 1
    assert await payer.fetch_balance(payer.account) == 2 * 89 * AI
    assert await payee.fetch_balance(payee.account) == 2 * (2 * AI + 1)
    state = await payer.fetch_channel(name)
    assert state is not None
    assert (state.epoch, state.deposit) == (0, 10 * AI), "nobody has touched it"

    # A voucher of before counts twice; amounts are the token's, and vouchers go on in either.
    second = promise(world, channel, key, 3 * AI, 0)
    assert (await payee.redeem([first, second])).credited == (0, 2 * (AI - 1))
    third = promise(world, channel, key, 6 * AI + 1, 1)
    assert (await payee.redeem([third])).credited == (1,)
    assert await payee.fetch_balance(payee.account) == 6 * AI + 1
    await payee.transfer_authorized(*signed)
    assert await payee.fetch_balance(signed[0].to) == 2 * 3 * AI
    topped = await payer.top_up(name, Wei(5))
    assert (topped.epoch, topped.deposit, topped.claimed) == (1, 20 * AI + 5, 6 * AI + 1)

    await payer.start_close(name)
    await world.pass_time(CHALLENGE_S + 1)
    closed = await payer.finish_close(name)
    assert closed.deposit == closed.claimed == 6 * AI + 1
    assert await payer.fetch_balance(payer.account) == 2 * 96 * AI - (6 * AI + 1)


async def test_what_was_claimed_in_the_pause_is_paid_out_without_another_voucher(
    fresh: World,
) -> None:
    world = fresh
    key, payer = await world.new_account(Wei(100 * AI))
    payee_key, payee = await world.new_account(Wei(0))
    _, anyone = await world.new_account(Wei(0))
    channel = await payer.open_channel(payee_key.address, Wei(10 * AI), key.address)
    await world.announce_split()
    await world.pass_blocks(NOTICE)
    claim = promise(world, channel, key, 10 * AI, 0)
    assert (await payee.redeem([claim])).credited == (10 * AI,)
    with pytest.raises(TransactionFailed, match="TransfersPaused"):
        await payee.pay_out(payee.account)
    closed = await payee.close_as_payee(channel.terms)
    assert closed.deposit == closed.claimed, "nothing is left to transfer, so nothing is paused"
    await world.pass_blocks(PAUSE + 1)
    assert await anyone.pay_out(payee.account) == 20 * AI
    assert await payee.fetch_balance(payee.account) == 20 * AI
    assert await payee.pay_out(payee.account) == 0
