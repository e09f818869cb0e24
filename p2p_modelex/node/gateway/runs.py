"""What answers one choice: a job on the mesh, or the node's own engine, which costs nothing."""

import math
from collections.abc import AsyncGenerator
from dataclasses import dataclass
from typing import Protocol

import trio

from p2p_modelex.core.effects import RunFailed, RunRouted, RunText
from p2p_modelex.engine.abc import Done, Engine, Piece
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
    """One answer on its way: iterate over it once, to the end; `cancel` makes that come soon."""

    text: str
    provider: PeerId | None
    paid: Wei
    failed: RunFailed | None
    logprobs: list[TokenLogprob]
    routed: RunRouted | None

    def __aiter__(self) -> AsyncGenerator[CompletionPiece, None]: ...  # noqa: PYI058  # whoever leaves early closes it

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


class OwnRun:
    """A request to an engine of this very node: nobody is paid, so there is no receipt."""

    def __init__(
        self, engine: Engine, request: Request, own: PeerId, timeout_s: float | None = None
    ) -> None:
        """timeout_s: seconds from now that it may take, None for as long as it takes."""
        self._engine = engine
        self._until = trio.current_time() + (math.inf if timeout_s is None else timeout_s)
        self._request = request
        self._scope = trio.CancelScope()
        self._is_cancelled = False
        self.text = ""
        self.provider: PeerId | None = own
        self.paid = Wei(0)
        self.failed: RunFailed | None = None
        self.routed: RunRouted | None = None
        self.outcome: Outcome | None = None
        self.logprobs: list[TokenLogprob] = []

    async def cancel(self) -> None:
        """End the run; the iteration ends with what came so far."""
        self._is_cancelled = True
        self._scope.cancel()
        await trio.lowlevel.checkpoint()

    def _refuse_late(self) -> None:
        if not self._is_cancelled:
            reason, own = "no whole answer in time", self.provider
            self.failed = RunFailed(_NO_JOB, own, "deadline", reason, False, 0, Wei(0))
            raise error_of(self.failed)

    async def __aiter__(self) -> AsyncGenerator[CompletionPiece, None]:
        """Raises EngineError; JobFailed if it takes too long."""
        outputs = self._engine.generate(self._request)
        weights, tokens = self._engine.info.weights, 0
        self.outcome = Outcome(0, 0, Finish.CANCELLED, weights)
        try:
            while not self._is_cancelled:
                # A scope must not be open across a yield, so each step has its own.
                with trio.CancelScope(deadline=self._until) as self._scope:
                    output = await anext(outputs)
                if self._scope.cancelled_caught:
                    self._refuse_late()
                    break
                if isinstance(output, Done):
                    counts = output.prompt_tokens, output.completion_tokens
                    cached = output.cached_tokens
                    self.outcome = Outcome(*counts, output.finish, weights, cached_tokens=cached)
                    break
                if isinstance(output, Piece):
                    tokens += output.tokens
                    if output.text or output.logprobs:
                        self.text += output.text
                        self.logprobs += output.logprobs
                        yield RunText(_NO_JOB, output.text, tokens, output.logprobs)
        finally:
            with trio.CancelScope(shield=True):
                await outputs.aclose()
