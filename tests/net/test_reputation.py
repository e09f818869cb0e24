"""Scores: what it takes to be kept away, and for how long."""

import pytest

from p2p_modelex.ids import PeerId
from p2p_modelex.net.reputation import (
    ACCIDENT_S,
    ACCIDENTS,
    HALF_LIFE_S,
    OFFENCES,
    REFUSED_AT,
    REFUSED_S,
    SCORES_MAX,
    Reputation,
    subnet_of,
)

PEER, OTHER = PeerId(b"p" * 38), PeerId(b"o" * 38)


@pytest.mark.parametrize("offence", sorted(set(OFFENCES) - set(ACCIDENTS)))
def test_so_many_of_each_keep_a_peer_away_for_a_while(offence: str) -> None:
    known = Reputation()
    times = round(REFUSED_AT / OFFENCES[offence])
    verdicts = [known.blame_peer(PEER, offence, 0.0) for _ in range(times)]
    assert verdicts == [False] * (times - 1) + [True]
    assert known.refuses_peer(PEER, REFUSED_S - 1)
    assert not known.refuses_peer(PEER, REFUSED_S)
    assert not known.refuses_peer(OTHER, 0.0)


def test_what_jobs_die_of_together_counts_once() -> None:
    known = Reputation()
    for number in range(100):
        assert not known.blame_peer(PEER, ACCIDENTS[number % 2], number / 100)
        assert not known.blame_host("192.0.2.1", ACCIDENTS[number % 2], number / 100)
    assert known.score(PEER, 1.0) <= OFFENCES[ACCIDENTS[0]]
    assert not known.refuses_host("192.0.2.1", 1.0)
    known.blame_peer(PEER, ACCIDENTS[0], ACCIDENT_S)
    assert known.score(PEER, ACCIDENT_S) > OFFENCES[ACCIDENTS[0]]


def test_accidents_take_the_patience_with_all_else_and_keep_nobody_away() -> None:
    known = Reputation()
    for second in range(3600):
        assert not known.blame_peer(PEER, "unpaid", float(second))
    assert [known.blame_peer(PEER, "protocol", 3600.0) for _ in range(3)] == [False, False, True]


def test_offences_are_forgiven_with_time() -> None:
    known = Reputation()
    for number in range(20):
        assert not known.blame_peer(PEER, "muxer", 2 * number * HALF_LIFE_S)
    assert known.score(PEER, 40 * HALF_LIFE_S) < OFFENCES["muxer"]


def test_an_address_and_its_subnet_answer_for_all_their_peers() -> None:
    known = Reputation()
    while not known.blame_host("192.0.2.1", "muxer", 0.0):
        assert not known.refuses_host("192.0.2.1", 0.0)
    assert known.refuses_host("192.0.2.1", 0.0)
    assert not known.refuses_host("192.0.2.2", 0.0)
    for number in range(2, 30):
        known.blame_host(f"192.0.2.{number}", "muxer", 0.0)
    assert known.refuses_host("192.0.2.200", 0.0)
    assert not known.refuses_host("192.0.3.200", 0.0)


def test_loopback_is_exempt_unless_told_otherwise() -> None:
    lenient, strict = Reputation(), Reputation(loopback_exempt=False)
    for _ in range(100):
        lenient.blame_host("127.0.0.1", "muxer", 0.0)
        strict.blame_host("::1", "muxer", 0.0)
    assert not lenient.refuses_host("127.0.0.1", 0.0)
    assert strict.refuses_host("::1", 0.0)


def test_scores_are_bounded() -> None:
    known = Reputation()
    known.blame_peer(PEER, "muxer", 0.0)
    for number in range(SCORES_MAX):
        known.blame_peer(PeerId(number.to_bytes(38, "big")), "flood", 0.0)
    assert known.score(PEER, 0.0) == 0.0


@pytest.mark.parametrize(
    ("host", "subnet"),
    [
        ("192.0.2.77", "192.0.2.0/24"),
        ("2001:db8:1:2ff:3::4", "2001:db8:1:200::/56"),
        ("fe80::1%eth0", "fe80::/56"),
        ("", ""),
    ],
)
def test_subnets(host: str, subnet: str) -> None:
    assert subnet_of(host) == subnet
