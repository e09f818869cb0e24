"""The chain port over JSON-RPC: `Chain` for one account of one EVM network."""

import secrets
from collections.abc import AsyncGenerator, Iterable, Sequence
from typing import Any, Self

import trio

from p2p_modelex.chain.abc import (
    Chain,
    ChannelEvent,
    Deployment,
    Outbox,
    Redemption,
    RegistryPage,
)
from p2p_modelex.chain.evm.artifacts import load_contracts
from p2p_modelex.chain.evm.channels import Channels, show_claim, show_terms
from p2p_modelex.chain.evm.depth import fetch_deep_block, name_deep_block
from p2p_modelex.chain.evm.events import ChannelWatch
from p2p_modelex.chain.evm.identify import check_network
from p2p_modelex.chain.evm.ratings import fetch_ratings
from p2p_modelex.chain.evm.refusals import ask
from p2p_modelex.chain.evm.registry import Registry, compute_agent
from p2p_modelex.chain.evm.rpc import Rpc
from p2p_modelex.chain.evm.search import find_terms
from p2p_modelex.chain.evm.sender import Sender
from p2p_modelex.chain.evm.wire import TransactionReceipt, read_header, read_quantity
from p2p_modelex.chain.redemption import find_payee
from p2p_modelex.errors import ChainUnreachable, Reverted
from p2p_modelex.ids import Address, ChannelId, Digest, PublicKey, format_address
from p2p_modelex.records.authorization import AuthorizedTransfer
from p2p_modelex.records.channel import ChannelState, ChannelTerms, Claim, build_salt
from p2p_modelex.records.deposit import encode_opening, encode_top_up
from p2p_modelex.records.eip712 import AccountSigner
from p2p_modelex.records.registry import RegistryEntry, RegistryEvent
from p2p_modelex.records.split import SplitState
from p2p_modelex.units import SPLITS_MAX, UINT128_MAX, Epoch, Wei

# A devnet mines only when there is a transaction, so nothing there is ever confirmed.
DEVNET_CHAIN_ID = 31337
CONFIRMATIONS = 3  # our guess: deeper than all but exceptional reorgs, 36 s on mainnet
POLL_S = 1.0
REGISTRY_POLL_S = 12.0  # a block of mainnet; two small requests each time


class EvmChain(Chain):
    """One account's port. Only one per account and process: it owns the account's nonces."""

    def __init__(
        self,
        url: str,
        deployment: Deployment,
        signer: AccountSigner,
        *,
        confirmations: int | None = None,
        poll_s: float = POLL_S,
    ) -> None:
        """confirmations: blocks upon one before its state and events count; None: 0 on a devnet,
        else CONFIRMATIONS. poll_s: pause between looks for events. ConfigurationError for a
        URL that is not http(s).
        """
        self._rpc = Rpc(url)
        self._deployment = deployment
        self._signer = signer
        if confirmations is None:
            confirmations = 0 if deployment.chain_id == DEVNET_CHAIN_ID else CONFIRMATIONS
        self._confirmations = confirmations
        self._poll_s = poll_s
        self._contracts = load_contracts()
        self._registry = Registry(
            self._rpc, deployment.registry, self._contracts.registry, self._call
        )
        self._channels = Channels(
            self._rpc,
            deployment,
            self._contracts.channels,
            self._call,
            confirmations=confirmations,
            poll_s=poll_s,
        )
        errors = self._contracts.errors
        self._sender = Sender(
            self._rpc, signer, deployment.chain_id, errors, confirmations=confirmations
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self._rpc.aclose()

    @property
    def deployment(self) -> Deployment:
        return self._deployment

    @property
    def account(self) -> Address:
        return self._signer.address

    async def check(self) -> None:
        await check_network(self._rpc, self._deployment, self._contracts)

    async def fetch_genesis(self) -> Digest:
        return read_header(await self._rpc.call("eth_getBlockByNumber", "0x0", False)).hash

    async def fetch_split(self) -> SplitState:
        block = read_quantity(await self._rpc.call("eth_blockNumber"))
        [(epoch, pauses_at, splits_at)] = await self._ask_token("split", "latest")
        if epoch > SPLITS_MAX:
            raise ChainUnreachable("the endpoint sent a split epoch that cannot be")
        if splits_at and block >= splits_at:  # nobody writes down that it has happened
            return SplitState(Epoch(epoch + 1), block)
        return SplitState(Epoch(epoch), block, pauses_at, splits_at)

    async def fetch_balance(self, account: Address) -> Wei:
        block = await self._confirmed_block()
        [balance] = await self._ask_token("balanceOf", block, format_address(account))
        if balance > UINT128_MAX:
            raise ChainUnreachable("the endpoint sent a balance over the token's supply")
        return Wei(balance)

    async def fetch_gas_balance(self, account: Address) -> int:
        balance = await self._rpc.call("eth_getBalance", format_address(account), "latest")
        return read_quantity(balance)

    async def transfer(self, to: Address, amount: Wei) -> Digest:
        return (await self._send_to_token("transfer", format_address(to), amount)).transaction

    async def fetch_authorization_used(self, payer: Address, nonce: Digest) -> bool:
        who = format_address(payer)
        [is_used] = await self._ask_token("authorizationState", "latest", who, nonce)
        return bool(is_used)

    async def transfer_authorized(self, transfer: AuthorizedTransfer, signature: bytes) -> Digest:
        receipt = await self._send_to_token(
            "transferWithAuthorization",
            format_address(transfer.payer),
            format_address(transfer.to),
            transfer.wei,
            transfer.valid_after,
            transfer.valid_before,
            transfer.nonce,
            signature[64],
            signature[:32],
            signature[32:64],
        )
        return receipt.transaction

    async def fetch_channel(self, terms: ChannelTerms) -> ChannelState | None:
        return await self._channels.fetch(terms, await self._confirmed_block())

    async def find_terms(self, channel: ChannelId) -> ChannelTerms | None:
        return await find_terms(self._rpc, self._deployment, self._contracts.channels, channel)

    async def open_channel(
        self,
        payee: Address,
        deposit: Wei,
        signer: Address,
        salt: Digest | None = None,
        outbox: Outbox | None = None,
    ) -> ChannelState:
        may_be_there = salt is not None and not (outbox is not None and outbox.signed)
        salt = salt or build_salt(secrets.token_bytes(32))
        terms = ChannelTerms(self.account, payee, signer, salt)
        if may_be_there:
            found = await self._channels.fetch(terms, "latest")
            if found is not None:
                return await self._channels.wait_confirmed(terms)
        receipt = await self._deposit(deposit, encode_opening(terms), outbox)
        return await self._channels.wait_confirmed(terms, receipt.block)

    async def top_up(
        self, terms: ChannelTerms, amount: Wei, outbox: Outbox | None = None
    ) -> ChannelState:
        channel = self._deployment.channel_id(terms)
        receipt = await self._deposit(amount, encode_top_up(channel), outbox)
        return await self._channels.wait_confirmed(terms, receipt.block)

    async def redeem(self, claims: Sequence[Claim]) -> Redemption:
        payee = format_address(find_payee(claims))
        batch = [show_claim(claim) for claim in claims]
        try:
            await self.pay_out(find_payee(claims))
            receipt = await self._send_to_channels("redeem", payee, batch)
        except Reverted as error:
            # Claiming is bookkeeping, which no pause stops; a later call pays it out.
            if error.name != "TransfersPaused":
                raise
            receipt = await self._send_to_channels("claim", payee, batch)
        credited = self._channels.read_credits(receipt, len(claims))
        return Redemption(receipt.transaction, receipt.gas_used, credited)

    async def pay_out(self, payee: Address) -> Wei:
        unpaid = await self._channels.fetch_unpaid(payee)
        if unpaid:
            await self._send_to_channels("settle", format_address(payee))
        return unpaid

    async def start_close(self, terms: ChannelTerms) -> ChannelState:
        await self._send_to_channels("startClose", show_terms(terms))
        return await self._channels.fetch_latest(terms)

    async def finish_close(self, terms: ChannelTerms) -> ChannelState:
        await self._send_to_channels("finishClose", show_terms(terms))
        return await self._channels.fetch_latest(terms)

    async def close_as_payee(self, terms: ChannelTerms) -> ChannelState:
        await self._send_to_channels("cooperativeClose", show_terms(terms))
        return await self._channels.fetch_latest(terms)

    async def fetch_ratings(
        self, nodes: Sequence[tuple[PublicKey, Address]], evaluators: Sequence[Address]
    ) -> tuple[int | None, ...]:
        contract = self._deployment.ratings
        if contract is None:
            return (None,) * len(nodes)
        block = await self._confirmed_block()
        return await fetch_ratings(self._rpc, contract, nodes, evaluators, block)

    async def register(self, peer: PublicKey, digest: Digest, sequence: int, uri: str) -> Digest:
        known = await self._registry.fetch_entry(peer, self.account, "latest")
        if known is None:
            return await self._send_to_registry("register", peer, digest, sequence, uri)
        transaction = await self._send_to_registry("update", peer, digest, sequence)
        if uri != known.uri:
            await self._send_to_registry("setAgentURI", compute_agent(peer, self.account), uri)
        return transaction

    async def fetch_registration(
        self, peer: PublicKey, operator: Address | None = None
    ) -> RegistryEntry | None:
        return await self._registry.fetch_entry(
            peer, operator or self.account, await self._confirmed_block()
        )

    async def fetch_registry(
        self, offset: int, limit: int, block: int | None = None
    ) -> RegistryPage:
        if block is None:
            block = await fetch_deep_block(self._rpc, self._confirmations)
        return await self._registry.fetch_page(offset, limit, block)

    def registry_events(self, since_block: int) -> AsyncGenerator[RegistryEvent, None]:
        return self._registry.follow(
            since_block=since_block,
            confirmations=self._confirmations,
            poll_s=max(self._poll_s, REGISTRY_POLL_S) if self._confirmations else self._poll_s,
            on_reorg=self._sender.repair,
        )

    async def channel_events(
        self, since_block: int, known: Iterable[ChannelId] = ()
    ) -> AsyncGenerator[ChannelEvent, None]:
        watch = ChannelWatch(
            self._rpc,
            self._deployment.channels,
            self._contracts.channels,
            self.account,
            since_block=since_block,
            confirmations=self._confirmations,
            known=known,
            on_reorg=self._sender.repair,
        )
        while True:
            polled = await watch.poll()
            for event in polled.events:
                yield event
            if polled.up_to_date:
                await trio.sleep(self._poll_s)

    async def _confirmed_block(self) -> str:
        return await name_deep_block(self._rpc, self._confirmations)

    async def _ask_token(self, function: str, block: str, *arguments: Any) -> tuple[Any, ...]:
        payload = self._contracts.token.encode_call(function, *arguments)
        answer = await self._call(self._deployment.token, payload, block)
        return self._contracts.token.decode_result(function, answer)

    async def _call(self, to: Address, payload: bytes, block: str) -> bytes:
        [answer] = await ask(self._rpc, self._contracts.errors, [(to, payload)], block)
        return answer

    async def _deposit(self, amount: Wei, form: bytes, outbox: Outbox | None) -> TransactionReceipt:
        channels = format_address(self._deployment.channels)
        return await self._send_to_token("transferAndCall", channels, amount, form, outbox=outbox)

    async def _send_to_token(
        self, function: str, *arguments: Any, outbox: Outbox | None = None
    ) -> TransactionReceipt:
        payload = self._contracts.token.encode_call(function, *arguments)
        return await self._sender.send(self._deployment.token, payload, outbox=outbox)

    async def _send_to_registry(self, function: str, *arguments: Any) -> Digest:
        payload = self._contracts.registry.encode_call(function, *arguments)
        return (await self._sender.send(self._deployment.registry, payload)).transaction

    async def _send_to_channels(self, function: str, *arguments: Any) -> TransactionReceipt:
        payload = self._contracts.channels.encode_call(function, *arguments)
        return await self._sender.send(self._deployment.channels, payload)
