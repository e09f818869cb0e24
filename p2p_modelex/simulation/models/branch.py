"""The newest blocks of the chain: for readers that wait for confirmations, and for reorgs."""

from collections import deque
from dataclasses import dataclass

from p2p_modelex.chain.memory_ledger import MemoryLedger, Saved
from p2p_modelex.ids import ChannelId
from p2p_modelex.records.channel import ChannelState
from p2p_modelex.simulation.models.transactions import Transaction


@dataclass(frozen=True, slots=True)
class Block:
    """A block with something of ours, and the state after it."""

    height: int
    transactions: tuple[Transaction, ...]
    saved: Saved


class Branch:
    """Keeps `depth` blocks, and the state before them; nothing at all if that is none."""

    def __init__(self, ledger: MemoryLedger, depth: int) -> None:
        self._ledger = ledger
        self._depth = depth
        self._blocks: deque[Block] = deque()

    def begin(self) -> None:
        """The genesis is made."""
        if self._depth:
            self._blocks.append(Block(0, (), self._ledger.save()))

    def add(self, height: int, transactions: tuple[Transaction, ...]) -> None:
        """A block is made."""
        if not self._depth:
            return
        if transactions:
            self._blocks.append(Block(height, transactions, self._ledger.save()))
        while len(self._blocks) > 1 and self._blocks[1].height <= height - self._depth:
            self._blocks.popleft()

    @property
    def newest(self) -> int:
        """The height of the newest block with something of ours."""
        return self._blocks[-1].height if self._blocks else 0

    def fetch_channel(self, channel: ChannelId, height: int) -> ChannelState | None:
        """Return a channel as it was after the block of this height, or the newest before it."""
        found = next(block for block in reversed(self._blocks) if block.height <= height)
        state: ChannelState | None = found.saved.tables[0].get(channel)
        return state

    def undo(self, height: int) -> list[Transaction]:
        """Take away all blocks from this height on; returns what was in them."""
        undone: list[Block] = []
        while self._blocks[-1].height >= height:
            undone.append(self._blocks.pop())
        if undone:
            self._ledger.restore(self._blocks[-1].saved)
        return [one for block in reversed(undone) for one in block.transactions]
