"""What buyers may spend: in an hour, and for a token."""

import math
import random

from p2p_modelex.simulation.nodes.machine import PRICE_TOKENS
from p2p_modelex.simulation.scenario.tables import Workload
from p2p_modelex.units import Wei

HOUR_US = 3_600_000_000


class Budgets:
    """What each node has spent in the present hour of the run, wei."""

    def __init__(self) -> None:
        self._spent: dict[int, tuple[int, int]] = {}

    def has_left(self, node: int, hourly: int | None, now_us: int) -> bool:
        """Whether a node may ask for something still; what runs may take it over its budget."""
        return hourly is None or self._get(node, now_us) < hourly

    def spend(self, node: int, paid: int, now_us: int) -> None:
        """A run has cost something."""
        self._spent[node] = now_us // HOUR_US, self._get(node, now_us) + paid

    def _get(self, node: int, now_us: int) -> int:
        hour, spent = self._spent.get(node, (0, 0))
        return spent if hour == now_us // HOUR_US else 0


def draw_reserve(workload: Workload, rng: random.Random) -> Wei | None:
    """Draw the most that a request gives for a completion token; None for whatever is asked."""
    if workload.reserve is None:
        return None
    willing = math.exp(rng.gauss(0.0, workload.reserve_spread))
    return Wei(int(workload.reserve * willing) // PRICE_TOKENS)
