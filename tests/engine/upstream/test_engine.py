"""The upstream engine against a real server: how it starts, and what it makes of failures."""

import logging
from contextlib import aclosing
from pathlib import Path
from typing import Any

import pytest
import trio

from p2p_modelex.engine.abc import Done, Piece, Started
from p2p_modelex.engine.memory import MemoryEngine
from p2p_modelex.engine.spec import EngineSpec, UpstreamSpec
from p2p_modelex.engine.upstream import engine as upstream_engine
from p2p_modelex.engine.upstream.engine import UpstreamEngine
from p2p_modelex.engine.upstream.http import Unreachable
from p2p_modelex.engine.upstream.starting import look_at
from p2p_modelex.errors import (
    ConfigurationError,
    EngineBusy,
    EngineError,
    PromptTooLong,
    Unsupported,
)
from p2p_modelex.records.receipt import Finish
from tests.engine.asking import ask, chat, make_request
from tests.engine.openai_server import (
    HEAD,
    OpenAiServer,
    Send,
    Way,
    event,
    fault,
    saying,
    serving_openai,
    usage,
)
from tests.engine.upstream.fronting import engine_of, fronting

CHATS = "/v1/chat/completions"
WHOLE = (event("Hello"), event(" you", finish=True), usage(2), b"data: [DONE]\n\n")


async def test_what_is_said_of_an_upstream() -> None:
    async with fronting(slots=3) as (engine, server):
        info = engine.info
        assert (info.engine, info.version, info.model) == ("upstream", "vllm", "offered")
        assert (info.context_length, info.slots, info.device) == (4096, 3, "upstream")
        assert info.kinds == ("chat", "completion")
        assert info.features == ("stop",)
        assert engine.is_ready
        # What it is tried with names the server's own model; the offered name stays with us.
        assert {asked["model"] for path, _, asked in server.seen if asked} == {"m"}
    async with fronting(weights=bytes(range(32)), context_length=100) as (engine, _):
        assert engine.info.weights == bytes(range(32)) != info.weights
        assert engine.info.context_length == 100


async def test_looking_at_an_upstream_runs_nothing() -> None:
    async with serving_openai(MemoryEngine("m"), "sglang") as server:
        found = await look_at(EngineSpec("upstream", "m", upstream=UpstreamSpec(server.url)))
        assert (found.model, found.dialect_name, found.context_length) == ("m", "sglang", 4096)
        assert [path for path, _, _ in server.seen] == ["/v1/models"]


async def test_a_plain_server_counts_no_tokens_so_a_bound_is_charged() -> None:
    """EXC-17 lets a prompt have a token a byte, and the template's."""
    async with fronting(owner="somebody") as (engine, _):
        assert engine.info.version == "openai"
        assert await engine.count_tokens(make_request("four", max_tokens=1)) == 4 + 64
        assert await engine.count_tokens(chat("four", "four")) == 8 + 64 + 2 * 16
        with pytest.raises(Unsupported, match="top_k"):
            await engine.count_tokens(make_request("x", top_k=5))
        with pytest.raises(Unsupported, match="no grammars"):
            await engine.count_tokens(make_request("x", grammar='root ::= "a"'))


async def test_a_balancer_that_hides_the_tokenizer_leaves_the_bound() -> None:
    async with serving_openai(MemoryEngine("m")) as server:
        server.ways["/tokenize"] = saying(fault(404, {}))
        async with engine_of(server) as engine:
            assert engine.info.version == "vllm"
            assert await engine.count_tokens(chat("four")) == 4 + 64 + 16
            # It is not asked again.
            assert [path for path, _, _ in server.seen].count("/tokenize") == 1
        # A server that should count and fails is not taken for one that does not.
        server.ways["/tokenize"] = saying(fault(500, {}))
        with pytest.raises(EngineError, match="500"):
            async with engine_of(server):
                pass


async def test_sampling_is_told_in_full_where_the_server_has_defaults_of_its_own() -> None:
    async with fronting() as (engine, server):
        await ask(engine, make_request("x", max_tokens=2, temperature=0.5, top_p=0.9, stop=("q",)))
        body = server.seen[-1][2]
        assert (
            body
            | {
                "temperature": 0.5,
                "top_p": 0.9,
                "top_k": -1,
                "min_p": 0.0,
                "repetition_penalty": 1.0,
                "stop": ["q"],
                "stream_options": {"include_usage": True},
            }
            == body
        )


@pytest.mark.parametrize(
    ("settings", "error", "why"),
    [
        ({"kinds": ("score",)}, Unsupported, "no grammars"),
        ({"features": ("grammar",)}, Unsupported, "ignores grammar"),
        ({"features": ("json_schema",)}, Unsupported, "ignores json_schema"),
        ({"features": ("logprobs",)}, Unsupported, "ignores logprobs"),
        ({"features": ("tools",)}, Unsupported, "ignores tools"),
        ({"features": ("tools",), "kinds": ("completion",)}, Unsupported, "tools are a chat's"),
        ({"kinds": ("embedding",), "features": ("seed",)}, Unsupported, "no features"),
        ({"key_variable": "NO_SUCH_VARIABLE"}, ConfigurationError, "not set"),
        ({"key_file": Path("/nowhere/key")}, ConfigurationError, "cannot read"),
    ],
)
async def test_what_does_not_work_is_refused_at_the_start(
    settings: dict[str, Any], error: type[Exception], why: str
) -> None:
    async with serving_openai(MemoryEngine("m"), "openai-like") as server:
        server.owner = "vllm" if "features" in settings else "plain"
        server.tells_logprobs = server.calls_tools = False
        with pytest.raises(error, match=why):
            async with engine_of(server, **settings):
                pass


async def test_a_server_that_cannot_chat_is_offered_for_completions() -> None:
    async with serving_openai(MemoryEngine("m")) as server:
        server.ways[CHATS] = saying(fault(404, {"error": "no chat template"}))
        async with engine_of(server) as engine:
            assert engine.info.kinds == ("completion",)
        with pytest.raises(Unsupported, match="no chat template"):
            async with engine_of(server, kinds=("chat",)):
                pass
        server.ways["/v1/completions"] = saying(fault(404, {"detail": []}))
        with pytest.raises(Unsupported, match="no reason given"):
            async with engine_of(server):
                pass


async def test_a_model_or_context_that_is_not_there_is_named() -> None:
    async with serving_openai(MemoryEngine("m")) as server:
        wrong = EngineSpec("upstream", "x", upstream=UpstreamSpec(server.url, "n"))
        with pytest.raises(ConfigurationError, match=r"no model 'n' \(models: m\)"):
            async with UpstreamEngine(wrong):
                pass
        server.ways["/v1/models"] = saying(fault(200, {"data": [{"id": "m"}]}))
        with pytest.raises(ConfigurationError, match="how long the context"):
            async with engine_of(server):
                pass
        async with engine_of(server, context_length=300) as engine:
            assert engine.info.context_length == 300
        server.ways["/v1/models"] = saying(fault(200, {"models": []}))
        with pytest.raises(EngineError, match="makes no sense"):
            async with engine_of(server):
                pass
    with pytest.raises(ConfigurationError, match="no upstream"):
        UpstreamEngine(EngineSpec("upstream", "x"))
    with pytest.raises(ConfigurationError, match="no upstream"):
        await look_at(EngineSpec("upstream", "x"))
    with pytest.raises(Unreachable):
        async with UpstreamEngine(wrong):
            pass


@pytest.mark.parametrize(
    "url", ["", "ftp://x/v1", "http://", "http://[", "http://a:b@host/v1", "http://h/v1?key=1"]
)
def test_what_is_no_url_is_refused(url: str) -> None:
    with pytest.raises(ConfigurationError):
        UpstreamEngine(EngineSpec("upstream", "x", upstream=UpstreamSpec(url)))


async def test_the_key_is_sent_and_never_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    key = "sk-very-secret"
    file = tmp_path / "key"
    file.write_text(f"{key}\nnot this\n")
    caplog.set_level(logging.DEBUG)
    async with fronting(key_file=file) as (engine, server):
        assert {headers["authorization"] for _, headers, _ in server.seen} == {f"Bearer {key}"}
        told = {"error": {"message": f"your key {key} is not for this", "type": "x"}}
        for status, error in ((400, Unsupported), (401, EngineError), (500, EngineError)):
            server.ways[CHATS] = saying(fault(status, told))
            with pytest.raises(error) as caught:
                await ask(engine, chat("x"))
            assert key not in str(caught.value) + caught.value.hint
    assert key not in caplog.text
    monkeypatch.setenv("A_KEY", key)
    async with fronting(key_variable="A_KEY") as (engine, server):
        assert server.seen[0][1]["authorization"] == f"Bearer {key}"
    for wrong in ("", "two words", "é"):
        monkeypatch.setenv("A_KEY", wrong)
        with pytest.raises(ConfigurationError, match="A_KEY holds no API key"):
            async with fronting(key_variable="A_KEY"):
                pass


@pytest.mark.parametrize(
    ("answer", "error", "why"),
    [
        (fault(429, {}, "retry-after: 7"), EngineBusy, "busy"),
        (fault(503, {}), EngineBusy, "busy"),
        (fault(400, {"message": "maximum context length is 8"}), PromptTooLong, "8"),
        (fault(400, {"error": {"message": "bad\nrole"}}), Unsupported, "bad role"),
        (fault(422, {"error": "no"}), Unsupported, "no"),
        (fault(500, {"error": {"message": "CUDA at 10.0.0.7"}}), EngineError, r"failed \(500\)$"),
        (fault(302, {}, "location: http://elsewhere"), EngineError, "302"),
        (b"\x00\x01 nonsense\r\n\r\n", Unreachable, "broke off"),
        (b"", Unreachable, "broke off"),
        (b"HTTP/1.1 200 OK\r\nx: " + b"y" * 200_000, Unreachable, "broke off"),
        (HEAD + event("a"), EngineError, "in the middle"),
        (HEAD + b"data: <html>\n\n", EngineError, "no chunk"),
        (HEAD.replace(b"close", b"close\r\ncontent-length: 9999") + event("a"), Unreachable, "off"),
        (fault(400, {"error": "x" * 40_000}), EngineError, "over 16384 bytes"),
    ],
)
async def test_failures_are_told_apart(answer: bytes, error: type[Exception], why: str) -> None:
    async with fronting() as (engine, server):
        server.ways[CHATS] = saying(answer)
        with pytest.raises(error, match=why) as caught:
            await ask(engine, chat("x"))
        if isinstance(caught.value, EngineBusy):
            assert caught.value.retry_after_ms == (7000 if b"429" in answer else 1000)
        assert (engine.statistics().running, engine.statistics().failed) == (0, 1)
        # The next one is served.
        server.ways[CHATS] = saying(HEAD, *WHOLE)
        assert (await ask(engine, chat("x"))).text == "Hello you"


@pytest.mark.parametrize("parts", [(), (HEAD,), (HEAD, event("a"))])
async def test_silence_ends_a_job(parts: tuple[bytes, ...]) -> None:
    async with fronting(stall_s=0.2) as (engine, server):
        server.ways[CHATS] = _then_hang(*parts)
        with trio.fail_after(5), pytest.raises(Unreachable, match="silent"):
            await ask(engine, chat("x"))
        assert engine.statistics().running == 0


async def test_a_server_that_says_no_more_after_the_end_is_taken_at_its_word(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("p2p_modelex.engine.upstream.streaming.LAST_WORDS_S", 0.1)
    async with fronting() as (engine, server):
        for parts in ((event("a", finish=True),), WHOLE):
            server.ways[CHATS] = _then_hang(HEAD, *parts)
            with trio.fail_after(5):
                assert (await ask(engine, chat("x"))).done.finish is Finish.STOP


def _then_hang(*parts: bytes) -> Way:
    async def say(_: OpenAiServer, __: Any, send: Send) -> None:
        for part in parts:
            await send(part)
        await trio.sleep_forever()

    return say


async def test_leaving_frees_the_servers_slot() -> None:
    async with fronting(delay_s=0.01) as (engine, server):
        async with aclosing(engine.generate(chat("x", max_tokens=60))) as stream:
            assert isinstance(await anext(stream), Started)
            assert isinstance(await anext(stream), Piece)
            assert server.running == 1
        with trio.fail_after(2):
            while server.running:
                await trio.lowlevel.checkpoint()


async def test_connections_are_kept_and_replaced() -> None:
    async with fronting() as (engine, _):
        for _turn in range(3):
            await ask(engine, chat("hello", max_tokens=2))
        [kept] = engine._server._host.idle
        # The server closed it in the moment in which it is used.
        await trio.aclose_forcefully(kept.stream)
        kept.socket.is_readable = lambda: False  # type: ignore[method-assign]
        await ask(engine, chat("hello again", max_tokens=2))
        assert len(engine._server._host.idle) == 1
        assert engine._server._host.idle != [kept]


async def test_who_leaves_at_the_end_leaves_the_connection() -> None:
    async with fronting() as (engine, _):
        await ask(engine, chat("hello", max_tokens=2))
        [kept] = engine._server._host.idle
        async with aclosing(engine.generate(chat("hello", max_tokens=2))) as stream:
            async for output in stream:
                if isinstance(output, Done):
                    break
        assert engine._server._host.idle == [kept]


async def test_a_server_that_goes_is_unready_until_it_comes_back(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(upstream_engine, "HEALTH_INTERVAL_S", 0.05)
    async with fronting() as (engine, server):
        server.ways["/v1/models"] = saying(fault(500, {}))
        await _wait_until(lambda: not engine.is_ready)
        with pytest.raises(EngineBusy, match="down") as caught:
            await engine.count_tokens(chat("x"))
        assert caught.value.retry_after_ms == 50
        with pytest.raises(EngineBusy):
            await ask(engine, chat("x"))
        del server.ways["/v1/models"]
        await _wait_until(lambda: engine.is_ready)
        assert (await ask(engine, chat("x", max_tokens=1))).pieces
        # The model was taken off the server.
        server.ways["/v1/models"] = saying(fault(200, {"data": [{"id": "other"}]}))
        await _wait_until(lambda: not engine.is_ready)


@pytest.mark.parametrize("path", [CHATS, "/tokenize"])
async def test_a_job_that_cannot_reach_the_server_makes_it_look_at_once(path: str) -> None:
    async with fronting() as (engine, server):
        server.ways[path] = server.ways["/v1/models"] = saying(b"")
        with pytest.raises(Unreachable):
            await ask(engine, chat("x"))
        with trio.fail_after(upstream_engine.HEALTH_INTERVAL_S / 2):
            while engine.is_ready:
                await trio.lowlevel.checkpoint()


async def _wait_until(condition: Any) -> None:
    with trio.fail_after(5):
        while not condition():
            await trio.lowlevel.checkpoint()


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        ({"count": 0}, "counts no tokens"),
        ({"count": "many"}, "makes no sense"),
        ({"tokens": []}, "counts no tokens"),
    ],
)
async def test_a_count_that_makes_no_sense_is_no_count(answer: object, why: str) -> None:
    async with fronting() as (engine, server):
        server.ways["/tokenize"] = saying(fault(200, answer))
        with pytest.raises(EngineError, match=why):
            await engine.count_tokens(chat("another"))


async def test_a_count_is_at_most_what_a_buyer_believes() -> None:
    """EXC-17."""
    async with fronting() as (engine, server):
        server.ways["/tokenize"] = saying(fault(200, {"count": 3000}))
        assert await engine.count_tokens(chat("ab")) == 2 + 64 + 16


@pytest.mark.parametrize(
    "answer", [{"data": []}, {"data": [{"embedding": []}]}, {"data": [{"embedding": [1e300]}]}]
)
async def test_a_vector_that_is_none_is_refused(answer: object) -> None:
    async with fronting(kinds=("embedding",)) as (engine, server):
        server.ways["/v1/embeddings"] = saying(fault(200, answer))
        with pytest.raises(EngineError, match="vector"):
            await ask(engine, make_request("x", kind="embedding", max_tokens=1))
