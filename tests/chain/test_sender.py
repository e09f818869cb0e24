"""A sender and an endpoint that loses answers, or has none."""

from collections.abc import Sequence
from typing import Any, cast

import pytest
import trio
from eth_hash.backends.pysha3 import keccak256 as keccak

from p2p_modelex.chain.evm.abi import Abi
from p2p_modelex.chain.evm.rpc import Call, Rpc, RpcError
from p2p_modelex.chain.evm.sender import Sender
from p2p_modelex.chain.evm.wire import to_hex
from tests.chain.worlds import new_key

BASE = 10**9


class DearPool:
    """An endpoint of one account. The base fee is tenfold once something waits. The next offer is
    mined, and `words` are what its sender hears, who had to ask again.
    """

    def __init__(self, words: str) -> None:
        self._words = words
        self._raws: list[str] = []

    async def call(self, method: str, *params: Any, retry: bool = True) -> Any:
        """Answer one question."""
        await trio.lowlevel.checkpoint()
        match method:
            case "eth_estimateGas":
                return hex(21_000)
            case "eth_feeHistory":
                return {"baseFeePerGas": [hex(10 * BASE if self._raws else BASE)]}
            case "eth_getTransactionCount":
                return hex(len(self._raws) // 2)
            case "eth_getTransactionReceipt":
                return self._find_receipt(params[0])
        if params[0] in self._raws:
            raise RpcError(-32000, "already known", b"")
        self._raws.append(params[0])
        if len(self._raws) == 2:
            raise RpcError(-32000, self._words, b"")
        return None

    async def batch(self, calls: Sequence[Call]) -> list[Any]:
        """Answer several."""
        return [await self.call(one.method, *one.params) for one in calls]

    def _find_receipt(self, name: str) -> dict[str, Any] | None:
        mined = self._raws[1:2]
        if [to_hex(keccak(bytes.fromhex(raw[2:]))) for raw in mined] != [name]:
            return None
        numbers = {"blockNumber": "0x1", "gasUsed": "0x1", "status": "0x1"}
        return {"transactionHash": name, "logs": [], **numbers}


@pytest.mark.parametrize("words", ["already known", "nonce too low"])
async def test_a_higher_offer_whose_answer_was_lost_is_found(words: str) -> None:
    """Told that another had taken the nonce, the caller would deposit twice."""
    rpc = cast(Rpc, DearPool(words))
    sender = Sender(rpc, new_key(), 31337, Abi([]), repair_s=0.01)
    with trio.fail_after(5):
        assert (await sender.send(new_key().address, value=1)).succeeded


class Moody(DearPool):
    """Tells the fees once; what was sent is mined by the time that they are asked for again."""

    async def call(self, method: str, *params: Any, retry: bool = True) -> Any:
        """Answer one question."""
        if method == "eth_feeHistory" and self._raws:
            self._raws = ["", self._raws[-1]]
            raise RpcError(-32603, "internal error", b"")
        return await super().call(method, *params)


async def test_who_cannot_read_the_fees_waits_on() -> None:
    """Told that it failed, the caller would deposit twice."""
    rpc = cast(Rpc, Moody(""))
    sender = Sender(rpc, new_key(), 31337, Abi([]), repair_s=0.01)
    with trio.fail_after(5):
        assert (await sender.send(new_key().address, value=1)).succeeded


class Hasty(DearPool):
    """Mines what is sent at once, and says so only of another for its nonce."""

    async def call(self, method: str, *params: Any, retry: bool = True) -> Any:
        """Answer one question."""
        if method == "eth_sendRawTransaction":
            self._raws = self._raws or ["", params[0]]
            raise RpcError(-32000, "nonce too low", b"")
        return await super().call(method, *params)


async def test_what_was_mined_before_its_answer_came_is_not_sent_again() -> None:
    """With the next nonce it would be done twice."""
    rpc = cast(Rpc, Hasty(""))
    sender = Sender(rpc, new_key(), 31337, Abi([]))
    with trio.fail_after(5):
        assert (await sender.send(new_key().address, value=1)).succeeded
