"""A mesh of processes for the commands to meet, started once; and a way to run the commands."""

import contextlib
import io
import os
import threading
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import trio

from p2p_modelex.cli import main
from p2p_modelex.demo.mesh import PASSPHRASE, SCRYPT_N, SENTIMENT, Character, Mesh, open_mesh
from p2p_modelex.engine.abc import Engine
from p2p_modelex.ids import format_peer_id
from p2p_modelex.keys.signers import Ed25519Signer
from p2p_modelex.node import exchange as library
from p2p_modelex.node.configuration import Configuration, Role
from p2p_modelex.node.configuration_file import read_configuration
from p2p_modelex.node.exchange import Exchange
from p2p_modelex.node.home import Home
from p2p_modelex.node.initialise import init_home
from p2p_modelex.units import Wei
from tests.node.world import PRICE, World, wait_for_sellers

CAST = (Character("ada", SENTIMENT, "0.02", registers=True), Character("bert", SENTIMENT, "0.03"))
START_TIMEOUT_S = 120


@dataclass(frozen=True)
class Said:
    """What a command left behind."""

    code: int
    out: str
    err: str

    def check_error(self, code: int, *parts: str) -> None:
        """It failed as documented: named what is wrong and what to do, without a traceback."""
        assert self.code == code, self
        assert "Traceback" not in self.err
        # A node's log may come before it.
        assert any(line.startswith("error: ") for line in self.err.splitlines()), self
        assert "\n  try: " in self.err, self
        for part in parts:
            assert part in self.err, self


Modelex = Callable[..., Said]


def run_here(*arguments: object) -> Said:
    """Run a command line in this process, which has the heavy imports already."""
    out, err, code = io.StringIO(), io.StringIO(), 0
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            main([str(argument) for argument in arguments])
        except SystemExit as leave:
            code = int(leave.code or 0)
    return Said(code, out.getvalue(), err.getvalue())


@pytest.fixture
def modelex(monkeypatch: pytest.MonkeyPatch) -> Modelex:
    """Run a command as the tests' user, who knows the passphrase."""
    monkeypatch.setenv("MODELEX_PASSPHRASE", PASSPHRASE)
    monkeypatch.delenv("MODELEX_HOME", raising=False)
    return run_here


Serve = Callable[..., World]


@pytest.fixture
def serve(monkeypatch: pytest.MonkeyPatch) -> Serve:
    """Let `connect` give an exchange of a world in memory; `beside` runs while it is open."""

    def install(
        *engines: Engine, beside: Callable[[Exchange], Awaitable[None]] | None = None
    ) -> World:
        world = World()

        @asynccontextmanager
        async def connect(*_: object, **__: object) -> AsyncGenerator[Exchange, None]:
            async with trio.open_nursery() as nursery, world_of(world, engines) as exchange:
                if beside is not None:
                    nursery.start_soon(beside, exchange)
                yield exchange

        monkeypatch.setattr(library, "connect", connect)
        return world

    return install


@asynccontextmanager
async def world_of(world: World, engines: tuple[Engine, ...]) -> AsyncGenerator[Exchange, None]:
    async with trio.open_nursery() as nursery:
        for number, engine in enumerate(engines, 1):
            price = Wei(PRICE * number**6)  # the first is the cheapest by far
            await nursery.start(_sell, world, number, engine, price)
        friends = list(range(1, len(engines) + 1))
        async with world.requester(99, friends=friends) as exchange:
            await wait_for_sellers(exchange, len(engines))
            yield exchange
            nursery.cancel_scope.cancel()


async def _sell(world: World, number: int, engine: Engine, price: Wei, *, task_status: Any) -> None:
    async with world.provider(number, engine, price=price):
        task_status.started()
        await trio.sleep_forever()


@pytest.fixture(scope="session")
def mesh(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mesh]:
    """A devnet, a bootstrap peer, two providers and a client's home; the commands may use it."""
    folder = tmp_path_factory.mktemp("mesh")
    models = folder / "models"
    models.mkdir()
    runner = _Runner(folder, models)
    runner.start()
    try:
        yield runner.wait()
    finally:
        runner.stop()
        os.environ.pop("MODELEX_PASSPHRASE", None)


class _Runner(threading.Thread):
    """Trio in another thread, so that the tests' own may run commands."""

    def __init__(self, folder: Path, models: Path) -> None:
        super().__init__(name="mesh")
        self._folder = folder
        self._models = models
        self._up = threading.Event()
        self._mesh: Mesh | None = None
        self._error: BaseException | None = None
        self._token: trio.lowlevel.TrioToken | None = None
        self._leave: trio.Event | None = None

    def run(self) -> None:
        try:
            trio.run(self._live)
        except BaseException as error:  # reported by the thread that waits
            self._error = error
        finally:
            self._up.set()

    async def _live(self) -> None:
        self._token, self._leave = trio.lowlevel.current_trio_token(), trio.Event()
        async with open_mesh(self._folder, self._models, lambda _: None, CAST) as self._mesh:
            self._up.set()
            await self._leave.wait()

    def wait(self) -> Mesh:
        assert self._up.wait(START_TIMEOUT_S)
        if self._error is not None:
            raise self._error
        assert self._mesh is not None
        return self._mesh

    def stop(self) -> None:
        if self._token is not None and self._leave is not None and self.is_alive():
            self._token.run_sync_soon(self._leave.set)
        self.join()


@pytest.fixture
def client(mesh: Mesh, tmp_path: Path) -> Home:
    """A fresh home in the mesh; its account has no money."""
    configuration = read_configuration(mesh.homes["client"].configuration)
    return new_home(tmp_path / "client", mesh.folder / "network.toml", configuration)


def new_home(path: Path, network_file: Path, configuration: Configuration) -> Home:
    home = Home(path)
    init_home(home, configuration, PASSPHRASE, deployment_file=network_file, scrypt_n=SCRYPT_N)
    return home


NETWORK = """\
name = "nowhere"
chain_id = 31337

[contracts]
token = "0x0000000000000000000000000000000000000001"
registry = "0x0000000000000000000000000000000000000002"
channels = "0x0000000000000000000000000000000000000003"
"""


@pytest.fixture
def lonely(tmp_path: Path) -> Home:
    """A home whose chain and bootstrap peer are not there; needs no mesh."""
    network_file = tmp_path / "nowhere.toml"
    network_file.write_text(NETWORK)
    return new_home(tmp_path / "lonely", network_file, nowhere())


def nowhere(role: Role = "requester") -> Configuration:
    defaults = Configuration()
    peer = format_peer_id(Ed25519Signer(bytes(32)).peer)
    return replace(
        defaults,
        role=role,
        network=replace(defaults.network, rpc_url="http://127.0.0.1:1"),
        mesh=replace(
            defaults.mesh,
            listen=("/ip4/127.0.0.1/tcp/0",),
            bootstrap=(f"/ip4/127.0.0.1/tcp/1/p2p/{peer}",),
            dht=False,
        ),
    )


def edit(home: Home, *changes: tuple[str, str]) -> None:
    """Replace text in a home's configuration."""
    text = home.configuration.read_text()
    for old, new in changes:
        assert old in text, old
        text = text.replace(old, new)
    home.configuration.write_text(text)
