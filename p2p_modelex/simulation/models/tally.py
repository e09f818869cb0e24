"""What the chain counts: transactions that stand, what they cost, how long they waited, reorgs."""

from collections.abc import Iterable

from p2p_modelex.simulation.models.fees import GWEI
from p2p_modelex.simulation.models.transactions import NAMES, Transaction
from p2p_modelex.simulation.results.spread import Spread


class Tally:
    """Counts by kind. What a reorg undoes is taken out again. forgotten: what it dropped for good,
    as its sender had ended. first_mined, last_mined: microseconds.
    """

    def __init__(self) -> None:
        self.counts: dict[str, int] = {}
        self.gas: dict[str, int] = {}
        self.fees: dict[str, int] = {}
        self.waits = Spread()
        self.reorgs = self.deepest = self.undone = self.forgotten = 0

    @property
    def transactions(self) -> int:
        """How many stand."""
        return sum(self.counts.values())

    def add(self, one: Transaction, now_us: int) -> None:
        """One is mined."""
        self._count(one, 1)
        self.waits.add(now_us - one.sent_us)

    def undo(self, undone: Iterable[Transaction], depth: int) -> None:
        """A reorg undid these."""
        self.reorgs += 1
        self.deepest = max(self.deepest, depth)
        for one in undone:
            self.undone += 1
            self._count(one, -1)

    def _count(self, one: Transaction, sign: int) -> None:
        name = NAMES[type(one.effect)]
        self.counts[name] = self.counts.get(name, 0) + sign
        self.gas[name] = self.gas.get(name, 0) + sign * one.gas
        self.fees[name] = self.fees.get(name, 0) + sign * one.paid

    def summarise(self) -> dict[str, float]:
        """Return measures by name."""
        found: dict[str, float] = {"transactions": self.transactions}
        for name in sorted(self.counts):
            found[f"transactions_{name}"] = self.counts[name]
            found[f"gas_{name}"] = self.gas[name]
            found[f"fees_{name}_gwei"] = self.fees[name] / GWEI
        if self.reorgs:
            found["reorgs"] = self.reorgs
            found["reorg_deepest"] = self.deepest
            found["reorg_undone"] = self.undone
            found["reorg_forgotten"] = self.forgotten
        return found
