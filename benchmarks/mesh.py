"""A small real mesh: devnet, bootstrap peer and one provider as processes, homes on disk."""

import os
import subprocess
import sys
import tempfile
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import trio

from p2p_modelex.chain.abc import Deployment
from p2p_modelex.chain.devnet import Devnet, bring_up, grant
from p2p_modelex.engine.catalogue import Catalogue
from p2p_modelex.errors import NetworkError
from p2p_modelex.ids import Address
from p2p_modelex.node.configuration import Configuration, Role
from p2p_modelex.node.home import Home
from p2p_modelex.node.initialise import init_home
from p2p_modelex.node.model_settings import ModelSettings
from p2p_modelex.node.options import AMOUNT
from p2p_modelex.units import AI, Wei

MODELS = Path.home() / ".cache" / "modelex" / "models"
"""Where `modelex demo` keeps what it fetched."""

PASSPHRASE = "benchmark"  # noqa: S105 - of test money
_SCRYPT_N = 2**12
_START_TIMEOUT_S = 60.0
_CHALLENGE_S = 3600


@dataclass(frozen=True, slots=True)
class SmallMesh:
    """What runs. provider, bootstrap: process ids; client: a requester's home, not opened."""

    client: Home
    provider: int
    bootstrap: int


def best_model() -> str | None:
    """Return the biggest model that was fetched, None if there is none."""
    catalogue = Catalogue(MODELS)
    models = sorted(catalogue.list(), key=lambda model: model.size)
    return models[-1].name if models else None


@dataclass(frozen=True, slots=True)
class Ground:
    """A temporary folder with a devnet, where homes are made."""

    folder: Path
    network: Path
    net: Devnet
    deployment: Deployment

    def make_home(self, name: str, settings: Configuration) -> tuple[Home, Address]:
        """Initialise a home on this chain; returns its account too, which has nothing yet."""
        network = replace(settings.network, rpc_url=self.net.url)
        home = Home(self.folder / name)
        ring = init_home(
            home,
            replace(settings, network=network),
            PASSPHRASE,
            deployment_file=self.network,
            scrypt_n=_SCRYPT_N,
        )
        return home, ring.account.address

    async def grant(self, payer: Address, *payees: Address) -> None:
        """Give the payer money, and everybody gas."""
        grants = {payer: Wei(1000 * AI), **dict.fromkeys(payees, Wei(0))}
        await grant(self.net.url, self.deployment, grants)


@asynccontextmanager
async def open_ground() -> AsyncGenerator[Ground, None]:
    """Start a devnet with our contracts; it stops, and the folder goes, when the block ends."""
    os.environ["MODELEX_PASSPHRASE"] = PASSPHRASE
    with tempfile.TemporaryDirectory(prefix="modelex-benchmark-") as folder:
        base = Path(folder)
        network = base / "network.toml"
        async with bring_up(network, {}, challenge_s=_CHALLENGE_S) as (net, deployment):
            yield Ground(base, network, net, deployment)


@asynccontextmanager
async def open_small_mesh(model: str) -> AsyncGenerator[SmallMesh, None]:
    """Start everything; it stops when the block ends."""
    async with open_ground() as ground:

        def make(name: str, role: Role, *bootstrap: str) -> tuple[Home, Address]:
            models = (ModelSettings(model=model, threads=1),) if role == "provider" else ()
            home, account = ground.make_home(name, configure(role, bootstrap, models))
            home.models.rmdir()
            home.models.symlink_to(MODELS)
            return home, account

        meeting, _ = make("bootstrap", "bootstrap")
        async with run_node(meeting, "bootstrap") as (bootstrap_pid, address):
            client, payer = make("client", "requester", address)
            seller, payee = make("provider", "provider", address)
            await ground.grant(payer, payee)
            async with run_node(seller, "up") as (provider_pid, _):
                yield SmallMesh(client, provider_pid, bootstrap_pid)


def configure(
    role: Role, bootstrap: Sequence[str], models: Sequence[ModelSettings]
) -> Configuration:
    """Return a configuration for loopback."""
    defaults = Configuration()
    return replace(
        defaults,
        role=role,
        mesh=replace(
            defaults.mesh, listen=("/ip4/127.0.0.1/tcp/0",), bootstrap=tuple(bootstrap), dht=False
        ),
        requester=replace(defaults.requester, auto_deposit=AMOUNT.read("10")),
        models=tuple(models),
    )


PROGRAM = (sys.executable, "-m", "p2p_modelex")


@asynccontextmanager
async def run_node(
    home: Home,
    command: str,
    *,
    ready: str = "listening on ",
    program: Sequence[str] = PROGRAM,
) -> AsyncGenerator[tuple[int, str], None]:
    """Run a node's process; gives its id, and what follows `ready` on the line that begins so."""
    with (home.logs / "node.log").open("wb") as log:
        process = await trio.lowlevel.open_process(
            [*program, command, "--home", str(home.path)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=log,
        )
        try:
            yield process.pid, await _read_line(process, home, ready)
        finally:
            with trio.CancelScope(shield=True):
                process.terminate()
                with trio.move_on_after(_START_TIMEOUT_S):
                    await process.wait()
                if process.returncode is None:
                    process.kill()


async def _read_line(process: trio.Process, home: Home, ready: str) -> str:
    assert process.stdout is not None
    heard = ""
    with trio.move_on_after(_START_TIMEOUT_S):
        async for part in process.stdout:
            heard += part.decode()
            for line in heard.splitlines(keepends=True):
                if line.startswith(ready) and line.endswith("\n"):
                    return line.removeprefix(ready).strip()
    log = (home.logs / "node.log").read_text(encoding="utf-8")[-2000:]
    raise NetworkError(f"{home.path.name} did not start", hint=log)
