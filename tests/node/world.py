"""A mesh of whole nodes in one process: memory network, chain, store and engine."""

from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import trio

from p2p_modelex.chain.abc import Chain, Deployment
from p2p_modelex.chain.memory import MemoryChain
from p2p_modelex.chain.memory_ledger import MemoryLedger
from p2p_modelex.core.parts import Shop
from p2p_modelex.engine.abc import Engine
from p2p_modelex.engine.memory import MemoryEngine
from p2p_modelex.ids import Address, PeerId
from p2p_modelex.keys.signers import Ed25519Signer, KeyRing
from p2p_modelex.net.memory import MemoryMesh, MemoryNetwork
from p2p_modelex.node.assembly import Adjust
from p2p_modelex.node.charging_settings import X402Settings
from p2p_modelex.node.configuration import Configuration, RegistrySettings, SettlementSettings
from p2p_modelex.node.driver import wall_clock
from p2p_modelex.node.exchange import Exchange
from p2p_modelex.node.farms import NO_FARMS, Farms
from p2p_modelex.node.model_settings import ModelSettings
from p2p_modelex.node.node import Node
from p2p_modelex.node.parts import Parts
from p2p_modelex.node.shop import build_shop
from p2p_modelex.records.channel import Claim
from p2p_modelex.records.signers import EvmSigner
from p2p_modelex.store.abc import Store
from p2p_modelex.store.memory import MemoryStore
from p2p_modelex.units import AI, Epoch, Wei

MODEL = "memory"
DEPLOYMENT = Deployment(
    "test", 31337, Address(b"\x01" * 20), Address(b"\x02" * 20), Address(b"\x03" * 20)
)
PRICE = Wei(10**12)
PURSE = Wei(100 * AI)


def make_keys(number: int) -> KeyRing:
    """The number-th node's keys, the same in every run."""
    seed = bytes([number]) * 32
    return KeyRing(Ed25519Signer(seed), EvmSigner(bytes([number + 100]) * 32), seed)


async def read_claims(store: Store) -> list[Claim]:
    """Every voucher that a payee's store holds, with the terms that redeem it."""
    terms_of = {row.state.channel: row.state.terms for row in await store.channels()}
    held = [row.signed for row in await store.received_vouchers()]
    return [Claim(terms_of[signed.voucher.channel], signed) for signed in held]


@dataclass
class World:
    """What the nodes share, and everyone's store (which outlives a node)."""

    mesh: MemoryMesh = field(default_factory=MemoryMesh)
    ledger: MemoryLedger = field(
        default_factory=lambda: MemoryLedger(
            DEPLOYMENT, now=lambda: wall_clock() // 1000, challenge_s=3600
        )
    )
    stores: dict[int, Store] = field(default_factory=dict)
    deployment: Deployment = DEPLOYMENT
    charges: X402Settings = field(default_factory=X402Settings)
    """What a requester's gateway asks."""

    def open_chain(self, keys: KeyRing) -> Chain:
        """A node's view of the chain, not entered yet."""
        return MemoryChain(self.ledger, keys.account.address)

    async def fund(self, account: Address, money: Wei) -> None:
        """Give an account $AI."""
        self.ledger.mint(account, money)

    @asynccontextmanager
    async def provider(
        self,
        number: int,
        engine: Engine | None = None,
        *,
        price: Wei = PRICE,
        friends: Sequence[int] = (),
        adjust: Adjust = lambda shop: shop,
        announce: tuple[str, ...] = (),
        registry: RegistrySettings | None = None,
        settlement: SettlementSettings | None = None,
        farms: Farms = NO_FARMS,
    ) -> AsyncGenerator[Node, None]:
        """Run a node that sells MODEL."""
        settings = ModelSettings(model=MODEL, prompt_price=PRICE, completion_price=price)
        defaults = Configuration()
        mesh = replace(defaults.mesh, announce=announce)
        configuration = replace(
            defaults,
            role="provider",
            mesh=mesh,
            models=(settings,),
            registry=registry or defaults.registry,
            settlement=settlement or defaults.settlement,
        )
        keys = make_keys(number)
        async with engine or MemoryEngine(MODEL) as running, self.open_chain(keys) as chain:
            engines = {MODEL: running}
            shop = build_shop(keys, self.deployment, (settings,), engines, Epoch(0), wall_clock())
            node = self._build(number, configuration, adjust(shop), engines, friends, chain, farms)
            async with node.serve():
                yield node

    @asynccontextmanager
    async def requester(
        self, number: int, *, friends: Sequence[int], money: Wei = PURSE, **limits: Any
    ) -> AsyncGenerator[Exchange, None]:
        """Run a node that buys; it knows `friends` from the start. limits: of [requester], and
        `aliases` and `profiles`.
        """
        keys = make_keys(number)
        if not self.stores.get(number):
            await self.fund(keys.account.address, money)
        defaults = Configuration()
        lists = {name: limits.pop(name, ()) for name in ("aliases", "profiles")}
        requester = replace(defaults.requester, **limits)
        configuration = replace(defaults, requester=requester, x402=self.charges, **lists)
        async with self.open_chain(keys) as chain:
            node = self._build(number, configuration, None, {}, friends, chain)
            async with node.serve():
                assert not friends or await node.wait_synced(5)
                yield Exchange(node, configuration)

    def _build(
        self,
        number: int,
        configuration: Configuration,
        shop: Shop | None,
        engines: Mapping[str, Engine],
        friends: Sequence[int],
        chain: Chain,
        farms: Farms = NO_FARMS,
    ) -> Node:
        keys = make_keys(number)
        known = [peer_of(friend) for friend in friends]
        parts = Parts(
            network=MemoryNetwork(self.mesh, keys.peer.peer, bootstrap=known, dht=True),
            store=self.stores.setdefault(number, MemoryStore()),
            chain=chain,
            engines=engines,
            keys=keys,
            deployment=self.deployment,
        )
        return Node(parts, configuration, shop, farms)


def peer_of(number: int) -> PeerId:
    """The number-th node's peer id."""
    return make_keys(number).peer.peer


async def wait_for_sellers(exchange: Exchange, count: int) -> None:
    """Wait until the requester knows so many sellers."""
    with trio.fail_after(5):
        await exchange.node.wait_until(lambda: len(exchange.nodes()) == count)
