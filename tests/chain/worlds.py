"""The same small world twice: over the ledger in memory, and over anvil with our contracts."""

from abc import ABC, abstractmethod
from contextlib import AsyncExitStack
from itertools import count
from typing import Any, Self

from eth_abi.abi import encode
from eth_hash.backends.pysha3 import keccak256 as keccak

from p2p_modelex.chain.abc import Chain, Deployment
from p2p_modelex.chain.devnet import (
    SPLIT_NOTICE_BLOCKS,
    SPLIT_PAUSE_BLOCKS,
    TEST_KEYS,
    advance_time,
    grant,
    mine_blocks,
)
from p2p_modelex.chain.evm.artifacts import load_contracts
from p2p_modelex.chain.evm.port import EvmChain
from p2p_modelex.chain.evm.rpc import Rpc
from p2p_modelex.chain.evm.sender import Sender
from p2p_modelex.chain.memory import MemoryChain, MemoryLedger
from p2p_modelex.ids import Address, Digest, PublicKey, format_address
from p2p_modelex.records.authorization import TRANSFER, AuthorizedTransfer, compute_digest
from p2p_modelex.records.permit import compute_token_domain
from p2p_modelex.records.signers import EvmSigner
from p2p_modelex.units import AI, Epoch, Wei

CHALLENGE_S = 100
NOTICE, PAUSE = SPLIT_NOTICE_BLOCKS, SPLIT_PAUSE_BLOCKS
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
    async def pass_blocks(self, count: int) -> None: ...

    @abstractmethod
    async def announce_split(self) -> None:
        """Announce a split as the token's owner, NOTICE blocks before a pause of PAUSE blocks."""

    async def new_account(self, amount: Wei = FULL) -> tuple[EvmSigner, Chain]:
        """Return a fresh account that holds `amount`, and its port."""
        key = new_key()
        return key, await self.add_account(key, amount)

    @abstractmethod
    async def add_account(self, key: EvmSigner, amount: Wei) -> Chain:
        """Give an account `amount`; returns its port."""

    @abstractmethod
    async def authorise(self, act: str, peer: PublicKey, operator: Address) -> None:
        """As the registry's authoriser: admit, suspend, lift or remove an entry."""

    @abstractmethod
    async def leave_registry(self, key: EvmSigner, peer: PublicKey) -> None:
        """Deregister as an operator."""

    @abstractmethod
    async def hand_over(self, key: EvmSigner, peer: PublicKey, successor: EvmSigner) -> None:
        """Offer as an operator, and accept as its successor."""

    @abstractmethod
    def port(self, key: EvmSigner, deployment: Deployment) -> Chain:
        """Return a port that believes in `deployment`, not entered yet."""


def new_key() -> EvmSigner:
    return EvmSigner(new_private_key())


def new_private_key() -> bytes:
    return bytes(keccak(b"account %d" % next(_serial)))


def authorize(
    world: World, key: EvmSigner, to: Address, amount: int, *, before: int = 2**40, epoch: int = 0
) -> tuple[AuthorizedTransfer, bytes]:
    """A transfer for anybody to bring, and its signature. before: until when, unix seconds."""
    nonce = Digest(new_private_key())
    transfer = AuthorizedTransfer(key.address, to, Wei(amount), 0, before, nonce)
    domain = compute_token_domain(world.deployment.chain_id, world.deployment.token, Epoch(epoch))
    return transfer, key.sign_digest(compute_digest(TRANSFER, transfer, domain))


class MemoryWorld(World):
    def __init__(self, deployment: Deployment = MEMORY_DEPLOYMENT) -> None:
        self.deployment = deployment
        self.now = 1_800_000_000
        self.ledger = MemoryLedger(self.deployment, now=lambda: self.now, challenge_s=CHALLENGE_S)

    async def __aexit__(self, *exc: object) -> None:
        pass

    async def pass_time(self, seconds: int) -> None:
        self.now += seconds

    async def pass_blocks(self, count: int) -> None:
        self.ledger.pass_blocks(count)

    async def announce_split(self) -> None:
        self.ledger.announce_split(notice=NOTICE, pause=PAUSE)

    async def add_account(self, key: EvmSigner, amount: Wei) -> MemoryChain:
        self.ledger.mint(key.address, amount)
        return self.port(key, self.deployment)

    async def authorise(self, act: str, peer: PublicKey, operator: Address) -> None:
        getattr(self.ledger.registry, act)(peer, operator)

    async def leave_registry(self, key: EvmSigner, peer: PublicKey) -> None:
        self.ledger.registry.deregister(key.address, peer)

    async def hand_over(self, key: EvmSigner, peer: PublicKey, successor: EvmSigner) -> None:
        self.ledger.registry.hand_over(key.address, peer, successor.address)

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

    async def pass_blocks(self, count: int) -> None:
        await mine_blocks(self.url, count)

    async def announce_split(self) -> None:
        owner = EvmSigner(TEST_KEYS[0])
        async with self.port(owner, self.deployment) as port:
            payload = port._contracts.token.encode_call("announceSplit")
            await port._sender.send(self.deployment.token, payload)

    async def add_account(self, key: EvmSigner, amount: Wei) -> EvmChain:
        await grant(self.url, self.deployment, {key.address: amount})
        return await self._open.enter_async_context(self.port(key, self.deployment))

    async def authorise(self, act: str, peer: PublicKey, operator: Address) -> None:
        deployer = EvmSigner(TEST_KEYS[0])
        await self._tell_registry(deployer, act, peer, format_address(operator), "a test")

    async def leave_registry(self, key: EvmSigner, peer: PublicKey) -> None:
        await self._tell_registry(key, "deregister", peer)

    async def hand_over(self, key: EvmSigner, peer: PublicKey, successor: EvmSigner) -> None:
        to, by = format_address(successor.address), format_address(key.address)
        await self._tell_registry(key, "offerHandover", peer, to)
        await self._tell_registry(successor, "acceptHandover", peer, by)

    async def register_raw(self, key: EvmSigner, peer: PublicKey, uri: bytes) -> None:
        """Register with a URI that need not be text."""
        whole = load_contracts().registry.encode_call("register", peer, bytes(32), 1, "")
        types = ["bytes32", "bytes32", "uint64", "bytes"]  # bytes are encoded as text is
        await self._send(key, whole[:4] + encode(types, [peer, bytes(32), 1, uri]))

    async def reorg(self, depth: int) -> None:
        async with Rpc(self.url) as rpc:
            await rpc.call("anvil_reorg", depth, [], retry=False)

    async def _tell_registry(self, key: EvmSigner, function: str, *arguments: Any) -> None:
        await self._send(key, load_contracts().registry.encode_call(function, *arguments))

    async def _send(self, key: EvmSigner, payload: bytes) -> None:
        explain = load_contracts().errors
        async with Rpc(self.url) as rpc:
            sender = Sender(rpc, key, self.deployment.chain_id, explain)
            await sender.send(self.deployment.registry, payload)

    def port(self, key: EvmSigner, deployment: Deployment) -> EvmChain:
        return EvmChain(self.url, deployment, key, poll_s=0.01)
