"""What happened on a MemoryLedger, in order: what a reorg undoes is told again as undone."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Generic, TypeVar

import trio

from p2p_modelex.chain.abc import ChannelEvent
from p2p_modelex.records.registry import RegistryEvent

E = TypeVar("E", ChannelEvent, RegistryEvent)


class History(Generic[E]):
    """Events by their position, which never changes."""

    def __init__(self) -> None:
        self._events: list[E] = []
        self._news = trio.Event()

    def add(self, event: E) -> None:
        self._events.append(event)
        self._tell()

    def since(self, position: int) -> Sequence[E]:
        """Return what was told, from a position on."""
        return self._events[position:]

    async def wait_news(self) -> None:
        await self._news.wait()

    @property
    def length(self) -> int:
        """The position of what is told next."""
        return len(self._events)

    def undo_since(self, position: int) -> None:
        """Tell what stands since then again as undone, the newest first."""
        stands: list[E] = []
        for event in self._events[position:]:
            if event.undone:
                stands.pop()  # undone by an earlier reorg, in the same order
            else:
                stands.append(event)
        self._events += [replace(event, undone=True) for event in reversed(stands)]
        self._tell()

    def _tell(self) -> None:
        self._news.set()
        self._news = trio.Event()
