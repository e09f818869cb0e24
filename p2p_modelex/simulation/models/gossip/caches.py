"""What a router remembers of messages: that it has seen them, and for a while what was in them."""

from p2p_modelex.simulation.models.gossip.messages import Message, MessageId

SEEN_MAX = 50_000
"""Messages remembered against duplicates; the oldest are forgotten first, as after `seen`."""


class Seen:
    """Which messages came, and when first (microseconds)."""

    __slots__ = ("_lasts", "_times")

    def __init__(self, lasts: int) -> None:
        self._lasts = lasts
        self._times: dict[MessageId, int] = {}

    def __contains__(self, one: MessageId) -> bool:
        return one in self._times

    def get(self, one: MessageId) -> int:
        """When a message that was seen came first."""
        return self._times[one]

    def add(self, one: MessageId, now: int) -> None:
        """Remember one."""
        self._times[one] = now
        if len(self._times) > SEEN_MAX:
            del self._times[next(iter(self._times))]

    def sweep(self, now: int) -> None:
        """Forget what is old."""
        times = self._times
        while times and times[oldest := next(iter(times))] < now - self._lasts:
            del times[oldest]


class Cache:
    """Whole messages, by the heartbeat in which they came: what IWANT is answered from."""

    __slots__ = ("_gossip", "_windows")

    def __init__(self, history: int, history_gossip: int) -> None:
        """history: heartbeats that messages are kept; history_gossip: that IHAVE tells of them."""
        self._windows: list[dict[MessageId, Message]] = [{} for _ in range(history)]
        self._gossip = history_gossip

    def add(self, message: Message) -> None:
        """Keep a message."""
        self._windows[0][message.id] = message

    def drop(self, one: MessageId) -> None:
        """Keep a message no longer that came in this heartbeat."""
        self._windows[0].pop(one, None)

    def find(self, one: MessageId) -> Message | None:
        """Return a message that is still kept."""
        return next((window[one] for window in self._windows if one in window), None)

    def list_recent(self) -> list[Message]:
        """Return what IHAVE tells of."""
        return [one for window in self._windows[: self._gossip] for one in window.values()]

    def shift(self) -> None:
        """A heartbeat is over."""
        if any(self._windows):
            self._windows.pop()
            self._windows.insert(0, {})
