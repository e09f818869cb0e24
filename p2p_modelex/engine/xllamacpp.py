"""The llama.cpp engine (extra `llamacpp`): continuous batching, grammars, log probabilities.

xllamacpp wraps llama.cpp's own server. Completions go through its in-process call; only the
tokenizer is asked over the loopback port it opens, which a random key closes to others.
"""

import http.client
import json
import queue
import secrets
import threading
from collections.abc import Callable
from functools import lru_cache
from typing import Any
from urllib.parse import urlsplit

import xllamacpp

from p2p_modelex.engine.abc import EngineInfo
from p2p_modelex.engine.adapters import compute_adapted_digest, vet_adapters
from p2p_modelex.engine.architecture import vet_vocabulary
from p2p_modelex.engine.backend import Backend, Step, Steps
from p2p_modelex.engine.calls import CLOSE, OPEN, build_call_grammar, read_calls, read_tools
from p2p_modelex.engine.prompt import PromptBuilder, calls_tools, has_pooling, kinds_of
from p2p_modelex.engine.schema import build_grammar
from p2p_modelex.engine.spec import CONTEXT_DEFAULT, EngineSpec, default_threads
from p2p_modelex.engine.vetting import read_header, vet_digest
from p2p_modelex.errors import EngineError, ModelRejected, PromptTooLong, Unsupported
from p2p_modelex.records.advertisement import Kind
from p2p_modelex.records.embedding import encode_vector
from p2p_modelex.records.job import CONTINUE, Request, is_schema
from p2p_modelex.records.logprobs import TokenLogprob, build_logprob
from p2p_modelex.records.receipt import Finish

_FEATURES = (CONTINUE, "grammar", "json_schema", "logprobs", "seed", "stop")
_SCORE_GRAMMAR = "root ::= [1-9]"
_TOKENIZE_TIMEOUT_S = 30.0
_BRIEF_CHARACTERS = 64
_BRIEF_KEPT = 64


class XllamacppBackend(Backend):
    """Up to `slots` requests at once; each has the whole context_length to itself."""

    concurrent = True

    def __init__(self, spec: EngineSpec) -> None:
        if spec.path is None:
            raise ModelRejected("llama.cpp needs the path of a GGUF file")
        digest = vet_digest(spec.path, spec.weights)
        header = read_header(spec.path)
        vet_vocabulary(header)
        vet_adapters(header, spec.adapters)
        context = min(spec.context_length or CONTEXT_DEFAULT, header.context_length)
        self._key = secrets.token_hex(16)
        kinds = kinds_of(header, spec.kinds)
        self._server = _start(spec, context, self._key, kinds, pools=has_pooling(header))
        self._builder = PromptBuilder(header, kinds, context)
        self._tokens_of = lru_cache(_BRIEF_KEPT)(self._ask_tokens)
        device = _device(spec.gpu_layers)
        self.info = EngineInfo(
            engine="xllamacpp",
            version=str(xllamacpp.__version__),
            library=_library(),
            model=spec.model,
            weights=compute_adapted_digest(digest, spec.adapters),
            kinds=kinds,
            context_length=context,
            features=_FEATURES + (("tools",) if calls_tools(header) else ()),
            slots=spec.slots,
            device=device,
        )

    def build_prompt(self, request: Request) -> tuple[int, ...]:
        """See Backend. Schemas and tools are understood, or refused, before the job begins."""
        if request.tools and "tools" not in self.info.features:
            raise Unsupported("the model's chat template has no tools")
        _grammar_of(request)
        if request.kind == "embedding":
            return self._builder.build(request, lambda text: list(self._ask_tokens(text, True)))
        return self._builder.build(request, self._tokenize)

    def _tokenize(self, text: str) -> list[int]:
        """Ask the tokenizer, but for what it has been asked of late: a chat template's own parts
        come in every request, and each question is a connection of 1 ms.
        """
        brief = len(text) <= _BRIEF_CHARACTERS
        return list(self._tokens_of(text) if brief else self._ask_tokens(text))

    def _ask_tokens(self, text: str, add_special: bool = False) -> tuple[int, ...]:
        address = urlsplit(str(self._server.listening_address))
        connection = http.client.HTTPConnection(
            str(address.hostname), address.port, timeout=_TOKENIZE_TIMEOUT_S
        )
        body = json.dumps({"content": text, "add_special": add_special, "parse_special": False})
        headers = {"Authorization": f"Bearer {self._key}", "Content-Type": "application/json"}
        try:
            connection.request("POST", "/tokenize", body, headers)
            answer = json.loads(connection.getresponse().read())
            return tuple(int(token) for token in answer["tokens"])
        except (OSError, http.client.HTTPException, ValueError, KeyError) as error:
            raise EngineError(f"llama.cpp did not tokenize: {error!r}") from error
        finally:
            connection.close()

    def run(self, request: Request, prompt: tuple[int, ...], stopped: Callable[[], bool]) -> Steps:
        """See Backend.

        The native call blocks and calls back; it runs in a thread of its own and its frames come
        through a queue, so that this side can be an ordinary generator.
        """
        if request.kind == "embedding":
            return (yield from self._embed(prompt))
        body = _body(request, prompt)
        # Frames are few for one request: one a token and one a prompt batch.
        frames: queue.SimpleQueue[dict[str, Any] | None] = queue.SimpleQueue()
        abandoned = threading.Event()

        def on_frame(frame: dict[str, Any]) -> bool:
            # An exception here would be swallowed, so nothing that can fail is done here.
            frames.put(frame)
            return abandoned.is_set() or stopped()

        thread = threading.Thread(target=self._complete, args=(body, on_frame, frames))
        thread.start()
        try:
            steps = _read_frames(frames, request.logprobs - 1)
            finish = yield from (read_calls(steps, request) if request.tools else steps)
            # One digit is the whole answer: the limit of one token has not cut anything.
            scored = request.kind == "score" and finish is Finish.LENGTH
            return Finish.STOP if scored else finish
        finally:
            abandoned.set()
            thread.join()

    def _embed(self, prompt: tuple[int, ...]) -> Steps:
        answer = self._server.handle_embeddings({"input": list(prompt)})
        if "error" in answer:
            raise _error_of(answer["error"])
        yield Step(encode_vector(answer["data"][0]["embedding"]))
        return Finish.STOP

    def _complete(
        self,
        body: dict[str, Any],
        on_frame: Callable[[dict[str, Any]], bool],
        frames: "queue.SimpleQueue[dict[str, Any] | None]",
    ) -> None:
        try:
            self._server.handle_completions(body, on_frame)
        except Exception as error:  # whatever native code raises ends the job, not the worker
            frames.put({"error": {"type": "exception", "message": repr(error)}})
        finally:
            frames.put(None)


def _read_frames(frames: "queue.SimpleQueue[dict[str, Any] | None]", most: int) -> Steps:
    """most: alternatives to tell of for each token, or -1."""
    counted = 0
    while (frame := frames.get()) is not None:
        if "error" in frame:
            raise _error_of(frame["error"])
        choice = frame["choices"][0]
        if choice["finish_reason"] is not None:
            usage = frame["usage"]
            total = int(usage["completion_tokens"])
            cached = int(usage["prompt_tokens_details"]["cached_tokens"])
            # Tokens held back for half a character or a stop string were not shown.
            yield Step(choice["text"], max(total - counted, 0), cached=cached)
            return Finish.LENGTH if choice["finish_reason"] == "length" else Finish.STOP
        if "prompt_progress" in frame:
            yield Step()
            continue
        counted += 1
        yield Step(choice["text"], 1, _read_logprobs(choice, most))
    return Finish.CANCELLED


def _read_logprobs(choice: dict[str, Any], most: int) -> tuple[TokenLogprob, ...]:
    """Return what a frame tells: of tokens held back for half a character it tells the last."""
    if most < 0 or choice["logprobs"] is None:
        return ()
    return tuple(
        build_logprob(
            bytes(token["bytes"]),
            float(token["logprob"]),
            [(bytes(one["bytes"]), float(one["logprob"])) for one in token["top_logprobs"]],
            most,
        )
        for token in choice["logprobs"]["content"]
    )


def _start(
    spec: EngineSpec, context: int, key: str, kinds: tuple[Kind, ...], *, pools: bool
) -> Any:
    parameters = xllamacpp.CommonParams()
    parameters.model.path = str(spec.path)
    # llama.cpp divides its context among the slots.
    parameters.n_ctx = context * spec.slots
    parameters.n_parallel = spec.slots
    threads = spec.threads or default_threads()
    parameters.cpuparams.n_threads = parameters.cpuparams_batch.n_threads = threads
    parameters.n_gpu_layers = spec.gpu_layers
    parameters.warmup = parameters.fit_params = parameters.ui = False
    parameters.verbosity = -1
    parameters.api_keys = [key]
    parameters.lora_adapters = [
        xllamacpp.CommonAdapterLoraInfo(str(path)) for path in spec.adapters
    ]
    if "embedding" in kinds:
        parameters.embedding = True
        # A vector is made of all its tokens at once.
        parameters.n_batch = parameters.n_ubatch = context
        if not pools:
            parameters.pooling_type = xllamacpp.llama_pooling_type.LLAMA_POOLING_TYPE_MEAN
    try:
        return xllamacpp.Server(parameters)
    except RuntimeError as error:
        raise ModelRejected(f"llama.cpp could not load {parameters.model.path}: {error}") from error


def _body(request: Request, prompt: tuple[int, ...]) -> dict[str, Any]:
    scoring = request.kind == "score"
    return {
        "prompt": list(prompt),
        "max_tokens": 1 if scoring else request.max_tokens,
        "temperature": 0.0 if scoring else request.temperature,
        "top_k": request.top_k,
        "top_p": request.top_p,
        "min_p": 0.0,
        "repeat_penalty": 1.0,
        "seed": _fold_seed(request.seed),
        "stop": _stops_of(request),
        "grammar": _SCORE_GRAMMAR if scoring else _grammar_of(request),
        # Special tokens to some models, which would not be shown.
        "preserved_tokens": [OPEN, CLOSE] if request.tools else [],
        # One at least, or llama.cpp tells of none.
        "logprobs": max(request.logprobs - 1, 1) if request.logprobs else 0,
        "stream": True,
        "stream_options": {"include_usage": True},
        "return_progress": True,
    }


def _stops_of(request: Request) -> list[str]:
    is_single = request.tools and not read_tools(request).parallel_tool_calls
    return [*request.stop, *([CLOSE] if is_single else [])]


def _grammar_of(request: Request) -> str:
    box = read_tools(request)
    if box.wanted:
        if request.grammar:
            raise Unsupported("a grammar, and a tool that must be called")
        return build_call_grammar(box)
    if request.grammar.lstrip().startswith("%"):
        # llama.cpp would hand it to llguidance, which some vocabularies get the better of.
        raise Unsupported("the grammar is not GBNF")
    return build_grammar(request.grammar) if is_schema(request.grammar) else request.grammar


def _fold_seed(seed: int) -> int:
    """Return a 32-bit seed other than 2^32-1, which means `random` to llama.cpp."""
    return (seed ^ seed >> 32) % (2**32 - 1)


def _library() -> str:
    build = xllamacpp.BUILD_INFO
    return f"llama.cpp {build['compiler']} {build['build_target']}"


def _device(gpu_layers: int) -> str:
    kinds = [str(device["type"]) for device in xllamacpp.get_device_info()]
    found = gpu_layers > 0 and any("GPU" in kind for kind in kinds)
    return f"gpu, {gpu_layers} layers" if found else "cpu"


def _error_of(error: dict[str, Any]) -> EngineError:
    kind, message = str(error.get("type", "")), str(error.get("message", ""))
    if kind == "exceed_context_size_error":
        return PromptTooLong(message)
    if kind == "invalid_request_error":
        return Unsupported(message, hint="Check the grammar.")
    return EngineError(f"llama.cpp: {message}")
