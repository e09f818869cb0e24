"""A deposit is made once, though its answer is lost or its sender dies: what its outbox is for."""

import pytest
import trio
import trio.lowlevel

from p2p_modelex.chain.abc import Outbox
from p2p_modelex.chain.evm.sender import Sender
from p2p_modelex.errors import ChainUnreachable, StoreError, TransactionFailed, TransactionPending
from tests.chain.pool import Scene
from tests.chain.worlds import new_key

TO = new_key().address


async def send_until_mined(scene: Scene) -> None:
    """Send, and have it mined as soon as the endpoint has it."""
    sender, outbox = scene.start(patience_s=5), scene.disk.open()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(lambda: sender.send(TO, value=1, outbox=outbox))
        while not scene.endpoint.pool:
            await trio.sleep(0.001)
        scene.endpoint.mine()


async def test_what_was_not_mined_in_time_is_waited_for_and_not_sent_twice() -> None:
    scene = Scene()
    sender, outbox = scene.start(), scene.disk.open()
    with pytest.raises(TransactionPending, match="was not mined"):
        await sender.send(TO, value=1, outbox=outbox)
    scene.endpoint.mine()
    assert (await sender.send(TO, value=1, outbox=outbox)).succeeded
    assert scene.endpoint.mined == list(scene.disk.signed)
    assert not scene.endpoint.pool


async def test_an_endpoint_that_goes_away_leaves_a_doubt() -> None:
    scene = Scene()
    sender, outbox = scene.start(patience_s=5), scene.disk.open()

    async def send() -> None:
        with pytest.raises(TransactionPending, match="may be mined: nobody answers"):
            await sender.send(TO, value=1, outbox=outbox)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(send)
        while not scene.endpoint.pool:
            await trio.sleep(0.001)
        scene.endpoint.is_down = True
    scene.endpoint.is_down = False
    scene.endpoint.mine()
    assert (await sender.send(TO, value=1, outbox=outbox)).succeeded
    assert len(scene.endpoint.mined) == 1


async def test_what_cannot_be_asked_for_was_not_sent() -> None:
    scene = Scene()
    scene.endpoint.is_down = True
    with pytest.raises(ChainUnreachable):
        await scene.start().send(TO, value=1, outbox=scene.disk.open())
    assert scene.disk.signed == ()


@pytest.mark.parametrize("says", ["internal error", "insufficient funds"])
async def test_a_refusal_after_a_lost_answer_says_nothing(says: str) -> None:
    """The pool may have it from the first time."""
    scene = Scene()
    scene.endpoint.loses, scene.endpoint.refuses = 1, says
    sender, outbox = scene.start(), scene.disk.open()
    with pytest.raises(TransactionPending, match="may have arrived"):
        await sender.send(TO, value=1, outbox=outbox)
    scene.endpoint.refuses = ""
    with pytest.raises(TransactionPending, match="was not mined"):
        await sender.send(TO, value=1, outbox=outbox)
    assert list(scene.endpoint.pool.values()) == list(scene.disk.signed)


async def test_a_doubt_says_why_an_endpoint_does_not_take_it_again() -> None:
    """Its operator can do something about that."""
    scene = Scene()
    with pytest.raises(TransactionPending):
        await scene.start().send(TO, value=1, outbox=scene.disk.open())
    scene.endpoint.pool, scene.endpoint.refuses = {}, "insufficient funds for gas"
    with pytest.raises(TransactionPending, match="refuses it: insufficient funds for gas"):
        await scene.start().send(TO, value=1, outbox=scene.disk.open())
    scene.endpoint.refuses = ""
    with pytest.raises(TransactionPending, match=r"was not mined in 0\.05 s$"):
        await scene.start().send(TO, value=1, outbox=scene.disk.open())


async def test_a_lost_answer_is_a_doubt_where_receipts_are_not_to_be_had() -> None:
    scene = Scene()
    scene.endpoint.loses, scene.endpoint.refuses = 1, "too many requests"
    scene.endpoint.has_no_receipts = True
    with pytest.raises(TransactionPending, match="may have arrived"):
        await scene.start().send(TO, value=1, outbox=scene.disk.open())


async def test_what_broke_in_the_endpoint_may_have_arrived() -> None:
    """A proxy's internal error may come after what is behind it took the transaction."""
    scene = Scene()
    scene.endpoint.breaks = 1
    await send_until_mined(scene)
    assert len(scene.endpoint.mined) == 1


async def test_a_higher_offer_that_broke_something_may_be_the_one_that_is_mined() -> None:
    scene = Scene()
    sender, outbox = scene.start(patience_s=5), scene.disk.open()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(lambda: sender.send(TO, value=1, outbox=outbox))
        while not scene.endpoint.pool:
            await trio.sleep(0.001)
        first = scene.endpoint.pool[0]
        scene.endpoint.base_fee, scene.endpoint.breaks = 10**10, 1
        while scene.endpoint.pool[0] == first:
            await trio.sleep(0.001)
        scene.endpoint.mine()
    assert len(scene.endpoint.mined) == 1


async def test_what_reverted_has_failed_once_no_reorg_lets_it_succeed() -> None:
    scene = Scene()
    sender = scene.start(patience_s=5, confirmations=2)
    receipts = []

    async def send() -> None:
        receipts.append(await sender.send(TO, value=1, outbox=scene.disk.open()))

    scene.endpoint.reverts = True
    async with trio.open_nursery() as nursery:
        nursery.start_soon(send)
        while not scene.endpoint.pool:
            await trio.sleep(0.001)
        scene.endpoint.mine()
        await trio.sleep(0.1)
        scene.endpoint.undo()
        scene.endpoint.reverts = False
        scene.endpoint.mine()
    assert [receipt.succeeded for receipt in receipts] == [True]


async def test_a_nonce_is_taken_once_no_reorg_gives_it_back() -> None:
    scene = Scene()
    with pytest.raises(TransactionPending):
        await scene.start().send(TO, value=1, outbox=scene.disk.open())
    ours = scene.endpoint.pool.pop(0)
    with pytest.raises(TransactionPending):
        await scene.start().send(TO, value=2)
    scene.endpoint.mine()
    later = scene.start(confirmations=2)
    with pytest.raises(TransactionPending, match="was not mined"):
        await later.send(TO, value=1, outbox=scene.disk.open())
    scene.endpoint.undo()
    scene.endpoint.pool[0] = ours
    scene.endpoint.mine()
    assert (await later.send(TO, value=1, outbox=scene.disk.open())).succeeded


async def test_what_another_key_signed_is_not_paid_for_again() -> None:
    """A higher offer, signed by the new key, would be a second deposit."""
    scene = Scene()
    with pytest.raises(TransactionPending):
        await scene.start().send(TO, value=1, outbox=scene.disk.open())
    scene.key, before = new_key(), scene.disk.signed
    scene.endpoint.base_fee *= 10
    with pytest.raises(TransactionFailed, match="another account"):
        await scene.start().send(TO, value=1, outbox=scene.disk.open())
    assert scene.disk.signed == before


async def test_a_refusal_at_once_is_one() -> None:
    scene = Scene()
    scene.endpoint.refuses = "txpool is full"
    with pytest.raises(TransactionFailed, match="txpool is full"):
        await scene.start().send(TO, value=1, outbox=scene.disk.open())


async def test_an_answer_that_is_lost_once_is_no_doubt() -> None:
    scene = Scene()
    scene.endpoint.loses = 1
    await send_until_mined(scene)
    assert len(scene.endpoint.mined) == 1


async def test_a_new_process_sends_the_same_again() -> None:
    """Whatever became of it in the pool that had it."""
    scene = Scene()
    with pytest.raises(TransactionPending):
        await scene.start().send(TO, value=1, outbox=scene.disk.open())
    sent = scene.endpoint.pool
    scene.endpoint.pool = {}
    with pytest.raises(TransactionPending):
        await scene.start().send(TO, value=1, outbox=scene.disk.open())
    assert scene.endpoint.pool == sent
    scene.endpoint.mine()
    assert (await scene.start().send(TO, value=1, outbox=scene.disk.open())).succeeded
    assert len(scene.endpoint.mined) == 1


async def test_a_nonce_that_another_took_ends_the_doubt() -> None:
    scene = Scene()
    with pytest.raises(TransactionPending):
        await scene.start().send(TO, value=1, outbox=scene.disk.open())
    scene.endpoint.pool = {}
    sender, receipts = scene.start(patience_s=5), []

    async def send_another() -> None:
        receipts.append(await sender.send(TO, value=2))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(send_another)
        while not scene.endpoint.pool:
            await trio.sleep(0.001)
        nursery.start_soon(_expect_loss, sender, scene.disk.open())
        await trio.lowlevel.checkpoint()
        scene.endpoint.mine()
    assert len(receipts) == len(scene.endpoint.mined) == 1


async def _expect_loss(sender: Sender, outbox: Outbox) -> None:
    with pytest.raises(TransactionFailed, match="another transaction took nonce 0"):
        await sender.send(TO, value=1, outbox=outbox)


async def test_each_higher_offer_is_kept_before_it_is_sent() -> None:
    """A process that dies knows of no receipt but those of what it kept."""
    scene = Scene()
    sender, outbox = scene.start(patience_s=5), scene.disk.open()
    with trio.move_on_after(5) as scope:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(lambda: sender.send(TO, value=1, outbox=outbox))
            while not scene.endpoint.pool:
                await trio.sleep(0.001)
            first = scene.endpoint.pool[0]
            scene.endpoint.base_fee *= 10
            while scene.endpoint.pool[0] == first:
                await trio.sleep(0.001)
            scope.cancel()
    assert scene.disk.signed[0] == first
    assert scene.endpoint.pool[0] in scene.disk.signed[1:]
    scene.endpoint.mine()
    assert (await scene.start().send(TO, value=1, outbox=scene.disk.open())).succeeded


async def test_what_cannot_be_kept_is_not_sent() -> None:
    scene = Scene()
    scene.disk.is_full = True
    with pytest.raises(StoreError):
        await scene.start().send(TO, value=1, outbox=scene.disk.open())
    assert not scene.endpoint.pool
