"""The bounds that both networks share."""

import trio
import trio.testing

from p2p_modelex.ids import PeerId
from p2p_modelex.limits import GOSSIP_ORIGINS_MAX
from p2p_modelex.net.bounded import DroppingQueue, GossipLimiter, GossipRates

ONE, OTHER = PeerId(b"one"), PeerId(b"other")


async def test_a_full_queue_drops_its_oldest_and_counts() -> None:
    queue: DroppingQueue[int] = DroppingQueue(3)
    for number in range(5):
        queue.put(number)
    assert [await queue.get() for _ in range(3)] == [2, 3, 4]
    assert queue.dropped == 2


async def test_a_waiting_reader_is_woken_and_a_cancelled_one_loses_nothing() -> None:
    queue: DroppingQueue[str] = DroppingQueue(3)
    with trio.CancelScope() as scope:
        scope.cancel()
        await queue.get()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(queue.get)
        await trio.testing.wait_all_tasks_blocked()
        queue.put("first")
    queue.put("second")
    assert await queue.get() == "second"


def test_an_origin_spends_its_tokens_and_earns_them_back() -> None:
    limiter = GossipLimiter(GossipRates(origin_rate=1, origin_burst=2))
    assert [limiter.admit(ONE, 0.0) for _ in range(3)] == [True, True, False]
    assert limiter.admit(OTHER, 0.0)
    assert [limiter.admit(ONE, 1.0) for _ in range(2)] == [True, False]


def test_many_origins_share_one_bucket() -> None:
    limiter = GossipLimiter(GossipRates(total_rate=1, total_burst=5))
    origins = [PeerId(number.to_bytes(4, "big")) for number in range(GOSSIP_ORIGINS_MAX + 10)]
    assert sum(limiter.admit(origin, 0.0) for origin in origins) == 5
