"""What the worker process needs from native code: one synchronous class for each engine."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Generator
from dataclasses import dataclass

from p2p_modelex.engine.abc import EngineInfo
from p2p_modelex.engine.spec import EngineSpec
from p2p_modelex.records.job import Request
from p2p_modelex.records.logprobs import TokenLogprob
from p2p_modelex.records.receipt import Finish


@dataclass(frozen=True, slots=True)
class Step:
    """Output of one or more tokens; tokens 0 and no text means only that the job is alive.

    cached: prompt tokens that the engine need not read again, where this step says so.
    """

    text: str = ""
    tokens: int = 0
    logprobs: tuple[TokenLogprob, ...] = ()
    cached: int = 0


Steps = Generator[Step, None, Finish]
"""Runs a job step by step and returns why it ended. Closing it stops the work."""


class Backend(ABC):
    """A loaded model in this process. The constructor loads it and raises ModelRejected."""

    concurrent: bool
    """Whether several threads may call at once. If not, one thread makes all calls."""

    info: EngineInfo

    @abstractmethod
    def __init__(self, spec: EngineSpec) -> None: ...

    @abstractmethod
    def build_prompt(self, request: Request) -> tuple[int, ...]:
        """Return the prompt's ids; raises as PromptBuilder.build does."""

    @abstractmethod
    def run(self, request: Request, prompt: tuple[int, ...], stopped: Callable[[], bool]) -> Steps:
        """Generate; `stopped` is asked between steps and ends the job with Finish.CANCELLED."""
