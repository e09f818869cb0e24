"""Jobs: runs a core's generation effects on engines, one task each, and reports the output."""

from collections.abc import Awaitable, Callable, Mapping

import structlog
import trio

from p2p_modelex.core.effects import CountTokens, Generate, StopGenerating
from p2p_modelex.core.inputs import (
    EngineFailed,
    EngineFinished,
    EngineProduced,
    EngineStarted,
    Input,
    TokensCounted,
)
from p2p_modelex.engine.abc import Done, Engine, Piece, Started
from p2p_modelex.errors import EngineBusy, EngineError, PromptTooLong, Unsupported
from p2p_modelex.ids import JobId
from p2p_modelex.records.receipt import Finish

CLOSE_TIMEOUT_S = 10.0
"""How long an engine may take to let a run go."""

log = structlog.get_logger(__name__)
Tell = Callable[[Input], Awaitable[None]]


def failure_of(job: JobId, error: Exception) -> EngineFailed:
    """Name an engine's error as the core knows it; what is no EngineError is a bug, and logged."""
    match error:
        case EngineBusy():
            return EngineFailed(job, "busy", str(error), error.retry_after_ms)
        case PromptTooLong():
            return EngineFailed(job, "prompt_too_long", str(error), 0)
        case Unsupported():
            return EngineFailed(job, "unsupported", str(error), 0)
        case EngineError():
            return EngineFailed(job, "engine", str(error), 0)
        case _:
            log.error("engine_bug", job=job.hex(), exc_info=error)
            return EngineFailed(job, "engine", "the engine failed unexpectedly", 0)


class Jobs:
    """Carries out the engine effects of a core. `engines` maps a model's name to its engine."""

    def __init__(self, engines: Mapping[str, Engine], tell: Tell, nursery: trio.Nursery) -> None:
        self._engines = engines
        self._tell = tell
        self._nursery = nursery
        self._running: dict[JobId, trio.CancelScope] = {}

    def count(self, effect: CountTokens) -> None:
        self._nursery.start_soon(self._count, effect)

    def generate(self, effect: Generate) -> None:
        scope = self._running[effect.job] = trio.CancelScope()
        self._nursery.start_soon(self._generate, effect, scope)

    def stop(self, effect: StopGenerating) -> None:
        scope = self._running.get(effect.job)
        if scope is not None:
            scope.cancel()

    def _find(self, effect: CountTokens | Generate) -> Engine:
        engine = self._engines.get(effect.request.model)
        if engine is None:
            raise Unsupported(f"{effect.request.model} is not loaded")
        return engine

    async def _count(self, effect: CountTokens) -> None:
        try:
            tokens = await self._find(effect).count_tokens(effect.request)
        except Exception as error:  # an engine's bug ends its job, not the node
            await self._tell(failure_of(effect.job, error))
        else:
            await self._tell(TokensCounted(effect.job, tokens))

    async def _generate(self, effect: Generate, scope: trio.CancelScope) -> None:
        counts = [0, 0]
        last: Input
        try:
            with scope:
                last = await self._stream(effect, counts)
            if scope.cancelled_caught:
                last = EngineFinished(effect.job, Finish.CANCELLED, counts[0], counts[1])
        except Exception as error:
            last = failure_of(effect.job, error)
        finally:
            self._running.pop(effect.job, None)
        await self._tell(last)

    async def _stream(self, effect: Generate, counts: list[int]) -> Input:
        """Report output as it comes; `counts` holds prompt and completion tokens so far."""
        outputs = self._find(effect).generate(effect.request)
        try:
            async for output in outputs:
                match output:
                    case Started(prompt_tokens):
                        counts[0] = prompt_tokens
                        await self._tell(EngineStarted(effect.job, prompt_tokens))
                    case Piece(text, tokens, logprobs):
                        counts[1] += tokens
                        await self._tell(EngineProduced(effect.job, text, tokens, logprobs))
                    case Done():
                        return EngineFinished(
                            effect.job,
                            output.finish,
                            output.prompt_tokens,
                            output.completion_tokens,
                            output.cached_tokens,
                        )
        finally:
            with trio.CancelScope(shield=True, deadline=trio.current_time() + CLOSE_TIMEOUT_S):
                await outputs.aclose()
        return EngineFailed(effect.job, "engine", "the engine ended without a result", 0)
