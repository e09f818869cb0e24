from dataclasses import replace

from p2p_modelex.chain.contracts.blocks import Blocks, Derivative, Offer, Use
from p2p_modelex.chain.contracts.token import Token
from p2p_modelex.ids import Digest
from tests.chain.contracts.conftest import Place
from tests.chain.contracts.scenes import ai, refused
from tests.chain.worlds import new_key

HOUR_S = 3600
OFFER = Offer(
    manifest=Digest(b"\1" * 32),
    terms=Digest(b"\2" * 32),
    price=ai(5),
    duration_s=HOUR_S,
    max_lessees=1,
    use=Use.FINE_TUNE,
    uri="https://example.org/data",
)


async def test_a_lease_from_its_offer_to_its_end(place: Place) -> None:
    creator, lessee = await place.newcomer(), await place.newcomer()
    blocks, leases = Blocks(creator), Blocks(lessee)
    before = await blocks.fetch_count()
    block = Digest((await blocks.offer(OFFER)).event("Offered")["id"])
    found = await leases.fetch_block(block)
    assert (found.creator, found.offer, found.retired) == (creator.account, OFFER, False)

    assert not await leases.has_lease(block, lessee.account)
    said = (await leases.lease(block, ai(5), lessee.account)).event("Leased")
    assert await leases.has_lease(block, lessee.account)
    assert await leases.fetch_leased_until(block, lessee.account) == said["until"]
    with refused("NoSeatFree"):
        await leases.lease(block, ai(5), new_key().address)

    await place.pass_time(HOUR_S)
    assert not await leases.has_lease(block, lessee.account)
    assert await leases.fetch_leased_until(block, lessee.account) == said["until"]
    friend = new_key().address
    await leases.lease(block, ai(5), friend)
    assert await leases.has_lease(block, friend)

    assert await blocks.fetch_earned(creator.account) == ai(10)
    await blocks.withdraw(creator.account)
    assert await Token(creator).fetch_balance(creator.account) == ai(110)
    [last] = await blocks.fetch_page(before, 50)
    assert (last.id, last.leases) == (block, 2)


async def test_prices_change_and_blocks_retire(place: Place) -> None:
    creator, stranger = await place.newcomer(), await place.newcomer()
    blocks = Blocks(creator)
    block = Digest((await blocks.offer(OFFER)).event("Offered")["id"])
    await blocks.set_price(block, ai(7))
    assert await blocks.fetch_price(block) == ai(7)
    with refused("WrongPayment"):
        await Blocks(stranger).lease(block, ai(5), stranger.account)
    with refused("OnlyCreator"):
        await Blocks(stranger).retire(block)
    await blocks.retire(block)
    with refused("BlockRetired"):
        await blocks.lease(block, ai(7), creator.account)
    with refused("BlockExists"):
        await blocks.offer(replace(OFFER, uri=""))


async def test_a_derivative_is_signed_off_and_no_longer(place: Place) -> None:
    creator, maker = await place.newcomer(), await place.newcomer()
    blocks = Blocks(creator)
    block = Digest((await blocks.offer(OFFER)).event("Offered")["id"])
    weights = Digest(b"\7" * 32)
    with refused("NeverLeased"):
        await blocks.sign_off(block, weights, maker.account)
    await Blocks(maker).lease(block, ai(5), maker.account)
    await blocks.sign_off(block, weights, maker.account)
    found = await blocks.fetch_derivative(block, weights)
    assert found is not None
    assert found == Derivative(maker.account, found.signed_off_at)
    await blocks.withdraw_sign_off(block, weights)
    assert await blocks.fetch_derivative(block, weights) is None
