"""How long a model's orders take to come to something: when one is late (RTE-40, RTE-41)."""

from collections import deque
from math import ceil

from p2p_modelex.units import Millis

MODELS_MAX = 64
"""Models remembered; the one ordered longest ago is forgotten first."""
KEPT = 64
"""Times that count of each model: the last three or four of them decide, so few would be luck."""
KEPT_MIN = 16
"""With fewer nobody is late."""
QUANTILE = 0.95
"""Dean and Barroso, "The tail at scale" (2013): about one request in twenty is ordered twice."""
FLOOR_MS = 100
"""Nobody is late before: messages alone may take as long."""


class Delays:
    """The latest times from an order to its start, or to its first text, by model."""

    def __init__(self) -> None:
        self._times: dict[str, deque[int]] = {}

    def note(self, model: str, took_ms: int) -> None:
        """It came after so long, or was given up after so long."""
        times = self._times.pop(model, None)
        self._times[model] = times = deque(maxlen=KEPT) if times is None else times
        times.append(took_ms)
        if len(self._times) > MODELS_MAX:
            del self._times[next(iter(self._times))]

    def compute_late_ms(self, model: str) -> Millis | None:
        """Return the ms after which it is late, None if too few are known."""
        times = self._times.get(model, ())
        if len(times) < KEPT_MIN:
            return None
        return Millis(max(sorted(times)[ceil(QUANTILE * len(times)) - 1], FLOOR_MS))
