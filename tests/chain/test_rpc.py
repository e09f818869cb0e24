import json
from typing import Any

import pytest
import trio

from p2p_modelex.chain.evm import rpc as rpc_module
from p2p_modelex.chain.evm.rpc import Call, Rpc, RpcError
from p2p_modelex.errors import ChainUnreachable, ConfigurationError
from tests.chain.endpoint import Answer, error, fake_endpoint, http, result


def _impatient(url: str) -> Rpc:
    return Rpc(url, timeout_s=0.5, attempts=3, backoff_s=0.001)


async def test_a_result_comes_back() -> None:
    async with fake_endpoint(lambda r: result(r, r["params"])) as fake, Rpc(fake.url) as rpc:
        assert await rpc.call("echo", 1, "two") == [1, "two"]


async def test_a_batch_is_answered_in_any_order_and_split_by_the_bound() -> None:
    def answer(request: Any) -> bytes:
        answers = [{"id": r["id"], "result": r["params"][0]} for r in reversed(request)]
        return http(json.dumps(answers).encode())

    async with fake_endpoint(answer) as fake, Rpc(fake.url) as rpc:
        calls = [Call("echo", (i,)) for i in range(rpc_module.BATCH_MAX + 2)]
        assert await rpc.batch(calls) == list(range(rpc_module.BATCH_MAX + 2))
        assert [len(r) for r in fake.requests] == [rpc_module.BATCH_MAX, 2]


async def test_an_error_has_its_code_text_and_revert_bytes_and_is_not_repeated() -> None:
    async with (
        fake_endpoint(lambda r: error(r, 3, "execution reverted", "0x08c379a0")) as fake,
        Rpc(fake.url) as rpc,
    ):
        with pytest.raises(RpcError) as caught:
            await rpc.call("eth_call")
        assert (caught.value.code, caught.value.text) == (3, "execution reverted")
        assert caught.value.reason == bytes.fromhex("08c379a0")
        assert len(fake.requests) == 1


@pytest.mark.parametrize(
    "answer",
    [
        lambda _: None,
        lambda _: http(b"", 503),
        lambda _: b"",
        lambda _: b"not http\r\n\r\n",
        lambda r: error(r, -32005, "limit exceeded"),
        lambda r: error(r, -32002, "request timed out"),
        lambda r: http(json.dumps({"id": r["id"]}).encode()),
        lambda r: http(json.dumps({"id": r["id"], "error": 7}).encode()),
        lambda _: http(b"[]"),
    ],
    ids=[
        "silence",
        "503",
        "closed",
        "noise",
        "limit",
        "gave-up",
        "no-result",
        "odd-error",
        "no-answer",
    ],
)
async def test_a_failing_endpoint_is_asked_a_bounded_number_of_times(answer: Answer) -> None:
    async with fake_endpoint(answer) as fake, _impatient(fake.url) as rpc:
        with pytest.raises(
            ChainUnreachable, match="failed 3 attempts at eth_blockNumber"
        ) as caught:
            await rpc.call("eth_blockNumber")
        assert caught.value.hint
        assert len(fake.requests) == 3


async def test_what_must_not_happen_twice_is_asked_once() -> None:
    async with fake_endpoint(lambda _: http(b"", 503)) as fake, _impatient(fake.url) as rpc:
        with pytest.raises(ChainUnreachable):
            await rpc.call("evm_mine", retry=False)
        assert len(fake.requests) == 1


async def test_an_endpoint_that_recovers_is_forgiven() -> None:
    async with fake_endpoint(lambda _: http(b"", 502)) as fake, _impatient(fake.url) as rpc:

        def recover(request: Any) -> bytes:
            if len(fake.requests) < 3:
                return http(b"", 502)
            return result(request, "0x1")

        fake.answer = recover
        assert await rpc.call("eth_blockNumber") == "0x1"


async def test_nobody_listening_is_unreachable() -> None:
    [listener] = await trio.open_tcp_listeners(0, host="127.0.0.1")
    port = listener.socket.getsockname()[1]
    await listener.aclose()
    async with _impatient(f"http://127.0.0.1:{port}") as rpc:
        with pytest.raises(ChainUnreachable):
            await rpc.call("eth_blockNumber")


@pytest.mark.parametrize("body", [b"<html>", b"7", b"[" * 100_000, b'{"a":' * 100_000])
async def test_a_web_page_is_no_endpoint(body: bytes) -> None:
    async with fake_endpoint(lambda _: http(body)) as fake, _impatient(fake.url) as rpc:
        with pytest.raises(ChainUnreachable, match="without JSON-RPC"):
            await rpc.call("eth_blockNumber")


async def test_an_answer_without_end_is_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rpc_module, "RESPONSE_BYTES", 1000)
    async with fake_endpoint(lambda _: http(b" " * 5000)) as fake, _impatient(fake.url) as rpc:
        with pytest.raises(ChainUnreachable, match="more than 1000 bytes"):
            await rpc.call("eth_blockNumber")
        assert len(fake.requests) == 1


async def test_the_path_of_the_url_which_may_be_a_key_is_not_told() -> None:
    async with fake_endpoint(lambda _: http(b"", 503)) as fake:
        async with _impatient(fake.url + "/v3/secret") as rpc:
            with pytest.raises(ChainUnreachable) as caught:
                await rpc.call("eth_blockNumber")
        assert "secret" not in str(caught.value)


@pytest.mark.parametrize("url", ["", "ws://host", "host:8545", "http://"])
def test_a_url_that_is_not_http_is_refused(url: str) -> None:
    with pytest.raises(ConfigurationError):
        Rpc(url)
