"""One local request in hand: where it stands, and whose fault an attempt's failure is."""

import hashlib
from dataclasses import dataclass, field

from p2p_modelex.core.choosing import Look
from p2p_modelex.core.effects import RunFailed
from p2p_modelex.core.exchange.requester import RequesterExchange
from p2p_modelex.core.inputs import RunRequested
from p2p_modelex.core.routing.candidate import Candidate
from p2p_modelex.ids import ChannelId, JobId, PeerId
from p2p_modelex.units import Epoch, Wei, rescale

FAULTS = ("dial", "stream", "timeout", "protocol", "price_changed", "unknown_model")
"""Failures that are the provider's even where nothing was begun: it is not there, it breaks the
rules, or it refuses what it advertised itself. The other refusals are honest answers."""


@dataclass(slots=True)
class Run:
    """A request's way. tried: providers tried in vain or now. orders: exchanges begun, of which a
    refusal for an old debt has two at one provider. channel: the current exchange's. spent: wei in
    the split epoch `epoch`, which is that of the newest exchange. is_looking, has_looked: whether
    it waits, or has waited, for the chain's word on the epoch.
    """

    wanted: RunRequested
    look: Look | None = None
    is_probing: bool = False
    is_cancelled: bool = False
    order: list[Candidate] = field(default_factory=list)
    tried: int = 0
    orders: int = 0
    current: Candidate | None = None
    exchange: RequesterExchange | None = None
    channel: ChannelId | None = None
    debtor_of: PeerId | None = None
    last: RunFailed | None = None
    spent: int = 0
    epoch: Epoch = Epoch(0)  # noqa: RUF009  # a NewType of int
    is_looking: bool = False
    has_looked: bool = False

    @property
    def job(self) -> JobId:
        """The run's name; also its first exchange's."""
        return self.wanted.job

    def next_job(self) -> JobId:
        """Each exchange is a job of its own, so that a late answer is not taken for another's."""
        self.orders += 1
        return name_exchange(self.job, self.orders - 1)

    def move(self, epoch: Epoch) -> None:
        """The next exchange is in this split epoch."""
        self.spent = rescale(self.spent, self.epoch, epoch)
        self.epoch = epoch

    def build_failure(self, code: str, reason: str) -> RunFailed:
        """Return a failure of our own making: nothing was begun."""
        peer = self.current.peer if self.current else None
        return RunFailed(self.job, peer, code, reason, refused=True, retry_after_ms=0, paid=Wei(0))


def name_exchange(run: JobId, order: int) -> JobId:
    """Return the job of a run's exchange; the first has the run's own name."""
    seed = run + order.to_bytes(4, "big")
    return JobId(hashlib.sha256(seed).digest()[:16]) if order else run


def is_at_fault(failed: RunFailed) -> bool:
    """Whether the provider's circuit counts this failure."""
    return failed.code in FAULTS or (not failed.refused and failed.code != "cancelled")
