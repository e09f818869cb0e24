"""The distributions of a run as rows: what its CDFs are drawn of, and its files hold."""

import msgspec

from p2p_modelex.simulation.actors.workload import Customers
from p2p_modelex.simulation.results.measures import MS, Measures
from p2p_modelex.simulation.results.spread import Spread


class Step(msgspec.Struct, frozen=True):
    """So many of a distribution's values are not above one. load: requests in hand when those were
    made that the distribution is of, at most; None for all.
    """

    of: str
    load: int | None
    value: float
    count: int


def list_steps(measures: Measures, customers: Customers) -> tuple[Step, ...]:
    """Return every distribution that is not empty; times are in milliseconds."""
    found = [
        *steps_of("gossip_delay_ms", measures.gossip_delay, MS),
        *steps_of("gossip_hops", measures.gossip_hops, 1),
        *steps_of("record_delay_ms", measures.record_delay, MS),
        *steps_of("first_text_ms", customers.first_text, MS),
        *steps_of("whole_ms", customers.whole, MS),
    ]
    for load, spread in customers.first_text_by_load.get_levels():
        found += steps_of("first_text_ms", spread, MS, load)
    for load, spread in customers.whole_by_load.get_levels():
        found += steps_of("whole_ms", spread, MS, load)
    return tuple(found)


def steps_of(of: str, spread: Spread, unit: int, load: int | None = None) -> list[Step]:
    """Return one distribution, its values in units of so many."""
    return [Step(of, load, value / unit, count) for value, count in spread.get_steps()]


def find_percentile(steps: list[Step], share: float) -> float:
    """Return what that share of one distribution's values is not above."""
    wanted = share * steps[-1].count
    return next(one.value for one in steps if one.count >= wanted)
