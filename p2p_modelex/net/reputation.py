"""Who misbehaved: decaying scores of peers, their addresses and subnets, and whom to keep away.

Callers name the offence; only this file knows what it weighs. A peer id costs nothing, so what
its owner does counts against the address and the subnet too, with more patience: others may live
there. The idea is lighthouse's peer score; the numbers are ours.
"""

import ipaddress
from collections import OrderedDict
from collections.abc import Hashable
from dataclasses import dataclass

from p2p_modelex.ids import PeerId

# How many of these, close together, keep a peer away: 100 / weight.
OFFENCES: dict[str, float] = {
    # Never an accident.
    "bad_signature": 50,
    "equivocation": 50,
    "bad_receipt": 50,
    "muxer": 50,
    # A bug, another version, or malice.
    "bad_record": 25,
    "bad_voucher": 25,
    "protocol": 25,
    "gossip": 10,
    # Happens to the honest: a crash, a slow machine, an empty purse, a broken connection.
    "unpaid": 10,
    "stalled": 10,
    "handshake": 5,
    "flood": 2,
}
UNKNOWN_OFFENCE = 10.0

ACCIDENTS = ("unpaid", "stalled")
"""What jobs die of. All that run over one link die when it is clogged, of one cause, so those of
ACCIDENT_S count once. By themselves they keep nobody away: what they cost is bounded by debts and
places. They take the patience with all else.
"""
ACCIDENT_S = 60.0
"""The longest of an exchange's timeouts: what runs as a link is clogged has died within it."""

# A little below: what came a moment ago has decayed a little.
REFUSED_AT = 95.0
HOST_PATIENCE = 3.0
SUBNET_PATIENCE = 10.0
HALF_LIFE_S = 120.0
REFUSED_S = 300.0
"""How long one who reached the limit is kept away."""

SCORES_MAX = 4096
"""Scores kept for each of peers, addresses, subnets; the longest untouched goes first."""

# What one customer usually holds: a /24 of IPv4, a /56 of IPv6 (RIPE-690).
_IPV4_BITS, _IPV6_BITS = 24, 56


def subnet_of(host: str) -> str:
    """Return the subnet that an IP address's owner probably controls; other text as it is."""
    try:
        address = ipaddress.ip_address(host.split("%", maxsplit=1)[0])
    except ValueError:
        return host
    bits = _IPV4_BITS if address.version == 4 else _IPV6_BITS
    return str(ipaddress.ip_network((address, bits), strict=False))


def is_loopback(host: str) -> bool:
    """Whether a host, as a socket names it, is this machine."""
    try:
        return ipaddress.ip_address(host.split("%", maxsplit=1)[0]).is_loopback
    except ValueError:
        return False


@dataclass(slots=True)
class _Score:
    value: float
    at_s: float
    refused_until_s: float = 0.0
    accident_until_s: float = 0.0

    def decayed(self, now_s: float) -> float:
        return float(self.value * 0.5 ** ((now_s - self.at_s) / HALF_LIFE_S))


class _Table:
    """The scores of one kind of key."""

    def __init__(self, refused_at: float) -> None:
        self._refused_at = refused_at
        self._scores: OrderedDict[Hashable, _Score] = OrderedDict()

    def add(self, key: Hashable, offence: str, now_s: float) -> bool:
        """Raise a score; True if its owner is now to be kept away."""
        score = self._scores.setdefault(key, _Score(0.0, now_s))
        self._scores.move_to_end(key)
        if len(self._scores) > SCORES_MAX:
            self._scores.popitem(last=False)
        if offence in ACCIDENTS:
            if now_s < score.accident_until_s:
                return False
            score.accident_until_s = now_s + ACCIDENT_S
        weight = OFFENCES.get(offence, UNKNOWN_OFFENCE)
        score.value, score.at_s = score.decayed(now_s) + weight, now_s
        if score.value < self._refused_at:
            return False
        # Whoever comes back starts half-way to the next time.
        score.value /= 2
        score.refused_until_s = now_s + REFUSED_S
        return True

    def refuses(self, key: Hashable, now_s: float) -> bool:
        score = self._scores.get(key)
        return score is not None and now_s < score.refused_until_s

    def get(self, key: Hashable, now_s: float) -> float:
        score = self._scores.get(key)
        return 0.0 if score is None else score.decayed(now_s)


class Reputation:
    """What a network remembers of offences. Times are seconds of any clock that only goes up.

    loopback_exempt: addresses of this machine have no score; a test mesh lives there.
    """

    def __init__(self, *, loopback_exempt: bool = True) -> None:
        self._loopback_exempt = loopback_exempt
        self._peers = _Table(REFUSED_AT)
        self._hosts = _Table(REFUSED_AT * HOST_PATIENCE)
        self._subnets = _Table(REFUSED_AT * SUBNET_PATIENCE)

    def blame_peer(self, peer: PeerId, offence: str, now_s: float) -> bool:
        """Count an offence against a peer; True if it is now to be kept away."""
        return self._peers.add(peer, offence, now_s)

    def blame_host(self, host: str, offence: str, now_s: float) -> bool:
        """Count an offence against an address and its subnet; True if it is to be kept away."""
        if self.is_exempt(host):
            return False
        refused = self._hosts.add(host, offence, now_s)
        return self._subnets.add(subnet_of(host), offence, now_s) or refused

    def refuses_peer(self, peer: PeerId, now_s: float) -> bool:
        return self._peers.refuses(peer, now_s)

    def refuses_host(self, host: str, now_s: float) -> bool:
        if self.is_exempt(host):
            return False
        return self._hosts.refuses(host, now_s) or self._subnets.refuses(subnet_of(host), now_s)

    def is_exempt(self, host: str) -> bool:
        return self._loopback_exempt and is_loopback(host)

    def score(self, peer: PeerId, now_s: float) -> float:
        """A peer's offences, decayed; 0 is spotless."""
        return self._peers.get(peer, now_s)
