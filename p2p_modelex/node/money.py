"""Money: carries a core's chain effects out, one task each, and reports the answers."""

from collections.abc import Awaitable, Callable

import structlog
import trio

from p2p_modelex.chain.abc import Chain
from p2p_modelex.core.effects import FetchChannel, OpenChannel, Redeem
from p2p_modelex.core.inputs import (
    ChannelFetched,
    ChannelOpened,
    ChannelOpenFailed,
    Input,
    Redeemed,
    RedeemFailed,
)
from p2p_modelex.errors import ChainError, PaymentError

log = structlog.get_logger("modelex.money")
Tell = Callable[[Input], Awaitable[None]]


class Money:
    """Carries out the chain effects of a core."""

    def __init__(self, chain: Chain, tell: Tell, nursery: trio.Nursery) -> None:
        self._chain = chain
        self._tell = tell
        self._nursery = nursery

    def fetch(self, effect: FetchChannel) -> None:
        self._nursery.start_soon(self._fetch, effect)

    def open(self, effect: OpenChannel) -> None:
        self._nursery.start_soon(self._open, effect)

    def redeem(self, effect: Redeem) -> None:
        self._nursery.start_soon(self._redeem, effect)

    async def _fetch(self, effect: FetchChannel) -> None:
        try:
            state = await self._chain.fetch_channel(effect.channel)
        except ChainError as error:
            log.warning("channel_unreadable", reason=str(error))
            state = None
        await self._tell(ChannelFetched(effect.channel, state))

    async def _open(self, effect: OpenChannel) -> None:
        chain = self._chain
        try:
            state = await chain.open_channel(effect.payee, effect.deposit, chain.account)
        except (ChainError, PaymentError) as error:
            await self._tell(ChannelOpenFailed(effect.payee, str(error)))
        else:
            await self._tell(ChannelOpened(effect.payee, state))

    async def _redeem(self, effect: Redeem) -> None:
        try:
            redemption = await self._chain.redeem(effect.vouchers)
        except (ChainError, PaymentError) as error:
            await self._tell(RedeemFailed(effect.vouchers, str(error)))
        else:
            log.info(
                "redeemed",
                transaction="0x" + redemption.transaction.hex(),
                wei=sum(redemption.credited),
                gas=redemption.gas_used,
            )
            await self._tell(Redeemed(effect.vouchers, redemption.credited))
