"""Requests: who asks for what and when, and what became of it."""

import hashlib
import random
from collections.abc import Callable
from dataclasses import dataclass

import msgspec

from p2p_modelex.core import effects as fx
from p2p_modelex.core.exchange.parameters import (
    IDLE_TIMEOUT_MS,
    REQUEST_TIMEOUT_MS,
    START_TIMEOUT_MS,
)
from p2p_modelex.core.inputs import CancelRun, RunRequested
from p2p_modelex.core.runs import DEPOSITS_MS
from p2p_modelex.errors import SimulationError
from p2p_modelex.ids import JobId
from p2p_modelex.simulation.actors.arrivals import Arrivals, Drawn, Recorded
from p2p_modelex.simulation.actors.budgets import Budgets, draw_reserve
from p2p_modelex.simulation.actors.conversations import Conversations, Reply
from p2p_modelex.simulation.actors.requests import build_request
from p2p_modelex.simulation.kernel import Kernel
from p2p_modelex.simulation.models.answers import reads_well
from p2p_modelex.simulation.nodes.life import Life
from p2p_modelex.simulation.nodes.machine import Machine
from p2p_modelex.simulation.results.spread import Spread, SpreadByLoad
from p2p_modelex.simulation.scenario.quantities import seconds
from p2p_modelex.simulation.scenario.tables import Workload
from p2p_modelex.units import Wei, rescale

RUNNING_MAX = 100_000
"""Requests in hand at once, in the whole world."""
QUIET_US = 1000 * (DEPOSITS_MS + REQUEST_TIMEOUT_MS + START_TIMEOUT_MS + IDLE_TIMEOUT_MS)
"""Longer than a run may say nothing: 120 s for deposits, 15 s for a quote, 60 s in a queue and 60 s
until a provider is silent; an order after one that failed is told.
"""
PROMPT_MAX = 30_000
"""Words of a prompt: 150 kB, under the limit of a frame."""
_WORD_BYTES = 5


class Arrival(msgspec.Struct, frozen=True, gc=False):
    """A node's next request of a workload is due."""

    node: int
    workload: int


@dataclass(slots=True)
class _Errand:
    life: Life
    asked_us: int
    heard_us: int
    load: int
    """Requests in hand as it was made, itself among them."""
    first_us: int = 0


class Customers:
    """Makes requests of nodes, and keeps account of those of honest ones until they end."""

    def __init__(
        self,
        workloads: tuple[Workload, ...],
        kernel: Kernel,
        until_us: int,
        open_stream: Callable[..., random.Random],
        is_honest: Callable[[Life], bool],
        find_epoch: Callable[[], int],
    ) -> None:
        """until_us: nothing is asked after it. find_epoch: the token's split epoch."""
        self._find_epoch = find_epoch
        self._is_honest = is_honest
        self._workloads = workloads
        self._kernel = kernel
        self._until_us = until_us
        self._open_stream = open_stream
        self._streams: dict[tuple[int, int], random.Random] = {}
        self._arrivals: dict[tuple[int, int], Arrivals] = {}
        self._places: dict[str, int] = {}
        self._budgets = Budgets()
        self._running: dict[JobId, _Errand] = {}
        self._conversations = Conversations(workloads, open_stream)
        self._tell: Callable[[int, Arrival | Reply], None] = lambda *_: None
        self.asked = self.finished = self.failed = self.restarted = self.tokens = 0
        self.sensible = 0
        """Of those that finished, whose text a person would take for an answer."""
        self.declined = 0
        """Not asked for: the node had spent its hour's budget."""
        self.interrupted = 0
        """Ended with the process of whoever asked."""
        self.paid = 0
        """Wei of before all splits."""
        self.codes: dict[str, int] = {}
        """How often requests failed, by their code."""
        self.first_text = Spread()
        self.whole = Spread()
        self.first_text_by_load = SpreadByLoad()
        self.whole_by_load = SpreadByLoad()

    @property
    def running(self) -> int:
        """Requests in hand."""
        return len(self._running)

    def plan(self, machine: Machine, tell: Callable[[int, Arrival | Reply], None]) -> None:
        """Ask for the first arrivals of a machine's workloads."""
        self._tell = tell
        name = machine.population.name
        place = self._places.get(name, 0)
        self._places[name] = place + 1
        for index, workload in enumerate(self._workloads):
            if workload.population == name:
                rng = self._open_stream("workload", index, machine.number)
                self._streams[machine.number, index] = rng
                self._arrivals[machine.number, index] = (
                    Drawn(workload, rng)
                    if workload.trace is None
                    else Recorded(workload, place, machine.population.count)
                )
                self._plan_next(Arrival(machine.number, index), workload.starts)

    def _plan_next(self, arrival: Arrival, after_us: int) -> None:
        workload = self._workloads[arrival.workload]
        lasts = workload.lasts
        over = self._until_us if lasts is None else workload.starts + lasts
        arrivals = self._arrivals[arrival.node, arrival.workload]
        at = arrivals.find_next(after_us, min(over, self._until_us))
        if at is not None:
            self._tell(at, arrival)

    def arrive(self, arrival: Arrival | Reply, life: Life | None) -> None:
        """A request is due; nobody makes it while its node is away."""
        if isinstance(arrival, Arrival):
            self._plan_next(arrival, self._kernel.now)
        wanted = self._draw(arrival)
        if life is None or wanted is None:
            return
        workload = self._workloads[arrival.workload]
        if not self._budgets.has_left(arrival.node, workload.hourly, self._kernel.now):
            self.declined += 1
            return
        rng = self._streams[arrival.node, arrival.workload]
        messages = wanted.request.messages
        self._conversations.note(wanted.job, arrival.node, arrival.workload, messages)
        if len(self._running) >= RUNNING_MAX:
            raise SimulationError(f"over {RUNNING_MAX} requests run at once", hint="ask for less")
        if self._is_honest(life):
            self.asked += 1
            self._running[wanted.job] = _Errand(
                life, self._kernel.now, self._kernel.now, len(self._running) + 1
            )
        if rng.random() < workload.cancelled:
            patience = int(rng.expovariate(1.0) * 3_000_000)
            self._kernel.at(self._kernel.now + patience, life, CancelRun(wanted.job))
        life.take(wanted)

    def _draw(self, arrival: Arrival | Reply) -> RunRequested | None:
        """Return what is asked for; None if a conversation ends instead."""
        workload, node = self._workloads[arrival.workload], arrival.node
        rng = self._streams[node, arrival.workload]
        lengths = self._arrivals[node, arrival.workload].draw()
        prompt, completion = min(PROMPT_MAX, lengths.prompt), lengths.completion
        name = f"{node}/{rng.getrandbits(64)}"
        text = "word " * (prompt - 1) + name[-_WORD_BYTES:]
        if isinstance(arrival, Reply):
            messages = self._conversations.go_on(arrival, text, prompt)
            if messages is None:
                return None
        else:
            messages = self._conversations.begin(workload, text)
        request = build_request(workload, messages, text, completion, rng)
        most, reserve = Wei(2**100), draw_reserve(workload, rng)
        return RunRequested(
            job=JobId(hashlib.sha256(name.encode()).digest()[:16]),
            request=request,
            max_cost=Wei(workload.max_cost),
            max_prompt_price=most,
            max_completion_price=most if reserve is None else reserve,
            max_window=Wei(workload.window),
            only=(),
            denied=(),
            attempts=workload.attempts,
            is_fast=rng.random() >= workload.quoted,
            farm=workload.farm or "",
            deadline_ms=(workload.deadline or 0) // 1000,
            may_continue=workload.continues,
        )

    def on_emit(self, _: Life, effect: fx.Emit) -> None:
        """A run says something."""
        event = effect.event
        errand = self._running.get(event.job)
        if errand is None:
            return
        now = errand.heard_us = self._kernel.now
        match event:
            case fx.RunText(text=text):
                self._conversations.on_text(event.job, text)
                if not errand.first_us:
                    errand.first_us = now
                    self.first_text.add(now - errand.asked_us)
                    self.first_text_by_load.add(errand.load, now - errand.asked_us)
            case fx.RunRestarted():
                self._conversations.on_restart(event.job)
                self.restarted += 1
            case fx.RunFinished():
                self._on_finished(event)
                del self._running[event.job]
                self.finished += 1
                self.sensible += reads_well(event.row.request, event.row.completion)
                self.tokens += event.row.receipt.receipt.completion_tokens
                paid = rescale(event.paid, event.row.receipt.receipt.epoch, 0)
                self.paid += paid
                self._budgets.spend(errand.life.number, paid, now)
                self.whole.add(now - errand.asked_us)
                self.whole_by_load.add(errand.load, now - errand.asked_us)
            case fx.RunFailed():
                self._conversations.forget(event.job)
                del self._running[event.job]
                paid = rescale(event.paid, self._find_epoch(), 0)
                self._budgets.spend(errand.life.number, paid, now)
                self.failed += 1
                self.codes[event.code] = self.codes.get(event.code, 0) + 1

    def _on_finished(self, event: fx.RunFinished) -> None:
        follows = self._conversations.on_finished(event.job)
        if follows is not None:
            pause, reply = follows
            if self._kernel.now + pause < self._until_us:
                self._tell(self._kernel.now + pause, reply)

    def forget(self, life: Life) -> None:
        """A process is over, and so are its requests."""
        gone = [job for job, errand in self._running.items() if errand.life is life]
        for job in gone:
            del self._running[job]
            self._conversations.forget(job)
        self.interrupted += len(gone)

    def check_ended(self) -> None:
        """SimulationError if a request has neither ended nor been heard of for QUIET_US."""
        for job, errand in self._running.items():
            quiet = self._kernel.now - errand.heard_us
            if quiet > QUIET_US:
                asked, name = seconds(errand.asked_us), job.hex()
                raise SimulationError(
                    f"node {errand.life.number}: request {name} of {asked:.3f} s is stuck, "
                    f"silent for {seconds(quiet):.0f} s"
                )
