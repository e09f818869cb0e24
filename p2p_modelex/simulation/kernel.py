"""The kernel: one heap of (time, tick, target, event), a clock that it alone moves, and a digest.

Times are whole microseconds from the start. Events of one time come in the order they were asked
for (the tick), so nothing depends on addresses or on the order of a hash.
"""

import hashlib
from heapq import heappop, heappush
from typing import Any, Protocol

import msgspec

from p2p_modelex.errors import SimulationError

PENDING_MAX = 5_000_000
"""Events in the heap, at about 150 bytes each and what they carry: 750 MB, and a runaway ends."""

_BATCH = 256
"""Events encoded together, which takes half as long as one by one."""
_ARRAY_HEAD = 3
"""Bytes that msgpack puts before the elements of an array of 16 to 65,535."""


class Target(Protocol):
    """Whatever events are for."""

    @property
    def number(self) -> int:
        """The node's, or one below 0; part of the trace."""
        ...

    def receive(self, event: Any) -> None:
        """Take one event."""
        ...


def _encode_foreign(value: Any) -> Any:
    return str(int(value))  # Wei: up to 2^128, which msgpack has no integer for


class Trace:
    """SHA-256 over the canonical bytes of every event in its order: equal digests, equal runs."""

    def __init__(self) -> None:
        self._sha = hashlib.sha256()
        self._entries: list[tuple[int, int, str, msgspec.Struct]] = []
        self._encoder = msgspec.msgpack.Encoder(enc_hook=_encode_foreign)

    def note(self, at_us: int, number: int, event: msgspec.Struct) -> None:
        """Add an event: its time, whose it is, its class and its fields."""
        self._entries.append((at_us, number, type(event).__name__, event))
        if len(self._entries) == _BATCH:
            self._sha.update(memoryview(self._encoder.encode(self._entries))[_ARRAY_HEAD:])
            self._entries.clear()

    def compute_digest(self) -> str:
        """Return the digest so far, in hexadecimal."""
        for entry in self._entries:
            self._sha.update(self._encoder.encode(entry))
        self._entries.clear()
        return self._sha.hexdigest()


class Kernel:
    """Runs events in order. `now` is the time of the event at hand."""

    def __init__(self, *, pending_max: int = PENDING_MAX) -> None:
        self.now = 0
        self.events = 0
        """How many were taken."""
        self.trace = Trace()
        self._pending_max = pending_max
        self._heap: list[tuple[int, int, Target, msgspec.Struct]] = []
        self._tick = 0

    @property
    def pending(self) -> int:
        """Events that wait for their time."""
        return len(self._heap)

    def at(self, when_us: int, target: Target, event: msgspec.Struct) -> None:
        """Ask for an event; one in the past comes now. SimulationError if too many wait."""
        self._tick += 1
        if len(self._heap) >= self._pending_max:
            raise SimulationError(
                f"over {self._pending_max} events wait at {self.now / 1e6:.3f} s",
                hint="fewer nodes, or less traffic",
            )
        heappush(self._heap, (max(when_us, self.now), self._tick, target, event))

    def run(self, until_us: int) -> None:
        """Take every event up to a time, and stop the clock there."""
        heap, note = self._heap, self.trace.note
        while heap and heap[0][0] <= until_us:
            at, _, target, event = heappop(heap)
            self.now = at
            self.events += 1
            note(at, target.number, event)
            target.receive(event)
        self.now = max(self.now, until_us)
