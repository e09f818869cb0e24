"""A deposit is made once, though its answer is lost or its sender dies: what its outbox is for."""

from collections.abc import Sequence
from typing import Any, cast

import pytest
import trio
import trio.lowlevel
from eth_hash.backends.pysha3 import keccak256 as keccak

from p2p_modelex.chain.abc import Outbox
from p2p_modelex.chain.evm.abi import Abi
from p2p_modelex.chain.evm.rpc import Call, Rpc, RpcError
from p2p_modelex.chain.evm.sender import Sender
from p2p_modelex.chain.evm.transaction import read_transaction
from p2p_modelex.chain.evm.wire import to_hex
from p2p_modelex.errors import (
    ChainUnreachable,
    StoreError,
    TransactionFailed,
    TransactionPending,
)
from tests.chain.worlds import new_key

TO = new_key().address


class Disk:
    """What outlives the process."""

    def __init__(self) -> None:
        self.signed: tuple[bytes, ...] = ()
        self.is_full = False

    def open(self) -> Outbox:
        """The outbox, as a process begins with it."""
        return Outbox(self.signed, self._write)

    async def _write(self, signed: tuple[bytes, ...]) -> None:
        await trio.lowlevel.checkpoint()
        if self.is_full:
            raise StoreError("the disk is full")
        self.signed = signed


class Endpoint:
    """An endpoint, and the blocks behind it, of one account. loses: how many of what is sent first
    get no answer; refuses: what it says after those.
    """

    def __init__(self) -> None:
        self.pool: dict[int, bytes] = {}
        self.mined: list[bytes] = []
        self.base_fee = 10**9
        self.is_down = False
        self.loses = 0
        self.refuses = ""

    def mine(self) -> None:
        """Make a block of all that may be in it."""
        while (raw := self.pool.pop(len(self.mined), None)) is not None:
            self.mined.append(raw)

    async def call(self, method: str, *params: Any, retry: bool = True) -> Any:
        """Answer one question."""
        await trio.lowlevel.checkpoint()
        if self.is_down:
            raise ChainUnreachable("nobody answers")
        match method:
            case "eth_estimateGas":
                return hex(21_000)
            case "eth_feeHistory":
                return {"baseFeePerGas": [hex(self.base_fee)]}
            case "eth_getTransactionCount":
                waiting = len(self.pool) if params[1] == "pending" else 0
                return hex(len(self.mined) + waiting)
            case "eth_getTransactionReceipt":
                return self._find_receipt(params[0])
        return self._take(bytes.fromhex(params[0][2:]))

    async def batch(self, calls: Sequence[Call]) -> list[Any]:
        """Answer several."""
        return [await self.call(one.method, *one.params) for one in calls]

    def _take(self, raw: bytes) -> None:
        if self.loses:
            self.loses -= 1
            raise ChainUnreachable("its answer is lost")
        if self.refuses:
            raise RpcError(-32000, self.refuses, b"")
        transaction, _ = read_transaction(raw)
        if transaction.nonce < len(self.mined):
            raise RpcError(-32000, "nonce too low", b"")
        held = self.pool.get(transaction.nonce)
        if held == raw:
            raise RpcError(-32000, "already known", b"")
        if held is not None and read_transaction(held)[0].tip >= transaction.tip:
            raise RpcError(-32000, "replacement transaction underpriced", b"")
        self.pool[transaction.nonce] = raw

    def _find_receipt(self, name: str) -> dict[str, Any] | None:
        if name not in [to_hex(keccak(raw)) for raw in self.mined]:
            return None
        numbers = {"blockNumber": "0x1", "gasUsed": "0x1", "status": "0x1"}
        return {"transactionHash": name, "logs": [], **numbers}


class Scene:
    """A disk, an endpoint, and the key of whoever sends."""

    def __init__(self) -> None:
        self.disk = Disk()
        self.endpoint = Endpoint()
        self.key = new_key()

    def start(self, patience_s: float = 0.05) -> Sender:
        """Start a process that sends."""
        rpc = cast(Rpc, self.endpoint)
        return Sender(rpc, self.key, 31337, Abi([]), receipt_timeout_s=patience_s, repair_s=0.01)


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


async def test_a_refusal_at_once_is_one() -> None:
    scene = Scene()
    scene.endpoint.refuses = "txpool is full"
    with pytest.raises(TransactionFailed, match="txpool is full"):
        await scene.start().send(TO, value=1, outbox=scene.disk.open())


async def test_an_answer_that_is_lost_once_is_no_doubt() -> None:
    scene = Scene()
    scene.endpoint.loses = 1
    sender, outbox = scene.start(patience_s=5), scene.disk.open()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(lambda: sender.send(TO, value=1, outbox=outbox))
        while not scene.endpoint.pool:
            await trio.sleep(0.001)
        scene.endpoint.mine()
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
