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

from p2p_modelex.chain.devnet import bring_up, grant
from p2p_modelex.engine.catalogue import Catalogue
from p2p_modelex.errors import NetworkError
from p2p_modelex.ids import Address
from p2p_modelex.node.configuration import Configuration, ModelSettings, Role
from p2p_modelex.node.home import Home
from p2p_modelex.node.initialise import init_home
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


@asynccontextmanager
async def open_small_mesh(model: str) -> AsyncGenerator[SmallMesh, None]:
    """Start everything in a temporary folder; it stops when the block ends."""
    os.environ["MODELEX_PASSPHRASE"] = PASSPHRASE
    with tempfile.TemporaryDirectory(prefix="modelex-benchmark-") as folder:
        base = Path(folder)
        network = base / "network.toml"
        async with bring_up(network, {}, challenge_s=_CHALLENGE_S) as (net, deployment):

            def make(name: str, role: Role, *bootstrap: str) -> tuple[Home, Address]:
                settings = _configure(role, model, net.url, bootstrap)
                home = Home(base / name)
                ring = init_home(
                    home, settings, PASSPHRASE, deployment_file=network, scrypt_n=_SCRYPT_N
                )
                home.models.rmdir()
                home.models.symlink_to(MODELS)
                return home, ring.account.address

            meeting, _ = make("bootstrap", "bootstrap")
            async with _run_node(meeting, "bootstrap") as (bootstrap_pid, address):
                client, payer = make("client", "requester", address)
                seller, payee = make("provider", "provider", address)
                await grant(net.url, deployment, {payer: Wei(1000 * AI), payee: Wei(0)})
                async with _run_node(seller, "up") as (provider_pid, _):
                    yield SmallMesh(client, provider_pid, bootstrap_pid)


def _configure(role: Role, model: str, url: str, bootstrap: Sequence[str]) -> Configuration:
    defaults = Configuration()
    models = (ModelSettings(model=model, threads=1),) if role == "provider" else ()
    return replace(
        defaults,
        role=role,
        network=replace(defaults.network, rpc_url=url),
        mesh=replace(
            defaults.mesh, listen=("/ip4/127.0.0.1/tcp/0",), bootstrap=tuple(bootstrap), dht=False
        ),
        requester=replace(defaults.requester, auto_deposit=AMOUNT.read("10")),
        models=models,
    )


@asynccontextmanager
async def _run_node(home: Home, command: str) -> AsyncGenerator[tuple[int, str], None]:
    """Run a node's process; gives its id and address once it listens."""
    with (home.logs / "node.log").open("wb") as log:
        process = await trio.lowlevel.open_process(
            [sys.executable, "-m", "p2p_modelex", command, "--home", str(home.path)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=log,
        )
        try:
            yield process.pid, await _read_address(process, home)
        finally:
            with trio.CancelScope(shield=True):
                process.terminate()
                with trio.move_on_after(_START_TIMEOUT_S):
                    await process.wait()
                if process.returncode is None:
                    process.kill()


async def _read_address(process: trio.Process, home: Home) -> str:
    assert process.stdout is not None
    heard = ""
    with trio.move_on_after(_START_TIMEOUT_S):
        async for part in process.stdout:
            heard += part.decode()
            for line in heard.splitlines(keepends=True):
                if line.startswith("listening on ") and line.endswith("\n"):
                    return line.removeprefix("listening on ").strip()
    log = (home.logs / "node.log").read_text(encoding="utf-8")[-2000:]
    raise NetworkError(f"{home.path.name} did not start", hint=log)
