"""What is taken of a request, what is ignored, and what is refused by name."""

import msgspec
import pytest

from p2p_modelex.ids import format_peer_id
from p2p_modelex.node.gateway.asking import Asked, read_chat, read_completion, read_embedding
from p2p_modelex.node.gateway.refusal import Refusal
from p2p_modelex.records.job import Message, features_of
from p2p_modelex.records.tools import Tool, ToolBox, decode_tools
from p2p_modelex.units import AI
from tests.node.world import peer_of

ROOM = 77
HELLO = [{"role": "user", "content": "hello"}]


def chat(**more: object) -> Asked:
    body = {"model": "m", "messages": HELLO, **more}
    return read_chat(msgspec.json.encode(body), lambda _: ROOM)


def completion(**more: object) -> Asked:
    body = {"model": "m", "prompt": "hello", **more}
    return read_completion(msgspec.json.encode(body), lambda _: ROOM)


def embedding(**more: object) -> Asked:
    body = {"model": "m", "input": "hello", **more}
    return read_embedding(msgspec.json.encode(body), lambda _: ROOM)


def test_what_openai_takes_for_granted() -> None:
    asked = chat()
    [request] = asked.requests
    assert (request.kind, request.max_tokens) == ("chat", ROOM)
    assert (request.temperature, request.top_p, request.top_k) == (1.0, 1.0, 0)
    assert request.messages == (Message("user", "hello"),)
    assert not asked.is_stream
    assert asked.terms.max_cost is None
    # Sampling differs from time to time; what is greedy does not, and neither does a given seed.
    assert chat().requests[0].seed != request.seed
    assert chat(temperature=0).requests[0].seed == 0
    assert chat(seed=-1).requests[0].seed == 2**63 - 1


def test_everything_that_is_taken() -> None:
    peer = format_peer_id(peer_of(1))
    asked = chat(
        messages=[
            {"role": "developer", "content": "be kind"},
            {"role": "user", "content": [{"type": "text", "text": t} for t in ("a", "b")]},
            {"role": "assistant", "content": "c", "refusal": None},
        ],
        n=2,
        max_tokens=3,
        max_completion_tokens=4,
        temperature=0.5,
        top_p=0.5,
        top_k=5,
        seed=9,
        stop=["x", "y"],
        stream=True,
        stream_options={"include_usage": True},
        modelex={
            "ceiling": "0.5",
            "only": [peer],
            "denied": [peer],
            "attempts": 1,
            "quote": True,
            "weights": "ab" * 32,
            "farm": "farm:harvest",
        },
    )
    one, two = asked.requests
    assert [message.role for message in one.messages] == ["system", "user", "assistant"]
    assert one.messages[1].content == "ab"
    assert (one.max_tokens, one.temperature, one.top_p, one.top_k) == (4, 0.5, 0.5, 5)
    assert (one.seed, two.seed) == (9, 10)
    assert one.stop == ("x", "y")
    assert one.weights == bytes.fromhex("ab" * 32)
    assert asked.is_stream
    assert asked.wants_usage
    terms = asked.terms
    assert (terms.max_cost, terms.attempts, terms.is_fast) == (AI // 2, 1, False)
    assert terms.farm == "harvest"
    assert terms.only == terms.denied == (peer_of(1),)


def test_logprobs_are_asked_for_in_two_ways() -> None:
    assert [one.requests[0].logprobs for one in (chat(), completion())] == [0, 0]
    assert chat(logprobs=True).requests[0].logprobs == 1
    assert chat(logprobs=True, top_logprobs=20).requests[0].logprobs == 21
    assert chat(logprobs=False, top_logprobs=0).requests[0].logprobs == 0
    assert completion(logprobs=0).requests[0].logprobs == 1
    assert completion(logprobs=5).requests[0].logprobs == 6
    with pytest.raises(Refusal, match="logprobs: Expected"):
        completion(logprobs=21)


LOOK = {"type": "function", "function": {"name": "look", "parameters": {"type": "object"}}}
NAMELESS = {"type": "function", "function": {"name": "a b"}}
USER = {"role": "user", "content": "look!"}
RESULT = {"role": "tool", "tool_call_id": "c1", "content": [{"type": "text", "text": "sunny"}]}


def _called(name: str) -> dict[str, object]:
    call = {"id": "c1", "type": "function", "function": {"name": name, "arguments": "{}"}}
    return {"role": "assistant", "content": None, "tool_calls": [call]}


CALLED = _called("look")


def _choice(name: str) -> dict[str, object]:
    return {"type": "function", "function": {"name": name}}


def test_tools_travel_with_the_turns_that_called_them() -> None:
    [request] = chat(tools=[LOOK], messages=[USER, CALLED, RESULT]).requests
    assert decode_tools(request.tools) == ToolBox((msgspec.convert(LOOK, Tool),))
    assert [(one.role, one.content) for one in request.messages[1:]] == [
        ("assistant", '\x1e{"id":"c1","name":"look"}\n{}'),
        ("tool", '\x1e{"id":"c1"}\nsunny'),
    ]
    forced = chat(tools=[LOOK], tool_choice=_choice("look"), parallel_tool_calls=False)
    box = decode_tools(forced.requests[0].tools)
    assert (len(box.wanted), box.parallel_tool_calls) == (1, False)


def test_tools_that_are_not_called_do_not_travel() -> None:
    """So that any provider can answer."""
    plain = chat(seed=0)
    assert plain == chat(seed=0, tools=[LOOK], tool_choice="none") == chat(seed=0, tools=[])
    [request] = chat(messages=[USER, CALLED, RESULT]).requests
    assert decode_tools(request.tools) == ToolBox(())


def test_a_completion_takes_one_prompt() -> None:
    assert completion(seed=0, stop="x").requests[0].stop == ("x",)
    assert completion(seed=0, prompt=["hello"]).requests[0].text == "hello"
    assert completion(modelex={"kind": "score"}).requests[0].kind == "score"


def test_what_changes_nothing_is_ignored() -> None:
    ignored = {"user": "u", "metadata": {"a": "b"}, "store": True, "service_tier": "auto"}
    neutral = {
        "frequency_penalty": 0,
        "presence_penalty": 0.0,
        "logit_bias": {},
        "logprobs": False,
        "tools": [],
        "response_format": {"type": "text"},
        "parallel_tool_calls": True,
    }
    assert chat(seed=0, **ignored, **neutral) == chat(seed=0)


@pytest.mark.parametrize(
    ("wanted", "schema"),
    [
        ({"type": "text"}, ""),
        ({"type": "json_object"}, '{"type":"object"}'),
        (
            {"type": "json_schema", "json_schema": {"schema": {"enum": ["b", "a"]}}},
            '{"enum":["b","a"]}',
        ),
    ],
)
def test_a_schema_travels_as_it_is(wanted: dict[str, object], schema: str) -> None:
    [request] = chat(response_format=wanted).requests
    assert request.grammar == schema
    assert features_of(request) == (("json_schema",) if schema else ())


@pytest.mark.parametrize(
    ("more", "code", "param"),
    [
        ({"frequency_penalty": 1}, "unsupported", "frequency_penalty"),
        ({"presence_penalty": -1}, "unsupported", "presence_penalty"),
        ({"logit_bias": {"50256": -100}}, "unsupported", "logit_bias"),
        ({"logprobs": True, "top_logprobs": 21}, "invalid_value", "top_logprobs"),
        ({"top_logprobs": 1}, "invalid_value", "top_logprobs"),
        ({"tools": [{"type": "function"}]}, "invalid_value", "tools[0]"),
        ({"tools": [{"type": "custom"}]}, "invalid_value", "tools[0].type"),
        (
            {"tools": [{**LOOK, "function": {"name": "a b"}}]},
            "invalid_value",
            "tools[0].function.name",
        ),
        ({"tools": [LOOK] * 129}, "invalid_value", "tools"),
        ({"tools": [LOOK], "tool_choice": "any"}, "invalid_value", "tool_choice"),
        ({"tools": [LOOK], "tool_choice": _choice("wait")}, "invalid_value", "tool_choice"),
        ({"tool_choice": "required"}, "invalid_value", "tool_choice"),
        ({"messages": [USER, {**CALLED, "role": "user"}]}, "unsupported", "messages[1].role"),
        (
            {"messages": [USER, {"role": "tool", "content": "x"}]},
            "invalid_value",
            "messages[1].tool_call_id",
        ),
        (
            {"messages": [USER, {**RESULT, "tool_call_id": "x" * 65}]},
            "invalid_value",
            "messages[1]",
        ),
        ({"messages": [USER, _called("")]}, "invalid_value", "messages[1]"),
        ({"messages": [USER, _called("a b")]}, "invalid_value", "messages[1]"),
        ({"messages": [{"role": "function", "content": "x"}]}, "unsupported", "messages[0].role"),
        ({"functions": [{"name": "f"}]}, "unsupported", "functions"),
        ({"modalities": ["text", "audio"]}, "unsupported", "modalities"),
        ({"min_p": 0.1}, "unsupported", "min_p"),
        ({"moderation": {"model": "m"}}, "unsupported", "moderation"),
        ({"messages": []}, "invalid_value", "messages"),
        ({"messages": [{"role": "bard", "content": "x"}]}, "unsupported", "messages[0].role"),
        ({"messages": [{"role": "user"}]}, "invalid_value", "messages[0].content"),
        (
            {"messages": [{"role": "user", "content": [{"type": "image_url"}]}]},
            "unsupported",
            "messages[0].content",
        ),
        ({"max_tokens": 0}, "invalid_value", "max_tokens"),
        ({"temperature": 2.1}, "invalid_value", "temperature"),
        ({"top_p": 0}, "invalid_value", "top_p"),
        ({"n": 17}, "invalid_value", "n"),
        ({"stop": ["x"] * 9}, "invalid_value", "stop"),
        ({"stream": "yes"}, "invalid_value", "stream"),
        ({"model": 3}, "invalid_value", "model"),
        ({"modelex": {"cieling": "1"}}, "invalid_value", "modelex"),
        ({"modelex": {"ceiling": 1}}, "invalid_value", "modelex.ceiling"),
        ({"modelex": {"ceiling": "a lot"}}, "invalid_value", None),
        ({"modelex": {"only": ["me"]}}, "invalid_value", None),
        ({"modelex": {"farm": "No Farm"}}, "invalid_value", None),
        ({"modelex": {"weights": "abc"}}, "invalid_value", None),
        ({"model": "no such name"}, "invalid_value", None),
        ({"response_format": {"type": "xml"}}, "invalid_value", "response_format.type"),
        ({"response_format": {"type": "json_schema"}}, "invalid_value", "response_format"),
        (
            {
                "response_format": {
                    "type": "json_schema",
                    "json_schema": {"name": "x", "schema": {"type": "string", "pattern": "a+"}},
                }
            },
            "unsupported",
            "response_format.json_schema.schema",
        ),
        (
            {
                "response_format": {
                    "type": "json_schema",
                    "json_schema": {"schema": {"enum": ["x" * 9000]}},
                }
            },
            "unsupported",
            "response_format.json_schema.schema",
        ),
    ],
)
def test_what_is_wrong_is_named(more: dict[str, object], code: str, param: str | None) -> None:
    with pytest.raises(Refusal) as caught:
        chat(**more)
    refusal = caught.value
    assert (refusal.status, refusal.code, refusal.param) == (400, code, param)
    assert refusal.message


@pytest.mark.parametrize(
    ("more", "param"),
    [
        ({"echo": True}, "echo"),
        ({"best_of": 2}, "best_of"),
        ({"suffix": "end"}, "suffix"),
        ({"prompt": ["a", "b"]}, "prompt"),
        ({"prompt": [1, 2, 3]}, "prompt"),
    ],
)
def test_what_a_completion_refuses(more: dict[str, object], param: str) -> None:
    with pytest.raises(Refusal) as caught:
        completion(**more)
    assert (caught.value.code, caught.value.param) == ("unsupported", param)


def test_texts_to_embed_are_a_job_each() -> None:
    asked = embedding(
        input=["a", "b"], encoding_format="base64", modelex={"ceiling": "1", "weights": "ab" * 32}
    )
    assert [(one.kind, one.text, one.max_tokens) for one in asked.requests] == [
        ("embedding", "a", 1),
        ("embedding", "b", 1),
    ]
    assert {one.weights for one in asked.requests} == {b"\xab" * 32}
    assert (asked.shape, asked.terms.max_cost) == ("base64", AI)
    assert embedding().shape == "float"


@pytest.mark.parametrize(
    ("more", "code", "param"),
    [
        ({"dimensions": 256}, "unsupported", "dimensions"),
        ({"input": [1, 2, 3]}, "unsupported", "input"),
        ({"input": [["a"]]}, "unsupported", "input"),
        ({"input": ""}, "invalid_value", "input"),
        ({"input": ["a", ""]}, "invalid_value", "input"),
        ({"input": []}, "invalid_value", "input"),
        ({"input": ["a"] * 257}, "invalid_value", "input"),
        ({"input": "a" * 200_000}, "invalid_value", None),
        ({"encoding_format": "hex"}, "invalid_value", "encoding_format"),
    ],
)
def test_what_is_not_embedded(more: dict[str, object], code: str, param: str | None) -> None:
    with pytest.raises(Refusal) as caught:
        embedding(**more)
    refusal = caught.value
    assert (refusal.status, refusal.code, refusal.param) == (400, code, param)


@pytest.mark.parametrize(
    "body",
    [b"", b"{", b"[]", b"null", b'{"model": "m"}', b"\xff\xfe", b"[" * 100_000, b'{"a":"\xff"}'],
)
def test_what_is_not_a_request_is_told_so(body: bytes) -> None:
    with pytest.raises(Refusal) as caught:
        read_chat(body, lambda _: ROOM)
    assert caught.value.status == 400
    assert caught.value.code in ("malformed_json", "invalid_value")
    assert msgspec.json.decode(caught.value.body)["error"]["type"] == "invalid_request_error"
