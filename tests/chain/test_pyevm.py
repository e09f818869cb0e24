"""The devnet on py-evm: when it is taken, and what its server takes from strangers."""

import json
import os
import signal
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

import pytest
import trio

from p2p_modelex.chain.abc import Deployment
from p2p_modelex.chain.anvil import AnvilUnavailable
from p2p_modelex.chain.devnet import TEST_KEYS, Devnet, advance_time, bring_up, devnet, fund
from p2p_modelex.chain.evm.port import EvmChain
from p2p_modelex.chain.evm.rpc import Rpc, RpcError
from p2p_modelex.chain.evm.transaction import Transaction, sign_transaction
from p2p_modelex.chain.evm.wire import to_hex
from p2p_modelex.chain.pyevm.state_file import StateFile
from p2p_modelex.errors import ChainUnreachable, ConfigurationError
from p2p_modelex.ids import Address, format_address
from p2p_modelex.records.signers import EvmSigner
from p2p_modelex.units import Wei
from tests.chain.worlds import new_key

FALLEN_BACK = "npm is needed"


async def _no_anvil() -> Path:
    raise AnvilUnavailable(FALLEN_BACK, hint="install Node.js")


async def _wrong_anvil() -> Path:
    raise ConfigurationError("not the pinned one")


@pytest.fixture
async def rpc(pyevm: tuple[Devnet, Deployment]) -> AsyncGenerator[Rpc, None]:
    async with Rpc(pyevm[0].url, attempts=1) as made:
        yield made


async def _exchange(url: str, sent: bytes) -> bytes:
    """Return what the server says to raw bytes until it closes."""
    stream = await trio.open_tcp_stream("127.0.0.1", int(url.rpartition(":")[2]))
    async with stream:
        await stream.send_all(sent)
        await stream.send_eof()
        with trio.fail_after(10):
            return b"".join([chunk async for chunk in stream])


def _post(body: bytes) -> bytes:
    return b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: %d\r\n\r\n" % len(body) + body


async def _ask(url: str, body: bytes) -> Any:
    answer = await _exchange(url, _post(body))
    return json.loads(answer.partition(b"\r\n\r\n")[2])


async def test_where_anvil_cannot_be_had_it_is_taken_and_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And with a state file it goes on where it was, without a second deployment."""
    monkeypatch.setattr("p2p_modelex.chain.devnet.fetch_anvil", _no_anvil)
    network_file, state = tmp_path / "network.toml", tmp_path / "state"
    account = new_key()
    async with bring_up(network_file, {account.address: Wei(7)}, state_file=state) as (net, first):
        assert (net.engine, net.why) == ("pyevm", f"anvil cannot be had: {FALLEN_BACK}")
        await advance_time(net.url, 10_000)
    async with bring_up(
        network_file, {account.address: Wei(1)}, state_file=state, block_time=1
    ) as (net, again):
        assert again == first
        async with EvmChain(net.url, again, account) as port:
            assert await port.fetch_balance(account.address) == 8
        await _expect_interval(net)


async def _expect_interval(net: Devnet) -> None:
    key, to = EvmSigner(net.keys[1]), Address(b"\7" * 20)
    count = ("eth_getTransactionCount", format_address(key.address))
    async with Rpc(net.url) as rpc:
        await rpc.call("eth_sendRawTransaction", to_hex(_pay(key, to, gas=21_000)))
        assert await rpc.call(*count, "pending") == "0x1"
        with trio.fail_after(20):
            while await rpc.call(*count, "latest") == "0x0":
                await trio.sleep(0.05)
        assert await rpc.call("eth_getBalance", format_address(to), "latest") == "0x5"


def _pay(key: EvmSigner, to: Address, *, gas: int) -> bytes:
    return sign_transaction(Transaction(31337, 0, 0, 10**10, gas, to, 5, b""), key).raw


async def test_anvil_by_name_is_anvil_or_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("p2p_modelex.chain.devnet.fetch_anvil", _no_anvil)
    with pytest.raises(AnvilUnavailable, match=FALLEN_BACK):
        async with devnet(engine="anvil"):
            pass


async def test_another_file_than_the_pinned_anvil_is_no_reason_to_fall_back(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("p2p_modelex.chain.devnet.fetch_anvil", _wrong_anvil)
    with pytest.raises(ConfigurationError, match="not the pinned one"):
        async with devnet():
            pass


@pytest.mark.parametrize("engine", ["auto", "pyevm"])
async def test_without_either_both_ways_out_are_told(
    engine: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("p2p_modelex.chain.devnet.fetch_anvil", _no_anvil)
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    with pytest.raises(ConfigurationError) as caught:
        async with devnet(engine=engine):
            pass
    assert "p2p-modelex[pyevm]" in caught.value.hint
    assert ("Node.js" in caught.value.hint) == (engine == "auto")


async def test_what_was_answered_survives_kill_9(tmp_path: Path) -> None:
    state = tmp_path / "state"
    key, to = EvmSigner(TEST_KEYS[1]), Address(b"\7" * 20)
    async with devnet(engine="pyevm", state_file=state) as net, Rpc(net.url) as rpc:
        genesis = await rpc.call("eth_getBlockByNumber", "0x0", False)
        await rpc.call("eth_sendRawTransaction", to_hex(_pay(key, to, gas=21_000)))
        os.kill(net.pid, signal.SIGKILL)
    whole = state.read_bytes()
    for torn in (b"", b"\x81", b"\x81\xc4\x05abcde"):
        state.write_bytes(whole + torn)
        with StateFile(state) as kept:
            assert len(kept.store) > 2
        assert state.read_bytes() == whole
    async with devnet(engine="pyevm", state_file=state) as net, Rpc(net.url) as rpc:
        assert await rpc.call("eth_getBlockByNumber", "0x0", False) == genesis
        assert await rpc.call("eth_getBalance", format_address(to), "latest") == "0x5"


async def test_a_state_of_something_else_is_refused_and_left_alone(tmp_path: Path) -> None:
    state = tmp_path / "state.json"
    state.write_text('{"block": {}}')
    with pytest.raises(ChainUnreachable, match="not a state of the py-evm devnet"):
        async with devnet(engine="pyevm", state_file=state):
            pass
    assert state.read_text() == '{"block": {}}'


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"{", -32700),
        (b"\xff", -32700),
        (b"[" * 100_000 + b"]" * 100_000, -32600),
        (b"[]", -32600),
        (b"7", -32600),
        (json.dumps([{"id": 1, "method": "eth_chainId"}] * 101).encode(), -32600),
        (b'{"id": 1, "method": "anvil_impersonateAccount"}', -32601),
        (b'{"id": 1, "method": "eth_chainId", "params": {}}', -32602),
        (b'{"id": 1, "method": "eth_chainId", "params": [1]}', -32602),
    ],
    ids=["open", "text", "deep", "empty", "number", "batch", "method", "object", "many"],
)
async def test_what_is_no_request_gets_an_error(
    pyevm: tuple[Devnet, Deployment], body: bytes, code: int
) -> None:
    answer = await _ask(pyevm[0].url, body)
    assert answer["error"]["code"] == code


@pytest.mark.parametrize(
    ("method", "params", "says"),
    [
        ("eth_getBalance", ["0x12", "latest"], "not 20 bytes"),
        ("eth_getBalance", ["0x" + "11" * 20, "0xffffff"], "there is no block"),
        ("eth_getLogs", [{"fromBlock": "0x0", "toBlock": "0x0", "topics": ["0x1"]}], "not 32"),
        ("eth_getLogs", [{"blockHash": "0x" + "11" * 32}], "unknown block"),
        ("eth_sendRawTransaction", ["0x"], "malformed transaction"),
        ("eth_sendRawTransaction", ["0x02c0"], "malformed transaction"),
        ("evm_mine", ["0xffff"], "more than 1000 blocks"),
        ("evm_increaseTime", ["0xffffffffff"], "more than a century"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
async def test_bad_parameters_are_named(
    rpc: Rpc, method: str, params: list[Any], says: str
) -> None:
    with pytest.raises(RpcError, match=says):
        await rpc.call(method, *params)


async def test_the_test_keys_hold_what_they_hold_on_anvil(
    pyevm: tuple[Devnet, Deployment], rpc: Rpc
) -> None:
    name = format_address(EvmSigner(pyevm[0].keys[9]).address)
    assert await rpc.call("eth_getBalance", name, "latest") == hex(10_000 * 10**18)


async def test_fund_sets_what_an_account_holds(pyevm: tuple[Devnet, Deployment], rpc: Rpc) -> None:
    account = new_key().address
    for amount in (5, 0):
        await fund(pyevm[0].url, account, amount)
        assert await rpc.call("eth_getBalance", format_address(account)) == hex(amount)


async def test_a_transaction_over_the_gas_limit_of_osaka_is_refused(
    pyevm: tuple[Devnet, Deployment], rpc: Rpc
) -> None:
    key, to = EvmSigner(pyevm[0].keys[9]), Address(b"\7" * 20)
    with pytest.raises(RpcError, match="EIP-7825"):
        await rpc.call("eth_sendRawTransaction", to_hex(_pay(key, to, gas=2**24 + 1)))


async def test_a_long_request_is_cut_off(pyevm: tuple[Devnet, Deployment]) -> None:
    head = b"POST / HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n"
    port = int(pyevm[0].url.rpartition(":")[2])
    async with await trio.open_tcp_stream("127.0.0.1", port) as stream:
        with trio.fail_after(20), pytest.raises(trio.BrokenResourceError):
            await stream.send_all(head)
            while True:
                await stream.send_all(b"10000\r\n" + b" " * 65536 + b"\r\n")


async def test_connections_are_bounded_and_come_free_again(
    pyevm: tuple[Devnet, Deployment], rpc: Rpc
) -> None:
    port = int(pyevm[0].url.rpartition(":")[2])
    held = [await trio.open_tcp_stream("127.0.0.1", port) for _ in range(64)]
    assert (await _exchange(pyevm[0].url, b"")).startswith(b"HTTP/1.1 503")
    for stream in held:
        await stream.aclose()
    assert await rpc.call("eth_chainId") == hex(31337)
