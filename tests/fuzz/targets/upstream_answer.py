"""Streams of servers we front: read or named, whatever they send, and no token too many.

The pieces' tokens sum to the count, which is never over the limit and never over what the text
can show (EXC-11); cut in other places, a stream is the same.
"""

import msgspec

from p2p_modelex.core.exchange import parameters, pricing
from p2p_modelex.engine.abc import Piece
from p2p_modelex.engine.upstream.answer import StreamedAnswer
from p2p_modelex.errors import EngineError
from p2p_modelex.records.tools import split_calls
from tests.engine.asking import TOOLS, make_request
from tests.fuzz.choices import Choices

_PIECES = (
    *(b"data: ", b"data:", b"\n\n", b"\n", b"\r\n", b": ping\n", b"[DONE]", b"event: x\n"),
    *(b'{"choices":[{"delta":{"content":"a"}}]}', b'{"choices":[{"text":"\xc3\xa9"}]}'),
    *(b'{"choices":[{"text":"","finish_reason":"stop"}]}', b'{"choices":[]}', b'{"error":{}}'),
    *(b'{"choices":[{"delta":{"reasoning_content":"hm"}}]}', b'"finish_reason":"length"'),
    *(b'{"choices":[{"delta":{"tool_calls":[{"index":0,"function":{"name":"a"}}]}}]}', b"\\u001e"),
    b'{"choices":[{"delta":{"tool_calls":[{"index":1,"function":{"arguments":"{}"}}]}}]}',
    b'{"choices":[{"delta":{"tool_calls":[{"function":{"name":"b","arguments":"{"}}]}}]}',
    *(b'{"usage":{"completion_tokens":', b"-1", b"7", b"9999999999999999999", b"}}", b"null"),
    b'{"choices":[{"text":"a","logprobs":{"content":[{"token":"a","logprob":-1,"bytes":[256]}]}}]}',
    b'{"choices":[{"text":"a","logprobs":{"content":[{"token":"a","logprob":-1,"bytes":[1],'
    b'"top_logprobs":[{"token":"b","logprob":-2},{"token":"","logprob":1},{"logprob":0}]}]}}]}',
    *(b'{"choices":[{"text":"ab","logprobs":{"token_logprobs":[-1,null,1e400]}}]}', b"\\ud800"),
    *(b"{", b"}", b"[", b"]", b",", b":", b'"', b"\xff"),
)


_EQUIPPED = make_request("x", logprobs=1 + 2, tools=TOOLS)


def run(content: bytes) -> None:
    choices = Choices(content)
    most = 1 + choices.byte()
    cut = choices.byte()
    if choices.chance(64):
        stream = choices.rest()
    else:
        parts = []
        while choices:
            part = choices.pick(_PIECES)
            parts.append(b"data: " + part + b"\n\n" if choices.chance(128) else part)
        stream = b"".join(parts)
    assert _read([stream], most) == _read([stream[:cut], stream[cut:]], most)


def _read(parts: list[bytes], most: int) -> object:
    answer = StreamedAnswer(msgspec.structs.replace(_EQUIPPED, max_tokens=most))
    pieces: list[Piece] = []
    try:
        for part in parts:
            pieces += answer.feed(part)
        last = answer.end()
        pieces += [last] if last else []
        finish = answer.finish
    except EngineError as error:
        return str(error)
    size = sum(len(piece.text.encode()) for piece in pieces)
    assert sum(piece.tokens for piece in pieces) == answer.tokens <= most
    assert answer.tokens <= size + parameters.TOKENS_SLACK
    assert size <= pricing.compute_completion_bytes_max(answer.tokens)
    split_calls("".join(piece.text for piece in pieces))  # EXC-22
    assert all(len(told.top) <= 2 for piece in pieces for told in piece.logprobs)
    return pieces, finish
