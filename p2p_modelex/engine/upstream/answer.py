"""A streamed completion as it comes: server-sent events to pieces, with tokens that are accounted
for. Without IO.

Servers count for themselves, so what they say is believed within bounds only: a piece of text is
one token until the server's usage says more, never more than were asked for, and never so many
that the text could not show them (EXC-11), nor so few that it could not have been made of them.
"""

from collections.abc import Iterator
from itertools import zip_longest
from typing import Annotated

import msgspec
from msgspec import Meta

from p2p_modelex.core.exchange import parameters, pricing
from p2p_modelex.engine.abc import Piece
from p2p_modelex.engine.calls import CallWriter
from p2p_modelex.errors import BadInput, EngineError
from p2p_modelex.limits import KIB
from p2p_modelex.records.job import Request
from p2p_modelex.records.logprobs import TokenLogprob, build_logprob
from p2p_modelex.records.receipt import Finish
from p2p_modelex.records.tools import strip_marks

LINE_BYTES = 256 * KIB
"""The longest line of a stream: a chunk with the log probabilities of its tokens has 1 KiB."""

EMPTY_EVENTS_MAX = 4096
"""Lines in a row that bring nothing: a server must not keep a slot by sending comments."""

OVERRUN = 64
"""Pieces over max_tokens before a server that does not heed the limit is cut off. A server may send
a token in two pieces, so these many more and twice the limit are let pass."""


class _Function(msgspec.Struct, frozen=True):
    name: str | None = None
    arguments: str | None = None


class _Call(msgspec.Struct, frozen=True):
    """A piece of a call, the first with its name. Some servers do not number them."""

    function: _Function
    index: int | None = None


class _Part(msgspec.Struct, frozen=True):
    content: str | None = None
    reasoning_content: str | None = None
    reasoning: str | None = None
    tool_calls: list[_Call] | None = None


_Bytes = list[Annotated[int, Meta(ge=0, le=255)]]


class _Alternative(msgspec.Struct, frozen=True):
    logprob: float
    token: str = ""
    bytes: _Bytes | None = None


class _Logprob(_Alternative, frozen=True):
    top_logprobs: list[_Alternative] | None = None


class _Logprobs(msgspec.Struct, frozen=True):
    """A chat's have `content`, a completion's the rest."""

    content: list[_Logprob] | None = None
    tokens: list[str] | None = None
    token_logprobs: list[float | None] | None = None
    top_logprobs: list[dict[str, float] | None] | None = None


class _Choice(msgspec.Struct, frozen=True):
    text: str | None = None
    delta: _Part | None = None
    finish_reason: str | None = None
    logprobs: _Logprobs | None = None


class _Prompt(msgspec.Struct, frozen=True):
    cached_tokens: int | None = None


class _Usage(msgspec.Struct, frozen=True):
    completion_tokens: int = 0
    prompt_tokens_details: _Prompt | None = None


class _Chunk(msgspec.Struct, frozen=True):
    choices: list[_Choice] = msgspec.field(default_factory=list)
    usage: _Usage | None = None
    error: msgspec.Raw = msgspec.Raw(b"null")


_decoder: msgspec.json.Decoder[_Chunk] = msgspec.json.Decoder(_Chunk)


class StreamedAnswer:
    """Feed it bytes until `is_over` or the body ends, then call `end`.

    Every method raises EngineError for what is no such stream.
    """

    def __init__(self, request: Request) -> None:
        self._max_tokens = request.max_tokens
        self._most = request.logprobs - 1
        self._calls = CallWriter(request) if request.tools else None
        self._buffer = b""
        self._pieces = 0
        self._idle_lines = 0
        self._text_bytes = 0
        self._usage: int | None = None
        self._thinking = False
        self._finish: Finish | None = None
        self.is_over = False
        """Whether nothing more is wanted."""
        self.is_cut = False
        """Whether that is because the server would not end."""
        self.tokens = 0
        self.cached_tokens = 0
        """Of the prompt, as the server says."""

    @property
    def has_finished(self) -> bool:
        """Whether the server said why the completion ended; its usage may follow."""
        return self._finish is not None

    @property
    def finish(self) -> Finish:
        """Why it ended; EngineError if the server closed the stream without saying."""
        if self._finish is None:
            raise EngineError("the upstream closed the stream in the middle of the answer")
        has_called = self._calls is not None and self._calls.calls and self._finish is Finish.STOP
        return Finish.TOOL_CALLS if has_called else self._finish

    def feed(self, raw: bytes) -> list[Piece]:
        """Take some of the body; return what it brought."""
        *lines, self._buffer = (self._buffer + raw).split(b"\n")
        if len(self._buffer) > LINE_BYTES:
            raise EngineError(f"the upstream sent a line of over {LINE_BYTES} bytes")
        pieces: list[Piece] = []
        for line in lines:
            if self.is_over:
                break
            piece = self._read_line(line)
            if piece is not None:
                pieces.append(piece)
                self._idle_lines = 0
            elif line and line != b"\r":
                self._idle_lines += 1
        if self._idle_lines > EMPTY_EVENTS_MAX:
            raise EngineError("the upstream sends nothing but empty events")
        return pieces

    def end(self) -> Piece | None:
        """Return the tokens that the server's usage says were made and not shown, if any."""
        unseen = self._bound(self._usage or 0) - self.tokens
        if unseen <= 0 or not self.has_finished:
            return None
        self.tokens += unseen
        return Piece("", unseen)

    def _read_line(self, line: bytes) -> Piece | None:
        if not line.startswith(b"data:"):
            return None
        content = line[5:].strip()
        if content == b"[DONE]":
            self.is_over = True
            return None
        try:
            chunk = _decoder.decode(content)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            raise EngineError(f"the upstream sent no chunk of a completion: {error}") from error
        if bytes(chunk.error) != b"null":
            raise EngineError("the upstream failed in the middle of the answer")
        if chunk.usage is not None:
            self._usage = chunk.usage.completion_tokens
            details = chunk.usage.prompt_tokens_details
            self.cached_tokens = (details.cached_tokens if details else None) or 0
        return self._read_choice(chunk.choices[0]) if chunk.choices else None

    def _read_choice(self, choice: _Choice) -> Piece | None:
        text = self._text_of(choice)
        if choice.finish_reason is not None:
            self._finish = Finish.LENGTH if choice.finish_reason == "length" else Finish.STOP
        if not text:
            return None
        shown = _read_logprobs(choice.logprobs, self._most)
        self._pieces += 1
        if self._pieces > 2 * self._max_tokens + OVERRUN:
            self.is_over = self.is_cut = True
            self._finish = Finish.LENGTH
            return None
        self._text_bytes += len(text.encode())
        before, told = self.tokens, self._usage or 0
        self.tokens = max(before, self._bound(max(before + max(len(shown), 1), told)))
        if self._text_bytes > pricing.compute_completion_bytes_max(self.tokens):
            raise EngineError("EXC-11: the upstream sends more text than tokens can make")
        return Piece(text, self.tokens - before, shown)

    def _bound(self, tokens: int) -> int:
        """EXC-11: never over the limit, and never more than the text can show."""
        return min(tokens, self._max_tokens, self._text_bytes + parameters.TOKENS_SLACK)

    def _text_of(self, choice: _Choice) -> str:
        """Return the text; thoughts that the server keeps apart stand before the answer, as the
        model wrote them: they are made, counted and paid for like the rest.
        """
        if choice.delta is None:
            return choice.text or ""
        delta = choice.delta
        thought = delta.reasoning_content or delta.reasoning or ""
        text = (delta.content or "") if self._calls is None else self._call(self._calls, delta)
        if thought and not self._thinking:
            self._thinking, thought = True, f"<think>{thought}"
        if text and self._thinking:
            self._thinking, text = False, f"</think>{text}"
        return thought + text

    def _call(self, calls: CallWriter, delta: _Part) -> str:
        """Return what is said, as far as it is before any call, and the calls."""
        text = "" if calls.calls else strip_marks(delta.content or "")
        for call in delta.tool_calls or ():
            name, arguments = call.function.name, call.function.arguments
            is_new = bool(name) if call.index is None else call.index >= calls.calls
            if call.index is not None and call.index not in (calls.calls - 1, calls.calls):
                raise EngineError("the upstream's calls of tools are out of order")
            try:
                text += calls.begin(name or "") if is_new else ""
            except BadInput as error:
                raise EngineError(f"the upstream calls no tool: {error.message}") from error
            text += strip_marks(arguments or "")
        return text


def _read_logprobs(found: _Logprobs | None, most: int) -> tuple[TokenLogprob, ...]:
    if found is None or most < 0:
        return ()
    chat = found.content
    return tuple(_read_legacy(found, most) if chat is None else (_read(one, most) for one in chat))


def _read(one: _Logprob, most: int) -> TokenLogprob:
    top = [(_name(other), other.logprob) for other in one.top_logprobs or ()]
    return build_logprob(_name(one), one.logprob, top, most)


def _name(one: _Alternative) -> bytes:
    return one.token.encode() if one.bytes is None else bytes(one.bytes)


def _read_legacy(found: _Logprobs, most: int) -> Iterator[TokenLogprob]:
    listed = (found.tokens or (), found.token_logprobs or (), found.top_logprobs or ())
    for token, logprob, top in zip_longest(*listed):
        # The first token of all has none where nothing is before it.
        if logprob is not None:
            others = [(other.encode(), said) for other, said in (top or {}).items()]
            yield build_logprob((token or "").encode(), logprob, others, most)
