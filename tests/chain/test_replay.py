"""The simulator's ledger against the contracts, by what a run did."""

import pytest

from p2p_modelex.chain.abc import Deployment
from p2p_modelex.chain.devnet import Devnet
from tests.chain.replay import replay
from tests.chain.worlds import EvmWorld
from tests.simulation.worlds import MARKET, build

CLOSING = '[[fault]]\nkind = "closing"\nat = "58 s"\nlasts = "1 s"\nshare = 1.0\n'


@pytest.mark.slow
async def test_a_run_with_reorgs_and_closes_is_what_the_contracts_make_of_it(
    pyevm: tuple[Devnet, Deployment],
) -> None:
    settings = [
        "registers=true",
        "chain.challenge=60 s",
        "chain.redeem_every=20 s",
        "chain.reorgs=0.1",
        "population.2.deposit=0.03 AI",
        "workload.0.lasts=30 s",
        "population.1.count=2",
    ]
    net, deployment = pyevm
    async with EvmWorld(net.url, deployment) as evm:
        assert await replay(build(MARKET + CLOSING, *settings), evm) > 10
