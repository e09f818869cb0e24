"""The token's splits as the chain has them."""

from dataclasses import dataclass

from p2p_modelex.units import Epoch


@dataclass(frozen=True, slots=True)
class SplitState:
    """The token's split epoch at block `block`, and the split that is announced.

    From block `pauses_at` on nothing is transferred, and at block `splits_at` every amount doubles
    and the epoch is one more; both are 0 while no split is announced.
    """

    epoch: Epoch
    block: int
    pauses_at: int = 0
    splits_at: int = 0

    @property
    def is_paused(self) -> bool:
        """Whether a transfer sent now would meet the pause: the next block is its first."""
        return self.splits_at > 0 and self.pauses_at <= self.block + 1 < self.splits_at
