"""A complete chain in this process: one MemoryLedger, shared by the MemoryChain of each account."""

import secrets
from collections.abc import AsyncGenerator, Iterable, Sequence
from typing import Self

import trio

from p2p_modelex.chain.abc import (
    REGISTRY_PAGE_MAX,
    Chain,
    ChannelEvent,
    Deployment,
    Outbox,
    Redemption,
    RegistryPage,
)
from p2p_modelex.chain.memory_ledger import MemoryLedger
from p2p_modelex.chain.redemption import find_payee
from p2p_modelex.errors import BadInput, ChainUnreachable, WrongNetwork
from p2p_modelex.ids import Address, ChannelId, Digest, PublicKey
from p2p_modelex.records.authorization import AuthorizedTransfer
from p2p_modelex.records.channel import ChannelState, ChannelTerms, Claim
from p2p_modelex.records.registry import RegistryEntry, RegistryEvent
from p2p_modelex.records.split import SplitState
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

    async def fetch_authorization_used(self, payer: Address, nonce: Digest) -> bool:
        return (await self._reach()).authorizations.is_used(payer, nonce)

    async def transfer_authorized(self, transfer: AuthorizedTransfer, signature: bytes) -> Digest:
        return (await self._reach()).transfer_authorized(transfer, signature)

    async def fetch_channel(self, terms: ChannelTerms) -> ChannelState | None:
        return (await self._reach()).channel(self._deployment.channel_id(terms))

    async def find_terms(self, channel: ChannelId) -> ChannelTerms | None:
        state = (await self._reach()).channel(channel)
        return None if state is None else state.terms

    async def open_channel(
        self,
        payee: Address,
        deposit: Wei,
        signer: Address,
        salt: Digest | None = None,
        outbox: Outbox | None = None,
    ) -> ChannelState:
        ledger = await self._reach()
        if outbox is not None and not outbox.signed:
            await outbox.put(secrets.token_bytes(32))
        return ledger.open_channel(self._account, payee, deposit, signer, salt)

    async def top_up(
        self, terms: ChannelTerms, amount: Wei, outbox: Outbox | None = None
    ) -> ChannelState:
        ledger = await self._reach()
        if outbox is None:
            return ledger.top_up(self._account, terms, amount)
        if not outbox.signed:
            await outbox.put(secrets.token_bytes(32))
        return ledger.top_up(self._account, terms, amount, outbox.signed)

    async def redeem(self, claims: Sequence[Claim]) -> Redemption:
        find_payee(claims)
        return (await self._reach()).redeem(claims)

    async def pay_out(self, payee: Address) -> Wei:
        return (await self._reach()).pay_out(payee)

    async def start_close(self, terms: ChannelTerms) -> ChannelState:
        return (await self._reach()).start_close(self._account, terms)

    async def finish_close(self, terms: ChannelTerms) -> ChannelState:
        return (await self._reach()).finish_close(terms)

    async def close_as_payee(self, terms: ChannelTerms) -> ChannelState:
        return (await self._reach()).close_as_payee(self._account, terms)

    async def fetch_ratings(
        self, nodes: Sequence[tuple[PublicKey, Address]], evaluators: Sequence[Address]
    ) -> tuple[int | None, ...]:
        ledger = await self._reach()
        return tuple(ledger.registry.get_rating(*node, evaluators) for node in nodes)

    async def register(self, peer: PublicKey, digest: Digest, sequence: int, uri: str) -> Digest:
        ledger = await self._reach()
        return ledger.registry.put(self._account, peer, digest, sequence, uri)

    async def fetch_registration(
        self, peer: PublicKey, operator: Address | None = None
    ) -> RegistryEntry | None:
        return (await self._reach()).registry.get(peer, operator or self._account)

    async def fetch_registry(
        self, offset: int, limit: int, block: int | None = None
    ) -> RegistryPage:
        if not 1 <= limit <= REGISTRY_PAGE_MAX:
            raise BadInput(f"a page has 1 to {REGISTRY_PAGE_MAX} entries, not {limit}")
        ledger = await self._reach()
        if block is not None and block > ledger.block:
            raise ChainUnreachable(f"there is no block {block}")
        return ledger.registry.page(offset, limit, ledger.block if block is None else block)

    async def registry_events(self, since_block: int) -> AsyncGenerator[RegistryEvent, None]:
        position = 0
        while True:
            history = (await self._reach()).registry.history
            for event in history.since(position):
                position += 1
                if event.block >= since_block:
                    yield event
            if not history.since(position):
                await history.wait_news()

    async def channel_events(
        self, since_block: int, known: Iterable[ChannelId] = ()
    ) -> AsyncGenerator[ChannelEvent, None]:
        position, watched = 0, dict.fromkeys(known)
        while True:
            ledger = await self._reach()
            for event in ledger.history.since(position):
                position += 1
                if event.block >= since_block:
                    if event.kind == "opened" and self._is_party(ledger, event.channel):
                        watched[event.channel] = None
                    if event.channel in watched:
                        yield event
            if not ledger.history.since(position):
                await ledger.history.wait_news()

    def _is_party(self, ledger: MemoryLedger, channel: ChannelId) -> bool:
        """Whether a channel that is there pays to or from our account."""
        state = ledger.channel(channel)
        return state is not None and self._account in (state.payer, state.payee)

    async def _reach(self) -> MemoryLedger:
        await trio.lowlevel.checkpoint()
        if self._ledger.unreachable:
            raise ChainUnreachable("the ledger is switched off", hint="switch it on")
        return self._ledger
