"""Splits of the token: each is announced, pauses transfers, and doubles every amount, at heights.

The ledger counts a block for each transaction, so it is told when a height has come: whatever its
own numbers are, the blocks before a pause and a split are behind it then.
"""

from dataclasses import dataclass

from p2p_modelex.chain.memory_ledger import MemoryLedger
from p2p_modelex.units import AI, SPLITS_MAX, Epoch, rescale

FAR = 10**12
"""Blocks of the ledger from an announcement to the pause, and from there to the split: more than
a run has transactions.
"""
LEVEL_AI = AI << SPLITS_MAX
"""An AI of before all splits, as `level` has it."""


def level(amount: int, epoch: int) -> int:
    """Return what an amount in wei of a split epoch is in the last that there can be: exact, so
    that those of different epochs can be added and compared.
    """
    return rescale(amount, epoch, SPLITS_MAX)


@dataclass(frozen=True, slots=True)
class Split:
    """Heights: of the block that announces it, of the first in its pause, of the first behind."""

    announced: int
    pauses: int
    splits: int

    @property
    def turns(self) -> tuple[int, ...]:
        """The heads at which what the chain says of the token changes."""
        return self.announced, self.pauses - 1, self.splits - 1, self.splits


class Splits:
    """The splits that were announced, one after another."""

    def __init__(self, ledger: MemoryLedger) -> None:
        self.planned: list[Split] = []
        self._ledger = ledger

    @property
    def epoch(self) -> Epoch:
        """The token's, at the head."""
        return self._ledger.split().epoch

    def plan(self, split: Split) -> bool:
        """Announce one; returns whether the contract takes it: not while another is pending."""
        is_pending = any(other.splits >= split.announced for other in self.planned)
        if is_pending or len(self.planned) >= SPLITS_MAX:
            return False
        self.planned.append(split)
        return True

    def follow(self, head: int) -> None:
        """Bring the ledger to what it is when the newest block has this height; again after a
        reorg, which changes nothing about heights.
        """
        for split in self.planned[self.epoch :]:
            if head < split.announced:
                return
            if not self._ledger.split().splits_at:
                self._ledger.announce_split(notice=FAR, pause=FAR)
            self._advance(head, split)

    def _advance(self, head: int, split: Split) -> None:
        state = self._ledger.split()
        for height, block in ((split.pauses, state.pauses_at), (split.splits, state.splits_at)):
            if head + 1 >= height:
                reached = block - (head < height)
                self._ledger.pass_blocks(max(0, reached - self._ledger.block))
