"""The same small world twice: over the ledger in memory, and over anvil with our contracts."""

from abc import ABC, abstractmethod
from contextlib import AsyncExitStack
from itertools import count
from typing import Self

from eth_hash.backends.pysha3 import keccak256 as keccak

from p2p_modelex.chain.abc import Chain, Deployment
from p2p_modelex.chain.devnet import advance_time, grant
from p2p_modelex.chain.evm.port import EvmChain
from p2p_modelex.chain.memory import MemoryChain, MemoryLedger
from p2p_modelex.ids import Address
from p2p_modelex.records.signers import EvmSigner
from p2p_modelex.units import AI, Wei

CHALLENGE_S = 100
FULL = Wei(100 * AI)
MEMORY_DEPLOYMENT = Deployment(
    "memory", 31337, Address(b"\1" * 20), Address(b"\2" * 20), Address(b"\3" * 20)
)
_serial = count(1)


class World(ABC):
    """Makes accounts with $AI, each with its port, and lets time pass."""

    deployment: Deployment

    async def __aenter__(self) -> Self:
        return self

    @abstractmethod
    async def __aexit__(self, *exc: object) -> None: ...

    @abstractmethod
    async def pass_time(self, seconds: int) -> None: ...

    @abstractmethod
    async def new_account(self, amount: Wei = FULL) -> tuple[EvmSigner, Chain]:
        """Return a fresh account that holds `amount`, and its port."""

    @abstractmethod
    def port(self, key: EvmSigner, deployment: Deployment) -> Chain:
        """Return a port that believes in `deployment`, not entered yet."""


def new_key() -> EvmSigner:
    return EvmSigner(new_private_key())


def new_private_key() -> bytes:
    return bytes(keccak(b"account %d" % next(_serial)))


class MemoryWorld(World):
    def __init__(self) -> None:
        self.deployment = MEMORY_DEPLOYMENT
        self.now = 1_800_000_000
        self.ledger = MemoryLedger(self.deployment, now=lambda: self.now, challenge_s=CHALLENGE_S)

    async def __aexit__(self, *exc: object) -> None:
        pass

    async def pass_time(self, seconds: int) -> None:
        self.now += seconds

    async def new_account(self, amount: Wei = FULL) -> tuple[EvmSigner, Chain]:
        key = new_key()
        self.ledger.mint(key.address, amount)
        return key, self.port(key, self.deployment)

    def port(self, key: EvmSigner, deployment: Deployment) -> MemoryChain:
        return MemoryChain(self.ledger, key.address, deployment)


class EvmWorld(World):
    def __init__(self, url: str, deployment: Deployment) -> None:
        self.url = url
        self.deployment = deployment
        self._open = AsyncExitStack()

    async def __aexit__(self, *exc: object) -> None:
        await self._open.aclose()

    async def pass_time(self, seconds: int) -> None:
        await advance_time(self.url, seconds)

    async def new_account(self, amount: Wei = FULL) -> tuple[EvmSigner, EvmChain]:
        key = new_key()
        await grant(self.url, self.deployment, {key.address: amount})
        return key, await self._open.enter_async_context(self.port(key, self.deployment))

    def port(self, key: EvmSigner, deployment: Deployment) -> EvmChain:
        return EvmChain(self.url, deployment, key, poll_s=0.01)
