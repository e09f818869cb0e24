"""The demonstration's mesh: devnet, bootstrap peer and five nodes, each a process of its own."""

import os
import subprocess
import sys
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import trio

from p2p_modelex.chain.abc import Deployment
from p2p_modelex.chain.devnet import Devnet, bring_up, grant
from p2p_modelex.engine.catalogue import Catalogue
from p2p_modelex.engine.sources import add_model
from p2p_modelex.errors import NetworkError
from p2p_modelex.ids import Address
from p2p_modelex.keys.signers import KeyRing
from p2p_modelex.node.configuration import Configuration, Role
from p2p_modelex.node.home import Home
from p2p_modelex.node.initialise import init_home
from p2p_modelex.node.model_settings import ModelSettings
from p2p_modelex.node.options import AMOUNT, PRICE
from p2p_modelex.units import AI, Wei

PASSPHRASE = "demo"  # noqa: S105 - of test money
SCRYPT_N = 2**12
"""These keys hold test money and are thrown away, so opening them need not be slow."""

GATEWAY = "gateway"
"""The home that the API's requests are paid from, so that `client` is free for commands."""

SENTIMENT = "news-sentiment"
CHAT = "smollm2-135m-instruct"
START_TIMEOUT_S = 120.0
STOP_TIMEOUT_S = 40.0
Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Character:
    """One node of the demonstration.

    price: AI for 1,000 completion tokens. mischief: arguments of demo/mischief.py, empty if
    honest. note: what to tell the audience about it. registers: it stands in the registry on chain.
    """

    name: str
    model: str
    price: str
    mischief: tuple[str, ...] = ()
    note: str = ""
    registers: bool = False


CAST = (
    Character("ada", SENTIMENT, "0.02", registers=True),
    Character("brittle", SENTIMENT, "0.012", ("--crash-jobs", "2"), "crashes in its first 2 jobs"),
    Character(
        "cunning", SENTIMENT, "0.09", ("--advertise", "0.008"), "advertises 0.008 AI instead"
    ),
    Character("dora", CHAT, "0.05"),
    Character("emil", CHAT, "0.06"),
)


@dataclass(frozen=True, slots=True)
class Mesh:
    """What is running. homes, keys, processes: by name, with `client` and `bootstrap`."""

    folder: Path
    models: Path
    net: Devnet
    deployment: Deployment
    homes: dict[str, Home]
    keys: dict[str, KeyRing]
    cast: Sequence[Character] = CAST
    processes: dict[str, trio.Process] = field(default_factory=dict)

    @property
    def names(self) -> dict[bytes, str]:
        """Peer id -> name."""
        return {keys.peer.peer: name for name, keys in self.keys.items()}


@asynccontextmanager
async def open_mesh(
    folder: Path, models: Path, say: Say, cast: Sequence[Character] = CAST
) -> AsyncGenerator[Mesh, None]:
    """Start everything in `folder`; it stops when the block ends. `models`: a shared catalogue."""
    os.environ["MODELEX_PASSPHRASE"] = PASSPHRASE
    await _add_models(Catalogue(models), cast, say)
    async with bring_up(folder / "network.toml", {}) as (net, deployment):
        say(f"chain: {net.engine} at {net.url}, contracts deployed")
        mesh = Mesh(folder, models, net, deployment, {}, {}, cast)
        _make_home(mesh, "bootstrap", "bootstrap", ())
        async with _run_node(mesh, "bootstrap", ()) as address:
            say("bootstrap peer: up")
            for name in ("client", GATEWAY):
                _make_home(mesh, name, "requester", (), address)
            for one in cast:
                models_of = (_settings_of(one),)
                _make_home(mesh, one.name, "provider", models_of, address, registers=one.registers)
            await grant(net.url, deployment, _grants(mesh))
            async with _run_cast(mesh, say):
                yield mesh


async def _add_models(catalogue: Catalogue, cast: Sequence[Character], say: Say) -> None:
    for name in dict.fromkeys(character.model for character in cast):
        if name not in catalogue.names():
            say(f"fetching the model {name}")
            await add_model(catalogue, name)


def _grants(mesh: Mesh) -> dict[Address, Wei]:
    keys = mesh.keys
    grants = {keys[character.name].account.address: Wei(0) for character in mesh.cast}
    buyers = {keys[name].account.address: Wei(1000 * AI) for name in ("client", GATEWAY)}
    return {**buyers, **grants}


def _make_home(
    mesh: Mesh,
    name: str,
    role: Role,
    models: Sequence[ModelSettings],
    *bootstrap: str,
    registers: bool = False,
) -> None:
    home = mesh.homes[name] = Home(mesh.folder / name)
    mesh.keys[name] = init_home(
        home,
        _configure(role, models, mesh.net.url, bootstrap, registers=registers),
        PASSPHRASE,
        deployment_file=mesh.folder / "network.toml",
        scrypt_n=SCRYPT_N,
    )
    home.models.rmdir()
    home.models.symlink_to(mesh.models)


def _settings_of(character: Character) -> ModelSettings:
    return ModelSettings(
        model=character.model,
        completion_price=PRICE.read(character.price),
        prompt_price=PRICE.read("0.001"),
        threads=1,
    )


def _configure(
    role: Role,
    models: Sequence[ModelSettings],
    url: str,
    bootstrap: tuple[str, ...],
    *,
    registers: bool,
) -> Configuration:
    defaults = Configuration()
    return replace(
        defaults,
        role=role,
        network=replace(defaults.network, rpc_url=url),
        mesh=replace(
            defaults.mesh, listen=("/ip4/127.0.0.1/tcp/0",), bootstrap=bootstrap, dht=False
        ),
        registry=replace(defaults.registry, register=registers),
        requester=replace(defaults.requester, auto_deposit=AMOUNT.read("1")),
        models=tuple(models),
    )


@asynccontextmanager
async def _run_cast(mesh: Mesh, say: Say) -> AsyncGenerator[None, None]:
    """Start all nodes at once: most of a start is imports, and there is more than one core."""
    ready = {character.name: trio.Event() for character in mesh.cast}
    leave = trio.Event()

    async def live(character: Character) -> None:
        async with _run_node(mesh, character.name, character.mischief):
            note = f" ({character.note})" if character.note else ""
            say(f"{character.name}: sells {character.model} at {character.price} AI{note}")
            ready[character.name].set()
            await leave.wait()

    async with trio.open_nursery() as nursery:
        for character in mesh.cast:
            nursery.start_soon(live, character)
        for event in ready.values():
            await event.wait()
        try:
            yield
        finally:
            leave.set()


@asynccontextmanager
async def _run_node(mesh: Mesh, name: str, mischief: tuple[str, ...]) -> AsyncGenerator[str, None]:
    """Run one node as a process; gives its address once it listens, and stops it at the end."""
    module = ["p2p_modelex", "bootstrap" if name == "bootstrap" else "up"]
    if mischief:
        module = ["p2p_modelex.demo.mischief"]
    async with _run(mesh, name, (*module, *mischief), "listening on ") as address:
        yield address


@asynccontextmanager
async def run_gateway(mesh: Mesh) -> AsyncGenerator[str, None]:
    """Serve the OpenAI-style API as a process; gives its base URL, and stops it at the end."""
    command = ("p2p_modelex", "gateway", "--port", "0")
    async with _run(mesh, GATEWAY, command, "serving ") as url:
        yield url


@asynccontextmanager
async def _run(
    mesh: Mesh, name: str, module: Sequence[str], ready: str
) -> AsyncGenerator[str, None]:
    """Run a module on a home; gives what it prints after `ready`."""
    home = mesh.homes[name]
    command = [sys.executable, "-m", *module, "--home", str(home.path)]
    with (home.logs / "node.log").open("wb") as log:
        process = await trio.lowlevel.open_process(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=log
        )
        mesh.processes[name] = process
        try:
            yield await _read_line(process, home, ready)
        finally:
            await _stop(process)


async def _read_line(process: trio.Process, home: Home, ready: str) -> str:
    assert process.stdout is not None
    heard = b""
    with trio.move_on_after(START_TIMEOUT_S):
        async for part in process.stdout:
            heard += part
            for line in heard.decode().splitlines(keepends=True):
                if line.startswith(ready) and line.endswith("\n"):
                    return line.removeprefix(ready).strip()
    log = (home.logs / "node.log").read_text()[-2000:]
    raise NetworkError(f"{home.path.name} did not start", hint=log)


async def _stop(process: trio.Process) -> None:
    with trio.CancelScope(shield=True):
        if process.returncode is None:
            process.terminate()
        with trio.move_on_after(STOP_TIMEOUT_S):
            await process.wait()
        if process.returncode is None:
            process.kill()
            await process.wait()
