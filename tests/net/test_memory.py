"""The in-process network keeps the contract, and its mesh can be cut."""

import os
from collections.abc import Sequence

import pytest

from p2p_modelex.errors import DialFailed
from p2p_modelex.ids import PublicKey, peer_id_of
from p2p_modelex.net.abc import Network
from p2p_modelex.net.bounded import GossipRates
from p2p_modelex.net.memory import MemoryMesh, MemoryNetwork
from tests.net.contract import NetworkContract, wait_seen


class TestMemoryNetwork(NetworkContract):
    def setup_method(self) -> None:
        self.mesh = MemoryMesh()

    def make(
        self,
        *,
        bootstrap: Sequence[Network] = (),
        dht: bool = False,
        gossip_rates: GossipRates | None = None,
    ) -> Network:
        return MemoryNetwork(
            self.mesh,
            peer_id_of(PublicKey(os.urandom(32))),
            bootstrap=[network.peer for network in bootstrap],
            dht=dht,
            gossip_rates=gossip_rates,
        )

    async def test_a_cut_link_breaks_and_refuses_until_restored(self) -> None:
        async with self.pair() as (one, other):
            self.mesh.cut(one.peer, other.peer)
            await wait_seen(other, one.peer, "disconnected")
            with pytest.raises(DialFailed):
                await one.dial(other.peer, other.addresses)
            self.mesh.restore(one.peer, other.peer)
            await one.dial(other.peer, other.addresses)
            assert one.connected() == (other.peer,)
