"""A seat at a payee: which lanes of its channels are one node's, and what of a deposit counts.

An account that only its own node is paid through has one seat, 0, with the whole of each deposit. A
farm's has one for each member (protocols/farm).
"""

from dataclasses import dataclass

from p2p_modelex import limits
from p2p_modelex.records.channel import ChannelState
from p2p_modelex.records.farm import WHOLE


@dataclass(frozen=True, slots=True)
class Seat:
    """index: 0 for the payee's own node, a member's otherwise. weight: basis points of each deposit
    that pays the payee.
    """

    index: int = 0
    weight: int = WHOLE

    @property
    def first_lane(self) -> int:
        """The lowest of its LANES_MAX lanes."""
        return self.index * limits.LANES_MAX

    def owns(self, lane: int) -> bool:
        """Whether a lane is one of its own (LED-2)."""
        return lane // limits.LANES_MAX == self.index

    def compute_share(self, deposit: int) -> int:
        """Return what of a deposit is the seat's (FRM-15), rounded down."""
        return deposit * self.weight // WHOLE

    def compute_deposit(self, share: int) -> int:
        """Return the least deposit of which the seat's share is `share`."""
        return -(-share * WHOLE // self.weight)


OWN_SEAT = Seat()
"""That of an account whose own node is paid."""


def get_share(state: ChannelState, seat: Seat) -> int:
    """What of a channel's deposit is a seat's, wei in the channel's epoch."""
    return seat.compute_share(state.deposit)
