"""The endpoints, over a mesh in memory: answers, streams, failover, refusals, receipts."""

from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest
import trio

from p2p_modelex.core.exchange.receipt_file import decode_receipt_file
from p2p_modelex.core.exchange.verification import verify_receipt_row
from p2p_modelex.engine.abc import Output, Started
from p2p_modelex.engine.memory import Fault, MemoryEngine
from p2p_modelex.errors import ConfigurationError, EngineBusy
from p2p_modelex.ids import format_peer_id
from p2p_modelex.node.configuration import Configuration, GatewaySettings
from p2p_modelex.node.exchange import Exchange
from p2p_modelex.node.gateway import answering
from p2p_modelex.node.gateway.answering import Answering
from p2p_modelex.node.gateway.gateway import open_gateway
from p2p_modelex.node.home import Home
from p2p_modelex.records.job import Request
from p2p_modelex.records.receipt import Finish
from p2p_modelex.units import AI, Wei, parse_ai
from tests.node.gateway.serving import CHAT, Served, serve, text_of
from tests.node.world import DEPLOYMENT, MODEL, World, peer_of

PROMPT = {"model": MODEL, "prompt": "once upon", "max_tokens": 6}


def crashing(after: int, **more: Any) -> MemoryEngine:
    return MemoryEngine(MODEL, fault=Fault("crash", after, jobs=99), **more)


async def test_a_whole_answer_has_its_text_usage_and_proof(tmp_path: Path) -> None:
    home = Home(tmp_path)
    home.create()
    async with serve(home=home) as served:
        reply = await served.chat(temperature=0)
        assert reply.status == 200
        answer = reply.json
        assert answer["object"] == "chat.completion"
        [choice] = answer["choices"]
        assert choice["message"]["role"] == "assistant"
        assert len(choice["message"]["content"].split()) == 8
        assert choice["finish_reason"] == "length"
        usage, result = answer["usage"], choice["modelex"]
        assert usage["total_tokens"] == usage["prompt_tokens"] + 8
        assert parse_ai(usage["cost"]) == int(result["price_wei"]) == int(result["paid_wei"]) > 0
        peer = format_peer_id(peer_of(1))
        assert (result["provider"], result["route"]) == (peer, [peer])
        for name, value in (
            ("provider", peer),
            ("route", peer),
            ("price-wei", result["price_wei"]),
            ("receipt", result["receipt"]),
            ("epoch", "0"),
        ):
            assert reply.headers[f"x-modelex-{name}"] == value
        with trio.fail_after(5):
            while not (path := home.receipts / f"{result['receipt']}.json").exists():
                await trio.sleep(0.01)
        row = decode_receipt_file(path.read_bytes())
        verify_receipt_row(row, DEPLOYMENT.registry_domain, None)
        assert row.completion == choice["message"]["content"]


async def test_a_stream_says_the_same_in_pieces() -> None:
    async with serve() as served:
        asked = {"temperature": 0, "seed": 7}
        whole = (await served.chat(**asked)).json
        reply = await served.chat(**asked, stream=True, stream_options={"include_usage": True})
        assert reply.headers["content-type"] == "text/event-stream"
        events = reply.events
        assert text_of(events) == whole["choices"][0]["message"]["content"]
        assert events[0]["choices"][0]["delta"]["role"] == "assistant"
        *_, finish, usage = events
        assert finish["choices"][0]["finish_reason"] == "length"
        assert finish["choices"][0]["modelex"]["receipt"]
        assert finish["system_fingerprint"] == whole["system_fingerprint"]
        assert usage["choices"] == []
        assert usage["usage"] == whole["usage"]
        assert all(event["usage"] is None for event in events[:-1])
        assert len({event["id"] for event in events}) == 1
        # Without asking, there is no usage at all.
        assert all("usage" not in event for event in (await served.chat(stream=True)).events)


async def test_a_completion_whole_and_streamed() -> None:
    async with serve() as served:
        path, asked = "/v1/completions", {**PROMPT, "temperature": 0}
        whole = (await served.ask("POST", path, asked)).json
        assert whole["object"] == "text_completion"
        streamed = await served.ask("POST", path, {**asked, "stream": True})
        pieces = [event["choices"][0]["text"] for event in streamed.events]
        assert "".join(pieces) == whole["choices"][0]["text"]
        score = {**PROMPT, "modelex": {"kind": "score"}, "max_tokens": 2}
        assert (await served.ask("POST", path, score)).json["choices"][0]["text"] in "123456789"


async def test_several_choices_differ_and_are_paid_each() -> None:
    async with serve() as served:
        whole = (await served.chat(n=3, seed=1)).json
        assert [choice["index"] for choice in whole["choices"]] == [0, 1, 2]
        assert len({choice["message"]["content"] for choice in whole["choices"]}) == 3
        prices = [int(choice["modelex"]["price_wei"]) for choice in whole["choices"]]
        assert parse_ai(whole["usage"]["cost"]) == sum(prices)
        events = (await served.chat(n=3, seed=1, stream=True)).events
        for choice in whole["choices"]:
            own = [e for e in events if e["choices"][0]["index"] == choice["index"]]
            assert text_of(own) == choice["message"]["content"]


async def test_a_stop_ends_the_answer() -> None:
    async with serve(MemoryEngine(MODEL, reply="one two three")) as served:
        [choice] = (await served.chat(stop="three")).json["choices"]
        assert (choice["message"]["content"], choice["finish_reason"]) == ("one two ", "stop")


async def test_a_failover_is_invisible_where_the_text_is_the_same() -> None:
    """A deterministic request: the next provider says what was said, and goes on."""
    for is_stream in (False, True):
        engines = crashing(3, delay_s=0.05), MemoryEngine(MODEL)
        async with serve(*engines) as served:
            routes = []
            for _ in range(8):  # routing is a draw: the crashing one is met sooner or later
                reply = await served.chat(stream=is_stream)
                assert reply.status == 200
                if is_stream:
                    text, last = text_of(reply.events), reply.events[-1]["choices"][0]
                else:
                    last = reply.json["choices"][0]
                    text = last["message"]["content"]
                assert len(text.split()) == 8
                routes.append(last["modelex"]["route"])
                if len(routes[-1]) > 1:
                    break
            assert routes[-1] == [format_peer_id(peer_of(number)) for number in (1, 2)]
            assert int(last["modelex"]["paid_wei"]) >= int(last["modelex"]["price_wei"])


async def test_a_failover_to_another_text_ends_the_stream_with_an_error() -> None:
    engines = (
        crashing(2, reply="one two three", delay_s=0.05),
        MemoryEngine(MODEL, reply="four five six"),
    )
    async with serve(*engines) as served:
        for _ in range(8):
            reply = await served.chat(stream=True)
            if b'"error"' in reply.body:
                break
        *said, last, _ = reply.body.decode().split("\n\n")
        error = msgspec.json.decode(last.removeprefix("data: "))["error"]
        assert error["code"] == "diverged"
        assert "[DONE]" not in last
        text = text_of([msgspec.json.decode(one.removeprefix("data: ")) for one in said])
        assert "one two three".startswith(text)
        assert text
        # Whole, the same is invisible.
        whole = (await served.chat()).json["choices"][0]["message"]["content"]
        assert whole in ("one two three", "four five six")


async def test_a_burst_that_comes_first_is_served_whole() -> None:
    """A provider has few places for those who never paid it; the rest come again a second later."""
    async with serve(MemoryEngine(MODEL, delay_s=0.005, waiting_max=64)) as served:
        statuses: list[int] = []

        async def ask() -> None:
            statuses.append((await served.chat()).status)

        async with trio.open_nursery() as nursery:
            for _ in range(24):
                nursery.start_soon(ask)
        assert statuses == [200] * 24


class FullEngine(MemoryEngine):
    """Never has room; counts how often it was asked."""

    asked = 0

    async def generate(self, request: Request) -> AsyncGenerator[Output, None]:
        self.asked += 1
        if self.asked:
            raise EngineBusy("full", retry_after_ms=1500)
        yield Started(0)


async def test_who_stays_busy_is_asked_a_few_times(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(answering, "BUSY_WAIT_MAX_MS", 10)
    engine = FullEngine(MODEL)
    async with serve(engine) as served:
        for is_stream in (False, True):
            engine.asked = 0
            reply = await served.chat(stream=is_stream)
            assert (reply.status, reply.error["code"]) == (503, "busy")
            assert reply.headers["retry-after"] == "2"
            assert engine.asked == answering.BUSY_TRIES


async def test_all_providers_failing_is_a_bad_gateway() -> None:
    async with serve(crashing(0)) as served:
        reply = await served.chat()
        assert reply.status == 502
        assert reply.error["code"] == "engine"
        assert reply.error["type"] == "server_error"
    async with serve(crashing(2, delay_s=0.05)) as served:
        assert b'"code":"engine"' in (await served.chat(stream=True)).body


@pytest.mark.parametrize(
    ("change", "status", "code", "says"),
    [
        ({"model": "memori"}, 404, "model_not_found", "nearest: memory"),
        ({"max_tokens": 5000}, 400, "context_length_exceeded", "longest completion"),
        ({"modelex": {"ceiling": "0.000000001"}}, 402, "over_ceiling", "the cheapest is"),
        ({"modelex": {"denied": [format_peer_id(peer_of(1))]}}, 400, "no_provider", "denied"),
        ({"modelex": {"farm": "farm:harvest"}}, 400, "no_provider", "through farm harvest"),
        ({"response_format": {"type": "json_object"}}, 400, "unsupported", "json_schema"),
    ],
)
async def test_what_the_mesh_cannot_do_is_told(
    change: dict[str, object], status: int, code: str, says: str
) -> None:
    async with serve() as served:
        reply = await served.chat(**change)
        assert (reply.status, reply.error["code"]) == (status, code)
        assert says in reply.error["message"]


async def test_no_money_is_said_so() -> None:
    async with serve(auto_deposit=Wei(0)) as served:
        reply = await served.chat()
        assert (reply.status, reply.error["type"]) == (402, "billing_error")
        assert reply.error["code"] == "no_channel"


async def test_a_caller_may_lower_the_ceiling_and_not_raise_it() -> None:
    async with serve(max_cost=Wei(AI // 10**9)) as served:
        reply = await served.chat(modelex={"ceiling": "1"})
        assert (reply.status, reply.error["code"]) == (402, "over_ceiling")


async def test_models_are_listed_with_their_prices() -> None:
    async with serve(MemoryEngine(MODEL), MemoryEngine(MODEL)) as served:
        listed = (await served.ask("GET", "/v1/models")).json
        [model] = listed["data"]
        assert (model["id"], model["object"]) == (MODEL, "model")
        offered = model["modelex"]
        assert offered["providers"] == 2
        assert offered["completion_price"] == {"lowest": "0.001", "highest": "0.064"}
        assert (await served.ask("GET", f"/v1/models/{MODEL}")).json == model
        missing = await served.ask("GET", "/v1/models/memory2")
        assert (missing.status, missing.error["code"]) == (404, "model_not_found")
        assert "nearest: memory" in missing.error["message"]


async def test_other_paths_and_methods(tmp_path: Path) -> None:
    async with serve(home=Home(tmp_path)) as served:
        assert (await served.ask("GET", "/health")).json["providers"] == 1
        document = (await served.ask("GET", "/openapi.json")).json
        assert document["openapi"] == "3.1.0"
        for path, methods in document["paths"].items():
            for method in methods.keys() - {"parameters"}:
                served_path = path.replace("{model}", MODEL)
                reply = await served.ask(method.upper(), served_path, {})
                assert reply.status != 404 or reply.error["code"].endswith("_not_found")
        for method, path, status, code in (
            ("GET", "/v1/chat/completions", 405, "wrong_method"),
            ("POST", "/v1/models", 405, "wrong_method"),
            ("PUT", "/v1/batches", 405, "wrong_method"),
            ("GET", "/", 404, "unknown_path"),
        ):
            reply = await served.ask(method, path)
            assert (reply.status, reply.error["code"]) == (status, code)


async def test_web_pages_may_not_spend_what_programs_may() -> None:
    async with serve() as served:
        for headers in (
            {"origin": "https://evil.example"},
            {"sec_fetch_site": "cross-site"},
        ):
            reply = await served.ask("POST", "/v1/chat/completions", CHAT, **headers)
            assert (reply.status, reply.error["code"]) == (403, "browser")
        async with served.talk() as talk:
            await talk.send(b"GET /v1/models HTTP/1.1\r\nHost: evil.example:4780\r\n\r\n")
            assert (await talk.stream.receive_some(100)).startswith(b"HTTP/1.1 403 ")


@asynccontextmanager
async def serve_own(engine: MemoryEngine) -> AsyncGenerator[Served, None]:
    """A gateway on a node that sells the model itself, and knows nobody else."""
    world = World()
    async with world.provider(1, engine) as node:
        exchange = Exchange(node, Configuration())
        async with open_gateway(exchange, GatewaySettings(port=0), None) as url:
            yield Served(url, world, exchange)


async def test_a_node_asks_its_own_engine_for_nothing() -> None:
    own = format_peer_id(peer_of(1))
    async with serve_own(MemoryEngine(MODEL)) as served:
        reply = await served.chat(temperature=0)
        result = reply.json["choices"][0]["modelex"]
        assert (result["receipt"], result["price_wei"]) == (None, "0")
        assert (result["provider"], result["route"]) == (own, [own])
        assert "x-modelex-receipt" not in reply.headers
        streamed = (await served.chat(temperature=0, stream=True)).events
        assert text_of(streamed) == reply.json["choices"][0]["message"]["content"]
        stopped = await served.chat(temperature=0, stop=text_of(streamed)[:4], stream=True)
        assert text_of(stopped.events) == ""
        # Told to leave itself out, it has nobody.
        denied = await served.chat(modelex={"denied": [own]})
        assert (denied.status, denied.error["code"]) == (503, "no_provider")
        long = await served.chat(max_tokens=5000)
        assert (long.status, long.error["code"]) == (400, "context_length_exceeded")


async def test_an_own_engine_is_let_go_when_nobody_waits() -> None:
    for engine in (
        MemoryEngine(MODEL, delay_s=0.02, length=500),
        MemoryEngine(MODEL, fault=Fault("hang", 0)),
    ):
        async with serve_own(engine) as served:
            async with served.talk() as talk:
                body = msgspec.json.encode({**CHAT, "max_tokens": 500})
                head = b"POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\n"
                await talk.send(head + b"Content-Length: %d\r\n\r\n" % len(body) + body)
                with trio.fail_after(5):
                    while not engine.statistics().running:
                        await trio.sleep(0.01)
            with trio.fail_after(5):
                while engine.statistics().running:
                    await trio.sleep(0.01)
            assert engine.statistics().finished == 0


async def test_an_own_engine_that_is_full_is_busy() -> None:
    engine = MemoryEngine(MODEL, slots=1, waiting_max=0, delay_s=0.02)
    async with serve_own(engine) as served:
        replies = []

        async def ask() -> None:
            replies.append(await served.chat(max_tokens=20))

        async with trio.open_nursery() as nursery:
            for _ in range(2):
                nursery.start_soon(ask)
        busy, good = sorted(replies, key=lambda reply: -reply.status)
        assert (good.status, busy.status, busy.error["code"]) == (200, 503, "busy")
        assert int(busy.headers["retry-after"]) > 0


async def test_a_bug_costs_a_request_and_not_the_gateway(monkeypatch: pytest.MonkeyPatch) -> None:
    async with serve() as served:
        with monkeypatch.context() as patch:
            patch.setattr(Answering, "finish", lambda *_: 1 / 0)
            reply = await served.chat()
            assert (reply.status, reply.error["code"]) == (500, "internal")
            assert b'"code":"internal"' in (await served.chat(stream=True)).body
        assert (await served.chat()).status == 200


async def test_a_port_that_is_taken_is_a_matter_of_configuration() -> None:
    async with serve() as served:
        settings = GatewaySettings(port=served.port)
        with pytest.raises(ConfigurationError, match="cannot listen"):
            async with open_gateway(served.exchange, settings, None):
                pass


async def test_one_choice_that_fails_fails_them_all() -> None:
    engine = MemoryEngine(MODEL, delay_s=0.05, fault=Fault("crash", 2))
    async with serve(engine) as served:
        reply = await served.chat(n=3)
        assert (reply.status, reply.error["code"]) == (502, "engine")


async def test_a_gateway_that_ends_before_anything_came_says_so() -> None:
    hanging = MemoryEngine(MODEL, fault=Fault("hang", 0))
    replies = []
    async with trio.open_nursery() as nursery, serve(hanging) as served:

        async def ask() -> None:
            replies.append(await served.chat())

        nursery.start_soon(ask)
        with trio.fail_after(5):
            while not hanging.statistics().running:
                await trio.sleep(0.01)
    assert [(reply.status, reply.error["code"]) for reply in replies] == [(503, "shutting_down")]


async def test_a_gateway_that_ends_cancels_and_says_so() -> None:
    slow = MemoryEngine(MODEL, delay_s=0.02, length=500)
    content = msgspec.json.encode({**CHAT, "max_tokens": 500, "stream": True})
    head = b"POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\n"
    async with AsyncExitStack() as outlasting:
        async with serve(slow) as served:
            talk = await outlasting.enter_async_context(served.talk())
            await talk.send(head + b"Content-Length: %d\r\n\r\n" % len(content) + content)
            await talk.stream.receive_some(100)
        with trio.fail_after(5):
            assert b'"code":"shutting_down"' in await talk.read()
    [row] = await served.exchange.node.parts.store.receipts()
    assert row.receipt.receipt.finish == Finish.CANCELLED
