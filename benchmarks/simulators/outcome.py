"""What one side made of the messages."""

import msgspec

from benchmarks.calibration.work import Log, tally


class Outcome(msgspec.Struct, frozen=True):
    """delivered: the share. delay_p50_ms: virtual, None where links take no time. cpu_s: from the
    first message to the end; whole_cpu_s: of the process, to set up included. events: of the heap,
    where there is one.
    """

    delivered: float
    deliveries: int
    cpu_s: float
    delay_p50_ms: float | None = None
    hops: float | None = None
    duplicates: float | None = None
    events: int | None = None
    whole_cpu_s: float = 0.0
    resident_mib: float = 0.0


def sum_up(log: Log, nodes: int) -> Outcome:
    """Return what a log of arrivals says."""
    told = tally([log], nodes)
    return Outcome(
        delivered=told["delivered, share"],
        deliveries=round(told["delivered, share"] * len(log.published) * (nodes - 1)),
        cpu_s=log.cpu_s,
        delay_p50_ms=told["delay p50, ms"],
        hops=told["hops, mean"],
        duplicates=told["duplicates for a delivery"],
    )
