"""Who may connect to us: a place for each inbound connection, from its TCP accept to its end.

Three ideas: what one address or subnet can take is bounded; handshakes have few places of their
own, and when those run out the oldest of the most crowded subnet goes; when all places are taken,
the least valuable connection goes, and not the newcomer.
"""

from collections import Counter, OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field

import trio

from p2p_modelex.ids import PeerId
from p2p_modelex.net.bounded import TokenBucket
from p2p_modelex.net.libp2p.configuration import Libp2pConfiguration
from p2p_modelex.net.reputation import Reputation, subnet_of

# Dialling out must stay possible while others fill us: this share is theirs.
_INBOUND_SHARE = 0.75
# New connections of one address: a burst of what it may hold, then a few each second.
_RATE_PER_IP = 2.0
_ARRIVALS_MAX = 4096


@dataclass(eq=False, slots=True)
class Place:
    """One inbound connection.

    peer: None until both handshakes are done. violation: what the peer did to end it, if anything.
    """

    host: str
    subnet: str
    since_s: float
    scope: trio.CancelScope = field(default_factory=trio.CancelScope)
    peer: PeerId | None = None
    evicted: bool = False
    violation: str = ""


class Admission:
    """Counts inbound connections, decides on new ones, and makes room for them.

    `is_busy` tells whether a peer's connection does work that must not be cut.
    """

    def __init__(
        self,
        options: Libp2pConfiguration,
        reputation: Reputation,
        is_busy: Callable[[PeerId], bool] = lambda _peer: False,
    ) -> None:
        self._options = options
        self._reputation = reputation
        self._is_busy = is_busy
        self._total_max = max(1, int(options.connections_max * _INBOUND_SHARE))
        self._places: dict[Place, None] = {}
        self._arrivals: OrderedDict[str, TokenBucket] = OrderedDict()

    @property
    def count(self) -> int:
        return len(self._places)

    def hosts_of(self, peer: PeerId) -> list[str]:
        """The addresses that a peer's inbound connections come from."""
        return [place.host for place in self._places if place.peer == peer]

    def enter(self, host: str, now_s: float) -> Place | None:
        """Take a place for a connection that was just accepted; None if it must be closed."""
        place = Place(host, subnet_of(host), now_s)
        if not self._reputation.is_exempt(host) and not self._may_enter(place):
            return None
        self._make_room_for_handshake()
        if not self._make_room(now_s):
            return None
        self._places[place] = None
        return place

    def leave(self, place: Place) -> None:
        """Give a place back; doing it again changes nothing."""
        self._places.pop(place, None)

    def evict_refused(self, now_s: float) -> None:
        """End the connections of those whom the reputation keeps away."""
        for place in list(self._places):
            refused = place.peer is not None and self._reputation.refuses_peer(place.peer, now_s)
            if refused or self._reputation.refuses_host(place.host, now_s):
                self._evict(place)

    def _may_enter(self, place: Place) -> bool:
        if self._reputation.refuses_host(place.host, place.since_s):
            return False
        of_host = [other for other in self._places if other.host == place.host]
        of_subnet = sum(other.subnet == place.subnet for other in self._places)
        shaking = sum(other.peer is None for other in of_host)
        return (
            len(of_host) < self._options.connections_per_ip_max
            and of_subnet < self._options.connections_per_subnet_max
            and shaking < self._options.handshakes_per_ip_max
            and self._take_turn(place.host, place.since_s)
        )

    def _take_turn(self, host: str, now_s: float) -> bool:
        burst = float(self._options.connections_per_ip_max)
        arrivals = self._arrivals.setdefault(host, TokenBucket(burst, now_s))
        self._arrivals.move_to_end(host)
        if len(self._arrivals) > _ARRIVALS_MAX:
            self._arrivals.popitem(last=False)
        return arrivals.take(now_s, _RATE_PER_IP, burst)

    def _make_room_for_handshake(self) -> None:
        """Cut the oldest handshake of the subnet with most of them, if there are too many."""
        shaking = [place for place in self._places if place.peer is None]
        if len(shaking) >= self._options.handshakes_max:
            crowds = Counter(place.subnet for place in shaking)
            self._evict(max(shaking, key=lambda place: (crowds[place.subnet], -place.since_s)))

    def _make_room(self, now_s: float) -> bool:
        """Evict the least valuable connection if all places are taken; False if all are busy.

        Busy ones stay. Of the others the worst peer goes, then one of the most crowded subnet
        (what a flood fills first), then the youngest.
        """
        if len(self._places) < self._total_max:
            return True
        crowds = Counter(place.subnet for place in self._places)
        idle = {
            place: (self._reputation.score(place.peer, now_s), crowds[place.subnet], place.since_s)
            for place in self._places
            if place.peer is not None and not self._is_busy(place.peer)
        }
        if not idle:
            return False
        self._evict(max(idle, key=lambda place: idle[place]))
        return True

    def _evict(self, place: Place) -> None:
        place.evicted = True
        self.leave(place)
        place.scope.cancel()
