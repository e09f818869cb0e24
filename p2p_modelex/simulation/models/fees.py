"""What gas costs: EIP-1559's base fee, moved by the traffic of others and by ours."""

import math
import random

from p2p_modelex.simulation.scenario.settings import Fees

GWEI = 10**9
FEE_MIN = 7
"""Wei a gas: under it the rule of an eighth no longer moves a fee down."""
TIP = 10**6
"""Wei a gas that nodes offer on top where nobody offers more (chain/evm/sender.py)."""
FALLING_BLOCKS = 512
"""From any fee to FEE_MIN, an eighth at a time."""


class FeeMarket:
    """Block by block. factor: how many times their usual traffic others have just now."""

    def __init__(self, settings: Fees, rng: random.Random) -> None:
        self.factor = 1.0
        self.base_fee = self.highest = max(FEE_MIN, int(settings.base_fee * GWEI))
        """Wei a gas in the next block, and the most there was."""
        self._settings = settings
        self._rng = rng
        self._usual = self.base_fee
        self._height = 0
        self._demand = 0

    def advance(self, height: int) -> None:
        """Let the blocks before this one pass, in which there was nothing of ours."""
        passed = height - 1 - self._height
        if not self._settings.background:
            passed = min(passed, FALLING_BLOCKS)
        for _ in range(passed):
            self._draw()
            self._move(0)
        self._height = height
        self._draw()

    def _draw(self) -> None:
        """What others want to put into the next block, in gas."""
        settings = self._settings
        if not settings.background:
            self._demand = 0
            return
        noise = math.exp(self._rng.gauss(0.0, settings.spread) - settings.spread**2 / 2)
        scarcity = self._usual / self.base_fee
        target = settings.limit // 2
        self._demand = int(settings.background * self.factor * scarcity * target * noise)

    def compute_chance(self, waiting: int) -> float:
        """Return the chance that a transaction with the usual tip finds room, where `waiting` gas
        of ours wants in.
        """
        wanted = waiting + self._demand
        return min(1.0, self._settings.limit / max(1, wanted))

    def seal(self, ours: int) -> None:
        """The block is made, with so much gas of ours."""
        self._move(ours)

    def _move(self, ours: int) -> None:
        target = self._settings.limit // 2
        used = min(self._settings.limit, ours + self._demand)
        change = self.base_fee * (used - target) // target // 8
        if used > target:
            change = max(1, change)
        self.base_fee = max(FEE_MIN, self.base_fee + change)
        self.highest = max(self.highest, self.base_fee)

    def bid(self) -> int:
        """Return what a node offers for a gas, at most (chain/evm/fees.py: compute_fees)."""
        return 2 * self.base_fee + TIP

    def raise_bid(self, cap: int) -> int:
        """Return what a node offers instead of `cap`; pools want a tenth more."""
        return max(self.bid(), cap + cap // 8 + 1)

    def compute_price(self, cap: int) -> int:
        """Return what a gas costs whoever offered at most `cap`."""
        return self.base_fee + min(TIP, cap - self.base_fee)
