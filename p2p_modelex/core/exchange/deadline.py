"""A deadline that moves often and costs a timer rarely."""

from p2p_modelex.core.effects import CancelTimer, Effect, SetTimer, StreamId, TimerId
from p2p_modelex.units import Millis, UnixMs


def build_timer_id(stream: StreamId, name: str) -> TimerId:
    """Return the name of a timer of the exchange on `stream`."""
    return TimerId(f"exchange/{stream}/{name}")


class Deadline:
    """One timer of a stream. Moving it later costs no effect: it is set again when it fires."""

    def __init__(self, stream: StreamId, name: str) -> None:
        self.timer = build_timer_id(stream, name)
        self._due: UnixMs | None = None
        self._armed: UnixMs | None = None

    def move(self, now: UnixMs, after: Millis) -> list[Effect]:
        """Let it pass `after` from now."""
        self._due = UnixMs(now + after)
        if self._armed is not None and self._armed <= self._due:
            return []
        self._armed = self._due
        return [SetTimer(self.timer, self._due)]

    def on_fired(self, now: UnixMs) -> tuple[bool, list[Effect]]:
        """Return whether it has passed, and else the effect that waits for the rest."""
        self._armed = None
        if self._due is None:
            return False, []
        if self._due > now:
            self._armed = self._due
            return False, [SetTimer(self.timer, self._due)]
        self._due = None
        return True, []

    def cancel(self) -> list[Effect]:
        """Let it never pass."""
        self._due = None
        was_armed, self._armed = self._armed is not None, None
        return [CancelTimer(self.timer)] if was_armed else []
