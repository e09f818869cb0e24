"""What a router remembers of messages: that it has seen them, and for a while what was in them."""

from dataclasses import dataclass, field

from p2p_modelex.simulation.models.gossip.messages import Message, MessageId

SEEN_MAX = 50_000
"""Messages remembered against duplicates; the oldest are forgotten first, as after `seen`."""
SWEEP_US = 1_000_000
"""Between two looks for what is old in a book of all routers."""


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


@dataclass(slots=True)
class _Page:
    """Which routers have seen a message, a byte each, and when the last of them did."""

    last: int
    routers: bytearray = field(default_factory=bytearray)


class SeenBook:
    """What all routers of a world have seen: a byte for each message and router, where a table in
    each router takes a hundred. A message is forgotten by all at once, `lasts` after it was new to
    the last one; it does not travel for so long.
    """

    def __init__(self, lasts: int) -> None:
        self.pages: dict[MessageId, _Page] = {}
        self._lasts = lasts
        self._routers = 0
        self._swept = 0

    def open(self) -> "SharedSeen":
        """Return what one more router has seen: nothing."""
        self._routers += 1
        return SharedSeen(self, self._routers - 1)

    def add(self, one: MessageId, now: int, router: int) -> None:
        """Remember a message for a router."""
        page = self.pages.get(one)
        if page is None:
            page = self.pages[one] = _Page(now)
            if len(self.pages) > SEEN_MAX:
                del self.pages[next(iter(self.pages))]
        page.last = now
        if router >= len(page.routers):
            page.routers.extend(bytes(self._routers - len(page.routers)))
        page.routers[router] = 1

    def sweep(self, now: int) -> None:
        """Forget what is old; a look a second does."""
        if now < self._swept + SWEEP_US:
            return
        self._swept = now
        pages = self.pages
        while pages and pages[oldest := next(iter(pages))].last < now - self._lasts:
            del pages[oldest]


class SharedSeen(Seen):
    """One router's part of a book. It cannot say when a message came, which only scores ask."""

    __slots__ = ("_book", "_router")

    def __init__(self, book: SeenBook, router: int) -> None:
        super().__init__(0)
        self._book = book
        self._router = router

    def __contains__(self, one: MessageId) -> bool:
        page = self._book.pages.get(one)
        return (
            page is not None and self._router < len(page.routers) and page.routers[self._router] > 0
        )

    def add(self, one: MessageId, now: int) -> None:
        """See Seen."""
        self._book.add(one, now, self._router)

    def sweep(self, now: int) -> None:
        """See Seen."""
        self._book.sweep(now)


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
