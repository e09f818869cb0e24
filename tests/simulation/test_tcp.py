"""The model of TCP: windows, losses, and the order of what is sent."""

import random
from itertools import pairwise
from math import sqrt
from statistics import fmean

from p2p_modelex.simulation.models.links import LinkModel, Place
from p2p_modelex.simulation.models.tcp import (
    PACKET_BYTES,
    VARIANCE_US,
    WINDOW_FIRST,
    WINDOW_MOST,
    Flow,
    compute_extra,
)
from p2p_modelex.simulation.scenario.quantities import Duration
from p2p_modelex.simulation.scenario.settings import Links

TRIP = 100_000


def extra(flow: Flow, packets: int, *, at: int = 0, loss: float = 0.0, seed: int = 1) -> int:
    return compute_extra(flow, packets, TRIP, at, loss, random.Random(seed))


def test_what_fits_the_window_takes_no_longer_than_a_packet() -> None:
    assert extra(Flow(), WINDOW_FIRST) == 0


def test_the_window_doubles_each_round_trip_up_to_what_a_stream_may_have_in_flight() -> None:
    assert extra(Flow(), WINDOW_FIRST + 1) == TRIP
    assert extra(Flow(), 10 + 20 + 40 + 80) == 3 * TRIP
    flow = Flow()
    extra(flow, 1000)
    assert flow.window == WINDOW_MOST


def test_a_pause_halves_the_window_for_each_time_out_it_lasts() -> None:
    for pauses, window in ((0, 80), (1, 40), (2, 20), (9, WINDOW_FIRST)):
        flow = Flow(window=80)
        extra(flow, 1, at=pauses * (TRIP + VARIANCE_US) + 1)
        assert flow.window == window


def test_who_loses_a_packet_alone_waits_for_the_time_out_and_begins_small() -> None:
    waits = []
    for seed in range(400):
        flow = Flow()
        waits.append(extra(flow, 1, loss=0.2, seed=seed))
        assert (flow.window < WINDOW_FIRST) == (waits[-1] > 0)
    assert set(waits) >= {0, TRIP + VARIANCE_US, 3 * (TRIP + VARIANCE_US)}
    assert 0.15 < sum(wait > 0 for wait in waits) / len(waits) < 0.25


def test_others_behind_a_lost_packet_tell_of_it_within_a_round_trip_or_two() -> None:
    waits = {extra(Flow(), 8, loss=0.05, seed=seed) for seed in range(400)}
    assert waits == {0, TRIP, 2 * TRIP}


def test_bulk_over_a_lossy_link_has_the_window_that_mathis_and_others_gave() -> None:
    """Mathis, Semke, Mahdavi, Ott 1997: 1.22 / sqrt(loss) packets a round trip."""
    for loss in (0.001, 0.01, 0.03):
        flow, packets = Flow(), 2500
        took = [extra(flow, packets, loss=loss, seed=seed) for seed in range(20)]
        window = packets / (fmean(took) / TRIP)
        assert 0.7 < window / (1.22 / sqrt(loss)) < 1.3


def test_what_goes_one_way_on_a_connection_arrives_in_order() -> None:
    links = LinkModel(Links(latency=Duration(TRIP // 2), loss=0.05, jitter=0.5))
    one, other = (Place("london", 10**8, 10**8, False, random.Random(seed)) for seed in (1, 2))
    flow, sizes = Flow(), random.Random(3)
    arrivals = [
        links.compute_arrival(one, other, sizes.randrange(20 * PACKET_BYTES), at, flow)
        for at in range(0, 10_000_000, 20_000)
    ]
    assert all(before <= after for before, after in pairwise(arrivals))
    assert fmean(arrivals) > fmean(range(0, 10_000_000, 20_000))
