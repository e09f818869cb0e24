"""One devnet of each engine for the whole session; each test makes accounts of its own."""

import threading
from collections.abc import AsyncGenerator, Generator
from pathlib import Path
from queue import Queue

import pytest
import trio

from p2p_modelex.chain.abc import Deployment
from p2p_modelex.chain.devnet import Devnet, Engine, bring_up
from tests.chain.worlds import CHALLENGE_S, EvmWorld, MemoryWorld, World


@pytest.fixture(scope="session")
def anvil(tmp_path_factory: pytest.TempPathFactory) -> Generator[tuple[Devnet, Deployment]]:
    yield from _outlive(tmp_path_factory, "anvil")


@pytest.fixture(scope="session")
def pyevm(tmp_path_factory: pytest.TempPathFactory) -> Generator[tuple[Devnet, Deployment]]:
    yield from _outlive(tmp_path_factory, "pyevm")


def _outlive(
    factory: pytest.TempPathFactory, engine: Engine
) -> Generator[tuple[Devnet, Deployment]]:
    """A devnet that outlives a single test's trio run: it has a thread and a run of its own."""
    network_file = factory.mktemp("network") / "network.toml"
    answers: Queue[tuple[Devnet, Deployment] | BaseException] = Queue()
    token: Queue[tuple[trio.lowlevel.TrioToken, trio.Event]] = Queue()
    thread = threading.Thread(target=_run, args=(network_file, engine, answers, token))
    thread.start()
    up = answers.get()
    if isinstance(up, BaseException):
        raise up
    yield up
    trio_token, stop = token.get()
    trio_token.run_sync_soon(stop.set)
    thread.join()


def _run(
    network_file: Path,
    engine: Engine,
    answers: "Queue[tuple[Devnet, Deployment] | BaseException]",
    token: "Queue[tuple[trio.lowlevel.TrioToken, trio.Event]]",
) -> None:
    async def serve() -> None:
        stop = trio.Event()
        async with bring_up(network_file, {}, engine=engine, challenge_s=CHALLENGE_S) as up:
            token.put((trio.lowlevel.current_trio_token(), stop))
            answers.put(up)
            await stop.wait()

    try:
        trio.run(serve)
    except BaseException as error:  # the fixture raises it in the test's thread
        answers.put(error)


@pytest.fixture(params=["memory", "anvil", "pyevm"])
async def world(request: pytest.FixtureRequest) -> AsyncGenerator[World, None]:
    """The contract tests run in each."""
    made: World
    if request.param == "memory":
        made = MemoryWorld()
    else:
        made = EvmWorld(*_place(request.getfixturevalue(request.param)))
    async with made:
        yield made


@pytest.fixture(params=["anvil", "pyevm"])
async def evm(request: pytest.FixtureRequest) -> AsyncGenerator[EvmWorld, None]:
    async with EvmWorld(*_place(request.getfixturevalue(request.param))) as made:
        yield made


@pytest.fixture
async def on_anvil(anvil: tuple[Devnet, Deployment]) -> AsyncGenerator[EvmWorld, None]:
    """For what only anvil does: reorgs, dropping and replacing transactions."""
    async with EvmWorld(*_place(anvil)) as made:
        yield made


def _place(up: tuple[Devnet, Deployment]) -> tuple[str, Deployment]:
    net, deployment = up
    return net.url, deployment
