"""Engines as a model: continuous batching (Orca, OSDI 2022) with prompts read in chunks beside it
(Sarathi, OSDI 2024), in a memory of blocks (keys_and_values.py), at a pace (pace.py).

Requests wait in a bounded queue for a slot and for memory. A sequence that no memory is left for
makes the latest one give way, which begins anew later, as in vLLM.
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
from p2p_modelex.core.prefixes import Turn, compute_turns
from p2p_modelex.ids import JobId
from p2p_modelex.records.job import Message, Request
from p2p_modelex.records.receipt import Finish
from p2p_modelex.simulation.models import answers
from p2p_modelex.simulation.models.host import Host
from p2p_modelex.simulation.models.keys_and_values import Memory, count_blocks
from p2p_modelex.simulation.models.pace import Step, build_pace
from p2p_modelex.simulation.scenario.settings import Engine

COUNT_US = 1_000
"""What counting a prompt's tokens takes."""
RETRY_MS = 1_000


class EngineStep(msgspec.Struct, frozen=True, gc=False):
    """A step of a model's engine is over."""

    model: str


@dataclass(slots=True, eq=False)
class _Sequence:
    """A job in the engine. unread: tokens that must be read before it goes on. blocks: its own.
    prefix: what it runs on besides, with so many tokens `shared`; cached: of its prompt, those it
    did not read at all.
    """

    job: JobId
    request: Request
    prompt_tokens: int
    left: int
    turns: tuple[Turn, ...]
    made: int = 0
    unread: int = 0
    blocks: int = 0
    prefix: bytes | None = None
    shared: int = 0
    cached: int = 0
    has_begun: bool = False

    @property
    def tokens(self) -> int:
        """What it has been given and has made."""
        return self.prompt_tokens + self.made


class EngineModel:
    """One engine of one node. `tell(input, at)` hands over what a core is told."""

    def __init__(
        self,
        settings: Engine,
        host: Host,
        rng: random.Random,
        tell: Callable[[Input, int], None],
        tick: Callable[[int], None],
    ) -> None:
        """tick: asks for an EngineStep at a time."""
        self._settings = settings
        self._host = host
        self._pace = build_pace(settings)
        self._memory = Memory(self._pace.room)
        self._rng = rng
        self._tell = tell
        self._tick = tick
        # In the order they were admitted.
        self._running: dict[JobId, _Sequence] = {}
        self._waiting: deque[_Sequence] = deque()
        self._reading: dict[JobId, int] = {}
        """What the step under way reads, of which prompts."""
        self._is_stepping = False

    def count(self, job: JobId, request: Request, now: int) -> None:
        """Answer CountTokens."""
        self._tell(TokensCounted(job, answers.count_tokens(request)), now + COUNT_US)

    def generate(self, job: JobId, request: Request, now: int) -> None:
        """Answer Generate: at once if it is refused, else as the steps go."""
        if len(self._running) + len(self._waiting) >= self._settings.slots + self._settings.waiting:
            self._tell(EngineFailed(job, "busy", "the queue is full", RETRY_MS), now)
            return
        left = min(answers.count_wanted(request), request.max_tokens)
        prompt_tokens = answers.count_tokens(request)
        if prompt_tokens + left > self._pace.room:
            reason = f"{prompt_tokens + left} tokens, there is room for {self._pace.room}"
            self._tell(EngineFailed(job, "prompt_too_long", reason, 0), now)
            return
        turns = compute_turns(request) if self._settings.cache else ()
        self._waiting.append(_Sequence(job, request, prompt_tokens, left, turns))
        self._begin(now)

    def stop(self, job: JobId, now: int) -> None:
        """Answer StopGenerating."""
        found = self._running.pop(job, None)
        if found is None:
            found = next((one for one in self._waiting if one.job == job), None)
            self._waiting = deque(one for one in self._waiting if one.job != job)
        if found is not None:
            self._release(found)
            made = EngineFinished(job, Finish.CANCELLED, found.prompt_tokens, found.made)
            self._tell(made, now)

    def _release(self, sequence: _Sequence) -> None:
        self._memory.give(sequence.blocks)
        self._memory.unpin(sequence.prefix)
        sequence.blocks, sequence.prefix, sequence.shared = 0, None, 0

    def _begin(self, now: int) -> None:
        """Admit what waits where there are slots and memory, and set out for the next step."""
        if self._is_stepping:
            return
        while self._waiting and len(self._running) < self._settings.slots:
            if not self._admit(self._waiting[0], now):
                break
            self._waiting.popleft()
        if not self._running:
            self._host.rest(self._settings.model, now)
            return
        there_at = self._host.claim(self._settings.model, self._pace.load_us, now, self._begin)
        if there_at is not None:
            self._is_stepping = True
            self._tick(there_at + self._host.stretch(self._pace.compute_s(self._plan())))

    def _admit(self, sequence: _Sequence, now: int) -> bool:
        prefix, shared = self._memory.find(sequence.turns)
        # The last token is read in any case: what comes after it is not in the memory.
        shared = min(shared, sequence.tokens - 1)
        self._memory.pin(prefix)
        blocks = count_blocks(sequence.tokens + 1 - shared)
        if not self._memory.take(blocks):
            self._memory.unpin(prefix)
            return False
        sequence.prefix, sequence.shared, sequence.blocks = prefix, shared, blocks
        sequence.unread = sequence.tokens - shared
        if not sequence.has_begun:
            sequence.has_begun, sequence.cached = True, shared
            self._tell(EngineStarted(sequence.job, sequence.prompt_tokens), now)
        self._running[sequence.job] = sequence
        return True

    def _plan(self) -> Step:
        """Say what the next step does: all that decode, and of prompts what a chunk holds."""
        left = self._settings.chunk
        decoding = context = pairs = 0
        self._reading = {}
        for job, one in self._running.items():
            if not one.unread:
                decoding += 1
                context += one.tokens
                continue
            reads = one.unread if left is None else min(one.unread, left)
            left = None if left is None else left - reads
            before = one.tokens - one.unread
            pairs += reads * before + reads * reads // 2
            self._reading[job] = reads
        prompt = sum(self._reading.values())
        return Step(len(self._running), decoding, context, prompt, pairs)

    def step(self, now: int) -> None:
        """A step is over: each request in it whose prompt is read has one more token."""
        self._is_stepping = False
        for job, one in list(self._running.items()):
            if job not in self._running:  # it gave way to one before it
                continue
            self._read(one, self._reading.get(job, 0))
            if not one.unread and self._grow(one):
                self._make_token(one, now)
                if one.left <= 0 and not self._end(one, now):
                    break
        self._begin(now)

    def _read(self, one: _Sequence, tokens: int) -> None:
        if not tokens:
            return
        self._host.tally.prompt_tokens += tokens
        one.unread -= tokens
        if not one.unread:
            for turn in reversed(one.turns):
                self._share(one, turn.digest, int(turn.share * one.prompt_tokens))

    def _share(self, one: _Sequence, digest: bytes, tokens: int) -> None:
        """Keep what a sequence has read for others that begin so."""
        if tokens > one.shared:
            blocks, one.shared = self._memory.keep(digest, tokens, one.prefix)
            one.blocks -= blocks
            one.prefix = digest

    def _grow(self, one: _Sequence) -> bool:
        """Have room for one more token: the latest gives way where there is none, or it itself."""
        while count_blocks(one.tokens + 1 - one.shared) > one.blocks:
            if self._memory.take(1):
                one.blocks += 1
                continue
            latest = next(reversed(self._running.values()))
            del self._running[latest.job]
            self._release(latest)
            self._waiting.appendleft(latest)
            self._host.tally.preempted += 1
            if latest is one:
                return False
        return True

    def _make_token(self, one: _Sequence, now: int) -> None:
        one.left -= 1
        if one.request.kind == "embedding":
            self._tell(EngineProduced(one.job, answers.build_vector(one.request), 0), now)
            return
        one.made += 1
        self._host.tally.tokens += 1
        text = answers.build_piece(one.request, one.made)
        logprobs = answers.list_logprobs(one.request, text)
        self._tell(EngineProduced(one.job, text, 1, logprobs), now)

    def _end(self, one: _Sequence, now: int) -> bool:
        """A request is answered; False if the engine crashed over it, and all others with it."""
        if self._settings.crash and self._rng.random() < self._settings.crash:
            self._crash(now)
            return False
        del self._running[one.job]
        if one.turns and one.made:
            self._share(one, self._compute_answered(one), one.tokens)
        self._release(one)
        self._host.tally.cached_tokens += one.cached
        finish = answers.choose_finish(one.request, one.made)
        done = EngineFinished(one.job, finish, one.prompt_tokens, one.made, one.cached)
        self._tell(done, now)
        return True

    def _compute_answered(self, one: _Sequence) -> bytes:
        """Return the name of a prompt that goes on with the answer to this one."""
        request, pieces = one.request, range(1, one.made + 1)
        answer = "".join(answers.build_piece(request, at) for at in pieces)
        messages = (*request.messages, Message("assistant", answer))
        return compute_turns(msgspec.structs.replace(request, messages=messages))[0].digest

    def _crash(self, now: int) -> None:
        """The engine's process died: nothing of it is left, and the next request loads it anew."""
        for one in (*self._running.values(), *self._waiting):
            self._tell(EngineFailed(one.job, "engine", "the engine crashed", 0), now)
        self._running.clear()
        self._waiting.clear()
        self._memory = Memory(self._pace.room)
        self._host.crash(self._settings.model, now)
