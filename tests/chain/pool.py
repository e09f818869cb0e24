"""A disk, and an endpoint that fails as it is told to: for what is sent once (test_outbox.py)."""

from collections.abc import Sequence
from typing import Any, cast

import trio.lowlevel
from eth_hash.backends.pysha3 import keccak256 as keccak

from p2p_modelex.chain.abc import Outbox
from p2p_modelex.chain.evm.abi import Abi
from p2p_modelex.chain.evm.rpc import INTERNAL_ERROR, Call, Rpc, RpcError
from p2p_modelex.chain.evm.sender import Sender
from p2p_modelex.chain.evm.transaction import read_transaction
from p2p_modelex.chain.evm.wire import to_hex
from p2p_modelex.errors import ChainUnreachable, StoreError
from tests.chain.worlds import new_key


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
    get no answer; refuses: what it says after those. breaks: how many of what it takes it calls an
    internal error. reverts: whether what is mined now does.
    """

    def __init__(self) -> None:
        self.pool: dict[int, bytes] = {}
        self.mined: list[bytes] = []
        self.blocks = [0]
        self.reverted: set[bytes] = set()
        self.base_fee = 10**9
        self.is_down = self.has_no_receipts = self.reverts = False
        self.loses = self.breaks = 0
        self.refuses = ""

    def mine(self) -> None:
        """Make a block of all that may be in it."""
        while (raw := self.pool.pop(len(self.mined), None)) is not None:
            self.mined.append(raw)
            if self.reverts:
                self.reverted.add(raw)
        self.blocks.append(len(self.mined))

    def undo(self) -> None:
        """Undo the newest block; what was in it waits again."""
        del self.blocks[-1]
        for nonce in range(self.blocks[-1], len(self.mined)):
            self.pool[nonce] = self.mined[nonce]
        del self.mined[self.blocks[-1] :]
        self.reverted.intersection_update(self.mined)

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
            case "eth_blockNumber":
                return hex(len(self.blocks) - 1)
            case "eth_getTransactionCount":
                if params[1] in ("pending", "latest"):
                    waiting = len(self.pool) if params[1] == "pending" else 0
                    return hex(len(self.mined) + waiting)
                return hex(self.blocks[int(params[1], 16)])
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
        if self.breaks:
            self.breaks -= 1
            raise RpcError(INTERNAL_ERROR, "internal error", b"")

    def _find_receipt(self, name: str) -> dict[str, Any] | None:
        if self.has_no_receipts:
            raise RpcError(-32000, "too many requests", b"")
        found = [raw for raw in self.mined if to_hex(keccak(raw)) == name]
        if not found:
            return None
        status = "0x0" if found[0] in self.reverted else "0x1"
        numbers = {"blockNumber": "0x1", "gasUsed": "0x1", "status": status}
        return {"transactionHash": name, "logs": [], **numbers}


class Scene:
    """A disk, an endpoint, and the key of whoever sends."""

    def __init__(self) -> None:
        self.disk = Disk()
        self.endpoint = Endpoint()
        self.key = new_key()

    def start(self, patience_s: float = 0.05, confirmations: int = 0) -> Sender:
        """Start a process that sends."""
        return Sender(
            cast(Rpc, self.endpoint),
            self.key,
            31337,
            Abi([]),
            confirmations=confirmations,
            receipt_timeout_s=patience_s,
            repair_s=0.01,
        )
