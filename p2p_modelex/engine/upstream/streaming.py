"""Running one request on an upstream: a streamed completion, or a vector."""

from collections.abc import AsyncGenerator
from contextlib import suppress

import msgspec

from p2p_modelex.engine.abc import Done, Output, Piece, Started
from p2p_modelex.engine.upstream.answer import StreamedAnswer
from p2p_modelex.engine.upstream.asking import ask, build_error
from p2p_modelex.engine.upstream.dialects import build_body
from p2p_modelex.engine.upstream.http import ERROR_BYTES, Answer, Unreachable
from p2p_modelex.engine.upstream.starting import Upstream
from p2p_modelex.errors import BadInput, EngineError
from p2p_modelex.records.embedding import encode_vector
from p2p_modelex.records.job import Request
from p2p_modelex.records.receipt import Finish

LAST_WORDS_S = 5.0
"""How long a server may take from the end of the answer to its usage and the end of the stream."""


class _Vector(msgspec.Struct, frozen=True):
    embedding: list[float]


class _Vectors(msgspec.Struct, frozen=True):
    data: list[_Vector]


async def complete(
    upstream: Upstream, request: Request, prompt_tokens: int, *, stall_s: float
) -> AsyncGenerator[Output, None]:
    """Run a chat, completion or score. stall_s: the longest silence. Raises EngineError."""
    server = upstream.server
    body = build_body(upstream.dialect, upstream.model, request)
    path = "/chat/completions" if request.kind == "chat" else "/completions"
    async with server.open(f"{server.base}{path}", body, timeout_s=stall_s) as answer:
        if answer.status != 200:
            content = await answer.read_all(ERROR_BYTES, stall_s)
            raise build_error(server, answer.status, content, answer.get_header(b"retry-after"))
        yield Started(prompt_tokens)
        streamed = StreamedAnswer(request)
        while not streamed.is_over and (raw := await _read(answer, streamed, stall_s)):
            for piece in streamed.feed(raw):
                yield piece
        if (unseen := streamed.end()) is not None:
            yield unseen
        if not streamed.is_cut:
            with suppress(Unreachable):
                # The end of the stream, so that the connection can be used again.
                await answer.read_some(LAST_WORDS_S)
    # Said after the connection is given back: who has heard it may leave, which would close it.
    # One digit is the whole answer: the limit of one token has not cut anything.
    finish = Finish.STOP if request.kind == "score" else streamed.finish
    cached = min(max(streamed.cached_tokens, 0), prompt_tokens)
    yield Done(finish, prompt_tokens, streamed.tokens, cached)


async def _read(answer: Answer, streamed: StreamedAnswer, stall_s: float) -> bytes:
    """Read on; a server that has said how it ended need not say its usage."""
    if not streamed.has_finished:
        return await answer.read_some(stall_s)
    with suppress(Unreachable):
        return await answer.read_some(LAST_WORDS_S)
    return b""


async def embed(
    upstream: Upstream, request: Request, prompt_tokens: int, *, stall_s: float
) -> AsyncGenerator[Output, None]:
    """Run an embedding: one Piece, of no tokens. Raises EngineError."""
    server = upstream.server
    body = {"model": upstream.model, "input": request.text, "encoding_format": "float"}
    target = f"{server.base}/embeddings"
    found = await ask(server, target, body, _Vectors, timeout_s=stall_s)
    if len(found.data) != 1:
        raise EngineError(f"the upstream made {len(found.data)} vectors of one text")
    try:
        text = encode_vector(found.data[0].embedding)
    except BadInput as error:
        raise EngineError(f"the upstream's vector is none: {error.message}") from error
    yield Started(prompt_tokens)
    yield Piece(text, 0)
    yield Done(Finish.STOP, prompt_tokens, 0)
