"""A devnet with contracts of its own, and the commands run against it by accounts of their own."""

import json
from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest
import trio

from p2p_modelex.chain.abc import Deployment
from p2p_modelex.chain.deployment import write_deployment
from p2p_modelex.chain.devnet import TEST_KEYS, advance_time, grant
from p2p_modelex.chain.evm.rpc import Rpc
from p2p_modelex.ids import format_address
from p2p_modelex.records.signers import EvmSigner
from tests.chain.conftest import anvil
from tests.chain.contracts.conftest import contracts
from tests.chain.worlds import FULL, new_private_key
from tests.cli.conftest import Modelex, Said

__all__ = ("anvil", "contracts")

OWNER = TEST_KEYS[0]
"""The deployer's: owner of the token, authoriser of the registry, founder."""


class Chain:
    """Runs commands that name endpoint, network file and key."""

    def __init__(self, modelex: Modelex, folder: Path, url: str, deployment: Deployment) -> None:
        self.url = url
        self.deployment = deployment
        self.network_file = folder / "network.toml"
        write_deployment(self.network_file, deployment)
        self._modelex = modelex
        self._folder = folder

    def run(self, *words: object, by: bytes | None = None) -> Said:
        """Run a command; `by` a key if it sends."""
        options: list[object] = ["--rpc", self.url, "--network-file", self.network_file]
        if by is not None:
            options += ["--key-file", self.write_key(by)]
        return self._modelex(*words, *options)

    def json(self, *words: object, by: bytes | None = None) -> Any:
        """Run a command that must succeed, and return what it says to programs."""
        said = self.run(*words, "--json", by=by)
        assert said.code == 0, said
        return json.loads(said.out)

    def newcomer(self) -> tuple[bytes, str]:
        """Return the key and the address of a fresh account with money."""
        key = new_private_key()
        account = EvmSigner(key).address
        trio.run(grant, self.url, self.deployment, {account: FULL})
        return key, format_address(account)

    def mine(self, blocks: int) -> None:
        self.rpc("anvil_mine", hex(blocks))

    def pass_time(self, seconds: int) -> None:
        trio.run(advance_time, self.url, seconds)

    def rpc(self, method: str, *params: Any) -> Any:
        async def call() -> Any:
            async with Rpc(self.url) as rpc:
                return await rpc.call(method, *params)

        return trio.run(call)

    def write_key(self, key: bytes) -> Path:
        path = self._folder / f"{key.hex()[:8]}.key"
        path.touch(0o600)
        path.write_text(key.hex())
        return path


@pytest.fixture
def chain(modelex: Modelex, contracts: tuple[str, Deployment], tmp_path: Path) -> Chain:
    return Chain(modelex, tmp_path, *contracts)


@pytest.fixture
def splitting(chain: Chain) -> Generator[Chain]:
    """For a test that splits the token, or gives it away: the chain goes back to where it was."""
    snapshot = chain.rpc("evm_snapshot")
    yield chain
    assert chain.rpc("evm_revert", snapshot)
