"""An engine without a model: complete, deterministic, in process. For tests and demonstrations.

Its tokens are words with the space after them. Its answer is made from a SHA-256 over prompt,
temperature and seed, so the same request has the same answer and others differ.
"""

import hashlib
import json
import math
import re
from collections.abc import AsyncGenerator
from dataclasses import dataclass
from typing import Literal, Self

import msgspec
import trio

from p2p_modelex.engine.abc import (
    Done,
    Engine,
    EngineInfo,
    EngineStatistics,
    Output,
    Piece,
    Started,
)
from p2p_modelex.engine.admission import Admission
from p2p_modelex.engine.calls import CallWriter, read_tools, read_turn
from p2p_modelex.engine.spec import EngineSpec
from p2p_modelex.engine.text import TextStream
from p2p_modelex.errors import EngineCrashed, PromptTooLong, Unsupported
from p2p_modelex.ids import Digest
from p2p_modelex.records.advertisement import Kind
from p2p_modelex.records.embedding import encode_vector
from p2p_modelex.records.job import CONTINUE, Request, features_of
from p2p_modelex.records.logprobs import TokenLogprob, build_logprob
from p2p_modelex.records.receipt import Finish
from p2p_modelex.records.tools import MARK

_WORDS = (  # noqa: SIM905 - a text reads better than a list
    "market price peer node signal open fair quick calm bright river stone light paper green "
    "north south early late small large round plain sharp warm"
).split()


@dataclass(frozen=True, slots=True)
class Fault:
    """What goes wrong: in each of the first `jobs` jobs, after `after_pieces` pieces.

    `crash` raises EngineCrashed; `hang` never says another word, and only cancelling ends it.
    """

    kind: Literal["crash", "hang"]
    after_pieces: int
    jobs: int = 1


class MemoryEngine(Engine):
    """delay_s: pause before each piece, in seconds. reply: the whole answer, or None to make one
    of `length` words (cut at the request's max_tokens either way).
    """

    def __init__(
        self,
        model: str = "memory",
        *,
        kinds: tuple[Kind, ...] = ("chat", "completion", "score"),
        context_length: int = 4096,
        slots: int = 4,
        waiting_max: int = 16,
        delay_s: float = 0.0,
        reply: str | None = None,
        length: int = 64,
        fault: Fault | None = None,
    ) -> None:
        self._reply, self._length, self.delay_s = reply, length, delay_s
        self._fault = fault
        self._faults_left = fault.jobs if fault else 0
        self._admission = Admission(slots, waiting_max)
        self._finished = self._failed = 0
        self._info = EngineInfo(
            engine="memory",
            version="1",
            library="python",
            model=model,
            weights=Digest(hashlib.sha256(b"modelex/memory/" + model.encode()).digest()),
            kinds=kinds,
            context_length=context_length,
            features=(CONTINUE, "logprobs", "seed", "stop", "tools"),
            slots=slots,
            device="cpu",
        )

    async def __aenter__(self) -> Self:
        await trio.lowlevel.checkpoint()
        return self

    async def __aexit__(self, *exc: object) -> None:
        await trio.lowlevel.checkpoint()

    @property
    def info(self) -> EngineInfo:
        """See Engine."""
        return self._info

    def statistics(self) -> EngineStatistics:
        """See Engine."""
        return EngineStatistics(
            running=self._admission.running,
            waiting=self._admission.waiting,
            finished=self._finished,
            failed=self._failed,
            restarts=0,
            first_token_ms=self._admission.first_token_ms,
        )

    async def count_tokens(self, request: Request) -> int:
        """See Engine."""
        await trio.lowlevel.checkpoint()
        return self._admit(request)

    async def generate(self, request: Request) -> AsyncGenerator[Output, None]:
        """See Engine."""
        began = trio.current_time()
        prompt_tokens = self._admit(request)
        await self._admission.acquire()
        try:
            fault = self._take_fault()
            yield Started(prompt_tokens)
            if request.kind == "embedding":
                yield Piece(encode_vector(_vector_of(request.text)), 0)
                self._finished += 1
                yield Done(Finish.STOP, prompt_tokens, 0)
                return
            stream = TextStream(request.stop)
            words = self._answer(request)
            tokens = 0
            for word in words[: request.max_tokens]:
                await self._step(fault, tokens)
                if tokens == 0:
                    self._admission.note_first_token(began)
                tokens += 1
                yield Piece(stream.feed(word.encode()), 1, _tell(request, word))
                if stream.stopped:
                    break
            if rest := stream.finish():
                yield Piece(rest, 0)
            whole = stream.stopped or len(words) <= request.max_tokens
            self._finished += 1
            self._admission.note_finished(began)
            calls = request.tools and MARK in "".join(words)
            end = Finish.TOOL_CALLS if calls else Finish.STOP
            yield Done(end if whole else Finish.LENGTH, prompt_tokens, tokens)
        finally:
            self._admission.release()

    async def _step(self, fault: Fault | None, pieces: int) -> None:
        if fault is not None and pieces >= fault.after_pieces:
            if fault.kind == "hang":
                await trio.sleep_forever()
            self._failed += 1
            raise EngineCrashed(f"told to crash after {fault.after_pieces} pieces")
        await trio.sleep(self.delay_s)

    def _take_fault(self) -> Fault | None:
        if self._faults_left == 0:
            return None
        self._faults_left -= 1
        return self._fault

    def _admit(self, request: Request) -> int:
        if request.kind not in self._info.kinds:
            raise Unsupported(f"this model serves {', '.join(self._info.kinds)}")
        if request.grammar:
            raise Unsupported("the memory engine has no grammars")
        read_tools(request)
        if request.weights not in (bytes(32), self._info.weights):
            raise Unsupported("the request asks for other weights than are loaded")
        texts = [request.text, *(message.content for message in request.messages)]
        if any("\0" in text for text in texts):
            raise Unsupported("the prompt has a NUL character")
        tokens = sum(len(_split(text)) for text in texts) + 2 * len(request.messages)
        tokens += len(_split(request.tools))
        if tokens == 0:
            raise Unsupported("the prompt is empty")
        if tokens + request.max_tokens > self._info.context_length:
            raise PromptTooLong(
                f"{tokens} prompt tokens and {request.max_tokens} to generate exceed the context "
                f"of {self._info.context_length}"
            )
        return tokens

    def _answer(self, request: Request) -> list[str]:
        # Limits and stops cut an answer but do not change it.
        if CONTINUE in features_of(request):
            return self._go_on(request)
        asked = (request.kind, request.text, request.messages, request.temperature, request.seed)
        seed = hashlib.sha256(msgspec.msgpack.encode(asked)).digest()
        if request.kind == "score":
            return [str(1 + seed[0] % 9)]
        if request.tools and (reply := _use_tools(request)):
            return _split(reply)
        if self._reply is not None:
            return _split(self._reply)
        # One more than is wanted says that there is more; a shorter digest begins like a longer.
        numbers = hashlib.shake_256(seed).digest(min(self._length, request.max_tokens + 1))
        return [_WORDS[number % len(_WORDS)] + " " for number in numbers]

    def _go_on(self, request: Request) -> list[str]:
        """Return what is left of the answer to the turns before, if the last one begins like it."""
        *before, last = request.messages
        said = _split(last.content)
        room = request.max_tokens + len(said)
        whole = msgspec.structs.replace(request, messages=tuple(before), max_tokens=room)
        words = self._answer(whole) if before else []
        return words[len(said) :] if words[: len(said)] == said else []


def _tell(request: Request, word: str) -> tuple[TokenLogprob, ...]:
    """Return what is asked for: its own words are half as likely from one to the next."""
    if not request.logprobs:
        return ()
    others = [other.encode() for other in (word, *(one + " " for one in _WORDS))]
    ranked = [(other, -math.log(2) * rank) for rank, other in enumerate(others, 1)]
    return (build_logprob(*ranked[0], ranked, request.logprobs - 1),)


def _use_tools(request: Request) -> str:
    """Call the first tool there is, or the one that must be; or tell what a call brought."""
    box, last = read_tools(request), request.messages[-1]
    if last.role == "tool" and not box.wanted:
        return f"It is {read_turn(last)[1][0].text}"
    if not box.tools or box.tool_choice == "none":
        return ""
    function = (box.wanted or box.tools)[0].function
    named = (function.parameters or {}).get("properties", {})
    arguments = json.dumps({name: _WORDS[at % len(_WORDS)] for at, name in enumerate(named)})
    return CallWriter(request).begin(function.name) + arguments


def _vector_of(text: str) -> list[float]:
    """Return eight numbers between -1 and 1 that are the text's own."""
    return [byte / 128 - 1 for byte in hashlib.sha256(text.encode()).digest()[:8]]


def _split(text: str) -> list[str]:
    """Return the tokens: words with the space after them; together they are the text."""
    return re.findall(r"\S+\s*|\s+", text)


def open_memory_engine(spec: EngineSpec) -> MemoryEngine:
    """Make one as configuration asks; for the entry point."""
    return MemoryEngine(
        spec.model,
        kinds=spec.kinds or ("chat", "completion", "score"),
        context_length=spec.context_length or 4096,
        slots=spec.slots,
        waiting_max=spec.waiting_max,
    )
