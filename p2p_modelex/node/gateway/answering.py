"""One request's way from what is asked to its answer, whole or streamed."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial

import trio

from p2p_modelex.core.effects import RunRestarted, RunText
from p2p_modelex.errors import ModelexError
from p2p_modelex.ids import PeerId, format_peer_id
from p2p_modelex.node.completion import CompletionPiece
from p2p_modelex.node.gateway.asking import Asked
from p2p_modelex.node.gateway.charging.payment import Payment
from p2p_modelex.node.gateway.refusal import CLIENT_GONE, Refusal, refusal_of
from p2p_modelex.node.gateway.rendering import (
    Answered,
    Rendering,
    build_headers,
    show_decision,
    show_error,
)
from p2p_modelex.node.gateway.runs import Run, epoch_of, follow, outcome_of
from p2p_modelex.node.gateway.splice import Diverged, Logprobs, Splice
from p2p_modelex.node.gateway.wire import EVENTS, JSON, Headers, Wire
from p2p_modelex.records.receipt import Finish
from p2p_modelex.units import Epoch, Wei, rescale

BUSY_TRIES = 3
"""Times to ask where everybody is busy and says when not to be: a burst that comes first at a
provider finds few places for strangers, and a second later more than it needs.
"""
BUSY_WAIT_MAX_MS = 2_000
AT_ONCE = 8
"""Choices that run at once: as many places as a provider has for one that never paid it."""


@dataclass(slots=True)
class _Choice:
    """One answer being made. route: the peers that failed at it."""

    index: int
    begin: Callable[[], Run]
    run: Run
    splice: Splice = field(default_factory=Splice)
    route: list[PeerId] = field(default_factory=list)
    refusal: Refusal | None = None


class Answering:
    """Runs a request's choices and sends what they say. Use once."""

    def __init__(
        self,
        asked: Asked,
        begins: Sequence[Callable[[], Run]],
        wire: Wire,
        epoch: Epoch,
        payment: Payment | None = None,
    ) -> None:
        """begins: what gives a run of each choice, anew each time. epoch: the token's split epoch
        now, in which runs without a receipt were paid. payment: to settle before anything is said.
        """
        self._asked = asked
        self._wire = wire
        self._epoch = epoch
        self._payment = payment
        self._rendering = Rendering(asked)
        self._choices = [_Choice(index, begin, begin()) for index, begin in enumerate(begins)]
        self._is_cancelled = False
        # Several choices share the wire, which takes one piece at a time.
        self._turn = trio.Lock() if len(begins) > 1 else None

    def sum_paid(self) -> tuple[Wei, Epoch]:
        """Return what all choices cost by now, failed ones too, in wei of the newest epoch."""
        paid = [(choice.run.paid, epoch_of(choice.run, self._epoch)) for choice in self._choices]
        newest = Epoch(max(epoch for _, epoch in paid))
        return Wei(sum(rescale(amount, epoch, newest) for amount, epoch in paid)), newest

    async def run(self) -> list[Answered]:
        """Run all to the end, sending pieces if it is a stream; the end is for `finish` to send.

        Raises Refusal if one failed; the others are cancelled then.
        """
        self._wire.on_gone = self.cancel
        try:
            await self._follow_all()
        except BaseException:  # a bug, or the gateway's own end: nobody will read the rest
            with trio.CancelScope(shield=True):
                await self.cancel()
            raise
        if self._wire.is_gone:
            raise _gone()
        refusals = [one.refusal for one in self._choices if one.refusal is not None]
        # The first that failed had the others cancelled.
        for refusal in refusals:
            if refusal.status != CLIENT_GONE:
                raise refusal
        if refusals:
            raise shutting_down()
        answered = [_answered(choice) for choice in self._choices]
        if self._payment is not None:
            await self._payment.settle()  # nothing was said
        return answered

    async def cancel(self) -> None:
        """End what is under way; it is paid for what came."""
        self._is_cancelled = True
        for choice in self._choices:
            await choice.run.cancel()

    async def finish(self, answered: Sequence[Answered]) -> None:
        """Send the whole answer, or a stream's end."""
        rendering, wire = self._rendering, self._wire
        if not self._asked.is_stream:
            headers = (*JSON, *self._headers, *build_headers(answered))
            await wire.respond(200, headers, rendering.show_whole(answered))
            return
        last = rendering.show_end(answered)
        if not wire.is_begun:  # nothing was said
            first = b"".join(rendering.show_first(choice.index) for choice in self._choices)
            await wire.begin((*EVENTS, *self._headers), first)
        await wire.end(last)

    @property
    def _headers(self) -> Headers:
        """What the head of every answer says."""
        paid = () if self._payment is None else self._payment.headers
        return (("x-request-id", self._rendering.id), *paid)

    async def _follow_all(self) -> None:
        if self._turn is None:
            await self._insist(self._choices[0])
            return
        async with trio.open_nursery() as nursery:
            places = trio.Semaphore(AT_ONCE)
            for choice in self._choices:
                nursery.start_soon(self._wait_and_insist, choice, places)

    async def _wait_and_insist(self, choice: _Choice, places: trio.Semaphore) -> None:
        async with places:
            await self._insist(choice)

    async def _insist(self, choice: _Choice) -> None:
        """Follow a choice; again, after a while, where all were busy and nothing was begun."""
        for left in reversed(range(BUSY_TRIES)):
            await self._follow(choice)
            failed = choice.run.failed
            is_busy = failed is not None and failed.code == "busy" and not choice.run.paid
            if failed is None or not is_busy or not left or self._is_cancelled:
                break
            await trio.sleep(min(failed.retry_after_ms, BUSY_WAIT_MAX_MS) / 1000)
            choice.refusal, choice.run = None, choice.begin()
            choice.route.clear()
            choice.splice.restart()
        if choice.refusal is not None:
            await self.cancel()

    async def _follow(self, choice: _Choice) -> None:
        """Run one choice to its end, however that is; a failure is left in `refusal`."""
        if self._wire.is_gone or self._is_cancelled:
            choice.refusal = _gone()
            return
        try:
            await follow(choice.run, partial(self._hear, choice))
            if self._asked.is_stream and choice.refusal is None:
                choice.splice.finish()
        except Diverged:
            choice.refusal = _diverged(choice)
        except ModelexError as error:
            choice.refusal = choice.refusal or refusal_of(error, choice.run.failed)

    async def _hear(self, choice: _Choice, piece: CompletionPiece) -> None:
        if isinstance(piece, RunText):
            if choice.refusal is None:
                await self._take(choice, piece)
            return
        if piece.why.peer is not None:
            choice.route.append(piece.why.peer)
        if isinstance(piece, RunRestarted):
            choice.splice.restart()

    async def _take(self, choice: _Choice, piece: RunText) -> None:
        if self._payment is not None:
            try:
                await self._payment.settle()
            except Refusal as refusal:
                choice.refusal = refusal
                await choice.run.cancel()
                return
        if self._asked.is_stream:
            await self._pass_on(choice, piece)

    async def _pass_on(self, choice: _Choice, piece: RunText) -> None:
        try:
            fresh = choice.splice.feed(piece.text)
        except Diverged:
            # The run goes on until the provider has signed for what it did.
            choice.refusal = _diverged(choice)
            await choice.run.cancel()
            return
        told = choice.splice.skip(piece.logprobs)
        if fresh or told:
            if self._turn is None:
                await self._say(choice, fresh, told)
            else:
                async with self._turn:
                    await self._say(choice, fresh, told)

    async def _say(self, choice: _Choice, text: str, told: Logprobs) -> None:
        piece = self._rendering.show_text(choice.index, text, told)
        if self._wire.is_begun:
            await self._wire.send(piece)
            return
        assert choice.run.provider is not None
        headers = (
            *EVENTS,
            *self._headers,
            ("x-modelex-provider", format_peer_id(choice.run.provider)),
            *show_decision(choice.run.routed),
        )
        first = [self._rendering.show_first(one.index) for one in self._choices]
        await self._wire.begin(headers, b"".join([*first, piece]))


async def send_refusal(wire: Wire, refusal: Refusal) -> None:
    """Answer with an error, in mid-stream if it has begun."""
    if wire.is_begun:
        await wire.end(show_error(refusal))
    else:
        await wire.refuse(refusal)


def shutting_down() -> Refusal:
    """What whoever asks of a gateway that ends is told."""
    return Refusal(503, "shutting_down", "the gateway is being stopped")


def _gone() -> Refusal:
    return Refusal(CLIENT_GONE, "client_closed_request", "whoever asked has gone")


def _diverged(choice: _Choice) -> Refusal:
    failed = ", ".join(map(format_peer_id, choice.route))
    message = (
        f"{failed} failed in mid-answer, and the next provider's answer does not begin with what "
        "was sent already; ask again, or without stream, where a failover is invisible"
    )
    return Refusal(502, "diverged", message)


def _answered(choice: _Choice) -> Answered:
    run = choice.run
    assert run.provider is not None
    outcome = outcome_of(run)
    if outcome.finish is Finish.CANCELLED:
        raise shutting_down()
    route = (*choice.route, run.provider)
    told = tuple(run.logprobs)
    return Answered(
        choice.index, run.text, outcome, run.provider, run.paid, route, told, run.routed
    )
