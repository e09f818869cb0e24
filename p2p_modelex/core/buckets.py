"""Token buckets by peer: how often each may do a thing; bounded, the longest unseen forgotten."""

from p2p_modelex.ids import PeerId
from p2p_modelex.units import UnixMs


class TokenBuckets:
    """Each peer may do `burst` things at once and one more every `interval_ms`."""

    def __init__(self, burst: int, interval_ms: int, peers_max: int) -> None:
        self._burst = burst
        self._interval_ms = interval_ms
        self._peers_max = peers_max
        # GCRA (ITU-T I.371): one number a peer, the time at which its bucket would be full again.
        self._full_at: dict[PeerId, int] = {}

    def __len__(self) -> int:
        """How many are remembered."""
        return len(self._full_at)

    def take(self, peer: PeerId, now: UnixMs, tokens: int = 1) -> bool:
        """Take so many tokens, or none; False if there are not as many."""
        full_at = max(self._full_at.pop(peer, 0), now)
        fits = full_at - now <= (self._burst - tokens) * self._interval_ms
        self._full_at[peer] = full_at + tokens * self._interval_ms if fits else full_at
        # Whose bucket is full again is as one that was never seen. Two go for one that comes, so
        # that the table shrinks.
        for _ in range(min(2, len(self._full_at))):
            oldest = next(iter(self._full_at))
            if self._full_at[oldest] > now and len(self._full_at) <= self._peers_max:
                break
            del self._full_at[oldest]
        return fits
