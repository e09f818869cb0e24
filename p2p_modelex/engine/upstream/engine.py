"""The upstream engine: a model on a server that speaks the OpenAI API, as an Engine.

One node fronts what vLLM, SGLang, llama-server or Ollama serve, be it one process or a cluster
behind a balancer. It runs in the node's own process: no native code, only HTTP.
"""

import hashlib
import logging
from collections import OrderedDict
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, aclosing
from typing import Self

import trio

from p2p_modelex.engine.abc import (
    Done,
    Engine,
    EngineInfo,
    EngineStatistics,
    Output,
    Piece,
)
from p2p_modelex.engine.admission import Admission
from p2p_modelex.engine.spec import EngineSpec, UpstreamSpec
from p2p_modelex.engine.upstream.counting import count_prompt
from p2p_modelex.engine.upstream.dialects import build_body
from p2p_modelex.engine.upstream.http import Server, Unreachable
from p2p_modelex.engine.upstream.key import read_key
from p2p_modelex.engine.upstream.probing import check_features, find_kinds, find_tokenizer
from p2p_modelex.engine.upstream.starting import Upstream, list_models, meet
from p2p_modelex.engine.upstream.streaming import complete, embed
from p2p_modelex.errors import (
    ConfigurationError,
    EngineBusy,
    EngineError,
    PromptTooLong,
    Unsupported,
)
from p2p_modelex.ids import Digest
from p2p_modelex.records.advertisement import Kind
from p2p_modelex.records.job import CONTINUE, Message, Request, features_of

LOG = logging.getLogger(__name__)

HEALTH_INTERVAL_S = 5.0
COUNTS_MAX = 32
COUNTS_KEPT = 16
"""Prompts whose count is remembered between quote and run; each at most limits.PROMPT_BYTES."""

_ANY_WEIGHTS = bytes(32)
_Prompt = tuple[str, str, tuple[Message, ...], str]


class UpstreamEngine(Engine):
    """Runs requests on a server. Use as `async with UpstreamEngine(spec)`.

    Entering raises ConfigurationError (URL, key, model or context length), Unsupported (a kind or
    feature that was asked for does not work) or EngineError (the server cannot be reached).
    """

    def __init__(self, spec: EngineSpec) -> None:
        if spec.upstream is None:
            raise ConfigurationError(
                f"{spec.model} has no upstream", hint="set upstream_url of the model"
            )
        if spec.adapters:
            raise ConfigurationError(
                "adapters are the server's to apply", hint="set upstream_model to the adapted one"
            )
        self._spec = spec
        self._wanted: UpstreamSpec = spec.upstream
        self._server = Server(self._wanted.url, read_key(self._wanted))
        self._counts = trio.CapacityLimiter(COUNTS_MAX)
        self._counted: OrderedDict[_Prompt, int] = OrderedDict()
        self._admission = Admission(spec.slots, spec.waiting_max)
        self._finished = self._failed = 0
        self._prompt_tokens = self._cached_tokens = 0
        self._tokenizes = ""
        self._is_up = True
        self._doubt = trio.Event()
        self._upstream: Upstream | None = None
        self._info: EngineInfo | None = None

    async def __aenter__(self) -> Self:
        async with AsyncExitStack() as stack:
            stack.push_async_callback(self._server.aclose)
            self._upstream = upstream = await meet(self._server, self._spec, self._wanted)
            kinds = await find_kinds(upstream, self._spec.kinds)
            self._tokenizes = await find_tokenizer(upstream, kinds)
            speaking = next((kind for kind in kinds if kind != "embedding"), None)
            if self._wanted.features and speaking is None:
                raise Unsupported("embeddings have no features")
            if speaking is not None:
                await check_features(upstream, speaking, self._wanted.features)
            self._info = self._describe(upstream, kinds)
            self._nursery = trio.open_nursery()
            nursery = await self._nursery.__aenter__()
            self._scope = nursery.cancel_scope
            nursery.start_soon(self._watch)
            self._stack = stack.pop_all()
        return self

    async def __aexit__(self, *exc: object) -> None:
        self._scope.cancel()
        # The body's exception is not the nursery's: passing it in would wrap it in a group.
        await self._nursery.__aexit__(None, None, None)
        await self._stack.aclose()

    def _describe(self, upstream: Upstream, kinds: tuple[Kind, ...]) -> EngineInfo:
        stated = hashlib.sha256(f"modelex/upstream/{upstream.model}".encode()).digest()
        return EngineInfo(
            engine="upstream",
            version=upstream.dialect_name,
            library="openai-api",
            model=self._spec.model,
            weights=self._spec.weights or Digest(stated),
            kinds=kinds,
            context_length=upstream.context_length,
            features=tuple(sorted({"stop", *self._wanted.features})),
            slots=self._spec.slots,
            device="upstream",
        )

    @property
    def info(self) -> EngineInfo:
        """What is served; only inside the block."""
        if self._info is None:
            raise EngineError("the engine has not been started")
        return self._info

    @property
    def is_ready(self) -> bool:
        """Whether the server answered when it was last asked."""
        return self._is_up

    def statistics(self) -> EngineStatistics:
        """See Engine. What the server restarts is not ours to know."""
        return EngineStatistics(
            running=self._admission.running,
            waiting=self._admission.waiting,
            finished=self._finished,
            failed=self._failed,
            restarts=0,
            first_token_ms=self._admission.first_token_ms,
            prompt_tokens=self._prompt_tokens,
            cached_tokens=self._cached_tokens,
        )

    async def count_tokens(self, request: Request) -> int:
        """See Engine."""
        self._validate(request)
        upstream = self._require_up()
        if request.kind != "embedding":
            # What the server has no word for is refused before the job begins.
            build_body(upstream.dialect, upstream.model, request)
        prompt = request.kind, request.text, request.messages, request.tools
        tokens = self._counted.get(prompt)
        if tokens is None:
            tokens = self._counted[prompt] = await self._count(upstream, request)
            if len(self._counted) > COUNTS_KEPT:
                self._counted.popitem(last=False)
        if tokens + request.max_tokens > upstream.context_length:
            raise PromptTooLong(
                f"{tokens} prompt tokens and {request.max_tokens} to generate exceed the "
                f"context of {upstream.context_length}",
                hint="Shorten the prompt or lower --max-tokens.",
            )
        return tokens

    async def _count(self, upstream: Upstream, request: Request) -> int:
        async with self._counts:
            try:
                return await count_prompt(self._server, self._tokenizes, upstream.model, request)
            except Unreachable:
                self._doubt.set()
                raise

    async def generate(self, request: Request) -> AsyncGenerator[Output, None]:
        """See Engine. Leaving early closes the connection, at which the server frees its slot."""
        began = trio.current_time()
        prompt_tokens = await self.count_tokens(request)
        await self._admission.acquire()
        try:
            is_first = True
            async with aclosing(self._run(request, prompt_tokens)) as outputs:
                async for output in outputs:
                    if is_first and isinstance(output, Piece):
                        is_first = False
                        self._admission.note_first_token(began)
                    elif isinstance(output, Done):
                        self._finished += 1
                        self._prompt_tokens += output.prompt_tokens
                        self._cached_tokens += output.cached_tokens
                        self._admission.note_finished(began)
                    yield output
        except EngineError as error:
            self._failed += 1
            if isinstance(error, Unreachable):
                self._doubt.set()
            raise
        finally:
            self._admission.release()

    def _run(self, request: Request, prompt_tokens: int) -> AsyncGenerator[Output, None]:
        upstream, stall_s = self._require_up(), self._spec.stall_s
        if request.kind == "embedding":
            return embed(upstream, request, prompt_tokens, stall_s=stall_s)
        return complete(upstream, request, prompt_tokens, stall_s=stall_s)

    def _require_up(self) -> Upstream:
        if self._upstream is None:
            raise EngineError("the engine has not been started")
        if not self._is_up:
            wait_ms = round(1000 * HEALTH_INTERVAL_S)
            raise EngineBusy("the upstream is down", retry_after_ms=wait_ms)
        return self._upstream

    def _validate(self, request: Request) -> None:
        if request.kind not in self.info.kinds:
            raise Unsupported(f"this model serves {', '.join(self.info.kinds)}")
        if request.weights not in (_ANY_WEIGHTS, self.info.weights):
            raise Unsupported("the request asks for other weights than are offered")
        for feature in features_of(request):
            if feature not in self.info.features:
                what = "way to go on with a turn" if feature == CONTINUE else f"{feature}s"
                raise Unsupported(f"this model has no {what.replace('_', ' ')}")
        texts = [request.text, *(message.content for message in request.messages)]
        if any("\0" in text for text in texts):
            raise Unsupported("the prompt has a NUL character")
        if not any(text.strip() if request.kind == "score" else text for text in texts):
            raise Unsupported("the prompt is empty")

    async def _watch(self) -> None:
        """Look at intervals, and at once when a job could not reach the server."""
        while True:
            with trio.move_on_after(HEALTH_INTERVAL_S):
                await self._doubt.wait()
            self._doubt = trio.Event()
            await self._look()

    async def _look(self) -> None:
        """See whether the server is there and still has the model."""
        assert self._upstream is not None
        try:
            served = await list_models(self._server)
        except EngineError as error:
            is_up, why = False, error.message
        else:
            is_up = any(one.id == self._upstream.model for one in served)
            why = f"{self._upstream.model} is not there"
        if is_up != self._is_up:
            LOG.warning("upstream %s: %s", self._server.name, "up again" if is_up else why)
        self._is_up = is_up


def open_upstream_engine(spec: EngineSpec) -> UpstreamEngine:
    """Make one as configuration asks; for the entry point."""
    return UpstreamEngine(spec)
