"""Places for inbound connections: bounds by address and subnet, and who goes when all are taken."""

import pytest

from p2p_modelex.ids import PeerId
from p2p_modelex.net.libp2p.admission import Admission, Place
from p2p_modelex.net.libp2p.configuration import Libp2pConfiguration
from p2p_modelex.net.reputation import Reputation

PLENTY = Libp2pConfiguration(connections_max=1000, handshakes_max=1000)


def peer(number: int) -> PeerId:
    return PeerId(number.to_bytes(38, "big"))


def enter(admission: Admission, host: str, at: float = 0.0, by: int | None = None) -> Place | None:
    place = admission.enter(host, at)
    if place is not None and by is not None:
        place.peer = peer(by)
    return place


def test_an_address_and_a_subnet_have_their_bounds() -> None:
    admission = Admission(PLENTY, Reputation())
    of_one = [enter(admission, "203.0.113.1", by=n) for n in range(40)]
    assert sum(place is not None for place in of_one) == PLENTY.connections_per_ip_max
    of_subnet = [enter(admission, f"203.0.113.{n}", by=n) for n in range(2, 100)]
    assert sum(place is not None for place in of_subnet) == (
        PLENTY.connections_per_subnet_max - PLENTY.connections_per_ip_max
    )
    assert enter(admission, "203.0.114.1", by=1)


def test_loopback_has_no_bounds_unless_told_otherwise() -> None:
    many = range(PLENTY.connections_per_subnet_max + 1)
    for exempt in (True, False):
        admission = Admission(PLENTY, Reputation(loopback_exempt=exempt))
        places = [enter(admission, "127.0.0.1", by=number) for number in many]
        assert all(places) == exempt


def test_handshakes_of_one_address_are_bounded() -> None:
    admission = Admission(PLENTY, Reputation())
    places = [enter(admission, "203.0.113.1") for _ in range(40)]
    assert sum(place is not None for place in places) == PLENTY.handshakes_per_ip_max


def test_an_address_that_comes_and_goes_is_slowed_down() -> None:
    admission = Admission(PLENTY, Reputation())
    served = 0
    for turn in range(100):
        place = enter(admission, "203.0.113.1", at=turn * 0.01, by=1)
        if place is not None:
            served += 1
            admission.leave(place)
    assert served == PLENTY.connections_per_ip_max + 1
    assert enter(admission, "203.0.113.1", at=10.0)


def test_the_oldest_handshake_of_the_most_crowded_subnet_makes_room() -> None:
    admission = Admission(Libp2pConfiguration(handshakes_max=4), Reputation())
    honest = enter(admission, "198.51.100.1", at=0.0)
    crowd = [enter(admission, f"203.0.113.{n}", at=float(n)) for n in range(1, 4)]
    newcomer = enter(admission, "192.0.2.1", at=9.0)
    assert honest
    assert newcomer
    assert [place.evicted for place in crowd if place] == [True, False, False]
    assert not honest.evicted


def full(reputation: Reputation, busy: int = 99) -> tuple[Admission, list[Place]]:
    """All places taken: three by one subnet, one by another."""
    admission = Admission(
        Libp2pConfiguration(connections_max=6), reputation, lambda one: one == peer(busy)
    )
    hosts = ("203.0.113.1", "203.0.113.2", "203.0.113.3", "198.51.100.1")
    places = [enter(admission, host, at=float(n), by=n) for n, host in enumerate(hosts)]
    assert all(places)
    return admission, [place for place in places if place]


def test_the_youngest_of_the_most_crowded_subnet_makes_room() -> None:
    admission, places = full(Reputation())
    assert enter(admission, "192.0.2.1", at=9.0)
    assert [place.evicted for place in places] == [False, False, True, False]
    assert admission.count == 4


def test_who_misbehaved_makes_room_first() -> None:
    reputation = Reputation()
    reputation.blame_peer(peer(3), "stalled", 0.0)
    admission, places = full(reputation)
    assert enter(admission, "192.0.2.1", at=9.0)
    assert [place.evicted for place in places] == [False, False, False, True]


def test_who_has_work_under_way_does_not_make_room() -> None:
    admission, places = full(Reputation(), busy=2)
    assert enter(admission, "192.0.2.1", at=9.0)
    assert [place.evicted for place in places] == [False, True, False, False]


def test_when_all_are_busy_the_newcomer_is_refused() -> None:
    admission = Admission(Libp2pConfiguration(connections_max=2), Reputation(), lambda _peer: True)
    assert enter(admission, "203.0.113.1", by=1)
    assert enter(admission, "192.0.2.1", by=2) is None


@pytest.mark.parametrize("who", ["peer", "host"])
def test_who_is_kept_away_is_evicted_and_refused(who: str) -> None:
    reputation = Reputation()
    admission = Admission(PLENTY, reputation)
    place, other = enter(admission, "203.0.113.1", by=1), enter(admission, "198.51.100.1", by=2)
    for _ in range(6):
        if who == "peer":
            reputation.blame_peer(peer(1), "muxer", 0.0)
        else:
            reputation.blame_host("203.0.113.1", "muxer", 0.0)
    admission.evict_refused(0.0)
    assert place
    assert other
    assert place.evicted
    assert not other.evicted
    assert (enter(admission, "203.0.113.1", by=1) is None) == (who == "host")


def test_leaving_twice_counts_once() -> None:
    admission = Admission(PLENTY, Reputation())
    place = enter(admission, "203.0.113.1")
    assert place
    admission.leave(place)
    admission.leave(place)
    assert admission.count == 0
