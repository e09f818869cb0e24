"""Reads a contract's events so that a reorg undoes them, on any endpoint with plain JSON-RPC.

Nodes disagree about announcing removed logs (anvil never does), so nothing is believed but
hashes: each block's logs are asked for by block hash, the hash is kept, and before going on the
kept ones are compared with the chain and taken back while they differ.
"""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

from p2p_modelex.chain.evm.rpc import Call, Rpc, RpcError
from p2p_modelex.chain.evm.wire import Header, Log, read_header, read_logs, read_quantity, to_hex
from p2p_modelex.ids import Address, Digest, format_address

# Blocks whose hashes are kept. Twice Ethereum's finality (two epochs, 64 blocks).
HISTORY_MAX = 128
# Deeper than this below the head, blocks are read by ranges and taken for final.
FINAL_DEPTH = 64
RANGE_BLOCKS = 1_000  # what public endpoints allow in one eth_getLogs
BATCH_BLOCKS = 32


@dataclass(frozen=True, slots=True)
class BlockLogs:
    """The logs of one block, in order; `undone` when the block left the chain."""

    number: int
    logs: tuple[Log, ...]
    undone: bool


@dataclass(frozen=True, slots=True)
class _Seen:
    number: int
    hash: Digest
    logs: tuple[Log, ...]


class BlockReader:
    """Walks the chain from a block on; call `poll` again and again."""

    def __init__(
        self,
        rpc: Rpc,
        address: Address,
        topics: Sequence[bytes],
        *,
        since_block: int,
        confirmations: int,
    ) -> None:
        """topics: the event kinds wanted. A block counts with `confirmations` blocks upon it."""
        self._rpc = rpc
        self._filter = {
            "address": format_address(address),
            "topics": [[to_hex(topic) for topic in topics]],
        }
        self._confirmations = confirmations
        self._next = since_block
        self._seen: deque[_Seen] = deque(maxlen=HISTORY_MAX)

    async def poll(self) -> list[BlockLogs]:
        """Return what happened since the last call: first what was undone, newest first, then
        what came, oldest first. An empty list means that we are up to date (or that the chain
        moved under the reading; the next call sees that).

        Raises ChainUnreachable; nothing is lost by calling again.
        """
        head = read_quantity(await self._rpc.call("eth_blockNumber"))
        target = head - self._confirmations
        undone = await self._take_back()
        if undone:
            return undone
        if target - self._next > FINAL_DEPTH:
            return await self._read_range(min(target - FINAL_DEPTH, self._next + RANGE_BLOCKS - 1))
        try:
            return await self._read_blocks(min(target, self._next + BATCH_BLOCKS - 1))
        except RpcError:
            return []  # a hash asked for is no longer there: a reorg came between

    async def _take_back(self) -> list[BlockLogs]:
        undone = []
        while self._seen and not await self._is_canonical(self._seen[-1]):
            gone = self._seen.pop()
            self._next = gone.number
            undone.append(BlockLogs(gone.number, gone.logs[::-1], undone=True))
        return undone

    async def _is_canonical(self, seen: _Seen) -> bool:
        found = await self._rpc.call("eth_getBlockByNumber", hex(seen.number), False)
        return found is not None and read_header(found).hash == seen.hash

    async def _read_range(self, last: int) -> list[BlockLogs]:
        bounds = {"fromBlock": hex(self._next), "toBlock": hex(last)}
        logs = read_logs(await self._rpc.call("eth_getLogs", self._filter | bounds))
        self._next = last + 1
        self._seen.clear()
        blocks: dict[int, list[Log]] = {}
        for log in logs:
            blocks.setdefault(log.block, []).append(log)
        # The last one stands for the whole range, so that the caller sees progress.
        blocks.setdefault(last, [])
        return [BlockLogs(n, tuple(blocks[n]), undone=False) for n in sorted(blocks)]

    async def _read_blocks(self, last: int) -> list[BlockLogs]:
        headers = await self._fetch_headers(range(self._next, last + 1))
        answers = await self._rpc.batch(
            [
                Call("eth_getLogs", (self._filter | {"blockHash": to_hex(header.hash)},))
                for header in headers
            ]
        )
        came = []
        for header, answer in zip(headers, answers, strict=True):
            seen = _Seen(header.number, header.hash, read_logs(answer))
            self._seen.append(seen)
            self._next = seen.number + 1
            came.append(BlockLogs(seen.number, seen.logs, undone=False))
        return came

    async def _fetch_headers(self, numbers: range) -> list[Header]:
        """Return headers that follow each other and what was seen; fewer if the chain moved."""
        calls = [Call("eth_getBlockByNumber", (hex(number), False)) for number in numbers]
        headers: list[Header] = []
        parent = self._seen[-1].hash if self._seen else None
        for number, found in zip(numbers, await self._rpc.batch(calls), strict=True):
            if found is None:
                break
            header = read_header(found)
            if header.number != number or (parent is not None and header.parent != parent):
                break
            headers.append(header)
            parent = header.hash
        return headers
