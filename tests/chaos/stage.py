"""Who is there: names, homes, prices, and the command of each process."""

import socket
import sys
from dataclasses import dataclass, field, replace
from pathlib import Path

from p2p_modelex.chain.abc import Deployment
from p2p_modelex.ids import format_peer_id
from p2p_modelex.keys.signers import KeyRing
from p2p_modelex.node.configuration import Configuration, Role
from p2p_modelex.node.home import Home
from p2p_modelex.node.initialise import init_home
from p2p_modelex.node.model_settings import ModelSettings
from p2p_modelex.units import Wei

PASSPHRASE = "chaos"
SCRYPT_N = 2**12
MODEL = "memory"
TOKENS_MAX = 80
PRICE = Wei(10**13)
"""For a token, of the prompt as of the completion."""
CREDIT_TOKENS = 16
WINDOW = CREDIT_TOKENS * PRICE
"""The prompts are shorter, so a job's window is its credit."""
DEPOSIT = Wei(1500 * PRICE)
"""About eight ceilings: channels are topped up on the way."""
REDEEM_ABOVE = Wei(600 * PRICE)
PURSE = Wei(100_000 * PRICE)

CHAIN, BOOTSTRAP = "chain", "bootstrap"
SELLERS = ("provider-1", "provider-2", "provider-3")
BUYERS = ("requester-1", "requester-2")
NODES = (BOOTSTRAP, *SELLERS, *BUYERS)
NAMES = (CHAIN, *NODES)


@dataclass(slots=True)
class Stage:
    """Where everything is. A chain and a bootstrap peer come back at the same address."""

    folder: Path
    chain_port: int
    bootstrap_port: int
    deployment: Deployment | None = None
    homes: dict[str, Home] = field(default_factory=dict)
    keys: dict[str, KeyRing] = field(default_factory=dict)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.chain_port}"

    @property
    def network_file(self) -> Path:
        return self.folder / "network.toml"

    def journal(self, name: str) -> Path:
        return self.folder / f"{name}.journal"

    def log(self, name: str) -> Path:
        return self.folder / f"{name}.log"

    def make_homes(self) -> None:
        """One for each node; the bootstrap peer's first, since the others name it."""
        boot = f"/ip4/127.0.0.1/tcp/{self.bootstrap_port}"
        self._make_home(BOOTSTRAP, "bootstrap", (boot,), ())
        met = f"{boot}/p2p/{format_peer_id(self.keys[BOOTSTRAP].peer.peer)}"
        for name in SELLERS:
            self._make_home(name, "provider", ("/ip4/127.0.0.1/tcp/0",), (met,))
        for name in BUYERS:
            self._make_home(name, "requester", ("/ip4/127.0.0.1/tcp/0",), (met,))

    def _make_home(
        self, name: str, role: Role, listen: tuple[str, ...], bootstrap: tuple[str, ...]
    ) -> None:
        defaults = Configuration()
        model = ModelSettings(
            model=MODEL, prompt_price=PRICE, completion_price=PRICE, credit_tokens=CREDIT_TOKENS
        )
        configuration = replace(
            defaults,
            role=role,
            network=replace(defaults.network, rpc_url=self.url),
            mesh=replace(defaults.mesh, listen=listen, bootstrap=bootstrap, dht=False),
            requester=replace(
                defaults.requester,
                auto_deposit=DEPOSIT,
                max_completion_price=PRICE,
                max_prompt_price=PRICE,
            ),
            settlement=replace(defaults.settlement, redeem_above=REDEEM_ABOVE),
            models=(model,) if role == "provider" else (),
        )
        home = self.homes[name] = Home(self.folder / name)
        self.keys[name] = init_home(
            home, configuration, PASSPHRASE, deployment_file=self.network_file, scrypt_n=SCRYPT_N
        )

    def command(self, name: str, seed: int, wanted: int, peers: tuple[str, ...] = ()) -> list[str]:
        """How to start a process; a buyer given peers calms its books with them."""
        python = [sys.executable, "-m"]
        if name == CHAIN:
            state = str(self.folder / "chain.state")
            port = str(self.chain_port)
            return [*python, "p2p_modelex.chain.pyevm", "--port", port, "--state", state]
        home = str(self.homes[name].path)
        if name == BOOTSTRAP:
            return [*python, "p2p_modelex", "bootstrap", "--home", home]
        if name in SELLERS:
            return [*python, "tests.chaos.seller", home]
        rest = [str(self.journal(name)), f"{seed}/{name}", str(wanted), *peers]
        return [*python, "tests.chaos.buyer", home, *rest]


def find_free_port() -> int:
    """A port that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
