"""An amount of $AI that says of which split epoch it is, as contracts and signatures have it."""

from dataclasses import dataclass
from typing import Self

from p2p_modelex.core.ledger.splits import rescale
from p2p_modelex.errors import BadInput
from p2p_modelex.units import Epoch, Wei, format_ai


@dataclass(frozen=True, slots=True)
class Amount:
    """`wei` of split epoch `epoch`: worth twice the number one epoch later."""

    wei: Wei
    epoch: Epoch

    def rescale(self, epoch: Epoch) -> Self:
        """Return the same amount, exactly, in a later or the same epoch; BadInput for an earlier
        one, in which an odd number has no equal.
        """
        if epoch < self.epoch:
            raise BadInput(f"an amount of split epoch {self.epoch} is not of epoch {epoch}")
        return type(self)(Wei(rescale(self.wei, self.epoch, epoch)), epoch)

    def __str__(self) -> str:
        """`0.25 AI`, with the epoch where the token has split."""
        return format_ai(self.wei) + (f" of epoch {self.epoch}" if self.epoch else "")
