"""How long a requester waits for an answer, and for the start of its job."""

from p2p_modelex.core.exchange import parameters
from p2p_modelex.units import Millis, UnixMs


class Patience:
    """An answer is due whatever the job waits for meanwhile (EXC-14), and some requesters no longer
    wait after a deadline of their own (EXC-32).
    """

    def __init__(self) -> None:
        self.until: UnixMs | None = None
        """When the requester no longer waits for the start, if ever."""
        self._answer_by = UnixMs(0)

    def note(self, now: UnixMs, deadline_ms: int = 0) -> None:
        """A message came that asks for an answer. deadline_ms: for how long, 0 for ever."""
        self._answer_by = UnixMs(now + parameters.ANSWER_TIMEOUT_MS)
        if deadline_ms:
            self.until = UnixMs(now + deadline_ms)

    def compute_left_ms(self, now: UnixMs) -> Millis:
        """Return for how long it may take yet."""
        due = self._answer_by if self.until is None else min(self._answer_by, self.until)
        return Millis(max(due - now, 0))

    def is_over(self, now: UnixMs) -> bool:
        """Whether the requester's own deadline has passed."""
        return self.until is not None and now >= self.until
