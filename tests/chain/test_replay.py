"""The simulator's ledger against the contracts, by what a run did."""

import pytest

from p2p_modelex.chain.abc import Deployment
from p2p_modelex.chain.devnet import Devnet, bring_up
from tests.chain.replay import replay
from tests.chain.worlds import CHALLENGE_S, EvmWorld
from tests.simulation.worlds import MARKET, build

CLOSING = '[[fault]]\nkind = "closing"\nat = "58 s"\nlasts = "1 s"\nshare = 1.0\n'


SPLITS = """
[[fault]]
kind = "split"
at = "20 s"
lasts = "14 s"
share = 0.5

[[fault]]
kind = "split"
at = "40 s"
lasts = "10 s"
"""


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


@pytest.mark.slow
async def test_a_run_through_two_splits_is_what_the_contracts_make_of_it(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    """Redeeming in the pauses, deposits that they refuse, and amounts of three epochs."""
    settings = [
        "chain.challenge=20 s",
        "chain.redeem_every=3 s",
        "chain.threshold=0.001 AI",
        "chain.block=1 s",
        "population.2.deposit=0.02 AI",
    ]
    file = tmp_path_factory.mktemp("network") / "network.toml"
    async with (
        bring_up(file, {}, engine="pyevm", challenge_s=CHALLENGE_S) as (net, deployment),
        EvmWorld(net.url, deployment) as evm,
    ):
        assert await replay(build(MARKET + SPLITS + CLOSING, *settings), evm) > 30
