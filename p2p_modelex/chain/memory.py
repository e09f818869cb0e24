"""A complete chain in this process: one MemoryLedger, shared by the MemoryChain of each account."""

from collections.abc import AsyncGenerator, Sequence
from typing import Self

import trio

from p2p_modelex.chain.abc import (
    Chain,
    ChannelEvent,
    Deployment,
    Redemption,
    RegistryEntry,
)
from p2p_modelex.chain.memory_ledger import MemoryLedger
from p2p_modelex.chain.redemption import validate_batch
from p2p_modelex.errors import ChainUnreachable, WrongNetwork
from p2p_modelex.ids import Address, ChannelId, Digest, PublicKey
from p2p_modelex.records.channel import ChannelState
from p2p_modelex.records.split import SplitState
from p2p_modelex.records.voucher import SignedVoucher
from p2p_modelex.units import Wei

__all__ = ["MemoryChain", "MemoryLedger"]

GAS_BALANCE = 10**18  # what every account is said to hold; nothing costs any


class MemoryChain(Chain):
    """One account's view of a MemoryLedger."""

    def __init__(
        self, ledger: MemoryLedger, account: Address, deployment: Deployment | None = None
    ) -> None:
        """deployment: what the node believes, if that is to differ from the ledger's own."""
        self._ledger = ledger
        self._account = account
        self._deployment = deployment or ledger.deployment

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc: object) -> None:
        pass

    @property
    def deployment(self) -> Deployment:
        return self._deployment

    @property
    def account(self) -> Address:
        return self._account

    async def check(self) -> None:
        ledger = await self._reach()
        if self._deployment != ledger.deployment:
            raise WrongNetwork(
                f"this ledger is {ledger.deployment.name}, not {self._deployment.name}",
                hint="connect to the network the deployment names",
            )

    async def fetch_genesis(self) -> Digest:
        return (await self._reach()).genesis

    async def fetch_split(self) -> SplitState:
        return (await self._reach()).split()

    async def fetch_balance(self, account: Address) -> Wei:
        return (await self._reach()).balance(account)

    async def fetch_gas_balance(self, account: Address) -> int:
        await self._reach()
        return GAS_BALANCE

    async def transfer(self, to: Address, amount: Wei) -> Digest:
        return (await self._reach()).transfer(self._account, to, amount)

    async def fetch_channel(self, channel: ChannelId) -> ChannelState | None:
        return (await self._reach()).channel(channel)

    async def open_channel(
        self, payee: Address, deposit: Wei, signer: Address, salt: Digest | None = None
    ) -> ChannelState:
        return (await self._reach()).open_channel(self._account, payee, deposit, signer, salt)

    async def top_up(self, channel: ChannelId, amount: Wei) -> ChannelState:
        return (await self._reach()).top_up(self._account, channel, amount)

    async def redeem(self, vouchers: Sequence[SignedVoucher]) -> Redemption:
        validate_batch(vouchers)
        return (await self._reach()).redeem(vouchers)

    async def start_close(self, channel: ChannelId) -> ChannelState:
        return (await self._reach()).start_close(self._account, channel)

    async def finish_close(self, channel: ChannelId) -> ChannelState:
        return (await self._reach()).finish_close(channel)

    async def register(self, peer: PublicKey, digest: Digest, sequence: int, uri: str) -> Digest:
        return (await self._reach()).register(self._account, peer, digest, sequence, uri)

    async def fetch_registration(
        self, peer: PublicKey, operator: Address | None = None
    ) -> RegistryEntry | None:
        return (await self._reach()).registration(peer, operator or self._account)

    async def channel_events(self, since_block: int) -> AsyncGenerator[ChannelEvent, None]:
        position = 0
        while True:
            ledger = await self._reach()
            for happened in ledger.happened(position):
                position += 1
                ours = self._account in happened.parties
                if ours and happened.event.block >= since_block:
                    yield happened.event
            if not ledger.happened(position):
                await ledger.wait_news()

    async def _reach(self) -> MemoryLedger:
        await trio.lowlevel.checkpoint()
        if self._ledger.unreachable:
            raise ChainUnreachable("the ledger is switched off", hint="switch it on")
        return self._ledger
