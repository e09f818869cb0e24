"""The chain port over JSON-RPC: `Chain` for one account of one EVM network."""

import secrets
from collections.abc import AsyncGenerator, Iterable, Sequence
from contextlib import suppress
from typing import Any, Self

import trio
from eth_abi.abi import encode
from eth_hash.backends.pysha3 import keccak256 as keccak

from p2p_modelex.chain.abc import (
    Chain,
    ChannelEvent,
    Deployment,
    Outbox,
    Redemption,
    RegistryPage,
)
from p2p_modelex.chain.evm.artifacts import Contracts, load_contracts
from p2p_modelex.chain.evm.depth import fetch_deep_block, name_deep_block
from p2p_modelex.chain.evm.events import ChannelWatch
from p2p_modelex.chain.evm.identify import check_network
from p2p_modelex.chain.evm.ratings import fetch_ratings
from p2p_modelex.chain.evm.refusals import ask
from p2p_modelex.chain.evm.registry import Registry
from p2p_modelex.chain.evm.rpc import Rpc
from p2p_modelex.chain.evm.search import find_terms
from p2p_modelex.chain.evm.sender import Sender
from p2p_modelex.chain.evm.wire import TransactionReceipt, read_header, read_quantity
from p2p_modelex.chain.redemption import find_payee
from p2p_modelex.errors import (
    ChainError,
    ChainUnreachable,
    Reverted,
    TransactionFailed,
    TransactionPending,
)
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
CONFIRMING_TIMEOUT_S = 180.0  # fifteen of mainnet's blocks
POLL_S = 1.0
REGISTRY_POLL_S = 12.0  # a block of mainnet; two small requests each time

_NONE, _CLOSED = 0, 3  # IPaymentChannels.Status


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
        self._contracts: Contracts = load_contracts()
        self._registry = Registry(
            self._rpc, deployment.registry, self._contracts.registry, self._call
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
        payload = self._contracts.token.encode_call("split")
        answer = await self._call(self._deployment.token, payload, "latest")
        [(epoch, pauses_at, splits_at)] = self._contracts.token.decode_result("split", answer)
        if epoch > SPLITS_MAX:
            raise ChainUnreachable("the endpoint sent a split epoch that cannot be")
        if splits_at and block >= splits_at:  # nobody writes down that it has happened
            return SplitState(Epoch(epoch + 1), block)
        return SplitState(Epoch(epoch), block, pauses_at, splits_at)

    async def fetch_balance(self, account: Address) -> Wei:
        [balance] = await self._ask_token("balanceOf", format_address(account))
        if balance > UINT128_MAX:
            raise ChainUnreachable("the endpoint sent a balance over the token's supply")
        return Wei(balance)

    async def fetch_gas_balance(self, account: Address) -> int:
        balance = await self._rpc.call("eth_getBalance", format_address(account), "latest")
        return read_quantity(balance)

    async def transfer(self, to: Address, amount: Wei) -> Digest:
        payload = self._contracts.token.encode_call("transfer", format_address(to), amount)
        receipt = await self._sender.send(self._deployment.token, payload)
        return receipt.transaction

    async def fetch_authorization_used(self, payer: Address, nonce: Digest) -> bool:
        token = self._contracts.token
        payload = token.encode_call("authorizationState", format_address(payer), nonce)
        answer = await self._call(self._deployment.token, payload, "latest")
        [is_used] = token.decode_result("authorizationState", answer)
        return bool(is_used)

    async def transfer_authorized(self, transfer: AuthorizedTransfer, signature: bytes) -> Digest:
        payload = self._contracts.token.encode_call(
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
        return (await self._sender.send(self._deployment.token, payload)).transaction

    async def fetch_channel(self, terms: ChannelTerms) -> ChannelState | None:
        return await self._fetch_channel(terms, await self._confirmed_block())

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
            found = await self._fetch_channel(terms, "latest")
            if found is not None:
                return await self._wait_confirmed(terms)
        receipt = await self._deposit(deposit, encode_opening(terms), outbox)
        return await self._wait_confirmed(terms, receipt.block)

    async def top_up(
        self, terms: ChannelTerms, amount: Wei, outbox: Outbox | None = None
    ) -> ChannelState:
        channel = self._deployment.channel_id(terms)
        receipt = await self._deposit(amount, encode_top_up(channel), outbox)
        return await self._wait_confirmed(terms, receipt.block)

    async def redeem(self, claims: Sequence[Claim]) -> Redemption:
        payee = format_address(find_payee(claims))
        batch = [_show_claim(claim) for claim in claims]
        try:
            await self.pay_out(find_payee(claims))
            receipt = await self._send_to_channels("redeem", payee, batch)
        except Reverted as error:
            # Claiming is bookkeeping, which no pause stops; a later call pays it out.
            if error.name != "TransfersPaused":
                raise
            receipt = await self._send_to_channels("claim", payee, batch)
        # A voucher leaves one event: skipped ones name their index, credited ones keep the order.
        skipped = {event["index"] for event in self._find_events(receipt, "VoucherSkipped")}
        claimed = self._find_events(receipt, "Claimed")
        if len(skipped) + len(claimed) != len(claims):
            raise ChainUnreachable("the endpoint left out events of the redeeming transaction")
        credit = iter(Wei(event["credit"]) for event in claimed)
        credited = tuple(Wei(0) if i in skipped else next(credit) for i in range(len(claims)))
        return Redemption(receipt.transaction, receipt.gas_used, credited)

    async def pay_out(self, payee: Address) -> Wei:
        account = format_address(payee)
        [unpaid] = await self._ask_channels("unpaidOf", "latest", account)
        if unpaid > UINT128_MAX:
            raise ChainUnreachable("the endpoint sent an amount over the token's supply")
        if unpaid:
            await self._send_to_channels("settle", account)
        return Wei(unpaid)

    async def start_close(self, terms: ChannelTerms) -> ChannelState:
        await self._send_to_channels("startClose", _show_terms(terms))
        return await self._fetch_latest(terms)

    async def finish_close(self, terms: ChannelTerms) -> ChannelState:
        await self._send_to_channels("finishClose", _show_terms(terms))
        return await self._fetch_latest(terms)

    async def close_as_payee(self, terms: ChannelTerms) -> ChannelState:
        await self._send_to_channels("cooperativeClose", _show_terms(terms))
        return await self._fetch_latest(terms)

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
            # NodeRegistry.agentIdOf: what ERC-8004 knows the entry by.
            agent = keccak(encode(["bytes32", "address"], [peer, format_address(self.account)]))
            await self._send_to_registry("setAgentURI", int.from_bytes(agent), uri)
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

    async def _ask_token(self, function: str, *arguments: Any) -> tuple[Any, ...]:
        payload = self._contracts.token.encode_call(function, *arguments)
        answer = await self._call(self._deployment.token, payload, await self._confirmed_block())
        return self._contracts.token.decode_result(function, answer)

    async def _call(self, to: Address, payload: bytes, block: str) -> bytes:
        [answer] = await ask(self._rpc, self._contracts.errors, [(to, payload)], block)
        return answer

    async def _ask_channels(self, function: str, block: str, *arguments: Any) -> tuple[Any, ...]:
        payload = self._contracts.channels.encode_call(function, *arguments)
        answer = await self._call(self._deployment.channels, payload, block)
        return self._contracts.channels.decode_result(function, answer)

    async def _fetch_channel(self, terms: ChannelTerms, block: str) -> ChannelState | None:
        channel = self._deployment.channel_id(terms)
        [fields] = await self._ask_channels("channelOf", block, channel)
        deposit, claimed, epoch, closes_at, status = fields
        if status == _NONE:
            return None
        if max(deposit, claimed) > UINT128_MAX:
            raise ChainUnreachable("the endpoint sent a channel of more than the token's supply")
        return ChannelState(
            channel,
            terms.payer,
            terms.payee,
            terms.signer,
            terms.salt,
            Wei(deposit),
            Wei(claimed),
            epoch,
            # Closed by agreement without a challenge period: closed since ever, not open.
            max(1, closes_at) if status == _CLOSED else closes_at,
        )

    async def _fetch_latest(self, terms: ChannelTerms) -> ChannelState:
        state = await self._fetch_channel(terms, "latest")
        if state is None:
            channel = self._deployment.channel_id(terms)
            raise TransactionPending(
                f"channel 0x{channel.hex()} is gone after its transaction: a reorg undid it",
                hint="look at the channel again in a few blocks",
            )
        return state

    async def _wait_confirmed(self, terms: ChannelTerms, since: int = 0) -> ChannelState:
        """Return a channel once its deposit is as deep as its payee wants it, if that is as careful
        as we are: it would refuse an order before. since: the block it was made in, which `latest`
        may lack, of an endpoint of several machines.
        """
        try:
            latest = await self._fetch_latest(terms)
        except TransactionFailed as error:  # of the reading
            raise TransactionPending(f"a deposit was made and cannot be read: {error}") from error
        if not self._confirmations:
            return latest
        with trio.move_on_after(CONFIRMING_TIMEOUT_S):
            while True:
                with suppress(ChainError):  # it is made, and can be read yet
                    deep = await fetch_deep_block(self._rpc, self._confirmations)
                    state = await self._fetch_channel(terms, hex(deep)) if deep >= since else None
                    if state is not None and state.deposit >= latest.deposit:
                        return state
                await trio.sleep(self._poll_s)
        raise TransactionPending(
            f"a deposit is not {self._confirmations} blocks deep after {CONFIRMING_TIMEOUT_S:g} s",
            hint="does the chain make blocks? it will be found when the channel is looked at again",
        )

    async def _deposit(self, amount: Wei, form: bytes, outbox: Outbox | None) -> TransactionReceipt:
        channels = format_address(self._deployment.channels)
        payload = self._contracts.token.encode_call("transferAndCall", channels, amount, form)
        return await self._sender.send(self._deployment.token, payload, outbox=outbox)

    async def _send_to_registry(self, function: str, *arguments: Any) -> Digest:
        payload = self._contracts.registry.encode_call(function, *arguments)
        return (await self._sender.send(self._deployment.registry, payload)).transaction

    async def _send_to_channels(self, function: str, *arguments: Any) -> TransactionReceipt:
        payload = self._contracts.channels.encode_call(function, *arguments)
        return await self._sender.send(self._deployment.channels, payload)

    def _find_events(self, receipt: TransactionReceipt, name: str) -> list[dict[str, Any]]:
        decoded = (
            self._contracts.channels.decode_event(log)
            for log in receipt.logs
            if log.address == self._deployment.channels
        )
        return [event.arguments for event in decoded if event is not None and event.name == name]


def _show_terms(terms: ChannelTerms) -> tuple[Any, ...]:
    parties = (terms.payer, terms.payee, terms.signer)
    return (*(format_address(Address(party)) for party in parties), terms.salt)


def _show_claim(claim: Claim) -> tuple[Any, ...]:
    payer, _, signer, salt = _show_terms(claim.terms)
    voucher = claim.signed.voucher
    return (
        payer,
        signer,
        salt,
        voucher.lane,
        voucher.amount,
        voucher.epoch,
        claim.signed.signature,
    )
