"""Engines as a model: prefill, then decoding in batches (continuous batching, Orca, OSDI 2022).

A step takes the time of one token for a request alone, longer by a share for each further one in
it, and longer by the prompts that begin in it. Requests wait for a free slot in a bounded queue.
"""

import random
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

import msgspec

from p2p_modelex.core.inputs import (
    EngineFailed,
    EngineFinished,
    EngineProduced,
    EngineStarted,
    Input,
    TokensCounted,
)
from p2p_modelex.ids import JobId
from p2p_modelex.records.job import Request
from p2p_modelex.records.receipt import Finish
from p2p_modelex.simulation.scenario.settings import Engine

COUNT_US = 1_000
"""What counting a prompt's tokens takes."""
RETRY_MS = 1_000
_WORDS = tuple(f"word{number} " for number in range(64))


class EngineStep(msgspec.Struct, frozen=True, gc=False):
    """A step of a model's engine is over."""

    model: str


@dataclass(slots=True)
class _Job:
    request: Request
    prompt_tokens: int
    left: int
    made: int = 0


def count_tokens(request: Request) -> int:
    """Return the words of a prompt, and two for each turn: the tokenizer of this model."""
    texts = [request.text, *(message.content for message in request.messages)]
    return sum(len(text.split()) for text in texts) + 2 * len(request.messages)


def count_wanted(request: Request) -> int:
    """Return how long an answer is: that is in the seed, so the same request has the same."""
    return max(1, request.seed & 0xFFFF)


def reads_well(text: str) -> bool:
    """Whether a person would take a text for an answer of this model."""
    words = text.split()
    return bool(words) and all(f"{word} " in _WORDS for word in words)


class EngineModel:
    """One engine of one node. `tell(input, at)` hands over what a core is told."""

    def __init__(
        self,
        settings: Engine,
        rng: random.Random,
        tell: Callable[[Input, int], None],
        tick: Callable[[int], None],
    ) -> None:
        """tick: asks for an EngineStep at a time."""
        self._settings = settings
        self._rng = rng
        self._tell = tell
        self._tick = tick
        self._running: dict[JobId, _Job] = {}
        self._waiting: deque[tuple[JobId, _Job]] = deque()
        self._is_stepping = False
        self._warm_at: int | None = None
        self.tokens = 0

    def count(self, job: JobId, request: Request, now: int) -> None:
        """Answer CountTokens."""
        self._tell(TokensCounted(job, count_tokens(request)), now + COUNT_US)

    def generate(self, job: JobId, request: Request, now: int) -> None:
        """Answer Generate: at once if it is refused, else as the steps go."""
        if len(self._running) + len(self._waiting) >= self._settings.slots + self._settings.waiting:
            self._tell(EngineFailed(job, "busy", "the queue is full", RETRY_MS), now)
            return
        left = min(count_wanted(request), request.max_tokens)
        self._waiting.append((job, _Job(request, count_tokens(request), left)))
        self._begin(now)

    def stop(self, job: JobId, now: int) -> None:
        """Answer StopGenerating."""
        running = self._running.pop(job, None)
        waiting = next((one for name, one in self._waiting if name == job), None)
        self._waiting = deque(pair for pair in self._waiting if pair[0] != job)
        found = running or waiting
        if found is not None:
            made = EngineFinished(job, Finish.CANCELLED, found.prompt_tokens, found.made)
            self._tell(made, now)

    def _begin(self, now: int) -> None:
        """Admit what waits into free slots, and set out for the next step."""
        if self._is_stepping:
            return
        prompts = 0
        while self._waiting and len(self._running) < self._settings.slots:
            job, waiting = self._waiting.popleft()
            self._running[job] = waiting
            prompts += waiting.prompt_tokens
            self._tell(EngineStarted(job, waiting.prompt_tokens), now)
        if not self._running:
            return
        if self._warm_at is None:
            self._warm_at = now + self._settings.cold_start
        crowd = 1.0 + self._settings.batching * (len(self._running) - 1)
        lasts = crowd / self._settings.decode + prompts / self._settings.prefill
        self._is_stepping = True
        self._tick(max(now, self._warm_at) + int(lasts * 1_000_000))

    def step(self, now: int) -> None:
        """A step is over: each request in it has one more token."""
        self._is_stepping = False
        for job, running in list(self._running.items()):
            running.made += 1
            running.left -= 1
            self.tokens += 1
            word = _WORDS[(running.request.seed + running.made) % len(_WORDS)]
            self._tell(EngineProduced(job, word, 1), now)
            if running.left <= 0:
                del self._running[job]
                self._tell(self._end(job, running), now)
        self._begin(now)

    def _end(self, job: JobId, done: _Job) -> Input:
        if self._settings.crash and self._rng.random() < self._settings.crash:
            return EngineFailed(job, "engine", "the engine crashed", 0)
        is_whole = done.made >= count_wanted(done.request)
        finish = Finish.STOP if is_whole else Finish.LENGTH
        return EngineFinished(job, finish, done.prompt_tokens, done.made)
