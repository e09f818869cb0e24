"""The devnet as a process: it starts, keeps its state, and never outlives its block."""

import stat
import subprocess
import sys
from pathlib import Path

import pytest
import trio

from p2p_modelex.chain import anvil
from p2p_modelex.chain.devnet import TEST_KEYS, Engine, bring_up, devnet, fund
from p2p_modelex.chain.evm.port import EvmChain
from p2p_modelex.chain.evm.rpc import Rpc
from p2p_modelex.errors import ChainUnreachable, ConfigurationError
from p2p_modelex.ids import format_address
from p2p_modelex.records.signers import EvmSigner
from p2p_modelex.units import Wei
from tests.chain.worlds import new_key

_OWNER = """
import sys
import trio
from p2p_modelex.chain.devnet import devnet

async def own():
    async with devnet(engine=sys.argv[1]) as net:
        print(net.pid, flush=True)
        await trio.sleep_forever()

trio.run(own)
"""

ENGINES = pytest.mark.parametrize("engine", ["anvil", "pyevm"])


def _is_running(pid: int) -> bool:
    """Whether the process lives; one that waits to be reaped does not."""
    try:
        return ") Z" not in Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False


async def test_it_answers_and_ends_with_its_block() -> None:
    async with devnet() as net, Rpc(net.url) as rpc:
        assert await rpc.call("eth_chainId") == hex(31337)
        assert net.keys == TEST_KEYS
        assert _is_running(net.pid)
    assert not _is_running(net.pid)


async def test_it_ends_when_cancelled() -> None:
    pids = []
    with trio.CancelScope() as scope:
        async with devnet() as net:
            pids.append(net.pid)
            scope.cancel()
            await trio.sleep_forever()
    assert not _is_running(pids[0])


@ENGINES
async def test_it_ends_when_its_owner_is_killed(engine: Engine) -> None:
    command = [sys.executable, "-c", _OWNER, engine]
    owner = await trio.lowlevel.open_process(command, stdout=subprocess.PIPE)
    assert owner.stdout is not None
    pid = int(await owner.stdout.receive_some(100))
    assert _is_running(pid)
    owner.kill()
    await owner.wait()
    with trio.fail_after(10):
        while _is_running(pid):
            await trio.sleep(0.02)
    await owner.stdout.aclose()


async def test_an_error_in_the_block_arrives_as_it_is() -> None:
    with pytest.raises(KeyError):
        async with devnet():
            raise KeyError


@ENGINES
async def test_a_taken_port_is_told(engine: Engine) -> None:
    async with devnet(engine="anvil") as net:
        with pytest.raises(ChainUnreachable, match=f"{engine} did not start") as caught:
            async with devnet(int(net.url.rpartition(":")[2]), engine=engine):
                pass
    assert "port" in caught.value.hint


async def test_the_test_keys_hold_native_coin_and_fund_sets_it() -> None:
    async with devnet() as net, Rpc(net.url) as rpc:
        for key in net.keys:
            name = format_address(EvmSigner(key).address)
            assert await rpc.call("eth_getBalance", name, "latest") == hex(10_000 * 10**18)
        account = new_key().address
        await fund(net.url, account, 5)
        assert await rpc.call("eth_getBalance", format_address(account), "latest") == "0x5"


async def test_state_survives_a_restart_and_nothing_is_deployed_twice(tmp_path: Path) -> None:
    network_file, state = tmp_path / "network.toml", tmp_path / "state.json"
    account = new_key()
    async with (
        bring_up(network_file, {account.address: Wei(7)}, state_file=state) as (net, first),
        EvmChain(net.url, first, account) as port,
    ):
        genesis = await port.fetch_genesis()
    async with bring_up(network_file, {account.address: Wei(1)}, state_file=state) as (net, again):
        assert again == first
        async with EvmChain(net.url, again, account) as port:
            assert await port.fetch_genesis() == genesis
            assert await port.fetch_balance(account.address) == 8


async def test_a_fresh_devnet_is_deployed_to_although_a_file_is_there(tmp_path: Path) -> None:
    network_file = tmp_path / "network.toml"
    async with bring_up(network_file, {}) as (_, first):
        pass
    async with bring_up(network_file, {}) as (net, again):
        assert again == first  # addresses follow from the deployer and its nonce
        async with EvmChain(net.url, again, new_key()) as port:
            await port.check()


async def test_without_npm_it_is_said_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ConfigurationError, match="npm is needed") as caught:
        await anvil.fetch_anvil(tmp_path / "cache")
    assert "Node.js" in caught.value.hint


@pytest.mark.parametrize(
    ("script", "says"),
    [
        ("echo E404 not found >&2; exit 1", "could not fetch .*E404 not found"),
        ("echo nonsense", "could not fetch"),
        ('echo hostile > evil.tgz; echo \'[{"filename": "evil.tgz"}]\'', "not the pinned one"),
    ],
    ids=["refused", "nonsense", "other-bytes"],
)
async def test_a_bad_fetch_leaves_nothing_to_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str, says: str
) -> None:
    npm = tmp_path / "npm"
    npm.write_text(f"#!/bin/sh\n{script}\n")
    npm.chmod(npm.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", f"{tmp_path}:/bin:/usr/bin")
    with pytest.raises(ConfigurationError, match=says):
        await anvil.fetch_anvil(tmp_path / "cache")
    assert list((tmp_path / "cache").iterdir()) == []


async def test_a_platform_without_a_pinned_package_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("platform.machine", lambda: "riscv64")
    with pytest.raises(ConfigurationError, match=r"no pinned anvil for .* riscv64"):
        await anvil.fetch_anvil(tmp_path / "cache")
