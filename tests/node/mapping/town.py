"""A mesh of processes with members that come and go: devnet, bootstrap peer, sellers, homes."""

import os
import subprocess
import sys
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import trio

from p2p_modelex.chain.abc import Deployment
from p2p_modelex.chain.devnet import Devnet, bring_up, grant
from p2p_modelex.cli import main
from p2p_modelex.ids import format_peer_id
from p2p_modelex.keys.signers import KeyRing
from p2p_modelex.node.configuration import Configuration, Role
from p2p_modelex.node.home import Home
from p2p_modelex.node.initialise import init_home
from p2p_modelex.node.model_settings import ModelSettings
from p2p_modelex.node.options import AMOUNT, PRICE
from p2p_modelex.records.farm import WHOLE
from p2p_modelex.units import AI, Wei

MODEL = "memory"
SLOTS = 4
PASSPHRASE = "town"
SCRYPT_N = 2**12
START_TIMEOUT_S = 60.0
BUYER = "buyer"
_PAYEE = "0x" + "fa" * 20
"""An account that is nobody's: what the farm earns stays in its channel here."""


@dataclass(slots=True)
class Town:
    """Homes and what runs of them, by name."""

    folder: Path
    net: Devnet
    deployment: Deployment
    token_ms: float
    bootstrap: tuple[str, ...] = ()
    homes: dict[str, Home] = field(default_factory=dict)
    keys: dict[str, KeyRing] = field(default_factory=dict)
    processes: dict[str, trio.Process] = field(default_factory=dict)

    def make_home(self, name: str, role: Role) -> None:
        defaults = Configuration()
        model = ModelSettings(
            model=MODEL, slots=SLOTS, queue=64, completion_price=PRICE.read("0.02")
        )
        configuration = replace(
            defaults,
            role=role,
            network=replace(defaults.network, rpc_url=self.net.url),
            mesh=replace(
                defaults.mesh,
                listen=("/ip4/127.0.0.1/tcp/0",),
                bootstrap=self.bootstrap,
                dht=False,
            ),
            requester=replace(defaults.requester, auto_deposit=AMOUNT.read("5")),
            models=(model,) if role == "provider" else (),
        )
        home = self.homes[name] = Home(self.folder / name)
        network = self.folder / "network.toml"
        self.keys[name] = init_home(
            home, configuration, PASSPHRASE, deployment_file=network, scrypt_n=SCRYPT_N
        )

    async def found_farm(self, name: str, members: Sequence[str]) -> None:
        """Have the first member found a farm, of which all are, in equal parts."""
        owner = ("--home", str(self.homes[members[0]].path))
        await _call("farm", "create", name, "--payee", _PAYEE, *owner)
        for member in members:
            file = str(self.folder / f"{member}.certificate")
            peer = format_peer_id(self.keys[member].peer.peer)
            weight = str(WHOLE // len(members))
            await _call("farm", "admit", name, peer, "--weight", weight, "--out", file, *owner)
            await _call("farm", "join", file, "--home", str(self.homes[member].path))

    async def start(self, name: str) -> str:
        """Run a node; returns its address once it listens."""
        home = self.homes[name]
        command = ["tests.chaos.seller", str(home.path), str(self.token_ms)]
        if name == "bootstrap":
            command = ["p2p_modelex", "bootstrap", "--home", str(home.path)]
        with (home.logs / "node.log").open("wb") as log:
            process = self.processes[name] = await trio.lowlevel.open_process(
                [sys.executable, "-m", *command],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=log,
            )
        assert process.stdout is not None
        said = b""
        with trio.fail_after(START_TIMEOUT_S):
            while not (b"listening on " in said and said.endswith(b"\n")):
                part = await process.stdout.receive_some()
                assert part, (home.logs / "node.log").read_text()[-2000:]
                said += part
        return said.decode().splitlines()[0].removeprefix("listening on ").strip()

    def kill(self, name: str) -> None:
        self.processes[name].kill()

    async def stop(self) -> None:
        """Ask all to leave, and wait for that."""
        with trio.CancelScope(shield=True):
            for process in self.processes.values():
                if process.returncode is None:
                    process.terminate()
            with trio.move_on_after(START_TIMEOUT_S):
                for process in self.processes.values():
                    await process.wait()
            for process in self.processes.values():
                process.kill()
                await process.wait()


async def _call(*arguments: str) -> None:
    """Run a command, in a thread, as it may run a Trio of its own."""
    await trio.to_thread.run_sync(main, arguments)


@asynccontextmanager
async def open_town(
    folder: Path, sellers: Sequence[str], *, token_ms: float
) -> AsyncGenerator[Town, None]:
    """Make homes for a buyer and these sellers, who have money and are not started yet."""
    os.environ["MODELEX_PASSPHRASE"] = PASSPHRASE
    async with bring_up(folder / "network.toml", {}) as (net, deployment):
        town = Town(folder, net, deployment, token_ms)
        try:
            town.make_home("bootstrap", "bootstrap")
            town.bootstrap = (await town.start("bootstrap"),)
            town.make_home(BUYER, "requester")
            for name in sellers:
                town.make_home(name, "provider")
            purses = {town.keys[name].account.address: Wei(0) for name in sellers}
            purses[town.keys[BUYER].account.address] = Wei(1000 * AI)
            await grant(net.url, deployment, purses)
            yield town
        finally:
            await town.stop()
            os.environ.pop("MODELEX_PASSPHRASE", None)
