"""The engine port: what the node needs from something that runs a language model.

Implementations: `ctransformers`, `xllamacpp` (both in a worker process, engine/worker.py),
`upstream/` (a server that speaks the OpenAI API) and `memory.py`. All pass the same contract
tests. A missing capability is refused, never faked.
"""

from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator
from dataclasses import dataclass

from p2p_modelex.ids import Digest
from p2p_modelex.records.advertisement import Kind
from p2p_modelex.records.job import Request, features_of
from p2p_modelex.records.logprobs import TokenLogprob
from p2p_modelex.records.receipt import Finish


@dataclass(frozen=True, slots=True)
class EngineInfo:
    """What a loaded model is and can do. weights: SHA-256 of the file."""

    engine: str
    version: str
    library: str
    model: str
    weights: Digest
    kinds: tuple[Kind, ...]
    context_length: int
    features: tuple[str, ...]
    slots: int
    device: str

    @property
    def fingerprint(self) -> str:
        """`engine/version/library`: its SHA-256 goes into receipts."""
        return f"{self.engine}/{self.version}/{self.library}"

    def serves(self, request: Request) -> bool:
        """Whether it has the kind and the features that a request needs."""
        return request.kind in self.kinds and set(features_of(request)) <= set(self.features)


@dataclass(frozen=True, slots=True)
class Started:
    """The request was admitted and its prompt has this many tokens."""

    prompt_tokens: int


@dataclass(frozen=True, slots=True)
class Piece:
    """Output as it comes: text (whole UTF-8 characters; empty for a token that ends the answer or
    half a character), how many tokens made it, and their log probabilities under the model's own
    distribution where the request asks for them.
    """

    text: str
    tokens: int
    logprobs: tuple[TokenLogprob, ...] = ()


@dataclass(frozen=True, slots=True)
class Done:
    """The end of a completion, with the tokens counted by the engine's own tokenizer.

    cached_tokens: of the prompt, those that were in the engine's cache; 0 where it does not say.
    """

    finish: Finish
    prompt_tokens: int
    completion_tokens: int
    cached_tokens: int = 0


Output = Started | Piece | Done


@dataclass(frozen=True, slots=True)
class EngineStatistics:
    """Load now and counters since the start; an immutable snapshot.

    cached_tokens of prompt_tokens were in the engine's cache: how much it gains by getting prompts
    that begin alike.
    """

    running: int
    waiting: int
    finished: int
    failed: int
    restarts: int
    first_token_ms: int
    """Median time to the first token over the last requests, 0 if none."""
    prompt_tokens: int = 0
    cached_tokens: int = 0


class Engine(ABC):
    """One loaded model. Use as `async with engine:`; the worker lives inside the block."""

    @abstractmethod
    async def __aenter__(self) -> "Engine": ...

    @abstractmethod
    async def __aexit__(self, *exc: object) -> None: ...

    @property
    @abstractmethod
    def info(self) -> EngineInfo: ...

    @property
    def is_ready(self) -> bool:
        """Whether it can take requests now. What is not ready is not advertised."""
        return True

    @abstractmethod
    async def count_tokens(self, request: Request) -> int:
        """Return the prompt's tokens with the chat template applied.

        Raises PromptTooLong if prompt and `max_tokens` do not fit the context, Unsupported for a
        kind or feature this model lacks, EngineCrashed.
        """

    @abstractmethod
    def generate(self, request: Request) -> AsyncGenerator[Output, None]:
        """Run a request: one Started, any number of Pieces, one Done.

        The pieces' tokens sum to the Done's count. Closing or cancelling the generator really
        stops the work (leave it early only through `aclosing`). Raises EngineBusy when the
        admission queue is full, PromptTooLong, Unsupported, EngineCrashed.
        """

    @abstractmethod
    def statistics(self) -> EngineStatistics: ...
