"""What answers one choice: a job on the mesh, or the node's own engine, which costs nothing."""

from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing
from dataclasses import dataclass
from typing import Protocol

import trio

from p2p_modelex.core.effects import RunFailed, RunRouted, RunText
from p2p_modelex.engine.abc import Done, Engine, Output, Piece
from p2p_modelex.ids import JobId, PeerId
from p2p_modelex.node.completion import Completion, CompletionPiece
from p2p_modelex.node.run_errors import error_of
from p2p_modelex.records.job import Request
from p2p_modelex.records.logprobs import TokenLogprob
from p2p_modelex.records.receipt import Finish
from p2p_modelex.records.rows import ReceiptRow
from p2p_modelex.units import Epoch, Wei

_NO_JOB = JobId(bytes(16))


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a run ended. price: wei of split epoch `epoch`. row: the receipt, where there is one."""

    prompt_tokens: int
    completion_tokens: int
    finish: Finish
    weights: bytes
    price: Wei = Wei(0)  # noqa: RUF009  # an int
    epoch: Epoch = Epoch(0)  # noqa: RUF009  # a NewType of int
    row: ReceiptRow | None = None
    cached_tokens: int = 0


class Run(Protocol):
    """One answer on its way: `follow` it once, to the end; `cancel` makes that come soon."""

    text: str
    provider: PeerId | None
    paid: Wei
    failed: RunFailed | None
    logprobs: list[TokenLogprob]
    routed: RunRouted | None

    async def cancel(self) -> None: ...


def outcome_of(run: Run) -> Outcome:
    """Return how a run ended that ended well."""
    if isinstance(run, OwnRun):
        assert run.outcome is not None
        return run.outcome
    assert isinstance(run, Completion)
    assert run.row is not None
    receipt = run.row.receipt.receipt
    # What another has gone on from was a part of its prompt, and is one of the answer.
    prompt_tokens = run.prompt_tokens if run.continued_tokens else receipt.prompt_tokens
    return Outcome(
        prompt_tokens,
        receipt.completion_tokens + run.continued_tokens,
        receipt.finish,
        receipt.weights,
        receipt.price,
        Epoch(receipt.epoch),
        run.row,
        min(run.cached_tokens, prompt_tokens),
    )


def epoch_of(run: Run, now: Epoch) -> Epoch:
    """Return the split epoch that a run was paid in; `now` where no receipt says another."""
    row = run.row if isinstance(run, Completion) else None
    return now if row is None else Epoch(row.receipt.receipt.epoch)


Hear = Callable[[CompletionPiece], Awaitable[None]]


async def follow(run: Run, hear: Hear) -> None:
    """Have each piece of a run heard, to its end; once for each run. Raises as `OwnRun.follow`, or
    as iterating over a Completion.
    """
    if isinstance(run, OwnRun):
        await run.follow(hear)
        return
    assert isinstance(run, Completion)
    async with aclosing(run.__aiter__()) as pieces:
        async for piece in pieces:
            await hear(piece)


class OwnRun:
    """A request to an engine of this very node: nobody is paid, so there is no receipt."""

    def __init__(
        self, engine: Engine, request: Request, own: PeerId, timeout_s: float | None = None
    ) -> None:
        """timeout_s: seconds from now that it may take, None for as long as it takes."""
        self._engine = engine
        self._until = None if timeout_s is None else trio.current_time() + timeout_s
        self._request = request
        self._scope = trio.CancelScope()
        self._is_cancelled = self._is_waiting = False
        self._tokens = 0
        self.text = ""
        self.provider: PeerId | None = own
        self.paid = Wei(0)
        self.failed: RunFailed | None = None
        self.routed: RunRouted | None = None
        self.outcome: Outcome | None = None
        self.logprobs: list[TokenLogprob] = []

    async def cancel(self) -> None:
        """End the run, with what came so far."""
        self._is_cancelled = True
        if self._is_waiting:  # and not in the middle of what hears
            self._scope.cancel()
        await trio.lowlevel.checkpoint()

    async def follow(self, hear: Hear) -> None:
        """As the function. Raises EngineError; JobFailed if it takes too long."""
        outputs = self._engine.generate(self._request)
        self.outcome = Outcome(0, 0, Finish.CANCELLED, self._engine.info.weights)
        try:
            # One for all of the run: one for each token was 5 % of what the token costs.
            with self._scope:
                while not self._is_cancelled:
                    output = await self._wait(outputs)
                    if isinstance(output, Done):
                        self._end(output)
                        break
                    if isinstance(output, Piece) and not self._is_cancelled:
                        await self._pass_on(output, hear)
        finally:
            with trio.CancelScope(shield=True):
                await outputs.aclose()

    async def _wait(self, outputs: AsyncGenerator[Output, None]) -> Output:
        self._is_waiting = True
        try:
            if self._until is None:
                return await anext(outputs)
            with trio.CancelScope(deadline=self._until):
                return await anext(outputs)
        finally:
            self._is_waiting = False
        reason, own = "no whole answer in time", self.provider
        self.failed = RunFailed(_NO_JOB, own, "deadline", reason, False, 0, Wei(0))
        raise error_of(self.failed)

    async def _pass_on(self, piece: Piece, hear: Hear) -> None:
        self._tokens += piece.tokens
        if piece.text or piece.logprobs:
            self.text += piece.text
            self.logprobs += piece.logprobs
            await hear(RunText(_NO_JOB, piece.text, self._tokens, piece.logprobs))

    def _end(self, done: Done) -> None:
        assert self.outcome is not None
        weights, cached = self.outcome.weights, done.cached_tokens
        counts = done.prompt_tokens, done.completion_tokens
        self.outcome = Outcome(*counts, done.finish, weights, cached_tokens=cached)
