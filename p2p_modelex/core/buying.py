"""Buying: each local request's way from candidates over channel and exchange to a receipt.

A run is chosen for, probed for, ordered and, when its provider fails, begun again at the next:
choose -> probe -> attempt (channel, stream, exchange) -> finished, or the next attempt.
"""

import dataclasses
import hashlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from p2p_modelex.core.directory.directory import Directory
from p2p_modelex.core.effects import (
    Effect,
    Emit,
    OpenChannel,
    OpenStream,
    Persist,
    RunEvent,
    RunFailed,
    RunFinished,
    RunRestarted,
    StreamId,
)
from p2p_modelex.core.exchange import parameters as exchange_parameters
from p2p_modelex.core.exchange.requester import RequesterExchange
from p2p_modelex.core.exchange.terms import Purchase
from p2p_modelex.core.inputs import (
    CancelRun,
    ChannelOpened,
    ChannelOpenFailed,
    Input,
    RunRequested,
    StreamFailed,
    StreamReady,
)
from p2p_modelex.core.ledger.payer import PayerLedger, ReservedLane
from p2p_modelex.core.routing.candidate import Candidate, build_candidates
from p2p_modelex.core.routing.circuits import Circuits
from p2p_modelex.core.routing.probes import ProbeMachine
from p2p_modelex.core.routing.router import Router
from p2p_modelex.core.wants import build_want, compute_ceiling
from p2p_modelex.errors import PaymentError
from p2p_modelex.ids import Address, ChannelId, Digest, JobId, NetworkId, PeerId
from p2p_modelex.units import Epoch, UnixMs, Wei

RUNS_MAX = 1024
"""Local requests in hand; a caller that wants more waits for some to end."""


DISHONEST = ("price_changed", "unknown_model")
"""Refusals of what the provider itself advertised; the others are honest answers."""


@dataclass(frozen=True, slots=True)
class Budget:
    """What may be spent without asking. auto_deposit: wei into a new channel, 0 for never.
    max_deposits: wei in all open channels together.
    """

    auto_deposit: Wei
    max_deposits: Wei


@dataclass(slots=True)
class _Run:
    """One local request in hand."""

    wanted: RunRequested
    shortlist: tuple[Candidate, ...] = ()
    kept: tuple[Candidate, ...] = ()
    is_probing: bool = False
    order: list[Candidate] = field(default_factory=list)
    attempt: int = 0
    current: Candidate | None = None
    exchange: RequesterExchange | None = None
    last: RunFailed | None = None
    spent: int = 0

    @property
    def job(self) -> JobId:
        return self.wanted.job

    def next_job(self) -> JobId:
        """Each attempt is a job of its own, so that a late answer cannot be taken for another's."""
        seed = self.job + self.attempt.to_bytes(4, "big")
        return self.job if self.attempt == 0 else JobId(hashlib.sha256(seed).digest()[:16])


class Buying:
    """Every local run of a node, and the requester exchanges they are at."""

    def __init__(
        self,
        network: NetworkId,
        registry_domain: Digest,
        directory: Directory,
        router: Router,
        circuits: Circuits,
        probes: ProbeMachine,
        ledger: PayerLedger,
        budget: Budget,
        next_stream: Callable[[], StreamId],
    ) -> None:
        self._network = network
        self._registry_domain = registry_domain
        self._directory = directory
        self._router = router
        self._circuits = circuits
        self._probes = probes
        self._ledger = ledger
        self._budget = budget
        self._next_stream = next_stream
        self._runs: dict[JobId, _Run] = {}
        self._by_stream: dict[StreamId, _Run] = {}
        self._awaiting: dict[Address, list[_Run]] = {}
        self._opened: dict[ChannelId, Wei] = {}

    @property
    def is_idle(self) -> bool:
        """Whether no run is in hand."""
        return not self._runs

    def owns(self, stream: StreamId) -> bool:
        """Whether inputs about this stream belong here."""
        return stream in self._by_stream

    def step(self, happened: Input, now: UnixMs) -> list[Effect]:
        """Take one input about runs and channels."""
        match happened:
            case RunRequested():
                return self._choose(_Run(happened), now)
            case CancelRun(job):
                return self._cancel(job, now)
            case ChannelOpened(payee, state):
                rows = self._ledger.note_channel(state, None)
                waiting = self._awaiting.pop(payee, [])
                effects: list[Effect] = [Persist(rows)] if rows else []
                return effects + [e for run in waiting for e in self._order(run, now)]
            case ChannelOpenFailed(payee, reason):
                waiting = self._awaiting.pop(payee, [])
                return [e for run in waiting for e in self._fail(run, "no_channel", reason, now)]
            case _:
                return []

    def after_probes(self, now: UnixMs) -> list[Effect]:
        """Go on with the runs whose probes are all answered; call after each step of the probes."""
        effects: list[Effect] = []
        for run in [run for run in self._runs.values() if run.is_probing]:
            if not self._probes.is_waiting([candidate.peer for candidate in run.shortlist]):
                run.is_probing = False
                effects += self._rank(run, now)
        return effects

    def _choose(self, run: _Run, now: UnixMs) -> list[Effect]:
        if len(self._runs) >= RUNS_MAX or run.job in self._runs:
            return [Emit(_failure(run, None, "busy", "too many runs at once"))]
        self._runs[run.job] = run
        want = build_want(run.wanted)
        found = self._directory.find(model=want.model, kind=want.kind, features=want.features)
        if not found:
            found = self._directory.entries()  # so that the filters can say what is missing
        candidates = [
            candidate
            for entry in found
            if entry.advertisement.accounts
            for candidate in build_candidates(entry.peer, entry.advertisement, entry.expires_at)
        ]
        selection = self._router.select(candidates, want, now)
        if not selection.kept:
            return self._end(run, _failure(run, None, "no_provider", selection.why_none))
        run.kept = selection.kept
        run.shortlist = self._router.shortlist(selection.kept, want)
        run.is_probing = True
        targets = [(c.peer, c.advertisement.addresses) for c in run.shortlist]
        return [*self._probes.ask(targets, now), *self.after_probes(now)]

    def _rank(self, run: _Run, now: UnixMs) -> list[Effect]:
        want = build_want(run.wanted)
        run.order = list(self._router.rank(run.shortlist, run.kept, want, now))
        return self._attempt(run, now)

    def _attempt(self, run: _Run, now: UnixMs) -> list[Effect]:
        if not run.order or run.attempt >= run.wanted.attempts:
            return self._end(run, run.last or _failure(run, None, "no_provider", "none is left"))
        run.current = run.order.pop(0)
        effects: list[Effect] = []
        if run.last is not None:
            effects.append(Emit(RunRestarted(run.job, run.current.peer, run.last)))
        return effects + self._order(run, now)

    def _order(self, run: _Run, now: UnixMs) -> list[Effect]:
        """Reserve money and open the stream, or first a channel."""
        candidate = run.current
        if candidate is None or run.job not in self._runs:
            return []
        signed = candidate.advertisement.accounts[0]
        payee = Address(signed.ownership.operator)
        ceiling = compute_ceiling(run.wanted, candidate.offer)
        try:
            lane = self._reserve(payee, ceiling, Epoch(candidate.offer.epoch))
        except PaymentError as error:
            return self._fail(run, "no_channel", str(error), now)
        if lane is None:
            return self._open_channel(run, payee, ceiling, now)
        stream = self._next_stream()
        purchase = Purchase(
            job=run.next_job(),
            request=run.wanted.request,
            offer=candidate.offer,
            ownership=signed,
            max_cost=ceiling,
            max_window=run.wanted.max_window,
            network=self._network,
            registry_domain=self._registry_domain,
            is_fast=run.wanted.is_fast,
        )
        run.attempt += 1
        self._circuits.begin_trial(candidate.peer, now)
        run.exchange = RequesterExchange(stream, candidate.peer, purchase, lane)
        self._by_stream[stream] = run
        addresses = candidate.advertisement.addresses
        return [OpenStream(stream, candidate.peer, addresses, exchange_parameters.PROTOCOL)]

    def _reserve(self, payee: Address, ceiling: Wei, epoch: Epoch) -> ReservedLane | None:
        """Reserve a lane on a channel with enough left; None if there is no such channel."""
        for state in self._ledger.get_channels(payee):
            channel = ChannelId(state.channel)
            if self._ledger.get_left(channel, epoch) >= ceiling:
                return self._ledger.reserve_lane(channel, ceiling, epoch)
        return None

    def _open_channel(self, run: _Run, payee: Address, ceiling: Wei, now: UnixMs) -> list[Effect]:
        waiting = self._awaiting.get(payee)
        if waiting is not None:
            waiting.append(run)
            return []
        deposit = max(self._budget.auto_deposit, ceiling)
        if not self._budget.auto_deposit:
            reason = "no channel has enough left, and automatic deposits are off"
            return self._fail(run, "no_channel", reason, now)
        if self._ledger.get_deposits() + deposit > self._budget.max_deposits:
            reason = "no channel has enough left, and max_deposits forbids another"
            return self._fail(run, "no_channel", reason, now)
        self._awaiting[payee] = [run]
        return [OpenChannel(payee, Wei(deposit))]

    def step_stream(self, stream: StreamId, happened: Input, now: UnixMs) -> list[Effect]:
        """Take one input about a stream that `owns` says is ours, its timers included."""
        run = self._by_stream.get(stream)
        exchange = run.exchange if run else None
        if run is None or exchange is None:
            return []
        if isinstance(happened, StreamReady):
            effects = exchange.start(now)
        elif isinstance(happened, StreamFailed):
            effects = exchange.abandon("dial", happened.reason, now)
        else:
            effects = exchange.step(happened, now)
        return self._translate(run, exchange, effects, now)

    def _translate(
        self, run: _Run, exchange: RequesterExchange, effects: Iterable[Effect], now: UnixMs
    ) -> list[Effect]:
        """Turn an attempt's events into its run's; a failed attempt leads to the next."""
        passed: list[Effect] = []
        for effect in effects:
            if isinstance(effect, Emit):
                passed += self._on_event(run, effect.event, now)
            else:
                passed.append(effect)
        if exchange.is_over:
            self._by_stream.pop(exchange.stream, None)
        return passed

    def _on_event(self, run: _Run, event: RunEvent, now: UnixMs) -> list[Effect]:
        event = dataclasses.replace(event, job=run.job)
        if isinstance(event, RunFinished):
            assert run.current is not None
            self._circuits.on_success(run.current.peer)
            del self._runs[run.job]
            return [Emit(dataclasses.replace(event, paid=Wei(event.paid + run.spent)))]
        if not isinstance(event, RunFailed):
            return [Emit(event)]
        run.spent += event.paid
        if run.current is not None and (not event.refused or event.code in DISHONEST):
            self._circuits.on_failure(run.current.peer, now)
        if event.code == "cancelled":
            return self._end(run, event)
        run.last = event
        return self._attempt(run, now)

    def _fail(self, run: _Run, code: str, reason: str, now: UnixMs) -> list[Effect]:
        """This candidate cannot be paid; try the next."""
        if run.job not in self._runs:
            return []
        peer = run.current.peer if run.current else None
        run.last = _failure(run, peer, code, reason)
        run.attempt += 1
        return self._attempt(run, now)

    def _end(self, run: _Run, failed: RunFailed) -> list[Effect]:
        self._runs.pop(run.job, None)
        return [Emit(dataclasses.replace(failed, job=run.job, paid=Wei(run.spent)))]

    def _cancel(self, job: JobId, now: UnixMs) -> list[Effect]:
        run = self._runs.get(job)
        if run is None:
            return []
        exchange = run.exchange
        if exchange is None or exchange.is_over:
            return self._end(run, _failure(run, None, "cancelled", "by the caller"))
        effects = exchange.step(CancelRun(exchange.job), now)
        return self._translate(run, exchange, effects, now)


def _failure(run: _Run, peer: PeerId | None, code: str, reason: str) -> RunFailed:
    return RunFailed(run.job, peer, code, reason, refused=True, retry_after_ms=0, paid=Wei(0))
