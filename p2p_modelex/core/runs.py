"""One local request in hand, and the orders it is at."""

import hashlib
from dataclasses import dataclass, field

import msgspec

from p2p_modelex.core.choosing import Look
from p2p_modelex.core.effects import RunFailed, RunStarted, RunText, TimerId
from p2p_modelex.core.exchange.requester import RequesterExchange
from p2p_modelex.core.inputs import RunRequested
from p2p_modelex.core.routing.candidate import Candidate
from p2p_modelex.core.wants import continue_request
from p2p_modelex.ids import ChannelId, JobId, PeerId
from p2p_modelex.records.advertisement import Offer
from p2p_modelex.records.job import Request, features_of
from p2p_modelex.units import Epoch, Millis, UnixMs, Wei, rescale


@dataclass(slots=True, eq=False)
class Attempt:
    """One order of a run. channel: what pays it. epoch: of its amounts. was_full: whether its
    provider had no free slot, as far as was known. started: what the caller is told once it is the
    only one, or has text. is_lost: the run goes on without it; had_started: whether it ran by then.
    """

    candidate: Candidate
    exchange: RequesterExchange
    channel: ChannelId
    epoch: Epoch
    ceiling: Wei
    ordered_at: UnixMs
    was_full: bool
    started: RunStarted | None = None
    is_told: bool = False
    is_lost: bool = False
    had_started: bool = False

    @property
    def peer(self) -> PeerId:
        """Whose it is."""
        return self.candidate.peer


DEPOSITS_MS = Millis(120_000)
"""How long a run waits for deposits in all. On mainnet one is in, and as deep as its payee wants
it, after about a minute; a transaction that offers too little is given up after three, and a run
that waited so long at each provider in turn would say nothing for many.
"""


@dataclass(slots=True)
class Run:
    """A request's way. tried: providers tried in vain or now. orders: exchanges begun, of which a
    refusal for an old debt has two at one provider. payable: the candidate whose channel awaits a
    deposit. attempts: orders under way that may still serve; winner: the one that had text first.
    lost: those that may still cost something. cancelled: what it ends with if nothing was begun,
    once nobody wants it. spent: wei in the split epoch `epoch`, which is that
    of the newest order. until: when nobody waits any more. patience_ms: how much longer it
    waits for deposits in all; waits_from: since when it does, that is not in it yet.
    is_looking, has_looked: whether it waits, or has waited, for the chain's word on the epoch.
    timers: those that are set. said: the text so far, of said_tokens tokens, where another may go
    on from it; is_continued: whether one does; base_tokens: of those, the tokens of providers
    before this one.
    """

    wanted: RunRequested
    look: Look | None = None
    is_probing: bool = False
    cancelled: RunFailed | None = None
    order: list[Candidate] = field(default_factory=list)
    tried: int = 0
    orders: int = 0
    payable: Candidate | None = None
    attempts: list[Attempt] = field(default_factory=list)
    winner: Attempt | None = None
    lost: list[Attempt] = field(default_factory=list)
    debtor_of: PeerId | None = None
    last: RunFailed | None = None
    spent: int = 0
    epoch: Epoch = Epoch(0)  # noqa: RUF009  # a NewType of int
    until: UnixMs | None = None
    patience_ms: int = DEPOSITS_MS
    waits_from: UnixMs | None = None
    is_looking: bool = False
    has_looked: bool = False
    timers: dict[TimerId, None] = field(default_factory=dict)
    said: list[str] = field(default_factory=list)
    said_tokens: int = 0
    is_continued: bool = False
    base_tokens: int = 0

    @property
    def job(self) -> JobId:
        """The run's name; also its first exchange's."""
        return self.wanted.job

    def next_job(self) -> JobId:
        """Each exchange is a job of its own, so that a late answer is not taken for another's."""
        self.orders += 1
        return name_exchange(self.job, self.orders - 1)

    def note_text(self, text: RunText) -> RunText:
        """Return a piece with all tokens so far; keep it, where another may go on from it."""
        if not self.wanted.may_continue:
            return text
        self.said.append(text.text)
        self.said_tokens = self.base_tokens + text.tokens
        return msgspec.structs.replace(text, tokens=self.said_tokens)

    def build_request(self, offer: Offer) -> tuple[Request, bool]:
        """Return what to order of an offer, and whether it goes on from the text so far."""
        request = self.wanted.request
        if self.said:
            rest = continue_request(request, "".join(self.said), self.said_tokens)
            if rest is not None and all(one in offer.features for one in features_of(rest)):
                return rest, True
        return request, False

    def move(self, epoch: Epoch) -> None:
        """The next exchange is in this split epoch."""
        self.spent = rescale(self.spent, self.epoch, epoch)
        self.epoch = epoch

    def compute_room(self, epoch: Epoch) -> int:
        """Return the wei of `epoch` that the run may still come to cost, with all that is under
        way at its most (RTE-43).
        """
        under_way = sum(rescale(one.ceiling, one.epoch, epoch) for one in self.attempts)
        most = rescale(self.wanted.max_cost, self.wanted.epoch, epoch)
        return most - under_way - self.sum_spent(epoch)

    def sum_spent(self, epoch: Epoch) -> int:
        """Return what the orders that are over cost, in `epoch`, and the most of those lost."""
        lost = sum(rescale(one.exchange.at_stake, one.epoch, epoch) for one in self.lost)
        return rescale(self.spent, self.epoch, epoch) + lost

    def build_failure(self, code: str, reason: str) -> RunFailed:
        """Return a failure of our own making: nothing was begun."""
        peer = self.payable.peer if self.payable else None
        return RunFailed(self.job, peer, code, reason, refused=True, retry_after_ms=0, paid=Wei(0))

    def build_end(self, failed: RunFailed) -> RunFailed:
        """Return a failure as the run's own."""
        return msgspec.structs.replace(failed, job=self.job, paid=Wei(self.sum_spent(self.epoch)))


def name_exchange(run: JobId, order: int) -> JobId:
    """Return the job of a run's exchange; the first has the run's own name."""
    seed = run + order.to_bytes(4, "big")
    return JobId(hashlib.sha256(seed).digest()[:16]) if order else run
