"""Contracts of their own on the devnet of tests/chain, whose token splits within blocks."""

from collections.abc import AsyncGenerator, Awaitable
from functools import partial

import pytest
import trio

from p2p_modelex.chain.abc import Deployment
from p2p_modelex.chain.contracts.network import Network
from p2p_modelex.chain.devnet import TEST_KEYS, Devnet
from p2p_modelex.chain.evm.deploy import deploy
from p2p_modelex.chain.evm.plan import Terms
from p2p_modelex.chain.evm.rpc import Rpc
from p2p_modelex.errors import Reverted
from p2p_modelex.records.signers import EvmSigner
from p2p_modelex.units import Wei
from tests.chain.worlds import CHALLENGE_S, FULL, EvmWorld

NOTICE_BLOCKS, PAUSE_BLOCKS = 20, 10
TERMS = Terms(CHALLENGE_S, split_notice_blocks=NOTICE_BLOCKS, split_pause_blocks=PAUSE_BLOCKS)


class Place(EvmWorld):
    """Opens networks: of fresh accounts, of the contracts' owner, and of nobody."""

    async def owner(self) -> Network:
        """The deployer: owner of the token, authoriser of the registry, founder."""
        return await self.open(EvmSigner(TEST_KEYS[0]))

    async def newcomer(self, amount: Wei = FULL) -> Network:
        key, _ = await self.new_account(amount)
        return await self.open(key)

    async def open(self, key: EvmSigner) -> Network:
        return await self._enter(Network(self.url, self.deployment, key))

    async def reader(self) -> Network:
        return await self._enter(Network(self.url, self.deployment))

    async def mine(self, blocks: int) -> None:
        async with Rpc(self.url) as rpc:
            await rpc.call("anvil_mine", hex(blocks))

    async def _enter(self, network: Network) -> Network:
        return await self._open.enter_async_context(network)


@pytest.fixture(scope="session")
def contracts(anvil: tuple[Devnet, Deployment]) -> tuple[str, Deployment]:
    """The endpoint and the contracts. A week's notice of a split takes anvil minutes to mine."""
    net, _ = anvil
    create = partial(deploy, net.url, net.keys[0], name="quick", terms=TERMS)
    deployment: Deployment = trio.run(create)
    return net.url, deployment


@pytest.fixture
async def place(contracts: tuple[str, Deployment]) -> AsyncGenerator[Place, None]:
    async with Place(*contracts) as made:
        yield made


@pytest.fixture
async def splitting(place: Place) -> AsyncGenerator[Place, None]:
    """For a test that splits the token, or gives it away: the chain goes back to where it was."""
    async with Rpc(place.url) as rpc:
        snapshot = await rpc.call("evm_snapshot")
        yield place
        assert await rpc.call("evm_revert", snapshot)


async def refused(name: str, act: Awaitable[object]) -> Reverted:
    """Await what a contract must refuse with the error `name`, for which there is a hint."""
    with pytest.raises(Reverted) as caught:
        await act
    assert caught.value.name == name
    assert f"{name}(" in caught.value.message
    assert caught.value.hint
    return caught.value
