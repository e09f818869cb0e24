"""What a node is made of."""

from collections.abc import Mapping
from dataclasses import dataclass

from p2p_modelex.chain.abc import Chain, Deployment
from p2p_modelex.engine.abc import Engine
from p2p_modelex.keys.signers import KeyRing
from p2p_modelex.net.abc import Network
from p2p_modelex.store.abc import Store


@dataclass(frozen=True, slots=True)
class Parts:
    """What a node is made of: real ones from node/assembly.py, in-memory ones in tests."""

    network: Network
    store: Store
    chain: Chain | None
    engines: Mapping[str, Engine]
    keys: KeyRing
    deployment: Deployment
