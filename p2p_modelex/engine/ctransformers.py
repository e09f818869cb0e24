"""The embedded engine: ctransformers 0.2.27, on what `ctransformers_library` makes safe."""

from collections.abc import Callable

from p2p_modelex.engine.abc import EngineInfo
from p2p_modelex.engine.architecture import vet_for_ctransformers
from p2p_modelex.engine.backend import Backend, Step, Steps
from p2p_modelex.engine.ctransformers_library import BATCH_TOKENS, Library, version
from p2p_modelex.engine.prompt import SCORE_ANSWERS, PromptBuilder, kinds_of
from p2p_modelex.engine.sampling import Logits, choose_token, compute_logprobs
from p2p_modelex.engine.spec import CONTEXT_DEFAULT, EngineSpec, default_threads
from p2p_modelex.engine.text import TextStream
from p2p_modelex.engine.vetting import CONTROL, Header, read_header, vet_digest
from p2p_modelex.errors import ModelRejected, Unsupported
from p2p_modelex.records.job import CONTINUE, Request
from p2p_modelex.records.logprobs import TokenLogprob, build_logprob
from p2p_modelex.records.receipt import Finish


class CtransformersBackend(Backend):
    """One request at a time, on one thread."""

    concurrent = False

    def __init__(self, spec: EngineSpec) -> None:
        if spec.path is None:
            raise ModelRejected("ctransformers needs the path of a GGUF file")
        if spec.adapters:
            raise Unsupported("ctransformers applies no LoRA adapters", hint="xllamacpp does")
        digest = vet_digest(spec.path, spec.weights)
        header = read_header(spec.path)
        vet_for_ctransformers(header)
        context = min(spec.context_length or CONTEXT_DEFAULT, header.context_length)
        self._library = Library(
            spec.path,
            context_length=context,
            threads=spec.threads or default_threads(),
            gpu_layers=spec.gpu_layers,
        )
        kinds = kinds_of(header, spec.kinds)
        if "embedding" in kinds:
            raise Unsupported("ctransformers makes no embeddings", hint="xllamacpp does")
        self._builder = PromptBuilder(header, kinds, context)
        self._answers = _answer_tokens(header) if "score" in kinds else []
        self._ends = _end_tokens(header)
        spaced = header.metadata.get("tokenizer.ggml.add_space_prefix") is not False
        self._tokenize = self._library.tokenize if spaced else self._library.tokenize_bare
        cuda = self._library.variant == "cuda"
        self.info = EngineInfo(
            engine="ctransformers",
            version=version(),
            library=self._library.variant,
            model=spec.model,
            weights=digest,
            kinds=kinds,
            context_length=context,
            features=(CONTINUE, "logprobs", "seed", "stop"),
            slots=1,
            device=f"cuda, {spec.gpu_layers} layers" if cuda else "cpu",
        )

    def build_prompt(self, request: Request) -> tuple[int, ...]:
        """See Backend. Grammars and tools are refused: this engine has none."""
        if request.grammar:
            raise Unsupported("ctransformers has no grammars", hint="Ask a node with `grammar`.")
        if request.tools:
            raise Unsupported("ctransformers calls no tools", hint="Ask a node with `tools`.")
        return self._builder.build(request, self._tokenize)

    def run(self, request: Request, prompt: tuple[int, ...], stopped: Callable[[], bool]) -> Steps:
        """See Backend."""
        evaluated = self._library.rewind(prompt)
        while evaluated < len(prompt):
            if stopped():
                return Finish.CANCELLED
            self._library.evaluate(prompt[evaluated : evaluated + BATCH_TOKENS])
            evaluated += BATCH_TOKENS
            yield Step()
        if request.kind == "score":
            return (yield from self._score(request))
        return (yield from self._decode(request, stopped))

    def _score(self, request: Request) -> Steps:
        """Answer with the likeliest digit, whatever the sampling options say."""
        logits = self._library.logits()
        token = choose_token(
            logits,
            step=0,
            seed=request.seed,
            temperature=0.0,
            top_k=0,
            top_p=1.0,
            allowed=self._answers,
        )
        text = SCORE_ANSWERS[self._answers.index(token)]
        yield Step(text, 1, self._tell(request, logits, token))
        return Finish.STOP

    def _decode(self, request: Request, stopped: Callable[[], bool]) -> Steps:
        stream = TextStream(request.stop)
        finish = Finish.LENGTH
        for step in range(request.max_tokens):
            if stopped():
                return Finish.CANCELLED
            logits = self._library.logits()
            token = choose_token(
                logits,
                step=step,
                seed=request.seed,
                temperature=request.temperature,
                top_k=request.top_k,
                top_p=request.top_p,
            )
            ended = token in self._ends
            text = "" if ended else stream.feed(self._library.detokenize(token))
            yield Step(text, 1, self._tell(request, logits, token))
            if ended or stream.stopped:
                finish = Finish.STOP
                break
            if step + 1 < request.max_tokens:
                self._library.evaluate([token])
        if rest := stream.finish():
            yield Step(rest)
        return finish

    def _tell(self, request: Request, logits: Logits, token: int) -> tuple[TokenLogprob, ...]:
        """Return how likely the token is, if that is asked for."""
        if not request.logprobs:
            return ()
        logprob, likeliest = compute_logprobs(logits, token, request.logprobs - 1)
        name = self._library.detokenize
        top = [(name(one), said) for one, said in likeliest]
        return (build_logprob(name(token), logprob, top, request.logprobs - 1),)


def _answer_tokens(header: Header) -> list[int]:
    tokens = header.tokens
    try:
        return [tokens.index(digit) for digit in SCORE_ANSWERS]
    except ValueError as error:
        raise ModelRejected(
            "the vocabulary lacks a token for a digit, so it cannot score"
        ) from error


def _end_tokens(header: Header) -> frozenset[int]:
    """Return the control tokens: writing any of them ends the answer."""
    ends = {number for number, kind in enumerate(header.token_types) if kind == CONTROL}
    return frozenset(ends | {header.get_int("tokenizer.ggml.eos_token_id", 2)})
