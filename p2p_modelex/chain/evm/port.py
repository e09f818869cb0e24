"""The chain port over JSON-RPC: `Chain` for one account of one EVM network."""

import secrets
from collections.abc import AsyncGenerator, Sequence
from typing import Any, Self

import trio
from eth_abi.abi import encode

from p2p_modelex.chain.abc import Chain, ChannelEvent, Deployment, Redemption, RegistryEntry
from p2p_modelex.chain.evm.artifacts import Contracts, load_contracts
from p2p_modelex.chain.evm.events import ChannelWatch
from p2p_modelex.chain.evm.identify import check_network
from p2p_modelex.chain.evm.refusals import ask
from p2p_modelex.chain.evm.rpc import Rpc
from p2p_modelex.chain.evm.sender import Sender
from p2p_modelex.chain.evm.wire import TransactionReceipt, read_header, read_quantity
from p2p_modelex.chain.redemption import validate_batch
from p2p_modelex.errors import ChainUnreachable, TransactionFailed
from p2p_modelex.ids import Address, ChannelId, Digest, PublicKey, format_address
from p2p_modelex.records.channel import ChannelState
from p2p_modelex.records.eip712 import AccountSigner
from p2p_modelex.records.voucher import SignedVoucher
from p2p_modelex.units import UINT128_MAX, Epoch, Wei

# A devnet mines only when there is a transaction, so nothing there is ever confirmed.
DEVNET_CHAIN_ID = 31337
CONFIRMATIONS = 3  # our guess: deeper than all but exceptional reorgs, 36 s on mainnet
POLL_S = 1.0

_OPEN, _TOP_UP = 0, 1  # IPaymentChannels.Deposit


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
        self._sender = Sender(self._rpc, signer, deployment.chain_id, self._contracts.errors)

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

    async def fetch_epoch(self) -> Epoch:
        [epoch] = await self._ask_token("epoch")
        return Epoch(epoch)

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

    async def fetch_channel(self, channel: ChannelId) -> ChannelState | None:
        return await self._fetch_channel(channel, await self._confirmed_block())

    async def open_channel(
        self, payee: Address, deposit: Wei, signer: Address, salt: Digest | None = None
    ) -> ChannelState:
        if salt is None:
            salt = Digest(secrets.token_bytes(32))
        else:
            channel = self._deployment.channel_id(self.account, payee, salt)
            found = await self._fetch_channel(channel, "latest")
            if found is not None:
                return found
        opening = encode(
            ["uint8", "address", "address", "bytes32"],
            [_OPEN, format_address(payee), format_address(signer), salt],
        )
        receipt = await self._deposit(deposit, opening)
        events = self._find_events(receipt, "Opened")
        if len(events) != 1:
            raise ChainUnreachable("the endpoint left out the event of the opening transaction")
        [opened] = events
        return ChannelState(
            opened["channel"],
            bytes.fromhex(opened["payer"][2:]),
            bytes.fromhex(opened["payee"][2:]),
            bytes.fromhex(opened["signer"][2:]),
            Wei(opened["deposit"]),
            Wei(0),
            opened["epoch"],
            0,
        )

    async def top_up(self, channel: ChannelId, amount: Wei) -> ChannelState:
        await self._deposit(amount, encode(["uint8", "bytes32"], [_TOP_UP, channel]))
        return await self._fetch_latest(channel)

    async def redeem(self, vouchers: Sequence[SignedVoucher]) -> Redemption:
        validate_batch(vouchers)
        batch = [
            ((v.voucher.channel, v.voucher.lane, v.voucher.amount, v.voucher.epoch), v.signature)
            for v in vouchers
        ]
        receipt = await self._send_to_channels("redeem", batch)
        # A voucher leaves one event: skipped ones name their index, credited ones keep the order.
        skipped = {event["index"] for event in self._find_events(receipt, "VoucherSkipped")}
        claimed = self._find_events(receipt, "Claimed")
        if len(skipped) + len(claimed) != len(vouchers):
            raise ChainUnreachable("the endpoint left out events of the redeeming transaction")
        credit = iter(Wei(event["credit"]) for event in claimed)
        credited = tuple(Wei(0) if i in skipped else next(credit) for i in range(len(vouchers)))
        return Redemption(receipt.transaction, receipt.gas_used, credited)

    async def start_close(self, channel: ChannelId) -> ChannelState:
        await self._send_to_channels("startClose", channel)
        return await self._fetch_latest(channel)

    async def finish_close(self, channel: ChannelId) -> ChannelState:
        await self._send_to_channels("finishClose", channel)
        return await self._fetch_latest(channel)

    async def register(self, peer: PublicKey, digest: Digest, sequence: int, uri: str) -> Digest:
        known = await self._fetch_registration(peer, self.account, "latest")
        function = "register" if known is None else "update"
        payload = self._contracts.registry.encode_call(function, peer, digest, sequence, uri)
        return (await self._sender.send(self._deployment.registry, payload)).transaction

    async def fetch_registration(
        self, peer: PublicKey, operator: Address | None = None
    ) -> RegistryEntry | None:
        return await self._fetch_registration(
            peer, operator or self.account, await self._confirmed_block()
        )

    async def channel_events(self, since_block: int) -> AsyncGenerator[ChannelEvent, None]:
        watch = ChannelWatch(
            self._rpc,
            self._deployment.channels,
            self._contracts.channels,
            self.account,
            since_block=since_block,
            confirmations=self._confirmations,
            fetch_channel=lambda channel: self._fetch_channel(channel, "latest"),
            on_reorg=self._sender.repair,
        )
        while True:
            polled = await watch.poll()
            for event in polled.events:
                yield event
            if polled.up_to_date:
                await trio.sleep(self._poll_s)

    async def _confirmed_block(self) -> str:
        if self._confirmations == 0:
            return "latest"
        head = read_quantity(await self._rpc.call("eth_blockNumber"))
        return hex(max(0, head - self._confirmations))

    async def _ask_token(self, function: str, *arguments: Any) -> tuple[Any, ...]:
        payload = self._contracts.token.encode_call(function, *arguments)
        answer = await self._call(self._deployment.token, payload, await self._confirmed_block())
        return self._contracts.token.decode_result(function, answer)

    async def _call(self, to: Address, payload: bytes, block: str) -> bytes:
        [answer] = await ask(self._rpc, self._contracts.errors, [(to, payload)], block)
        return answer

    async def _fetch_channel(self, channel: ChannelId, block: str) -> ChannelState | None:
        abi = self._contracts.channels
        payload = abi.encode_call("channelOf", channel)
        answer = await self._call(self._deployment.channels, payload, block)
        [fields] = abi.decode_result("channelOf", answer)
        payer, payee, signer, deposit, claimed, closes_at, epoch, closed = fields
        if int(payer, 16) == 0:
            return None
        return ChannelState(
            channel,
            bytes.fromhex(payer[2:]),
            bytes.fromhex(payee[2:]),
            bytes.fromhex(signer[2:]),
            Wei(deposit),
            Wei(claimed),
            epoch,
            # Closed by agreement without a challenge period: closed since ever, not open.
            max(1, closes_at) if closed else closes_at,
        )

    async def _fetch_latest(self, channel: ChannelId) -> ChannelState:
        state = await self._fetch_channel(channel, "latest")
        if state is None:
            raise TransactionFailed(
                f"channel 0x{channel.hex()} is gone after its transaction: a reorg undid it",
                hint="look at the channel again in a few blocks",
            )
        return state

    async def _fetch_registration(
        self, peer: PublicKey, operator: Address, block: str
    ) -> RegistryEntry | None:
        abi = self._contracts.registry
        payload = abi.encode_call("entryOf", peer, format_address(operator))
        answer = await self._call(self._deployment.registry, payload, block)
        [fields] = abi.decode_result("entryOf", answer)
        _, owner, sequence, section, digest, _, _, uri = fields
        if int(owner, 16) == 0:
            return None
        return RegistryEntry(peer, operator, Digest(digest), sequence, uri, section == 1)

    async def _deposit(self, amount: Wei, form: bytes) -> TransactionReceipt:
        channels = format_address(self._deployment.channels)
        payload = self._contracts.token.encode_call("transferAndCall", channels, amount, form)
        return await self._sender.send(self._deployment.token, payload)

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
