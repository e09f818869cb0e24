"""Bounds that both networks share: a queue that drops its oldest, and token buckets by origin."""

from collections import deque
from dataclasses import dataclass
from typing import Generic, TypeVar

import trio

from p2p_modelex.core.buckets import TokenBuckets
from p2p_modelex.ids import PeerId
from p2p_modelex.limits import (
    GOSSIP_ORIGIN_BURST,
    GOSSIP_ORIGIN_RATE,
    GOSSIP_ORIGINS_MAX,
    GOSSIP_TOTAL_BURST,
    GOSSIP_TOTAL_RATE,
)
from p2p_modelex.units import UnixMs

T = TypeVar("T")


class DroppingQueue(Generic[T]):
    """A queue that never blocks its producer: when full, the oldest item goes and is counted."""

    def __init__(self, size: int) -> None:
        self._items: deque[T] = deque(maxlen=size)
        self._filled = trio.Event()
        self.dropped = 0

    def put(self, item: T) -> None:
        if len(self._items) == self._items.maxlen:
            self.dropped += 1
        self._items.append(item)
        self._filled.set()

    async def get(self) -> T:
        """Wait for the oldest item; cancelling loses none."""
        await trio.lowlevel.checkpoint()
        while not self._items:
            self._filled = trio.Event()
            await self._filled.wait()
        return self._items.popleft()


@dataclass(slots=True)
class TokenBucket:
    """Tokens left at a time of any clock that only goes up; each caller states its own rate."""

    tokens: float
    at_s: float

    def take(self, now_s: float, rate: float, burst: float) -> bool:
        """Take a token; False if there is none. rate: tokens a second, up to `burst`."""
        self.tokens = min(burst, self.tokens + (now_s - self.at_s) * rate)
        self.at_s = now_s
        if self.tokens < 1:
            return False
        self.tokens -= 1
        return True


@dataclass(frozen=True, slots=True)
class GossipRates:
    """How much gossip is taken: messages a second and bursts, for each origin and in all.

    Raising the rates costs CPU (about 5 ms a message with py-libp2p) and a duplicate-cache entry
    (about 300 bytes for ten minutes) each.
    """

    origin_rate: float = GOSSIP_ORIGIN_RATE
    origin_burst: int = GOSSIP_ORIGIN_BURST
    total_rate: float = GOSSIP_TOTAL_RATE
    total_burst: int = GOSSIP_TOTAL_BURST


class GossipLimiter:
    """Token buckets, one for each of the most recent origins and one for all together.

    An origin pushed out of the table starts with a full bucket again; the common bucket bounds
    what an attacker with many keys gains from that.
    """

    def __init__(self, rates: GossipRates) -> None:
        self._rates = rates
        interval_ms = int(1000 / rates.origin_rate)
        self._origins = TokenBuckets(rates.origin_burst, interval_ms, GOSSIP_ORIGINS_MAX)
        self._total = TokenBucket(rates.total_burst, 0.0)

    def admit(self, origin: PeerId, now_s: float) -> bool:
        """Take a token for one message of `origin`; False if it has none left."""
        return self._origins.take(origin, UnixMs(int(now_s * 1000))) and (
            self._total.take(now_s, self._rates.total_rate, self._rates.total_burst)
        )
