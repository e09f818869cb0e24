"""The machine that a node's engines share: which models are loaded, and who slows whom."""

from collections import OrderedDict, deque
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(slots=True)
class Tally:
    """What a machine's engines did, over all lives of its process. Times: microseconds."""

    tokens: int = 0
    prompt_tokens: int = 0
    cached_tokens: int = 0
    preempted: int = 0
    loads: int = 0
    busy_us: int = 0


class Host:
    """Loads models, at most `resident` of them at once; engines that work at once share it."""

    def __init__(self, resident: int, tally: Tally, get_taken: Callable[[], float]) -> None:
        """get_taken: the share of the machine that others than its engines use, under 1."""
        self.tally = tally
        self._resident = resident
        self._get_taken = get_taken
        # When each model that is loaded, or being loaded, is there; the least recently used first.
        self._there_at: OrderedDict[str, int] = OrderedDict()
        self._busy: dict[str, None] = {}
        self._waiting: deque[tuple[str, Callable[[int], None]]] = deque()

    def claim(self, model: str, load_us: int, now: int, again: Callable[[int], None]) -> int | None:
        """Return when a model can step, loading it if it must be; None where others are in the
        way: `again` is called once one of them rests.
        """
        if model not in self._there_at and not self._make_room(model, load_us, now):
            if all(name != model for name, _ in self._waiting):
                self._waiting.append((model, again))
            return None
        self._busy[model] = None
        self._there_at.move_to_end(model)
        return max(now, self._there_at[model])

    def _make_room(self, model: str, load_us: int, now: int) -> bool:
        if len(self._there_at) >= self._resident:
            idle = next((name for name in self._there_at if name not in self._busy), None)
            if idle is None:
                return False
            del self._there_at[idle]
        self._there_at[model] = now + load_us
        self.tally.loads += 1
        return True

    def rest(self, model: str, now: int) -> None:
        """A model has nothing to do: another may take its place."""
        self._busy.pop(model, None)
        if self._waiting:
            _, again = self._waiting.popleft()
            again(now)

    def crash(self, model: str, now: int) -> None:
        """A model's process died, and its weights with it."""
        self._there_at.pop(model, None)
        self.rest(model, now)

    def stretch(self, seconds: float) -> int:
        """Return the microseconds that a step of so many seconds takes beside the others."""
        alone = seconds * 1_000_000 / (1.0 - self._get_taken())
        self.tally.busy_us += int(alone)
        return int(alone * max(1, len(self._busy)))
