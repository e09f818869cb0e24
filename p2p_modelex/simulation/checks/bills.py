"""That an honest buyer pays at most what it allowed for a request, and for one answer once; and
what honest nodes lose to each peer that does not keep its side.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

from p2p_modelex.core import effects as fx
from p2p_modelex.core import inputs as inp
from p2p_modelex.ids import JobId, PeerId
from p2p_modelex.simulation.checks.checkers import breach
from p2p_modelex.simulation.models.splits import LEVEL_AI
from p2p_modelex.simulation.nodes.life import Life

REQUESTS_MAX = 100_000
"""Requests looked at until they end; as many as may run in a world."""
PAIRS_MAX = 200_000
"""Pairs of a node and a peer that has cost it something."""


class Bills:
    """Holds each request of an honest node to its ceiling."""

    def __init__(self, find_epoch: Callable[[], int]) -> None:
        """find_epoch: the token's split epoch."""
        self._most: dict[JobId, int] = {}
        self._find_epoch = find_epoch

    def on_asked(self, _: Life, asked: inp.RunRequested) -> None:
        """A request is made."""
        if len(self._most) < REQUESTS_MAX:
            self._most[asked.job] = asked.max_cost

    def on_emit(self, life: Life, effect: fx.Emit) -> None:
        """A request ends, once: a second answer would be a second payment."""
        event = effect.event
        if isinstance(event, fx.RunFinished | fx.RunFailed):
            most = self._most.pop(event.job, None)
            epoch = self._find_epoch()  # a failure does not say in which it was tried last
            if isinstance(event, fx.RunFinished):
                epoch = event.row.receipt.receipt.epoch
            if most is not None and event.paid > most << epoch:
                allowed = f"a request of {most << epoch} at most"
                raise breach(life, f"it paid {event.paid} wei for {allowed}")


@dataclass(slots=True)
class _Account:
    """What one side of a pair of nodes gave, against the vouchers of all lanes (`level`)."""

    is_seller: bool
    served: int = 0
    window: int = 1
    vouchers: dict[tuple[bytes, int], int] = field(default_factory=dict)

    @property
    def lost(self) -> int:
        """Work that nothing was paid for, or money that no answer came for."""
        paid = sum(self.vouchers.values())
        return max(0, self.served - paid if self.is_seller else paid - self.served)


class Losses:
    """Keeps an account for each honest node and each peer: vouchers are cumulative, so what a debt
    was paid with later counts.
    """

    def __init__(self) -> None:
        self._accounts: dict[tuple[int, PeerId, bool], _Account] = {}

    def add(
        self, node: int, peer: PeerId, *, is_seller: bool, served: int, window: int
    ) -> dict[tuple[bytes, int], int]:
        """A job that had started ended. served: the cost of what was worked, or of the answer that
        came, if one did. Returns the amount of the last voucher by channel and lane. All amounts
        are as `level` has them.
        """
        key = node, peer, is_seller
        if len(self._accounts) >= PAIRS_MAX and key not in self._accounts:
            return {}
        account = self._accounts.setdefault(key, _Account(is_seller))
        account.served += served
        account.window = max(account.window, window)
        return account.vouchers

    def summarise(self) -> dict[str, float]:
        """Return what was lost in all, in AI, and the most to one peer, in windows."""
        lost = [one for one in self._accounts.values() if one.lost]
        return {
            "cheated_ai": sum(one.lost for one in lost) / LEVEL_AI,
            "cheated_windows_max": max((one.lost / one.window for one in lost), default=0.0),
        }
