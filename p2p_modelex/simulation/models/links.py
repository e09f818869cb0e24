"""Links: when what is sent arrives. Latency, jitter, bandwidth, loss, and what is cut or clogged.

Between two nodes runs one connection, as libp2p has it: TCP with streams muxed on it. So what goes
one way on it arrives in the order it was sent, and a lost packet holds up all that is behind it.
"""

import random
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources
from math import log

from p2p_modelex.simulation.models.tcp import PACKET_BYTES, Flow, compute_extra
from p2p_modelex.simulation.scenario.settings import Links

_TABLE = tomllib.loads(
    resources.files("p2p_modelex.simulation.models")
    .joinpath("regions.toml")
    .read_text(encoding="utf-8")
)
_ROUND_TRIPS: Mapping[str, Mapping[str, int]] = _TABLE["round_trip_ms"]
REGIONS = tuple(_ROUND_TRIPS)
DEGREES: Mapping[str, tuple[float, float]] = _TABLE["degrees"]
"""Latitude and longitude of each region."""

PACKET_HEADER_BYTES = 66
"""Ethernet, IP, and TCP with timestamps. Acknowledgements without data are not counted."""
HEADER_BYTES = PACKET_HEADER_BYTES + 2 + 16 + 12 + 4
"""What goes with a frame: a packet's headers, Noise's length and tag, Yamux's header, our length.
`make calibrate` holds what nodes send in all to real sockets.
"""
CONNECTION_BYTES = 5_790
"""What both ends of a new connection say before they say anything of ours: TCP, Noise, Yamux,
identify, and pubsub's greeting, with headers (`make calibrate`).
"""
KEEPALIVE_US = 30_000_000
"""A connection over which nothing passes for so long is given up by both ends."""


@dataclass(slots=True)
class Place:
    """Where a node is on the network, and until when its link is busy (microseconds).

    up, down: bytes a second. clogged_until: its link delivers nothing before.
    """

    region: str
    up: int
    down: int
    is_hidden: bool
    rng: random.Random
    up_free: int = 0
    clogged_until: int = 0
    bytes_sent: int = 0


@dataclass(frozen=True, slots=True)
class Cut:
    """A partition: until when, whose side is cut off, and whether both ways."""

    until: int
    inside: frozenset[int]
    is_symmetric: bool

    def blocks(self, sender: int, receiver: int) -> bool:
        """Whether what one node sends to another has to wait."""
        leaves = sender in self.inside and receiver not in self.inside
        enters = receiver in self.inside and sender not in self.inside
        return leaves or (enters and self.is_symmetric)


class LinkModel:
    """Computes arrivals. Each node draws from a stream of its own, in the order of its sending."""

    def __init__(self, links: Links) -> None:
        self._jitter = links.jitter
        self._loss = links.loss
        self._one = links.latency
        self.cuts: list[Cut] = []
        self._half = {
            (one, other): trip * 500
            for one, row in _ROUND_TRIPS.items()
            for other, trip in row.items()
        }

    def get_latency(self, sender: Place, receiver: Place) -> int:
        """One way, in microseconds, without jitter."""
        return self._half[sender.region, receiver.region] if self._one is None else self._one

    def compute_arrival(
        self, sender: Place, receiver: Place, size: int, at: int, flow: Flow | None = None
    ) -> int:
        """Return when `size` bytes that are sent at a time are there, behind what went before in
        their flow; without one, as the first of a new one.
        """
        flow = flow or Flow()
        size += HEADER_BYTES
        sender.bytes_sent += size
        begins = max(at, sender.up_free)
        sender.up_free = begins + size * 1_000_000 // sender.up
        # get_latency written out: every frame comes by here.
        latency = self._half[sender.region, receiver.region] if self._one is None else self._one
        rng = sender.rng
        begins = max(begins, flow.free)
        packets = -(-size // PACKET_BYTES)
        flow.free = begins + compute_extra(flow, packets, 2 * latency, begins, self._loss, rng)
        arrival = max(sender.up_free, flow.free) + latency
        if self._jitter:
            # rng.expovariate(1.0), written out: every frame comes by here.
            arrival += int(-log(1.0 - rng.random()) * self._jitter * latency)
        clogged = max(sender.clogged_until, receiver.clogged_until)
        arrival = max(arrival, clogged) + size * 1_000_000 // receiver.down
        flow.last = max(arrival, flow.last)
        return flow.last

    def find_heal(self, sender: int, receiver: int, now: int) -> int:
        """Return when a cut between two nodes heals; 0 if there is none."""
        if not self.cuts:
            return 0
        self.cuts = [cut for cut in self.cuts if cut.until > now]
        heals = [cut.until for cut in self.cuts if cut.blocks(sender, receiver)]
        return max(heals, default=0)
