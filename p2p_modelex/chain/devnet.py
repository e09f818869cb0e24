"""A private EVM chain for trying Modelex out: a child process that listens on loopback only.

That is anvil, or where it cannot be had, py-evm behind the same methods (`chain/pyevm`).
"""

import importlib.util
import subprocess
import sys
from collections import deque
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import trio

from p2p_modelex.chain.abc import Deployment
from p2p_modelex.chain.anvil import AnvilUnavailable, fetch_anvil
from p2p_modelex.chain.deployment import read_deployment, write_deployment
from p2p_modelex.chain.evm.deploy import deploy
from p2p_modelex.chain.evm.plan import Terms
from p2p_modelex.chain.evm.port import DEVNET_CHAIN_ID, EvmChain
from p2p_modelex.chain.evm.rpc import Rpc
from p2p_modelex.errors import ChainError, ChainUnreachable, ConfigurationError
from p2p_modelex.ids import Address, format_address
from p2p_modelex.records.signers import EvmSigner
from p2p_modelex.units import Wei

CHAIN_ID = DEVNET_CHAIN_ID
CHALLENGE_S = 60
# Blocks come with transactions here, so a week of them never would.
SPLIT_NOTICE_BLOCKS = 20
SPLIT_PAUSE_BLOCKS = 20
TEST_BALANCE = 10_000 * 10**18  # native wei of each test key
GAS_MONEY = 100 * 10**18  # native wei given with a grant
START_TIMEOUT_S = 30
STOP_TIMEOUT_S = 10
STATES_KEPT = 256
"""Blocks of anvil whose state can be asked for."""
# --state alone survives SIGTERM but not SIGKILL or a power cut.
STATE_INTERVAL_S = 5
_LOG_CHUNKS = 32
# Becomes the chain, leaving a guard behind that ends it when our end of its standard input closes:
# that happens even when this process is killed and can clean up nothing.
_GUARDED = (
    "/bin/sh",
    "-c",
    'exec 3<&0; (cat <&3; kill -TERM $$) >/dev/null 2>&1 & exec 3<&-; exec "$@" </dev/null',
    "sh",
)

# The ten accounts of the mnemonic "test test test test test test test test test test test junk",
# which every development node shares. Anyone can spend what they hold: never for a real network.
TEST_KEYS = tuple(
    bytes.fromhex(key)
    for key in (
        "ac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80",
        "59c6995e998f97a5a0044966f0945389dc9e86dae88c7a8412f4603b6b78690d",
        "5de4111afa1a4b94908f83103eb1f1706367c2e68ca870fc3fb9a804cdab365a",
        "7c852118294e51e653712a81e05800f419141751be58f605c371e15141b007a6",
        "47e179ec197488593b187f80a00eb0da91f1b9d0b13f8733639f19c30a34926a",
        "8b3a350cf5c34c9194ca85829a2df0ec3153be0318b5e2d3348e872092edffba",
        "92db14e403b83dfe3df233f83dfa3a0d7096f21ca9b0d6d6b8d88b2b4ec1564e",
        "4bbbf85ce3377467afe5d46f804f221813b2bb87f24d81f60f1fcdbf7cbf4356",
        "dbda1821b80551c9d65939329250298aa3472ba22feea921c0cf5d620ea67b97",
        "2a871d0798f97d79848a013d4936a73bf4cc922c825d33c1cf7073dff6d409c6",
    )
)


Engine = Literal["auto", "anvil", "pyevm"]


@dataclass(frozen=True, slots=True)
class Devnet:
    """A running devnet. keys: private keys of accounts that hold 10,000 of the native coin each.

    engine: what executes it; why: a sentence if that is not anvil though nobody said so.
    """

    url: str
    keys: tuple[bytes, ...]
    pid: int
    engine: str = "anvil"
    why: str = ""


@dataclass(frozen=True, slots=True)
class _Program:
    """What to run: the engine's name, the command's beginning, why not anvil."""

    engine: str
    command: tuple[str, ...]
    why: str = ""


@asynccontextmanager
async def devnet(
    port: int = 0,
    *,
    state_file: Path | None = None,
    block_time: int | None = None,
    engine: Engine = "auto",
) -> AsyncGenerator[Devnet, None]:
    """Run a chain on 127.0.0.1:`port` (0: a free one) until the block ends, cancelled or not.

    state_file: loaded at start; pyevm writes each change at once, anvil every few seconds and at
    the end, so that only pyevm's survives SIGKILL whole; each engine has its own format.
    block_time: seconds between blocks; None mines one for each transaction at once.
    engine: "auto" is anvil, and pyevm where anvil cannot be had and the extra is installed.
    Raises ConfigurationError if the engine cannot be had, ChainUnreachable if it does not start
    (the port taken, say).
    """
    program = await _choose(engine)
    command = [*_GUARDED, *program.command, *_arguments(program, port, state_file, block_time)]
    try:
        process = await trio.lowlevel.open_process(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # Ctrl-C ends us first; our nodes may still settle
        )
    except OSError as error:
        raise ConfigurationError(f"cannot run {program.command[0]}: {error}") from error
    assert process.stdout is not None
    try:
        url = await _read_url(process.stdout, program.engine)
        # Not a nursery's task: a nursery here would wrap every error of the caller's block in a
        # group. It ends when _stop closes the pipe.
        trio.lowlevel.spawn_system_task(_drain, process.stdout)
        yield Devnet(url, TEST_KEYS, process.pid, program.engine, program.why)
    finally:
        await _stop(process)


async def _choose(engine: Engine) -> _Program:
    if engine == "pyevm":
        return _pyevm("")
    try:
        return _Program("anvil", (str(await fetch_anvil()),))
    except AnvilUnavailable as error:
        if engine == "anvil":
            raise
        return _pyevm(f"anvil cannot be had: {error}", error)


def _pyevm(why: str, cause: AnvilUnavailable | None = None) -> _Program:
    # Found without importing it: that takes seconds and raises the recursion limit.
    if importlib.util.find_spec("eth") is None:
        raise ConfigurationError(
            why or "the pure-Python chain, py-evm, is not installed",
            hint=(f"{cause.hint}; or " if cause else "") + "pip install 'p2p-modelex[pyevm]'",
        ) from cause
    return _Program("pyevm", (sys.executable, "-m", "p2p_modelex.chain.pyevm"), why)


def _arguments(
    program: _Program, port: int, state_file: Path | None, block_time: int | None
) -> list[str]:
    arguments = ["--port", str(port)]
    if state_file is not None:
        arguments += ["--state", str(state_file)]
    if block_time is not None:
        arguments += ["--block-time", str(block_time)]
    if program.engine == "pyevm":
        return arguments
    arguments += ["--host", "127.0.0.1", "--chain-id", str(CHAIN_ID), "--no-request-size-limit"]
    # The gas cap for one transaction (EIP-7825) is off by default in anvil and on in mainnet.
    arguments += ["--hardfork", "osaka", "--enable-tx-gas-limit"]
    # Old states would go to ~/.foundry, gigabytes in a day, and stay there if anvil is killed.
    arguments += ["--prune-history", str(STATES_KEPT)]
    if state_file is not None:
        arguments += ["--state-interval", str(STATE_INTERVAL_S)]
    return arguments


async def _read_url(output: trio.abc.ReceiveStream, engine: str) -> str:
    """Return the URL once the engine listens; ChainUnreachable if it ends or stays silent."""
    tail: deque[str] = deque(maxlen=_LOG_CHUNKS)
    with trio.move_on_after(START_TIMEOUT_S):
        async for chunk in output:
            tail.append(chunk.decode(errors="replace"))
            url = _find_url("".join(tail))
            if url is not None:
                return url
    raise ChainUnreachable(
        f"{engine} did not start: {''.join(tail).strip()[-300:]}",
        hint="is the port taken by another devnet?",
    )


async def _drain(output: trio.abc.ReceiveStream) -> None:
    """Keep the pipe empty: anvil logs every call, and a full pipe would stop it."""
    with suppress(trio.ClosedResourceError, trio.BrokenResourceError):
        async for _ in output:
            pass


def _find_url(text: str) -> str | None:
    _, mark, rest = text.partition("Listening on ")
    address, newline, _ = rest.partition("\n")
    return f"http://{address.strip()}" if mark and newline else None


async def _stop(process: trio.Process) -> None:
    """SIGTERM, so that the engine writes its state; SIGKILL if it takes too long."""
    with trio.CancelScope(shield=True):
        if process.stdin is not None:
            await process.stdin.aclose()  # before the process is reaped, so the guard knows it
        if process.returncode is None:
            process.terminate()
        with trio.move_on_after(STOP_TIMEOUT_S) as stopping:
            await process.wait()
        if stopping.cancelled_caught:
            process.kill()
            await process.wait()
        if process.stdout is not None:
            await process.stdout.aclose()


@asynccontextmanager
async def bring_up(
    network_file: Path,
    grants: Mapping[Address, Wei],
    *,
    port: int = 0,
    state_file: Path | None = None,
    block_time: int | None = None,
    engine: Engine = "auto",
    challenge_s: int = CHALLENGE_S,
) -> AsyncGenerator[tuple[Devnet, Deployment], None]:
    """Run a devnet with our contracts on it, write the network file, and pay the grants.

    grants: $AI for each account, with native coin for gas. With a state file that has the
    contracts of the network file already, nothing is deployed again. Errors: see `devnet`,
    `deploy`, `write_deployment`.
    """
    async with devnet(port, state_file=state_file, block_time=block_time, engine=engine) as net:
        deployment = await _find_deployment(net, network_file)
        if deployment is None:
            terms = Terms(
                challenge_s,
                split_notice_blocks=SPLIT_NOTICE_BLOCKS,
                split_pause_blocks=SPLIT_PAUSE_BLOCKS,
            )
            deployment = await deploy(net.url, net.keys[0], name="devnet", terms=terms)
            write_deployment(network_file, deployment)
        await grant(net.url, deployment, grants)
        yield net, deployment


async def _find_deployment(net: Devnet, network_file: Path) -> Deployment | None:
    """Return what the network file names if this chain has it, from an earlier run's state."""
    try:
        deployment = read_deployment(network_file)
        async with EvmChain(net.url, deployment, EvmSigner(net.keys[0])) as chain:
            await chain.check()
    except (ConfigurationError, ChainError):
        return None
    return deployment


async def grant(url: str, deployment: Deployment, grants: Mapping[Address, Wei]) -> None:
    """Give each account $AI of the deployer's and native coin for gas; only on a devnet."""
    async with EvmChain(url, deployment, EvmSigner(TEST_KEYS[0])) as chain:
        for account, amount in grants.items():
            await fund(url, account, GAS_MONEY)
            await chain.transfer(account, amount)


async def fund(url: str, account: Address, native: int) -> None:
    """Set an account's native coin, wei; only on a devnet."""
    async with Rpc(url) as rpc:
        await rpc.call("anvil_setBalance", format_address(account), hex(native))


async def mine_blocks(url: str, count: int) -> None:
    """Mine blocks without transactions; only on a devnet."""
    async with Rpc(url) as rpc:
        for _ in range(count):
            await rpc.call("evm_mine", retry=False)


async def advance_time(url: str, seconds: int) -> None:
    """Let the next block be `seconds` later, and mine it; only on a devnet."""
    async with Rpc(url) as rpc:
        await rpc.call("evm_increaseTime", hex(seconds), retry=False)
        await rpc.call("evm_mine", retry=False)
