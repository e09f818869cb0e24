"""A provider whose server behind it hangs, lies or babbles, seen by whoever asked the gateway."""

import msgspec
import pytest
import trio

from p2p_modelex.engine.memory import MemoryEngine
from p2p_modelex.engine.upstream.answer import LINE_BYTES
from tests.engine.openai_server import (
    HEAD,
    OpenAiServer,
    Send,
    Way,
    event,
    line,
    saying,
    serving_openai,
    usage,
)
from tests.engine.upstream.fronting import engine_of
from tests.node.gateway.serving import serve, text_of
from tests.node.world import MODEL

CHATS = "/v1/chat/completions"
LEAK = b"data: 10.0.0.7 sk-secret\n\n"
BABBLE = {
    "cut off": (event("one"),),
    "no JSON": (event("one"), LEAK),
    "no UTF-8": (event("one"), b"data: \xff\xfe\n\n"),
    "a huge line": (event("one"), b"data: " + b"x" * (LINE_BYTES + 1)),
    "an error": (event("one"), line({"error": {"message": "out of memory at 10.0.0.7"}})),
    "no HTTP": (),
}


async def hang(_: OpenAiServer, __: object, send: Send) -> None:
    await send(HEAD + event("one"))
    await trio.sleep_forever()


def way_of(babble: str) -> Way:
    if babble == "silence":
        return hang
    parts = BABBLE[babble]
    return saying(HEAD, *parts) if parts else saying(b"\x00\x01\r\n\r\n")


@pytest.mark.parametrize("babble", [*BABBLE, "silence"])
async def test_a_server_that_babbles_is_an_error_or_a_failover(babble: str) -> None:
    behind = MemoryEngine("m")
    async with serving_openai(behind) as server, serve(engine_of(server, stall_s=0.2)) as served:
        server.ways[CHATS] = way_of(babble)
        with trio.fail_after(10):
            whole = await served.chat()
            streamed = await served.chat(stream=True)
        # What failed before it began may be tried again.
        expected = (503, "busy") if babble == "no HTTP" else (502, "engine")
        assert (whole.status, whole.error["code"]) == expected
        assert f'"code":"{expected[1]}"'.encode() in streamed.body
        for reply in (whole, streamed):
            assert b"10.0.0.7" not in reply.body
            assert b"secret" not in reply.body
        assert behind.statistics().running == 0


@pytest.mark.parametrize("babble", ["cut off", "no UTF-8", "silence"])
async def test_another_provider_answers_for_it(babble: str) -> None:
    behind = MemoryEngine("m")
    async with serving_openai(behind) as server:
        engines = engine_of(server, stall_s=0.2), MemoryEngine(MODEL, reply="one two three")
        async with serve(*engines) as served:
            server.ways[CHATS] = way_of(babble)
            for is_stream in (False, True):
                with trio.fail_after(10):
                    reply = await served.chat(stream=is_stream)
                assert reply.status == 200
                text = (
                    text_of(reply.events)
                    if is_stream
                    else reply.json["choices"][0]["message"]["content"]
                )
                assert text == "one two three"


@pytest.mark.parametrize("told", [None, -5, 0, 10**12])
async def test_a_server_that_lies_about_usage_is_believed_within_reason(told: int | None) -> None:
    behind = MemoryEngine("m")
    last = () if told is None else (usage(told, -7),)
    async with serving_openai(behind) as server, serve(engine_of(server)) as served:
        end = event(" two", finish=True)
        server.ways[CHATS] = saying(HEAD, event("one"), end, *last, b"data: [DONE]\n\n")
        reply = await served.chat()
        assert reply.status == 200, reply.body
        counted = msgspec.json.decode(reply.body)["usage"]
        assert 2 <= counted["completion_tokens"] <= 8
        assert counted["prompt_tokens"] > 0
