"""The token of a MemoryLedger: balances, and splits by the rules of SplittingToken.sol.

A balance is kept with the split epoch it was written in and rescaled when read, so a split writes
nothing but itself.
"""

from p2p_modelex.chain.memory_refusal import revert
from p2p_modelex.ids import Address, format_address
from p2p_modelex.records.split import SplitState
from p2p_modelex.units import SPLITS_MAX, Epoch, rescale

Scaled = tuple[int, Epoch]
"""Wei, and the split epoch they are written in."""


class MemoryToken:
    """Who holds how much. `block` is everywhere that of the transaction, or the newest to read."""

    def __init__(self) -> None:
        self._split = SplitState(Epoch(0), 0)
        self._balances: dict[Address, Scaled] = {}

    def save(self) -> tuple[SplitState, dict[Address, Scaled]]:
        """See MemoryLedger.save."""
        return self._split, dict(self._balances)

    def restore(self, saved: tuple[SplitState, dict[Address, Scaled]]) -> None:
        """See MemoryLedger.restore."""
        self._split, self._balances = saved[0], dict(saved[1])

    def split(self, block: int) -> SplitState:
        """The split epoch at a block, and the split that is announced then."""
        split = self._split
        if split.splits_at and block >= split.splits_at:
            return SplitState(Epoch(split.epoch + 1), block)
        return SplitState(split.epoch, block, split.pauses_at, split.splits_at)

    def announce_split(self, block: int, *, notice: int, pause: int) -> None:
        """Split after `notice` blocks and `pause` more, in which nothing can be transferred."""
        split = self.split(block)
        if split.splits_at:
            raise revert("SplitPending", splitsAt=split.splits_at)
        if split.epoch >= SPLITS_MAX:
            raise revert("NoMoreSplits", limit=SPLITS_MAX)
        pauses_at = block + notice
        self._split = SplitState(split.epoch, block, pauses_at, pauses_at + pause)

    def is_paused(self, block: int) -> bool:
        """Whether a transfer in this block is refused."""
        split = self.split(block)
        return split.splits_at > 0 and block >= split.pauses_at

    def supply(self, block: int) -> int:
        """Wei of all accounts together."""
        epoch = self.split(block).epoch
        return sum(rescale(*amount, epoch) for amount in self._balances.values())

    def balance(self, account: Address, block: int) -> int:
        """Wei an account holds, in the epoch of the block."""
        return self.read(self._balances.get(account, (0, Epoch(0))), block)

    def read(self, amount: Scaled, block: int) -> int:
        """An amount in the epoch of a block."""
        return rescale(*amount, self.split(block).epoch)

    def mint(self, account: Address, amount: int, block: int) -> None:
        """Make wei from nothing, as a genesis allocation does."""
        held = self.balance(account, block)
        self._balances[account] = held + amount, self.split(block).epoch

    def validate_transfer(self, sender: Address, amount: int, block: int) -> None:
        """Reverted if there is less than that, or in the pause before a split."""
        if self.is_paused(block):
            raise revert("TransfersPaused", splitsAt=self._split.splits_at)
        held = self.balance(sender, block)
        if held < amount:
            raise revert(
                "ERC20InsufficientBalance",
                sender=format_address(sender),
                balance=held,
                needed=amount,
            )

    def transfer(self, sender: Address, to: Address, amount: int, block: int) -> None:
        """Move wei; errors as validate_transfer."""
        self.validate_transfer(sender, amount, block)
        self._balances[sender] = self.balance(sender, block) - amount, self.split(block).epoch
        self.mint(to, amount, block)
