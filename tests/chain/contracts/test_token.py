import pytest

from p2p_modelex.chain.contracts.token import Split, Token
from p2p_modelex.core.ledger.amount import Amount
from p2p_modelex.errors import BadInput, Reverted
from p2p_modelex.units import AI, Epoch, Wei
from tests.chain.contracts.conftest import NOTICE_BLOCKS, PAUSE_BLOCKS, Place
from tests.chain.worlds import FULL, new_key


def ai(number: int, epoch: int = 0) -> Amount:
    return Amount(Wei(number * AI), Epoch(epoch))


async def test_transfers_and_allowances(place: Place) -> None:
    alice, bob = await place.newcomer(), new_key().address
    token = Token(alice)
    sent = await token.transfer(bob, ai(3))
    assert sent.event("Transfer")["value"] == 3 * AI
    assert await token.fetch_balance(bob) == ai(3)
    assert await token.fetch_balance(alice.account) == Amount(Wei(FULL - 3 * AI), Epoch(0))
    assert await token.fetch_supply() == ai(10**9)

    assert await token.fetch_allowance(alice.account, bob) == ai(0)
    await token.approve(bob, ai(2))
    assert await token.fetch_allowance(alice.account, bob) == ai(2)
    await token.approve(bob, None)
    assert await token.fetch_allowance(alice.account, bob) is None


async def test_ownership_goes_over_in_two_steps(splitting: Place) -> None:
    owner, heir = await splitting.owner(), await splitting.newcomer()
    await Token(owner).offer_ownership(heir.account)
    assert await Token(heir).fetch_owner() == (owner.account, heir.account)
    await Token(heir).accept_ownership()
    assert await Token(heir).fetch_owner() == (heir.account, None)


async def test_a_split_doubles_what_amounts_say(splitting: Place) -> None:
    token = Token(await splitting.owner())
    other = new_key().address
    await token.transfer(other, ai(5))
    assert (await token.fetch_split()).state == "none"
    await token.announce_split()
    announced = await token.fetch_split()
    pauses_at = announced.head + NOTICE_BLOCKS
    assert announced == Split(Epoch(0), announced.head, pauses_at, pauses_at + PAUSE_BLOCKS)
    assert announced.state == "announced"

    await splitting.mine(NOTICE_BLOCKS)
    assert (await token.fetch_split()).state == "paused"
    with pytest.raises(Reverted) as refused:
        await token.transfer(other, ai(1))
    assert refused.value.name == "TransfersPaused"
    assert refused.value.arguments == {"splitsAt": announced.splits_at}
    assert f"block {announced.splits_at} (about 2" in refused.value.hint

    await splitting.mine(PAUSE_BLOCKS)
    after = await token.fetch_split()
    assert (after.state, after.epoch, after.splits_at) == ("none", 1, 0)
    assert await token.fetch_balance(other) == ai(10, 1)
    await token.transfer(other, ai(5).rescale(after.epoch))
    assert await token.fetch_balance(other) == ai(20, 1)
    for epoch in (0, 2):
        with pytest.raises(BadInput, match=f"of split epoch {epoch}, the token is in epoch 1"):
            await token.transfer(other, ai(1, epoch))


async def test_a_split_can_be_cancelled(splitting: Place) -> None:
    token = Token(await splitting.owner())
    await token.announce_split()
    assert (await token.cancel_split()).event("SplitCancelled") == {"epoch": 1}
    assert (await token.fetch_split()).state == "none"
