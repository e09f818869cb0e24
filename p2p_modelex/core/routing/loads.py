"""What is known of others' load: the last answer to a probe, for as long as it is fresh."""

from p2p_modelex.ids import PeerId
from p2p_modelex.records.job import Load
from p2p_modelex.units import UnixMs

FRESH_MS = 2_000
"""Older answers say nothing: Prequal (Wydrowski et al., NSDI 2024) lets probes live about 1 s."""
PEERS_MAX = 1024


class ProbeBook:
    """The last load of each peer; bounded, the oldest answer goes first."""

    def __init__(self) -> None:
        self._loads: dict[PeerId, tuple[UnixMs, Load]] = {}

    def put(self, peer: PeerId, load: Load, now: UnixMs) -> None:
        """Note an answer."""
        self._loads.pop(peer, None)
        self._loads[peer] = (now, load)
        if len(self._loads) > PEERS_MAX:
            del self._loads[next(iter(self._loads))]

    def get(self, peer: PeerId, now: UnixMs) -> Load | None:
        """Return the peer's load, or None if it is not known or stale."""
        known = self._loads.get(peer)
        return known[1] if known is not None and now - known[0] <= FRESH_MS else None
