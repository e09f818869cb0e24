"""Money: carries a core's chain effects out, one task each, and reports the answers."""

from collections.abc import Awaitable, Callable

import structlog
import trio

from p2p_modelex.chain.abc import Chain, Outbox
from p2p_modelex.core.effects import (
    FetchChannel,
    FetchSplit,
    OpenChannel,
    PayOut,
    Redeem,
    TopUpChannel,
)
from p2p_modelex.core.funding import build_row
from p2p_modelex.core.inputs import (
    ChannelFetched,
    ChannelOpened,
    ChannelOpenFailed,
    Input,
    Redeemed,
    RedeemFailed,
    SplitFetched,
)
from p2p_modelex.errors import (
    ChainError,
    ChainUnreachable,
    ModelexError,
    PaymentError,
    TransactionFailed,
)
from p2p_modelex.records.channel import PAYER_SIGNS, ChannelState, ChannelTerms
from p2p_modelex.store.abc import Store
from p2p_modelex.units import Epoch, Wei, format_ai

log = structlog.get_logger(__name__)
READS_AT_ONCE = 8
"""Channels read from the chain at the same time; strangers can make us read many."""
DOUBT_PAUSE_S = 10.0
"""Before it is asked again what became of a deposit: an endpoint restarts in less."""

Tell = Callable[[Input], Awaitable[None]]


class Money:
    """Carries out the chain effects of a core. A node without a chain fails each of them."""

    def __init__(
        self, chain: Chain | None, store: Store, tell: Tell, nursery: trio.Nursery
    ) -> None:
        self._chain = chain
        self._store = store
        self._tell = tell
        self._nursery = nursery
        self._reads = trio.CapacityLimiter(READS_AT_ONCE)
        self._epoch: Epoch | None = None  # the last that was told; None before the first look

    def fetch(self, effect: FetchChannel) -> None:
        self._nursery.start_soon(self._fetch, effect)

    def fetch_split(self, effect: FetchSplit) -> None:
        self._nursery.start_soon(self._fetch_split, effect)

    def open(self, effect: OpenChannel) -> None:
        self._nursery.start_soon(self._deposit, effect)

    def top_up(self, effect: TopUpChannel) -> None:
        self._nursery.start_soon(self._deposit, effect)

    def redeem(self, effect: Redeem) -> None:
        self._nursery.start_soon(self._redeem, effect)

    def pay_out(self, effect: PayOut) -> None:
        self._nursery.start_soon(self._pay_out, effect)

    def _get_chain(self) -> Chain:
        if self._chain is None:
            raise ChainUnreachable("this node works without a chain")
        return self._chain

    async def _fetch(self, effect: FetchChannel) -> None:
        try:
            async with self._reads:
                state = await self._get_chain().fetch_channel(effect.terms)
        except ChainError as error:
            log.warning("channel_unreadable", reason=str(error))
            state = None
        await self._tell(ChannelFetched(effect.channel, state))

    async def _fetch_split(self, _: FetchSplit) -> None:
        split = None
        if self._chain is not None:
            try:
                async with self._reads:
                    split = await self._chain.fetch_split()
            except ChainError as error:
                log.warning("split_unreadable", reason=str(error))
        if split is not None:
            self._log_split(split.epoch)
        await self._tell(SplitFetched(split))

    def _log_split(self, epoch: Epoch) -> None:
        if self._epoch is not None and epoch > self._epoch:
            log.info("split", old_epoch=self._epoch, new_epoch=epoch)
        self._epoch = epoch

    async def _deposit(self, effect: OpenChannel | TopUpChannel) -> None:
        """Make a deposit, and stay at it until it is known how it ended (LED-14)."""
        outbox = Outbox(effect.signed, lambda signed: self._keep(effect, signed))
        doubt = ""
        while True:
            try:
                state = await self._send_deposit(effect, outbox)
            except (PaymentError, ChainError) as error:
                is_known, reason = isinstance(error, PaymentError | TransactionFailed), str(error)
                outbox.is_closed = is_known or not outbox.signed
                # A doubt may last for hours: it is said when it begins and when it changes.
                if outbox.is_closed or reason != doubt:
                    _log_not_made(error, is_pending=not outbox.is_closed)
                doubt = reason
                await self._tell(ChannelOpenFailed(effect.payee, reason, not outbox.is_closed))
            else:
                outbox.is_closed = True
                log.info("deposited", channel="0x" + state.channel.hex(), wei=state.deposit)
                await self._tell(ChannelOpened(effect.payee, state))
            if outbox.is_closed:
                return
            await trio.sleep(DOUBT_PAUSE_S)

    async def _keep(self, effect: OpenChannel | TopUpChannel, signed: tuple[bytes, ...]) -> None:
        name = self._get_chain().deployment.channel_id
        await self._store.apply((build_row(effect, signed, name),))

    async def _send_deposit(
        self, effect: OpenChannel | TopUpChannel, outbox: Outbox
    ) -> ChannelState:
        chain = self._get_chain()
        if isinstance(effect, TopUpChannel):
            if not outbox.signed:
                await self._check_possible(chain, effect.amount)
            return await chain.top_up(effect.terms, effect.amount, outbox)
        terms = ChannelTerms(chain.account, effect.payee, PAYER_SIGNS, effect.salt)
        if not outbox.signed and await chain.fetch_channel(terms) is None:
            await self._check_possible(chain, effect.deposit)
        deposit, salt = effect.deposit, effect.salt
        return await chain.open_channel(effect.payee, deposit, PAYER_SIGNS, salt, outbox)

    async def _check_possible(self, chain: Chain, deposit: Wei) -> None:
        """Raise PaymentError instead of sending what would revert."""
        split = await chain.fetch_split()
        if split.is_paused:
            await self._tell(SplitFetched(split))  # the core need not try the next channel
            raise PaymentError(
                f"TransfersPaused(splitsAt={split.splits_at}): nothing can be deposited before "
                f"block {split.splits_at}, where $AI splits; the chain is at block {split.block}"
            )
        balance = await chain.fetch_balance(chain.account)
        if balance < deposit:
            raise PaymentError(
                f"the account has {format_ai(balance)}, the deposit wants {format_ai(deposit)} "
                "(requester.auto_deposit)"
            )

    async def _redeem(self, effect: Redeem) -> None:
        try:
            epoch = await self._get_chain().fetch_epoch()
            redemption = await self._get_chain().redeem(effect.claims)
        except (ChainError, PaymentError) as error:
            log.warning("redeem_failed", vouchers=len(effect.claims), reason=str(error))
            await self._tell(RedeemFailed(effect.claims, str(error)))
        else:
            log.info(
                "redeemed",
                transaction="0x" + redemption.transaction.hex(),
                wei=sum(redemption.credited),
                epoch=epoch,
                gas=redemption.gas_used,
            )
            await self._tell(Redeemed(effect.claims, redemption.credited))

    async def _pay_out(self, effect: PayOut) -> None:
        if self._chain is None:
            return
        try:
            paid = await self._chain.pay_out(effect.payee)
        except ChainError as error:
            log.warning("pay_out_failed", reason=str(error))
        else:
            if paid:
                log.info("paid_out", wei=paid)


def _log_not_made(error: ModelexError, *, is_pending: bool) -> None:
    if isinstance(error, PaymentError):
        log.info("deposit_not_made", reason=str(error))
    else:
        log.warning("deposit_in_doubt" if is_pending else "deposit_failed", reason=str(error))
