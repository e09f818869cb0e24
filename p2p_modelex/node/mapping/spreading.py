"""Drives the spreading of a map: reads prompts, orders them, keeps their results.

What decides is core/mapping: who is asked, what is late, when to stop.
"""

from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from dataclasses import dataclass

import trio

from p2p_modelex.core.exchange.pricing import compute_prompt_tokens_max
from p2p_modelex.core.mapping.acts import (
    Act,
    Begin,
    Cancel,
    Happened,
    Leave,
    MembersSeen,
    Sighting,
    SourceEnded,
    Stop,
    TaskCame,
    Woke,
)
from p2p_modelex.core.mapping.machine import MappingMachine
from p2p_modelex.errors import BadInput, ModelexError
from p2p_modelex.ids import PeerId
from p2p_modelex.node.completion import Completion
from p2p_modelex.node.configuration import Configuration
from p2p_modelex.node.driver import wall_clock
from p2p_modelex.node.mapping.failures import error_of_stop
from p2p_modelex.node.mapping.inputs import BATCH, Prompt
from p2p_modelex.node.mapping.journal import Journal
from p2p_modelex.node.mapping.notes import Known, Tally
from p2p_modelex.node.mapping.order import Order
from p2p_modelex.node.mapping.resuming import Resuming
from p2p_modelex.node.node import Node
from p2p_modelex.node.request import Terms
from p2p_modelex.records.job import Request
from p2p_modelex.units import Epoch, Wei, rescale

SURVEY_S = 1.0
"""How often it is looked who is there, and how many slots they have."""
TICK_S = 0.05
"""How often it is looked whether something is late, or somebody has rested enough."""
AHEAD_MAX = 1024
"""Prompts that may be read beyond the next result to be taken: their results wait in memory."""


@dataclass(frozen=True, slots=True)
class Plan:
    """sample: any request of the map, to see who is there. terms: those of each order.

    max_cost: wei for all of them, None for no bound. at_once: orders in hand at most.
    """

    sample: Request
    terms: Terms
    max_cost: Wei | None
    at_once: int


@dataclass(frozen=True, slots=True)
class Progress:
    """done: prompts with a result, of which `failed` without an answer. paid: wei in all, in split
    epoch `epoch`. Earlier runs of the same map are counted in.
    """

    done: int
    failed: int
    in_hand: int
    members: int
    paid: Wei
    epoch: Epoch


class Spreading:
    """One map: `run` it in a task, and `take` its results in another."""

    def __init__(
        self,
        node: Node,
        configuration: Configuration,
        plan: Plan,
        prompts: AsyncGenerator[Prompt, None],
        journal: Journal,
        resuming: Resuming,
        tally: Tally,
    ) -> None:
        """tally: what the journal has, in the token's split epoch, which is that of the plan."""
        self._node, self._configuration = node, configuration
        self._plan, self._source = plan, prompts
        self._journal, self._resuming = journal, resuming
        self._epoch = node.epoch
        each = plan.terms.max_cost
        if each is None:
            each = configuration.spending_in(self._epoch).max_cost
        left = None if plan.max_cost is None else Wei(max(plan.max_cost - tally.paid, 0))
        self._machine = MappingMachine(each, left, plan.at_once, wall_clock())
        self._done, self._failed = tally.results + tally.failures, tally.failures
        self._paid = int(tally.paid)
        self._prompts: dict[int, Prompt] = {}
        self._running: dict[int, Order] = {}
        self._members: tuple[PeerId, ...] = ()
        self._ready: dict[int, bytes] = {}
        self._next = 0
        self._error: ModelexError | None = None
        self._is_ending = self._is_over = False
        self._changed = trio.Event()
        self._feeding = trio.CancelScope()
        self._nursery: trio.Nursery | None = None

    @property
    def progress(self) -> Progress:
        """Where it is now."""
        machine = self._machine
        return Progress(
            self._done,
            self._failed,
            machine.in_hand,
            machine.members,
            Wei(self._paid),
            self._epoch,
        )

    @property
    def is_over(self) -> bool:
        """Whether nothing of it runs any more."""
        return self._is_over

    @property
    def taken(self) -> int:
        """Results that were taken."""
        return self._next

    async def run(self) -> None:
        """Run it until all is done, or it was stopped or left; what was ordered has ended then, and
        its results are durable. Raises StoreError.
        """
        try:
            async with trio.open_nursery() as nursery:
                self._nursery = nursery
                nursery.start_soon(self._watch_members)
                nursery.start_soon(self._watch_time)
                nursery.start_soon(self._feed)
                try:
                    await self.wait_until(lambda: self._machine.is_done and not self._running)
                finally:
                    # Where it was cancelled, the nursery may end before this task goes on.
                    self._is_ending = True
                nursery.cancel_scope.cancel()
        finally:
            # Also where it was cancelled: the node ends then what is in hand.
            self._is_over = True
            self._say_changed()

    def leave(self, *, at_once: bool) -> None:
        """Order nothing more; at_once: and cancel what is in hand, which is paid for what came."""
        if not self._is_ending:
            self._tell(Leave(at_once))

    async def take(self) -> bytes | None:
        """Return the next prompt's result; None after the last, or after what was left early.

        Raises what stopped it: NoProvider, PaymentError, NetworkError, or BadInput for an input.
        """
        await self.wait_until(lambda: self._next in self._ready or self._is_over)
        body = self._ready.pop(self._next, None)
        if body is None:
            if self._error is not None:
                raise self._error
            return None
        self._next += 1
        self._say_changed()
        return body

    async def wait_until(self, condition: Callable[[], bool]) -> None:
        """Wait until a condition on it holds."""
        while not condition():
            await self._changed.wait()

    def _say_changed(self) -> None:
        self._changed.set()
        self._changed = trio.Event()

    def _tell(self, happened: Happened) -> list[Act]:
        """Step the machine and carry out what it asks for."""
        acts = self._machine.step(happened, wall_clock())
        for act in acts:
            match act:
                case Begin():
                    self._begin(act)
                case Cancel(order):
                    assert self._nursery is not None
                    self._running[order].cancel(self._nursery)
                case Stop():
                    self._error = error_of_stop(act)
                    self._feeding.cancel()
        if isinstance(happened, Leave):
            self._feeding.cancel()
        self._say_changed()
        return acts

    # What comes in.

    async def _feed(self) -> None:
        """Tell the machine of prompts while it has room; one that is wrong is their end."""
        with self._feeding:
            try:
                async with aclosing(self._source):
                    await self._feed_all()
            except ModelexError as error:
                self._error = error
                self._tell(SourceEnded())

    async def _feed_all(self) -> None:
        known: dict[int, Known] = {}
        number = 0
        async for prompt in self._source:
            if number <= self._journal.last and number % BATCH == 0:
                known = await self._journal.find(number, BATCH)
            await self.wait_until(lambda: number < self._next + AHEAD_MAX)  # noqa: B023
            found = known.pop(number, None)
            body = found and await self._resuming.find_result(prompt, found)
            if found and body:
                self._done += found.body is None
                self._ready[number] = body
                self._say_changed()
            else:
                await self.wait_until(lambda: self._machine.room > 0)
                self._prompts[number] = prompt
                tokens = compute_prompt_tokens_max(prompt.request)
                self._tell(TaskCame(number, tokens, prompt.request.max_tokens))
            number += 1
        if self._journal.last >= number:
            raise BadInput(
                f"there are {number} inputs, and the journal has more",
                hint="give the inputs that it began with, or write to another --output",
            )
        self._tell(SourceEnded())

    async def _watch_members(self) -> None:
        while True:
            terms = self._plan.terms
            asked = Completion(self._node, self._configuration, self._plan.sample, terms)
            survey = await asked.survey(self._members)
            now = self._node.epoch
            sightings = tuple(
                Sighting(
                    one.peer,
                    load.slots if (load := survey.loads.get(one.peer)) else None,
                    Wei(rescale(one.offer.prompt_price, now, self._epoch)),
                    Wei(rescale(one.offer.completion_price, now, self._epoch)),
                )
                for one in survey.candidates
            )
            self._members = tuple(one.peer for one in sightings)
            self._tell(MembersSeen(sightings, survey.why_none))
            await trio.sleep(SURVEY_S)

    async def _watch_time(self) -> None:
        while True:
            await trio.sleep(TICK_S)
            now = wall_clock()
            at = self._machine.get_timer(now)
            if at is not None and at <= now:
                self._tell(Woke())

    # What goes out.

    def _begin(self, begin: Begin) -> None:
        order = Order(
            self._node,
            self._configuration,
            self._journal,
            begin,
            self._prompts[begin.number],
            self._plan.terms,
            self._epoch,
        )
        self._running[begin.order] = order
        assert self._nursery is not None
        self._nursery.start_soon(self._follow, order)

    async def _follow(self, order: Order) -> None:
        """See an order to its end; a result is durable before it can be taken."""
        ended = await order.run()
        self._paid += ended.paid
        result = await order.close(self._tell(ended))
        if result is not None:
            self._done, self._failed = self._done + 1, self._failed + (not result.is_good)
            self._ready[result.number] = result.body
            del self._prompts[result.number]
        del self._running[ended.order]
        self._say_changed()
