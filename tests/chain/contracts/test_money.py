"""Vesting, the wrapped token, farms and permits: what holds $AI, or lets somebody take it."""

from dataclasses import replace

import pytest

from p2p_modelex.chain.contracts.farm import Farm, Member
from p2p_modelex.chain.contracts.token import Token
from p2p_modelex.chain.contracts.vesting import Vesting
from p2p_modelex.chain.contracts.wrapped import Wrapped
from p2p_modelex.core.ledger.amount import Amount
from p2p_modelex.errors import BadInput
from p2p_modelex.units import AI, Epoch, Wei
from tests.chain.contracts.conftest import NOTICE_BLOCKS, PAUSE_BLOCKS, Place, refused
from tests.chain.worlds import new_key

YEAR_S = 365 * 24 * 3600
NOTICE_S = 1000


def ai(number: int, epoch: int = 0) -> Amount:
    return Amount(Wei(number * AI), Epoch(epoch))


async def test_a_grant_vests_after_its_cliff(splitting: Place) -> None:
    founder = await splitting.owner()
    vesting = Vesting(founder)
    [grant] = await vesting.fetch_grants()
    assert (grant.beneficiary, grant.share) == (founder.account, 1_000_000)
    assert (grant.cliff, grant.duration) == (YEAR_S, 4 * YEAR_S)
    assert await vesting.fetch_received() == ai(150_000_000)
    before = await vesting.fetch_vested(founder.account)
    assert (before.released, before.releasable) == (ai(0), ai(0))
    assert (await vesting.release(founder.account)).events == ()

    await splitting.pass_time(2 * YEAR_S)
    half = ai(75_000_000).wei
    due = (await vesting.fetch_vested(founder.account)).releasable.wei
    assert 0 <= due - half < half // 10**4  # and some hours since the start
    sent = await vesting.release(founder.account)
    assert due <= sent.event("Released")["amount"] < due + due // 10**4
    after = await vesting.fetch_vested(founder.account)
    assert after.released.wei == sent.event("Released")["amount"]
    await refused("NoGrant", vesting.fetch_vested(new_key().address))


async def test_what_is_wrapped_does_not_change_by_a_split(splitting: Place) -> None:
    holder, owner = await splitting.newcomer(), await splitting.owner()
    wrapped = Wrapped(holder)
    sent = await wrapped.wrap(ai(3))
    assert sent.event("Wrapped")["wrapped"] == 3 * AI
    await Token(owner).announce_split()
    await splitting.mine(NOTICE_BLOCKS + PAUSE_BLOCKS)
    assert await wrapped.fetch_balance(holder.account) == 3 * AI
    assert await wrapped.fetch_worth(Wei(3 * AI)) == ai(6, 1)
    await wrapped.unwrap(Wei(2 * AI))
    assert await wrapped.fetch_balance(holder.account) == AI
    assert await Token(holder).fetch_balance(holder.account) == ai(2 * 97 + 4, 1)
    error = await refused("TooSmall", wrapped.wrap(Amount(Wei(1), Epoch(1))))
    assert error.arguments == {"amount": 1, "unit": 2}
    error = await refused("ERC20InsufficientBalance", wrapped.unwrap(Wei(2 * AI)))
    assert error.hint == f"0x{holder.account.hex()} holds 1, it takes 2"


async def test_a_farm_splits_its_income_by_weight(place: Place) -> None:
    owner, payer = await place.newcomer(), await place.newcomer()
    one, two = new_key().address, new_key().address
    members = [Member(one, 3), Member(two, 1)]
    farm, sent = await Farm.found(owner, owner.account, NOTICE_S, members)
    assert sent.event("TermsBegan")["terms"] == 1
    standing = await farm.fetch_standing()
    assert (standing.owner, standing.current, standing.announced) == (owner.account, 1, 0)
    assert standing.notice_s == NOTICE_S

    await Token(payer).transfer(farm.address, ai(8))
    terms = await farm.fetch_terms(1)
    assert (terms.income, terms.members, terms.closed) == (ai(8), tuple(members), False)
    assert await farm.fetch_due(one, 1) == ai(6)
    anyone = Farm(payer, farm.address)
    assert (await anyone.release(one, 1, 1)).event("Released")["amount"] == 6 * AI
    assert await farm.fetch_due(one, 1) == ai(0)
    assert await Token(payer).fetch_balance(one) == ai(6)

    await farm.announce([Member(two, 1)])
    error = await refused("TooEarly", anyone.begin())
    assert error.hint.startswith("the announced terms may begin at 20")
    await place.pass_time(NOTICE_S)
    assert (await anyone.begin()).event("TermsBegan")["income"] == 8 * AI
    assert (await farm.fetch_standing()).current == 2
    assert (await farm.fetch_terms(1)).closed
    await farm.announce(members)
    await farm.cancel()
    await refused("NothingAnnounced", farm.begin())
    await refused("NoSuchTerms", farm.release(one, 1, 9))
    await refused("InvalidMember", farm.announce([Member(one, 1), Member(one, 2)]))
    await refused("OwnableUnauthorizedAccount", anyone.cancel())


async def test_a_permit_is_used_by_anyone_and_once(splitting: Place) -> None:
    holder, relayer = Token(await splitting.newcomer()), Token(await splitting.newcomer())
    spender = new_key().address
    permit, signature = await holder.sign_permit(spender, ai(2), 100)
    forged = replace(permit, wei=Wei(3 * AI))
    error = await refused("NotSignedBy", relayer.use_permit(forged, signature))
    assert f"have 0x{permit.holder.hex()} sign it" in error.hint
    await relayer.use_permit(permit, signature)
    assert await relayer.fetch_allowance(permit.holder, spender) == ai(2)
    await refused("NotSignedBy", relayer.use_permit(permit, signature))

    permit, signature = await holder.sign_permit(spender, ai(3), 100)
    await splitting.pass_time(101)
    error = await refused("PermitExpired", relayer.use_permit(permit, signature))
    assert "it was good until 20" in error.hint


async def test_a_permit_comes_through_a_split(splitting: Place) -> None:
    holder, owner = Token(await splitting.newcomer()), Token(await splitting.owner())
    spender = new_key().address
    permit, signature = await holder.sign_permit(spender, ai(2), 10_000)
    await owner.announce_split()
    await splitting.mine(NOTICE_BLOCKS + PAUSE_BLOCKS)
    await owner.use_permit(permit, signature)
    assert await owner.fetch_allowance(permit.holder, spender) == ai(4, 1)
    permit, signature = await holder.sign_permit(spender, ai(10, 1), 10_000)
    await owner.use_permit(permit, signature)
    assert await owner.fetch_allowance(permit.holder, spender) == ai(10, 1)


async def test_an_allowance_of_less_is_named(place: Place) -> None:
    holder, taker = await place.newcomer(), await place.newcomer()
    await Token(holder).approve(taker.account, ai(1))
    take = Token(taker).tell("transferFrom", holder.account, taker.account, 2 * AI)
    error = await refused("ERC20InsufficientAllowance", take)
    assert error.hint == f"0x{taker.account.hex()} may take 1 and wants 2"
    with pytest.raises(BadInput, match="bad arguments of transfer"):
        await Token(holder).tell("transfer", "nobody", -1)
