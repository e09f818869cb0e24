"""From a request to the prompt's token ids; the same rules for every engine with a GGUF file."""

import re
from collections.abc import Callable
from itertools import pairwise
from typing import TYPE_CHECKING, assert_never

from p2p_modelex.engine.calls import OPEN
from p2p_modelex.engine.vetting import Header, special_tokens_of
from p2p_modelex.errors import PromptTooLong, Unsupported
from p2p_modelex.records.advertisement import Kind
from p2p_modelex.records.job import Request

if TYPE_CHECKING:
    from p2p_modelex.engine.template import ChatTemplate

Tokenize = Callable[[str], list[int]]
"""The engine's own tokenizer: plain text to ids, no special tokens parsed, none added."""

SCORE_ANSWERS = "123456789"


def kinds_of(header: Header, asked: tuple[Kind, ...]) -> tuple[Kind, ...]:
    """Return what to serve: what was asked for, or what the file shows it can do."""
    if asked:
        return asked
    if has_pooling(header):
        return ("embedding",)
    return ("chat", "completion") if header.get_text("tokenizer.chat_template") else ("completion",)


def has_pooling(header: Header) -> bool:
    """Whether the file says how its tokens become one vector, as embedding models do."""
    return f"{header.architecture}.pooling_type" in header.metadata


class PromptBuilder:
    """Builds prompts for one model and refuses what it cannot take.

    context_length: tokens for prompt and completion together.
    """

    def __init__(self, header: Header, kinds: tuple[Kind, ...], context_length: int) -> None:
        self._kinds = kinds
        self._context_length = context_length
        self._bos = _beginning_of(header)
        self._special = special_tokens_of(header)
        self._special_ids = frozenset(self._special.values())
        source = header.get_text("tokenizer.chat_template")
        self._template = _template_of(header, source) if source else None

    def build(self, request: Request, tokenize: Tokenize) -> tuple[int, ...]:
        """Return the prompt's ids.

        Raises Unsupported for a kind the model does not serve, a NUL character (C strings end at
        it) or an empty prompt; PromptTooLong if prompt and max_tokens exceed the context.
        """
        segments = self._segments(request)
        embedding = request.kind == "embedding"
        ids: list[int] = [] if self._bos is None or embedding else [self._bos]
        for segment in segments:
            if isinstance(segment, int):
                ids += [] if [segment] == ids == [self._bos] else [segment]
            elif "\0" in segment:
                raise Unsupported("the prompt has a NUL character")
            elif embedding:
                # Its tokenizer puts the model's own tokens around the text.
                ids += tokenize(segment)
            else:
                ids += self._tokenize_plain(segment, tokenize)
        if not segments or not ids:
            raise Unsupported("the prompt is empty")
        if len(ids) + request.max_tokens > self._context_length:
            raise PromptTooLong(
                f"{len(ids)} prompt tokens and {request.max_tokens} to generate exceed the "
                f"context of {self._context_length}",
                hint="Shorten the prompt or lower --max-tokens.",
            )
        return tuple(ids)

    def _tokenize_plain(self, text: str, tokenize: Tokenize) -> list[int]:
        """Tokenize text that people wrote, in which no special token may appear.

        llama.cpp finds user-defined tokens in any text, and merges may happen to build one: such
        a text is taken apart inside each special token and its parts tokenized one by one.
        """
        ids = tokenize(text)
        if self._special_ids.isdisjoint(ids):
            return ids
        pattern = "|".join(map(re.escape, sorted(self._special, key=len, reverse=True)))
        cuts = [0, *(match.start() + 1 for match in re.finditer(f"(?=(?:{pattern}))", text))]
        parts = [text[begin:end] for begin, end in pairwise([*cuts, len(text)])]
        ids = [token for part in parts for token in tokenize(part)]
        if not self._special_ids.isdisjoint(ids):
            raise Unsupported("the prompt spells one of the model's special tokens")
        return ids

    def _segments(self, request: Request) -> list[str | int]:
        if request.kind not in self._kinds:
            raise Unsupported(
                f"this model serves {', '.join(self._kinds)}, not {request.kind}",
                hint="`modelex nodes` shows who serves what.",
            )
        match request.kind:
            case "chat":
                if self._template is None:
                    raise Unsupported("the model has no chat template")
                messages, tools = request.messages, request.tools
                return self._template.render(messages, tools) if messages else []
            case "completion" | "embedding":
                return [request.text] if request.text else []
            case "score":
                # A space after "Sentiment:" makes the sentiment model answer 1 to everything.
                return [request.text.rstrip()] if request.text.strip() else []
            case _ as never:
                assert_never(never)


def calls_tools(header: Header) -> bool:
    """Whether the file's template shows tools, and calls of them as engine/calls.py reads them."""
    template = header.get_text("tokenizer.chat_template")
    return "tools" in template and OPEN in template and "<function=" not in template


def _beginning_of(header: Header) -> int | None:
    """Return the token every prompt begins with, or None; SentencePiece models have one."""
    wanted = header.metadata.get("tokenizer.ggml.add_bos_token")
    if wanted is None:
        wanted = header.get_text("tokenizer.ggml.model") == "llama"
    token = header.get_int("tokenizer.ggml.bos_token_id", 1)
    return token if wanted and 0 <= token < len(header.tokens) else None


def _template_of(header: Header, source: str) -> "ChatTemplate":
    # Jinja takes a quarter second to import: only models that chat pay for it.
    from p2p_modelex.engine.template import ChatTemplate

    def text_of(name: str) -> str:
        token = header.get_int(f"tokenizer.ggml.{name}_token_id")
        return header.tokens[token] if 0 <= token < len(header.tokens) else ""

    return ChatTemplate(source, special_tokens_of(header), bos=text_of("bos"), eos=text_of("eos"))
