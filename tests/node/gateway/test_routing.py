"""What a program may say of routing through the gateway, and what it is told of it."""

import msgspec
import pytest

from p2p_modelex.engine.memory import Fault, MemoryEngine
from p2p_modelex.ids import format_peer_id
from p2p_modelex.node.aliases import AliasSettings
from p2p_modelex.node.gateway.asking import Asked, read_chat, take_headers
from p2p_modelex.node.gateway.refusal import Refusal
from tests.node.gateway.serving import CHAT, Reply, serve, text_of
from tests.node.gateway.test_gateway import serve_own
from tests.node.world import MODEL, peer_of

CHATS = "/v1/chat/completions"


def read(**more: object) -> Asked:
    return read_chat(msgspec.json.encode({**CHAT, **more}), lambda _: 8)


async def test_a_timeout_ends_an_answer_and_says_so() -> None:
    async with serve(MemoryEngine(MODEL, delay_s=0.05, length=500)) as served:
        whole = await served.chat(max_tokens=400, modelex={"timeout": 0.4})
        assert (whole.status, whole.error["code"]) == (504, "deadline")
        body = {**CHAT, "max_tokens": 400, "stream": True}
        streamed = await served.ask("POST", CHATS, body, x_modelex_timeout="0.4")
        *said, last, _ = streamed.body.decode().split("\n\n")
        assert msgspec.json.decode(last.removeprefix("data: "))["error"]["code"] == "deadline"
        assert text_of([msgspec.json.decode(one.removeprefix("data: ")) for one in said])
        receipts = await served.exchange.node.parts.store.receipts()
        assert len(receipts) == 2


async def test_an_own_engine_has_no_more_time() -> None:
    async with serve_own(MemoryEngine(MODEL, delay_s=0.05, length=500)) as served:
        reply = await served.chat(max_tokens=400, modelex={"timeout": 0.3})
        assert (reply.status, reply.error["code"]) == (504, "deadline")


async def test_a_decision_is_explained_in_the_head() -> None:
    async with serve(MemoryEngine(MODEL), MemoryEngine(MODEL)) as served:
        for more in ({}, {"stream": True}):
            reply = await served.ask("POST", CHATS, {**CHAT, **more}, x_modelex_explain="true")
            profile, ranked, why = reply.headers["x-modelex-decision"].split("; ", 2)
            assert profile == "default/power_of_d"
            peers = {one.rpartition("=")[0] for one in ranked.split()}
            assert peers == {format_peer_id(peer_of(number)) for number in (1, 2)}
            assert why.startswith("the highest score")
        assert "x-modelex-decision" not in (await served.chat()).headers


@pytest.mark.parametrize("is_stream", [False, True])
async def test_where_texts_would_part_another_provider_goes_on(is_stream: bool) -> None:
    brittle = MemoryEngine(MODEL, fault=Fault("crash", 3, jobs=99), delay_s=0.05)
    async with serve(brittle, MemoryEngine(MODEL)) as served:
        route: list[str] = []
        whole: Reply | None = None
        while len(route) < 2:  # routing is a draw: the brittle one is met sooner or later
            reply = await served.chat(stream=is_stream, seed=3, modelex={"continue": True})
            assert reply.status == 200
            last = (reply.events[-1] if is_stream else reply.json)["choices"][0]
            route = last["modelex"]["route"]
            whole = whole if len(route) > 1 else reply
        text = text_of(reply.events) if is_stream else last["message"]["content"]
        assert len(text.split()) == 8
        assert route == [format_peer_id(peer_of(number)) for number in (1, 2)]
        if not is_stream:
            # As much as of an answer that did not break off.
            whole = whole or await served.chat(seed=3)
            for one in ("prompt_tokens", "completion_tokens", "total_tokens"):
                assert reply.json["usage"][one] == whole.json["usage"][one]


async def test_a_conversation_stays_with_its_provider() -> None:
    """RTE-15, RTE-21: by how it begins, or by a name."""
    engines = [MemoryEngine(MODEL) for _ in range(3)]
    async with serve(*engines, profile="sticky") as served:
        first = (await served.chat()).headers["x-modelex-provider"]
        turns = [*CHAT["messages"], {"role": "assistant", "content": "yes"}]  # type: ignore[misc]
        turns.append({"role": "user", "content": "and then?"})
        assert (await served.chat(messages=turns)).headers["x-modelex-provider"] == first
        named: dict[str, set[str]] = {}
        for name in "abcdef":
            for text in ("one", "two"):
                asked = {**CHAT, "messages": [{"role": "user", "content": text}]}
                head = await served.ask("POST", CHATS, asked, x_modelex_conversation=name)
                body = await served.chat(messages=asked["messages"], prompt_cache_key=name)
                for reply in (head, body):
                    provider = reply.headers["x-modelex-provider"]
                    named.setdefault(name, set()).add(provider)
        assert [len(providers) for providers in named.values()] == [1] * 6
        assert len(set.union(*named.values())) > 1


async def test_an_alias_stands_for_a_model_or_a_family() -> None:
    aliases = (AliasSettings("gpt-4o-mini", MODEL), AliasSettings("any", f"family:{MODEL}"))
    async with serve(aliases=aliases) as served:
        for name in ("gpt-4o-mini", "any"):
            reply = await served.chat(model=name)
            assert (reply.status, reply.json["model"]) == (200, name)
        reply = await served.chat(model="gpt-4o")
        assert (reply.status, reply.error["code"]) == (404, "model_not_found")


def test_the_body_counts_before_the_head() -> None:
    head = {"x-modelex-timeout": "5", "x-modelex-conversation": "head"}
    plain = take_headers(read(), head).terms
    assert (plain.timeout_s, plain.conversation, plain.explains) == (5, "head", False)
    both = read(modelex={"timeout": 2, "conversation": "body", "hedge": True})
    terms = take_headers(both, head).terms
    assert (terms.timeout_s, terms.conversation, terms.hedge) == (2, "body", True)
    assert read(prompt_cache_key="key").terms.conversation == "key"
    asked = read()
    assert take_headers(asked, {}) is asked


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("x-modelex-timeout", "0"),
        ("x-modelex-timeout", "soon"),
        ("x-modelex-conversation", "x" * 300),
        ("x-modelex-explain", "perhaps"),
    ],
)
def test_a_head_that_makes_no_sense_is_refused(name: str, value: str) -> None:
    with pytest.raises(Refusal, match=name) as refused:
        take_headers(read(), {name: value})
    assert refused.value.status == 400
