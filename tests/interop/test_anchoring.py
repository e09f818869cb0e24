"""Anchoring on real parts: two nodes over libp2p, and the registry's contract on an EVM chain."""

import socket
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
import trio

from p2p_modelex.chain.devnet import grant
from p2p_modelex.chain.evm.rpc import Rpc
from p2p_modelex.core.anchoring.marks import Freshness
from p2p_modelex.demo.mesh import PASSPHRASE, SCRYPT_N, SENTIMENT, Mesh, open_mesh
from p2p_modelex.engine.catalogue import Catalogue
from p2p_modelex.engine.sources import NAMED, add_model
from p2p_modelex.errors import NoProvider
from p2p_modelex.ids import format_address
from p2p_modelex.keys.signers import KeyRing
from p2p_modelex.node.assembly import open_node
from p2p_modelex.node.configuration import Configuration, RegistrySettings
from p2p_modelex.node.configuration_file import read_configuration
from p2p_modelex.node.exchange import Exchange, Terms, build_request, connect
from p2p_modelex.node.home import Home
from p2p_modelex.node.initialise import init_home
from p2p_modelex.node.model_settings import ModelSettings
from p2p_modelex.node.node import Node
from p2p_modelex.node.options import PRICE
from p2p_modelex.records.registry import Standing
from p2p_modelex.units import Wei
from tests.chain.worlds import EvmWorld

PROMPT = NAMED[SENTIMENT].prompt.format(text="Profits doubled")
TIMEOUT_S = 30.0


@dataclass
class Seller:
    """A provider's home; run it at a price."""

    home: Home
    configuration: Configuration
    keys: KeyRing

    @asynccontextmanager
    async def sell(self, price: str) -> AsyncGenerator[Node, None]:
        model = ModelSettings(SENTIMENT, completion_price=PRICE.read(price), threads=1)
        async with open_node(
            self.home, replace(self.configuration, models=(model,)), self.keys
        ) as node:
            yield node


async def make_seller(mesh: Mesh) -> Seller:
    """A provider that registers, always at the same address, with coin for gas."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    buyers = read_configuration(mesh.homes["client"].configuration)
    configuration = replace(
        buyers,
        role="provider",
        mesh=replace(buyers.mesh, listen=(f"/ip4/127.0.0.1/tcp/{port}",)),
        registry=RegistrySettings(register=True, update_every_s=1),
        models=(ModelSettings(SENTIMENT),),
    )
    home = Home(mesh.folder / "seller")
    network = mesh.folder / "network.toml"
    keys = init_home(home, configuration, PASSPHRASE, deployment_file=network, scrypt_n=SCRYPT_N)
    home.models.rmdir()
    home.models.symlink_to(mesh.models)
    await grant(mesh.net.url, mesh.deployment, {keys.account.address: Wei(0)})
    return Seller(home, configuration, keys)


async def test_a_node_anchors_itself_and_is_chosen_by_what_the_registry_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MODELEX_PASSPHRASE", PASSPHRASE)
    models = tmp_path / "models"
    models.mkdir()
    await add_model(Catalogue(models), SENTIMENT)
    async with open_mesh(tmp_path, models, print, ()) as mesh:
        seller = await make_seller(mesh)
        peer, operator = seller.keys.peer.public_key, seller.keys.account.address
        chain = EvmWorld(mesh.net.url, mesh.deployment)
        async with connect(mesh.homes["client"].path, PASSPHRASE) as exchange:
            async with seller.sell("0.02"):
                await wait_mark(exchange, seller, Standing.REGISTERED)
                await chain.authorise("admit", peer, operator)
                await wait_mark(exchange, seller, Standing.WHITELISTED)
                assert await ask(exchange, "whitelisted")
                await chain.authorise("suspend", peer, operator)
                await wait_mark(exchange, seller, Standing.SUSPENDED)
                with pytest.raises(NoProvider, match=r"RTE-14: .* there are: suspended"):
                    await ask(exchange)
                await chain.authorise("lift", peer, operator)
                await wait_mark(exchange, seller, Standing.WHITELISTED)
            assert await count_transactions(mesh, seller) == 1
            async with seller.sell("0.03") as node:
                await wait_mark(exchange, seller, Standing.WHITELISTED, after=node)
                assert await ask(exchange, "whitelisted")
            async with seller.sell("0.03") as node:
                await wait_mark(exchange, seller, Standing.WHITELISTED, after=node)
        assert await count_transactions(mesh, seller) == 2


async def wait_mark(
    exchange: Exchange, seller: Seller, standing: Standing, *, after: Node | None = None
) -> None:
    """Wait until the buyer has this mark of the seller, with a current anchor; of what `after`
    advertises, if it is given.
    """
    own = None if after is None else after.core.directory.get(after.peer)
    least = 0 if own is None else own.advertisement.sequence

    def is_there() -> bool:
        entry = exchange.node.core.directory.get(seller.keys.peer.peer)
        if entry is None or entry.advertisement.sequence < least:
            return False
        mark = exchange.mark(entry)
        return (mark.standing, mark.anchor) == (standing, Freshness.CURRENT)

    with trio.fail_after(TIMEOUT_S):
        await exchange.node.wait_until(is_there)


async def ask(exchange: Exchange, section: str | None = None) -> str:
    request = build_request(PROMPT, model=SENTIMENT, kind="score", max_tokens=2)
    return await exchange.request(request, Terms(section=section)).wait()


async def count_transactions(mesh: Mesh, seller: Seller) -> int:
    """All that the seller's account has sent: it redeems nothing here."""
    account = format_address(seller.keys.account.address)
    async with Rpc(mesh.net.url) as rpc:
        return int(await rpc.call("eth_getTransactionCount", account, "latest"), 16)
