"""How long TCP takes for what does not fit its window, and for what was lost.

Slow start from ten packets (RFC 6928) and after a pause (RFC 2861); CUBIC where it is as slow as
Reno, which is below some dozens of packets (RFC 9438, section 4.3); fast retransmission where three
packets follow the lost one, a tail loss probe where fewer do (RFC 8985), a time-out where none
does (RFC 6298, with Linux's least variance). `make lossy` holds it to Linux's own.
"""

import random
from dataclasses import dataclass

PACKET_BYTES = 1400
WINDOW_FIRST = 10
WINDOW_LEAST = 2
WINDOW_MOST = 187
"""Packets of the 256 KiB that a Yamux stream has in flight."""
CUT = 0.7
GROWTH = 3 * (1 - CUT) / (1 + CUT)
"""Packets a round trip, above the threshold."""
VARIANCE_US = 200_000
"""What Linux's time-out has on top of a round trip, at least (TCP_RTO_MIN)."""
FOLLOWERS = 3
"""Packets that come after a lost one and tell of it."""
TIMEOUTS_MOST = 6
ROUNDS_MOST = 400
"""Of one frame: 4 MiB would take 375 with the least window."""


@dataclass(slots=True)
class Flow:
    """One direction of a connection: its window in packets, until when it is taken, and when the
    last of it arrives (microseconds).
    """

    window: float = WINDOW_FIRST
    threshold: float = WINDOW_MOST
    free: int = 0
    last: int = 0


def compute_extra(
    flow: Flow, packets: int, trip: int, begins: int, loss: float, rng: random.Random
) -> int:
    """Return how much longer than one packet's way it takes until all packets are there, and move
    the flow's window. trip: there and back; begins: when the first may leave; both microseconds.
    """
    _rest(flow, begins, trip)
    if packets <= flow.window and not loss:
        return 0
    extra, left = 0, packets
    for _ in range(ROUNDS_MOST):
        room = int(flow.window)
        sent = min(left, room)
        left -= sent
        is_lost = loss and rng.random() < 1.0 - (1.0 - loss) ** sent
        if is_lost:
            _shrink(flow)
        elif sent == room:
            _grow(flow)
        if not left:
            return extra + (_recover(flow, sent, trip, loss, rng) if is_lost else 0)
        # What is lost here is sent again with the next round.
        extra += trip
    return extra


def _rest(flow: Flow, now: int, trip: int) -> None:
    """Halve the window for each time-out in which nothing was sent."""
    idle = now - flow.free
    while flow.window > WINDOW_FIRST and idle > trip + VARIANCE_US:
        idle -= trip + VARIANCE_US
        flow.window = max(WINDOW_FIRST, flow.window / 2)


def _grow(flow: Flow) -> None:
    grown = 2 * flow.window if flow.window < flow.threshold else flow.window + GROWTH
    flow.window = min(grown, WINDOW_MOST)


def _shrink(flow: Flow) -> None:
    flow.threshold = flow.window = max(WINDOW_LEAST, flow.window * CUT)


def _recover(flow: Flow, sent: int, trip: int, loss: float, rng: random.Random) -> int:
    """Return how long it takes until what was lost in the last round is there after all."""
    if sent > FOLLOWERS and rng.random() >= FOLLOWERS / sent:
        return trip
    if sent > 1:
        return 2 * trip
    total, wait = 0, trip + VARIANCE_US
    for _ in range(TIMEOUTS_MOST):
        total += wait
        wait *= 2
        if rng.random() >= loss:
            break
    flow.window = WINDOW_LEAST
    return total
