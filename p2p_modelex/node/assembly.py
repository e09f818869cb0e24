"""Assembly: from a home directory to a running node, with everything real."""

from collections.abc import AsyncGenerator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

import structlog
import trio

from p2p_modelex.chain.abc import Chain, Deployment
from p2p_modelex.chain.deployment import read_deployment
from p2p_modelex.core.parts import Shop
from p2p_modelex.engine.abc import Engine
from p2p_modelex.engine.registry import open_engine
from p2p_modelex.engine.spec import EngineSpec, UpstreamSpec
from p2p_modelex.engine.swapping import SwappingEngine
from p2p_modelex.errors import ConfigurationError
from p2p_modelex.ids import Digest, format_address, format_peer_id
from p2p_modelex.keys.signers import KeyRing
from p2p_modelex.net.abc import Network
from p2p_modelex.node.configuration import Configuration
from p2p_modelex.node.driver import wall_clock
from p2p_modelex.node.failures import flattened
from p2p_modelex.node.farms import follow_farms, read_farms
from p2p_modelex.node.genesis import bind_genesis
from p2p_modelex.node.home import Home
from p2p_modelex.node.model_settings import ModelSettings
from p2p_modelex.node.node import Node
from p2p_modelex.node.parts import Parts
from p2p_modelex.node.shop import build_shop
from p2p_modelex.node.upgrading import follow_catalogue
from p2p_modelex.store.abc import Store
from p2p_modelex.store.sqlite import SqliteStore
from p2p_modelex.units import Epoch

if TYPE_CHECKING:
    from p2p_modelex.net.libp2p.configuration import Libp2pConfiguration

OpenEngine = Callable[[Home, ModelSettings], Engine]
Adjust = Callable[[Shop], Shop]
log = structlog.get_logger(__name__)


def open_configured_engine(home: Home, settings: ModelSettings) -> Engine:
    """Return the engine of a configured model, not yet started.

    A model in a file can be swapped for another of its name (node/upgrading.py).
    """
    spec = build_spec(home, settings)
    return open_engine(spec) if settings.engine == "upstream" else SwappingEngine(spec)


def build_spec(home: Home, settings: ModelSettings) -> EngineSpec:
    """Return what to run and how; ConfigurationError if the model is not there."""
    from p2p_modelex.engine.catalogue import Catalogue

    if settings.engine == "upstream":
        spec = EngineSpec("upstream", settings.model, upstream=_build_upstream(home, settings))
        if settings.upstream_weights:
            spec = replace(spec, weights=Digest(bytes.fromhex(settings.upstream_weights)))
    else:
        name = "" if settings.engine == "auto" else settings.engine
        spec = Catalogue(home.models).spec_for(settings.model, engine=name)
    return replace(
        spec,
        kinds=settings.kinds or spec.kinds,
        context_length=settings.context_length,
        threads=settings.threads,
        slots=settings.slots,
        waiting_max=settings.queue,
        gpu_layers=settings.gpu_layers,
        adapters=tuple(home.path / file for file in settings.adapters),
    )


def _build_upstream(home: Home, settings: ModelSettings) -> UpstreamSpec:
    file = settings.upstream_key_file
    return UpstreamSpec(
        url=settings.upstream_url,
        model=settings.upstream_model,
        key_file=home.path / file if file else None,
        key_variable=settings.upstream_key_variable,
        dialect=settings.upstream_dialect,
        features=settings.upstream_features,
    )


def deployment_of(home: Home, configuration: Configuration) -> Deployment:
    """Read the network file that a configuration names."""
    return read_deployment(home.path / configuration.network.deployment)


@asynccontextmanager
async def open_node(
    home: Home,
    configuration: Configuration,
    keys: KeyRing,
    *,
    open_engine: OpenEngine = open_configured_engine,
    adjust: Adjust = lambda shop: shop,
) -> AsyncGenerator[Node, None]:
    """Lock the home, open its parts, and serve until the block ends.

    open_engine, adjust: other engines, or other advertised offers, than the configuration says
    (demo/mischief.py). Raises ConfigurationError, StoreError, ChainError, EngineError, each with
    what to do; what the block raises comes out as itself.
    """
    deployment = deployment_of(home, configuration)
    with flattened():
        async with AsyncExitStack() as stack:
            yield await _open(stack, home, configuration, keys, deployment, open_engine, adjust)


async def _open(
    stack: AsyncExitStack,
    home: Home,
    configuration: Configuration,
    keys: KeyRing,
    deployment: Deployment,
    open_engine: OpenEngine,
    adjust: Adjust,
) -> Node:
    """Open the parts in their order, each closed by the stack, and return the node serving."""
    stack.enter_context(home.lock())
    store = await stack.enter_async_context(SqliteStore(home.database, network=deployment.network))
    chain = await _open_chain(stack, configuration, deployment, keys, store)
    engines = {
        settings.model: await stack.enter_async_context(open_engine(home, settings))
        for settings in configuration.models
        if configuration.role == "provider"
    }
    shop = None
    if configuration.role == "provider":
        if not engines or chain is None:
            raise ConfigurationError(
                "a provider needs a model to sell", hint="modelex init --model news-sentiment"
            )
        await warn_without_gas(chain)
        epoch = Epoch(configuration.split_epoch)
        shop = adjust(
            build_shop(keys, deployment, configuration.models, engines, epoch, wall_clock())
        )
    nursery = await stack.enter_async_context(trio.open_nursery())
    stack.callback(nursery.cancel_scope.cancel)
    if shop is not None:
        nursery.start_soon(follow_catalogue, home, configuration.models, engines, build_spec)
    parts = Parts(_build_network(configuration, keys), store, chain, engines, keys, deployment)
    farms = read_farms(home)
    node = Node(parts, configuration, shop, farms)
    await stack.enter_async_context(node.serve())
    nursery.start_soon(follow_farms, home, node.join_farms, farms)
    log.info(
        "serving",
        peer=format_peer_id(node.peer),
        role=configuration.role,
        addresses=list(parts.network.addresses),
        models=list(engines),
    )
    return node


async def _open_chain(
    stack: AsyncExitStack,
    configuration: Configuration,
    deployment: Deployment,
    keys: KeyRing,
    store: Store,
) -> Chain | None:
    """Open and check the chain; a bootstrap peer neither pays nor is paid, so it has none."""
    if configuration.role == "bootstrap":
        return None
    from p2p_modelex.chain.evm.port import EvmChain

    chain: Chain = EvmChain(configuration.network.rpc_url, deployment, keys.account)
    await stack.enter_async_context(chain)
    await chain.check()
    await bind_genesis(chain, store, configuration.network.rpc_url)
    return chain


async def warn_without_gas(chain: Chain) -> None:
    """Log it if the account cannot pay for transactions: a provider earns all the same."""
    if not await chain.fetch_gas_balance(chain.account):
        log.warning(
            "no_gas",
            account=format_address(chain.account),
            reason="vouchers cannot be redeemed until the account has some of the chain's coin",
        )


def configure_network(configuration: Configuration) -> "Libp2pConfiguration":
    """Return the network's options as the node's configuration has them."""
    from p2p_modelex.net.libp2p.configuration import Libp2pConfiguration

    mesh = configuration.mesh
    return Libp2pConfiguration(
        listen=mesh.listen,
        announce=mesh.announce,
        bootstrap=mesh.bootstrap,
        dht=mesh.dht,
        mdns=mesh.mdns,
        connections_max=mesh.connections,
    )


def _build_network(configuration: Configuration, keys: KeyRing) -> Network:
    from p2p_modelex.net.libp2p.network import Libp2pNetwork

    return Libp2pNetwork(keys.peer_seed, configure_network(configuration))
