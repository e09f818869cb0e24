"""Streams of events, whole and in bits, honest and not. Without IO."""

import json
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from p2p_modelex.core.exchange import parameters
from p2p_modelex.engine.abc import Piece
from p2p_modelex.engine.upstream.answer import (
    EMPTY_EVENTS_MAX,
    LINE_BYTES,
    OVERRUN,
    StreamedAnswer,
)
from p2p_modelex.errors import EngineError
from p2p_modelex.records.logprobs import Alternative, TokenLogprob
from p2p_modelex.records.receipt import Finish
from p2p_modelex.records.tools import split_calls
from tests.engine.asking import TOOLS, make_request
from tests.engine.openai_server import event, line, usage

DONE = b"data: [DONE]\n\n"


def read(
    *parts: bytes, max_tokens: int = 100, most: int = -1, tools: str = ""
) -> tuple[StreamedAnswer, list[Piece]]:
    request = make_request("x", max_tokens=max_tokens, logprobs=most + 1, tools=tools)
    answer = StreamedAnswer(request)
    pieces = [piece for part in parts for piece in answer.feed(part)]
    last = answer.end()
    return answer, pieces + ([last] if last else [])


HONEST = (
    b": a comment\n\n",
    b"event: message\r\n",
    line({"choices": [{"delta": {"role": "assistant", "content": ""}}]}),
    event("Grüße"),
    event(", 日本"),
    line({"choices": [{"delta": {"content": "!"}, "finish_reason": "stop"}], "extra": {"a": 1}}),
    usage(5),
    DONE,
)


@given(st.lists(st.integers(0, len(b"".join(HONEST))), max_size=20))
def test_a_stream_is_read_however_it_is_cut(cuts: list[int]) -> None:
    whole = b"".join(HONEST)
    places = [0, *sorted(cuts), len(whole)]
    answer, pieces = read(*(whole[a:b] for a, b in pairwise(places)))
    assert "".join(piece.text for piece in pieces) == "Grüße, 日本!"
    assert [piece.tokens for piece in pieces] == [1, 1, 1, 2]
    assert (answer.tokens, answer.finish, answer.is_over) == (5, Finish.STOP, True)
    assert not answer.is_cut


def test_a_server_without_usage_is_counted_by_its_pieces() -> None:
    answer, pieces = read(event("a"), event("b", finish=False))
    assert [piece.tokens for piece in pieces] == [1, 1]
    assert (answer.tokens, answer.finish, answer.is_over) == (2, Finish.LENGTH, False)


@pytest.mark.parametrize(
    ("told", "tokens"),
    [
        (0, 2),  # fewer than were seen: a token makes at most a piece
        (-5, 2),
        (2, 2),
        (50, 50),  # tokens that show nothing are counted, within reason
        (97, 97),
        (10**12, 2 + parameters.TOKENS_SLACK),
    ],
)
def test_usage_is_believed_within_what_the_text_can_show(told: int, tokens: int) -> None:
    """EXC-11."""
    answer, pieces = read(event("a"), event("b", finish=True), usage(told), DONE, max_tokens=1000)
    assert sum(piece.tokens for piece in pieces) == answer.tokens == tokens


def test_usage_never_goes_over_the_limit() -> None:
    answer, _ = read(event("a" * 500, finish=True), usage(400), max_tokens=7)
    assert answer.tokens == 7


def test_usage_as_it_goes_counts_tokens_that_come_together() -> None:
    def both(text: str, told: int) -> bytes:
        return line(
            {"choices": [{"delta": {"content": text}}], "usage": {"completion_tokens": told}}
        )

    _, pieces = read(both("a b ", 4), both("c", 3), both("d", 6), event("", finish=True))
    assert [piece.tokens for piece in pieces] == [4, 1, 1]


def test_logprobs_tell_how_many_tokens_a_piece_has() -> None:
    end = {"logprob": 0.25, "token": "?", "bytes": [195, 169]}
    top = [{"token": one, "logprob": said} for one, said in (("a", -0.5), ("b", -9.0), ("c", -1.0))]
    chat = {"content": [{"logprob": -0.5, "token": "a", "top_logprobs": top}, end]}
    legacy = {
        "token_logprobs": [None, -1.0],
        "tokens": ["a", "b"],
        "top_logprobs": [None, {"b": -1.0}],
    }
    _, pieces = read(
        line({"choices": [{"delta": {"content": "ab"}, "logprobs": chat}]}),
        line({"choices": [{"text": "ab", "logprobs": legacy}]}),
        event("", finish=True),
        most=2,
    )
    assert [piece.tokens for piece in pieces] == [2, 1]
    a, b = Alternative(b"a", 500_000), Alternative(b"b", 1_000_000)
    first = TokenLogprob(b"a", 500_000, (a, Alternative(b"c", 1_000_000)))
    assert pieces[0].logprobs == (first, TokenLogprob("é".encode(), 0, ()))
    assert pieces[1].logprobs == (TokenLogprob(b"b", 1_000_000, (b,)),)


def calling(*calls: dict[str, object], text: str | None = None) -> bytes:
    return line({"choices": [{"delta": {"content": text, "tool_calls": list(calls)}}]})


def call(arguments: str | None = None, name: str | None = None, index: int | None = None) -> Any:
    shown = {"index": index, "id": "theirs"} if index is not None else {}
    return shown | {"function": {"name": name, "arguments": arguments}}


ENDED = line({"choices": [{"delta": {}, "finish_reason": "tool_calls"}]})


@pytest.mark.parametrize(
    "parts",
    [
        # As vLLM, SGLang and llama.cpp do, in bits; as Ollama does, whole and without a number.
        [
            calling(call("", "look", 0), text="So"),
            calling(call('{"place":', index=0)),
            calling(call('"it"}', index=0)),
            calling(call("{}", "wait", 1), text="\n"),
        ],
        [calling(call('{"place":"it"}', "look"), call("{}", "wait"), text="So")],
    ],
)
def test_calls_become_text_with_ids_of_our_own(parts: list[bytes]) -> None:
    answer, pieces = read(*parts, ENDED, usage(12), DONE, tools=TOOLS)
    said, calls = split_calls("".join(piece.text for piece in pieces))
    assert said == "So"
    assert [(one.name, one.text) for one in calls] == [("look", '{"place":"it"}'), ("wait", "{}")]
    assert len({one.id for one in calls} - {"theirs"}) == 2
    again, _ = read(*parts, ENDED, tools=TOOLS)
    assert (answer.finish, answer.tokens, again.finish) == (Finish.TOOL_CALLS, 12, answer.finish)


def test_marks_and_calls_where_there_are_no_tools() -> None:
    _, pieces = read(event("a\x1eb"), calling(call("", "look", 0)), event("", finish=True))
    assert "".join(piece.text for piece in pieces) == "a\x1eb"
    answer, pieces = read(event("a\x1eb"), event("", finish=True), tools=TOOLS)
    assert "".join(piece.text for piece in pieces) == "ab"
    assert answer.finish is Finish.STOP
    cut = line({"choices": [{"delta": {}, "finish_reason": "length"}]})
    assert read(calling(call("{", "look", 0)), cut, tools=TOOLS)[0].finish is Finish.LENGTH


@pytest.mark.parametrize(
    ("calls", "why"),
    [
        ([call("{}", "look", 1)], "out of order"),
        ([call("", "look", 0), call("", "look", 1), call("{}", index=0)], "out of order"),
        ([call("{}", "", 0)], "calls no tool"),
        ([call("{}", "a b", 0)], "calls no tool"),
        ([call("", "look", 0)] + [call("", "look", at) for at in range(1, 129)], "over 128"),
    ],
)
def test_calls_that_make_no_sense(calls: list[dict[str, object]], why: str) -> None:
    with pytest.raises(EngineError, match=why):
        read(calling(*calls), tools=TOOLS)


@pytest.mark.parametrize("name", ["reasoning_content", "reasoning"])
def test_thoughts_stand_before_the_answer(name: str) -> None:
    thinking = [line({"choices": [{"delta": {name: text}}]}) for text in ("Hm", ", yes.")]
    _, pieces = read(*thinking, event("Yes"), event("!"), event("", finish=True))
    assert "".join(piece.text for piece in pieces) == "<think>Hm, yes.</think>Yes!"
    assert sum(piece.tokens for piece in pieces) == 4


def test_a_server_that_does_not_heed_the_limit_is_cut_off() -> None:
    answer, pieces = read(event("x") * 1000, max_tokens=3)
    assert answer.is_cut
    assert answer.finish is Finish.LENGTH
    assert len(pieces) == 2 * 3 + OVERRUN
    assert sum(piece.tokens for piece in pieces) == 3


@pytest.mark.parametrize(
    ("stream", "why"),
    [
        (b"data: {not json}\n\n", "no chunk"),
        (b"data: \xff\xfe\n\n", "no chunk"),
        (b'data: {"choices": [{"delta": {"content": 3}}]}\n\n', "no chunk"),
        (b'data: {"choices": {"a": 1}}\n\n', "no chunk"),
        (b'data: {"x": ' + b"[" * 200_000 + b"\n", "no chunk"),
        (line({"error": {"message": "out of memory at 10.0.0.7"}}), "failed in the middle"),
        (b"data: " + b"x" * (LINE_BYTES + 1), "line of over"),
        (b": ping\n" * (EMPTY_EVENTS_MAX + 1), "empty events"),
        (line({"choices": []}) * (EMPTY_EVENTS_MAX + 1), "empty events"),
        (event("x" * 100_000) + event("y" * 100_000), "EXC-11"),
    ],
)
def test_garbage_is_named(stream: bytes, why: str) -> None:
    with pytest.raises(EngineError, match=why) as caught:
        read(stream)
    assert "10.0.0.7" not in str(caught.value)


def test_a_stream_that_ends_early_is_no_completion() -> None:
    answer, pieces = read(event("a"), usage(3))
    assert [piece.tokens for piece in pieces] == [1]
    with pytest.raises(EngineError, match="in the middle"):
        _ = answer.finish


@given(st.binary(max_size=300) | st.text(max_size=300).map(str.encode))
def test_any_bytes_are_read_or_named(raw: bytes) -> None:
    answer = StreamedAnswer(make_request("x", max_tokens=10, tools=TOOLS))
    try:
        pieces = answer.feed(raw) + answer.feed(b"data: " + json.dumps({"a": 1}).encode() + b"\n")
    except EngineError:
        return
    assert sum(piece.tokens for piece in pieces) == answer.tokens <= 10
