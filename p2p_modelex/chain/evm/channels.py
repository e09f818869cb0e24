"""The PaymentChannels over JSON-RPC: what one holds, how deep that lies, what redeeming brought."""

from contextlib import suppress
from typing import Any

import trio

from p2p_modelex.chain.abc import Deployment
from p2p_modelex.chain.evm.abi import Abi
from p2p_modelex.chain.evm.depth import fetch_deep_block
from p2p_modelex.chain.evm.refusals import ReadContract
from p2p_modelex.chain.evm.rpc import Rpc
from p2p_modelex.chain.evm.wire import TransactionReceipt
from p2p_modelex.errors import (
    ChainError,
    ChainUnreachable,
    TransactionFailed,
    TransactionPending,
)
from p2p_modelex.ids import Address, format_address
from p2p_modelex.records.channel import ChannelState, ChannelTerms, Claim
from p2p_modelex.units import UINT128_MAX, Wei

CONFIRMING_TIMEOUT_S = 180.0  # fifteen of mainnet's blocks

_NONE, _CLOSED = 0, 3  # IPaymentChannels.Status


class Channels:
    """Reads the channels of one network. read: calls a contract at a block. confirmations: blocks
    upon one before its state counts. poll_s: pause between looks.
    """

    def __init__(
        self,
        rpc: Rpc,
        deployment: Deployment,
        abi: Abi,
        read: ReadContract,
        *,
        confirmations: int,
        poll_s: float,
    ) -> None:
        self._rpc = rpc
        self._deployment = deployment
        self._abi = abi
        self._read = read
        self._confirmations = confirmations
        self._poll_s = poll_s

    async def fetch(self, terms: ChannelTerms, block: str) -> ChannelState | None:
        """Return a channel as of a block, None if there was none. Raises ChainError."""
        channel = self._deployment.channel_id(terms)
        [fields] = await self._ask("channelOf", block, channel)
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

    async def fetch_latest(self, terms: ChannelTerms) -> ChannelState:
        """Return a channel after a transaction of ours. TransactionPending if it is gone."""
        state = await self.fetch(terms, "latest")
        if state is None:
            channel = self._deployment.channel_id(terms)
            raise TransactionPending(
                f"channel 0x{channel.hex()} is gone after its transaction: a reorg undid it",
                hint="look at the channel again in a few blocks",
            )
        return state

    async def wait_confirmed(self, terms: ChannelTerms, since: int = 0) -> ChannelState:
        """Return a channel once its deposit is as deep as its payee wants it, if that is as careful
        as we are: it would refuse an order before. since: the block it was made in, which `latest`
        may lack, of an endpoint of several machines. Raises ChainUnreachable, TransactionPending.
        """
        try:
            latest = await self.fetch_latest(terms)
        except TransactionFailed as error:  # of the reading
            raise TransactionPending(f"a deposit was made and cannot be read: {error}") from error
        if not self._confirmations:
            return latest
        with trio.move_on_after(CONFIRMING_TIMEOUT_S):
            while True:
                with suppress(ChainError):  # it is made, and can be read yet
                    deep = await fetch_deep_block(self._rpc, self._confirmations)
                    state = await self.fetch(terms, hex(deep)) if deep >= since else None
                    if state is not None and state.deposit >= latest.deposit:
                        return state
                await trio.sleep(self._poll_s)
        raise TransactionPending(
            f"a deposit is not {self._confirmations} blocks deep after {CONFIRMING_TIMEOUT_S:g} s",
            hint="does the chain make blocks? it will be found when the channel is looked at again",
        )

    async def fetch_unpaid(self, payee: Address) -> Wei:
        """Return what was claimed for an account and not paid out yet. Raises ChainError."""
        [unpaid] = await self._ask("unpaidOf", "latest", format_address(payee))
        if unpaid > UINT128_MAX:
            raise ChainUnreachable("the endpoint sent an amount over the token's supply")
        return Wei(unpaid)

    def read_credits(self, receipt: TransactionReceipt, count: int) -> tuple[Wei, ...]:
        """Return what each of so many redeemed vouchers brought. ChainUnreachable if that cannot be
        told from the transaction's events.
        """
        # A voucher leaves one event: skipped ones name their index, credited ones keep the order.
        skipped = {event["index"] for event in self._find_events(receipt, "VoucherSkipped")}
        claimed = self._find_events(receipt, "Claimed")
        if len(skipped) + len(claimed) != count:
            raise ChainUnreachable("the endpoint left out events of the redeeming transaction")
        credit = iter(Wei(event["credit"]) for event in claimed)
        return tuple(Wei(0) if i in skipped else next(credit) for i in range(count))

    def _find_events(self, receipt: TransactionReceipt, name: str) -> list[dict[str, Any]]:
        decoded = (
            self._abi.decode_event(log)
            for log in receipt.logs
            if log.address == self._deployment.channels
        )
        return [event.arguments for event in decoded if event is not None and event.name == name]

    async def _ask(self, function: str, block: str, *arguments: Any) -> tuple[Any, ...]:
        payload = self._abi.encode_call(function, *arguments)
        answer = await self._read(self._deployment.channels, payload, block)
        return self._abi.decode_result(function, answer)


def show_terms(terms: ChannelTerms) -> tuple[Any, ...]:
    """Return a channel's terms as the contract takes them."""
    parties = (terms.payer, terms.payee, terms.signer)
    return (*(format_address(Address(party)) for party in parties), terms.salt)


def show_claim(claim: Claim) -> tuple[Any, ...]:
    """Return a claim as the contract takes it."""
    payer, _, signer, salt = show_terms(claim.terms)
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
