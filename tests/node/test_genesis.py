"""A home is bound to the chain it was first used with, be another's id and addresses the same."""

import pytest

from p2p_modelex.chain.memory import MemoryChain, MemoryLedger
from p2p_modelex.errors import WrongNetwork
from p2p_modelex.node.genesis import bind_genesis, check_genesis
from p2p_modelex.store.memory import MemoryStore
from tests.node.world import DEPLOYMENT, make_keys

URL = "http://user:key@127.0.0.1:8545/secret"


def _start_chain(at: int) -> MemoryChain:
    ledger = MemoryLedger(DEPLOYMENT, now=lambda: at, challenge_s=1)
    return MemoryChain(ledger, make_keys(1).account.address)


async def test_a_chain_started_afresh_is_not_the_one_used_before() -> None:
    before, after = _start_chain(1), _start_chain(2)
    await after.check()
    async with MemoryStore() as store:
        await bind_genesis(before, store, URL)
        await bind_genesis(before, store, URL)
        for refuses in (bind_genesis, check_genesis):
            with pytest.raises(WrongNetwork, match=r"127\.0\.0\.1:8545 is not the one") as caught:
                await refuses(after, store, URL)
            assert "key" not in caught.value.message
            assert "--state" in caught.value.hint
        await check_genesis(before, store, URL)


async def test_a_check_binds_nothing() -> None:
    async with MemoryStore() as store:
        await check_genesis(_start_chain(1), store, URL)
        await check_genesis(_start_chain(2), store, URL)
