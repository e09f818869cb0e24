"""Token buckets: who has been silent for long enough is as one that was never seen."""

import pytest

from p2p_modelex.core.buckets import TokenBuckets
from p2p_modelex.ids import PeerId
from p2p_modelex.units import UnixMs

NOW = UnixMs(1_000_000)


def peer(number: int) -> PeerId:
    return PeerId(bytes([number]))


def test_full_buckets_are_forgotten_two_for_each_that_comes() -> None:
    buckets = TokenBuckets(2, 1000, 100)
    for number in range(10):
        assert buckets.take(peer(number), NOW)
    assert len(buckets) == 10
    later = UnixMs(NOW + 1000)
    for number in range(10, 15):
        assert buckets.take(peer(number), later)
    assert len(buckets) == 5


def test_an_empty_bucket_is_remembered_until_it_is_full() -> None:
    buckets = TokenBuckets(2, 1000, 100)
    assert [buckets.take(peer(1), NOW) for _ in range(3)] == [True, True, False]
    assert buckets.take(peer(2), UnixMs(NOW + 999))
    assert not buckets.take(peer(1), UnixMs(NOW + 999))
    assert buckets.take(peer(1), UnixMs(NOW + 1000))


@pytest.mark.parametrize("others", [0, 3])
def test_who_asks_for_more_than_there_ever_is_gets_none(others: int) -> None:
    buckets = TokenBuckets(2, 1000, 100)
    for number in range(others):
        assert buckets.take(peer(1 + number), NOW)
    assert not buckets.take(peer(9), NOW, tokens=3)
    assert buckets.take(peer(9), NOW, tokens=2)
