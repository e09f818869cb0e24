"""Ordering: from a candidate over a lane that pays it to an open stream."""

from collections.abc import Callable, Iterable

import msgspec

from p2p_modelex.core.choosing import Choosing
from p2p_modelex.core.effects import (
    Effect,
    Emit,
    FetchChannel,
    OpenStream,
    RunContinued,
    RunRestarted,
    StreamId,
)
from p2p_modelex.core.exchange import parameters
from p2p_modelex.core.exchange.requester import RequesterExchange
from p2p_modelex.core.exchange.terms import Purchase
from p2p_modelex.core.funding import LATE_DEPOSIT, Budget, Deposit, Funding, find_seat
from p2p_modelex.core.ledger.payer import PayerLedger
from p2p_modelex.core.ledger.reserved import ReservedLane
from p2p_modelex.core.ledger.seat import Seat
from p2p_modelex.core.routing.candidate import Candidate
from p2p_modelex.core.routing.circuits import Circuits
from p2p_modelex.core.runs import Attempt, Run
from p2p_modelex.core.split_watch import SplitWatch
from p2p_modelex.core.wants import compute_ceiling, compute_window_max
from p2p_modelex.errors import PaymentError
from p2p_modelex.ids import Address, ChannelId, Digest, JobId, NetworkId
from p2p_modelex.records.advertisement import Offer, move_offer
from p2p_modelex.records.channel import ChannelState
from p2p_modelex.records.job import Request
from p2p_modelex.records.rows import Row
from p2p_modelex.units import Epoch, Millis, UnixMs, Wei

RIVALS_LOOKED_AT = 4
"""Candidates of which the first that can be paid at once is ordered at beside another."""


class Ordering:
    """Makes attempts of runs, and keeps those under way by their stream."""

    def __init__(
        self,
        network: NetworkId,
        registry_domain: Digest,
        choosing: Choosing,
        circuits: Circuits,
        ledger: PayerLedger,
        budget: Budget,
        next_stream: Callable[[], StreamId],
        splits: SplitWatch,
    ) -> None:
        self._network = network
        self._registry_domain = registry_domain
        self._choosing, self._router = choosing, choosing.router
        self._circuits = circuits
        self._ledger = ledger
        self._funding = Funding(ledger, budget)
        self._next_stream = next_stream
        self._splits = splits
        # At most two for each run, and the lost ones of before: forgotten when they are over.
        self._by_stream: dict[StreamId, tuple[Run, Attempt]] = {}

    def restore(self, rows: Iterable[Row]) -> None:
        """Take over what is on disk."""
        self._funding.restore(rows)

    @property
    def is_idle(self) -> bool:
        """Whether no order is under way."""
        return not self._by_stream

    def get(self, stream: StreamId) -> tuple[Run, Attempt] | None:
        """Return whose stream it is, if it is of an order."""
        return self._by_stream.get(stream)

    def forget(self, attempt: Attempt) -> None:
        """An order is over."""
        self._by_stream.pop(attempt.exchange.stream, None)

    def order(
        self, run: Run, candidate: Candidate, now: UnixMs, *, is_funded: bool = False
    ) -> list[Effect]:
        """Reserve money and open the stream, or first have a deposit made; PaymentError."""
        offer = self._read_offer(candidate)
        epoch = Epoch(offer.epoch)
        request, is_continued = run.build_request(offer)
        most = compute_ceiling(run.wanted, request, offer)
        ceiling = min(most, run.compute_room(epoch))
        if ceiling <= 0:
            raise PaymentError("what was tried has cost all that the job may cost")
        payee, seat = self._find_seat(candidate, now)
        lane = self._funding.reserve(payee, Wei(ceiling), epoch, seat, candidate.peer)
        if lane is not None:
            again = _tell_again(run, candidate, is_continued=is_continued)
            return [*again, *self._begin(run, candidate, offer, lane, Wei(ceiling), now)]
        if is_funded:
            raise PaymentError("the channel has too little left even after the deposit for it")
        if run.patience_ms <= 0:
            raise PaymentError(LATE_DEPOSIT)
        if self._splits.paused_until:
            raise PaymentError(
                "no channel has enough left, and transfers are paused for a split until block "
                f"{self._splits.paused_until}"
            )
        run.payable = candidate
        return self._funding.ask(run.job, payee, Wei(ceiling), epoch, seat, now)

    def order_beside(self, run: Run, now: UnixMs) -> list[Effect]:
        """Order at one more candidate, if one of the next can be paid at once and the run's ceiling
        holds for both; nothing if not (RTE-43).
        """
        here = [one.peer for one in run.attempts]
        for candidate in run.order[:RIVALS_LOOKED_AT]:
            offer = self._read_offer(candidate)
            request, is_continued = run.build_request(offer)
            ceiling, epoch = compute_ceiling(run.wanted, request, offer), Epoch(offer.epoch)
            is_here, is_other = candidate.peer in here, is_continued is not run.is_continued
            if is_here or is_other or ceiling > run.compute_room(epoch):
                continue
            try:
                payee, seat = self._find_seat(candidate, now)
                lane = self._funding.reserve(payee, ceiling, epoch, seat, candidate.peer)
            except PaymentError:
                continue
            if lane is not None:
                run.order.remove(candidate)
                return self._begin(run, candidate, offer, lane, ceiling, now)
        return []

    def _read_offer(self, candidate: Candidate) -> Offer:
        return move_offer(candidate.offer, self._splits.epoch)  # it may have split since

    def _find_seat(self, candidate: Candidate, now: UnixMs) -> tuple[Address, Seat]:
        """Return whom a job there is paid through; PaymentError if the farm has put it out since it
        was chosen, as in the wait for a deposit.
        """
        if not self._choosing.is_member(candidate, now):
            raise PaymentError("FRM-13: it is no member of the farm any more")
        return find_seat(candidate)

    def _begin(
        self,
        run: Run,
        candidate: Candidate,
        offer: Offer,
        lane: ReservedLane,
        ceiling: Wei,
        now: UnixMs,
    ) -> list[Effect]:
        purchase = Purchase(
            job=run.next_job(),
            request=_name(run.build_request(offer)[0], offer),
            offer=offer,
            ownership=candidate.advertisement.accounts[0],
            max_cost=ceiling,
            max_window=compute_window_max(run.wanted, offer),
            network=self._network,
            registry_domain=self._registry_domain,
            is_fast=run.wanted.is_fast,
            until=run.until,
        )
        run.tried += 1
        run.payable = None
        run.move(lane.epoch)
        stream, peer = self._next_stream(), candidate.peer
        exchange = RequesterExchange(stream, peer, purchase, lane)
        was_full = self._router.is_full(peer, now)
        attempt = Attempt(candidate, exchange, lane.channel, lane.epoch, ceiling, now, was_full)
        self._circuits.begin_trial(peer, now)
        turns = run.look.want.turns if run.look else ()
        self._router.on_order(exchange.job, peer, now, turns)
        run.attempts.append(attempt)
        self._by_stream[stream] = run, attempt
        addresses = candidate.advertisement.addresses
        return [OpenStream(stream, peer, addresses, parameters.PROTOCOL)]

    def note_opened(self, state: ChannelState) -> tuple[Row, ...]:
        """A channel was opened or topped up; PaymentError if it is not ours."""
        rows = self._ledger.note_channel(state, None)
        self._funding.note_opened(state)
        return rows

    def resume(self) -> list[Effect]:
        """Have the deposits that a restart left in doubt looked after."""
        return self._funding.resume()

    def settle(
        self, payee: Address, now: UnixMs, *, is_made: bool
    ) -> tuple[Deposit | None, tuple[Row, ...]]:
        """A deposit was made, or failed; return who waits for it, and what to persist."""
        deposit, rows = self._funding.settle(payee)
        if is_made and deposit is not None and deposit.asked_at is not None:
            self._router.on_deposit(Millis(max(now - deposit.asked_at, 0)))
        return deposit, rows

    def delay(self, payee: Address) -> list[JobId]:
        """A deposit is in doubt; return who no longer waits for it."""
        return self._funding.delay(payee)

    def leave(self, job: JobId) -> None:
        """A run no longer waits for a deposit."""
        self._funding.forget(job)

    def fetch(self, channel: ChannelId) -> FetchChannel:
        """Have a channel of ours read from the chain."""
        return FetchChannel(channel, self._ledger.get_terms(channel))


def _name(request: Request, offer: Offer) -> Request:
    """Ask for the offer's model, by its weights: the provider may have swapped it since."""
    return msgspec.structs.replace(request, model=offer.model, weights=offer.weights)


def _tell_again(run: Run, candidate: Candidate, *, is_continued: bool) -> list[Effect]:
    """Say that another provider is tried, and whether the text so far stands."""
    if run.last is None or not run.tried:
        return []
    run.is_continued = is_continued
    if is_continued:
        run.base_tokens = run.said_tokens
        return [Emit(RunContinued(run.job, candidate.peer, run.last))]
    run.said.clear()
    run.said_tokens = run.base_tokens = 0
    return [Emit(RunRestarted(run.job, candidate.peer, run.last))]
