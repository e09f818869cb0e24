"""What is taken of a request, what is ignored, and what is refused by name."""

import msgspec
import pytest

from p2p_modelex.ids import format_peer_id
from p2p_modelex.node.gateway.asking import Asked, read_chat, read_completion, read_embedding
from p2p_modelex.node.gateway.refusal import Refusal
from p2p_modelex.records.job import Message, features_of
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
    tools = [{"type": "function", "function": {"name": "f"}}]
    assert chat(seed=0, tools=tools, tool_choice="none") == chat(seed=0)


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
        ({"logprobs": True}, "unsupported", "logprobs"),
        ({"tools": [{"type": "function"}]}, "unsupported", "tools"),
        ({"functions": [{"name": "f"}]}, "unsupported", "functions"),
        ({"modalities": ["text", "audio"]}, "unsupported", "modalities"),
        ({"min_p": 0.1}, "unsupported", "min_p"),
        ({"messages": []}, "invalid_value", "messages"),
        ({"messages": [{"role": "tool", "content": "x"}]}, "unsupported", "messages[0].role"),
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
        ({"logprobs": 0}, "logprobs"),
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
