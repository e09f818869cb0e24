"""What is known of others' load: the last answer to a probe, for as long as it is fresh."""

from collections.abc import Sequence
from dataclasses import dataclass

import msgspec

from p2p_modelex.ids import PeerId
from p2p_modelex.records.job import Load
from p2p_modelex.units import UnixMs

FRESH_MS = 2_000
"""Older answers say nothing: Prequal (Wydrowski et al., NSDI 2024) lets probes live about 1 s."""
RECENT_MS = 100
"""An answer so young is not asked for again. In simulation (`python -m benchmarks balance`) 2,000
instead make the slowest hundredth at 85 % load three times as slow."""
PEERS_MAX = 1024
SMOOTHING = 0.25
"""Share of the newest round trip in the mean."""


@dataclass(slots=True)
class _Known:
    """An answer. uses: orders of ours that went by it."""

    at: UnixMs
    load: Load
    uses: int = 0


class ProbeBook:
    """The last load of each peer, oldest first; bounded, the oldest answer goes first. And how far
    away peers are, which changes little.
    """

    def __init__(self) -> None:
        self._loads: dict[PeerId, _Known] = {}
        self._trips: dict[PeerId, float] = {}

    def put(self, peer: PeerId, load: Load, now: UnixMs) -> None:
        """Note an answer."""
        self._loads.pop(peer, None)
        self._loads[peer] = _Known(now, load)
        if len(self._loads) > PEERS_MAX:
            del self._loads[next(iter(self._loads))]

    def note_trip(self, peer: PeerId, took_ms: int) -> None:
        """A question and its answer took so long."""
        old = self._trips.pop(peer, float(took_ms))
        self._trips[peer] = old + SMOOTHING * (took_ms - old)
        if len(self._trips) > PEERS_MAX:
            del self._trips[next(iter(self._trips))]

    def get_trip(self, peer: PeerId) -> float | None:
        """Return the mean ms of a round trip to a peer, None if it never answered."""
        return self._trips.get(peer)

    def get(self, peer: PeerId, now: UnixMs) -> Load | None:
        """Return the peer's load, or None if it is not known or stale."""
        known = self._loads.get(peer)
        return known.load if known is not None and now - known.at <= FRESH_MS else None

    def is_recent(self, peer: PeerId, now: UnixMs) -> bool:
        """Whether the peer need not be asked."""
        known = self._loads.get(peer)
        return known is not None and now - known.at <= RECENT_MS

    def note_order(self, peer: PeerId) -> None:
        """An order of ours goes there: it runs one more than it said (RTE-17)."""
        known = self._loads.get(peer)
        if known is not None:
            known.uses += 1
            known.load = msgspec.structs.replace(known.load, running=known.load.running + 1)

    def note_end(self, peer: PeerId) -> None:
        """An order of ours there is over."""
        known = self._loads.get(peer)
        if known is not None:
            running = max(known.load.running - 1, 0)
            known.load = msgspec.structs.replace(known.load, running=running)

    def get_uses(self, peer: PeerId) -> int:
        """Return how many orders of ours went by the peer's last answer."""
        known = self._loads.get(peer)
        return known.uses if known is not None else 0

    def drop(self, peer: PeerId) -> None:
        """Forget the peer's answer, so that it is asked again before it is chosen by its load."""
        self._loads.pop(peer, None)

    def get_newest(self, now: UnixMs, limit: int) -> Sequence[PeerId]:
        """Return at most `limit` peers whose load is fresh, the newest answers first."""
        found: list[PeerId] = []
        for peer, known in reversed(self._loads.items()):
            if now - known.at > FRESH_MS or len(found) >= limit:
                break
            found.append(peer)
        return found
