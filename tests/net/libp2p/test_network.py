"""The libp2p network keeps the contract, over real sockets on loopback."""

import os
from collections.abc import Sequence

from p2p_modelex.ids import format_peer_id
from p2p_modelex.net.abc import Network
from p2p_modelex.net.bounded import GossipRates
from p2p_modelex.net.libp2p.configuration import Libp2pConfiguration
from p2p_modelex.net.libp2p.network import Libp2pNetwork
from tests.net.contract import NetworkContract


class TestLibp2pNetwork(NetworkContract):
    def make(
        self,
        *,
        bootstrap: Sequence[Network] = (),
        dht: bool = False,
        gossip_rates: GossipRates | None = None,
    ) -> Network:
        return Libp2pNetwork(
            os.urandom(32),
            Libp2pConfiguration(
                bootstrap=tuple(
                    f"{network.addresses[0]}/p2p/{format_peer_id(network.peer)}"
                    for network in bootstrap
                ),
                dht=dht,
                gossip_rates=gossip_rates or GossipRates(),
                heartbeat_interval_s=0.2,
            ),
        )
