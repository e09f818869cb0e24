"""The voucher that an order comes with, or an accepted quote: it gives the job its lane (EXC-8)."""

from p2p_modelex.core.effects import Effect, FetchChannel
from p2p_modelex.core.exchange.ports import Till
from p2p_modelex.core.exchange.sale import Sale
from p2p_modelex.errors import JobRefused
from p2p_modelex.ids import Address, ChannelId
from p2p_modelex.records.channel import ChannelTerms
from p2p_modelex.records.job import Accept, Order
from p2p_modelex.records.rows import Row

# Refusals that may mean that the chain knows more than we do.
_STALE = ("no_channel", "channel_exhausted")


class FirstVoucher:
    """`identify` its channel, then `judge` it, once more after a `look` at the chain."""

    def __init__(self, till: Till) -> None:
        self.terms: ChannelTerms | None = None
        """Of the channel that pays, once they are known."""
        self.awaited: ChannelId | None = None
        """The channel of which the chain, and others, are to have their say."""
        self._till = till
        self._has_looked = False

    @property
    def payee(self) -> Address | None:
        """Whom its channel pays, once that is known."""
        return None if self.terms is None else Address(self.terms.payee)

    def identify(self, message: Order | Accept) -> None:
        """Find the voucher's channel by the terms beside it; JobRefused if it is none of ours."""
        self.terms = self._till.identify(message.terms, message.voucher)

    def judge(self, sale: Sale) -> tuple[Row, ...] | None:
        """Give the job its lane and return the rows to keep, or None where we may know too little
        to say: `look` then. JobRefused if the voucher is no good.
        """
        signed = sale.signed
        assert signed is not None
        if not self._has_looked and self._till.is_short(signed, sale.epoch, sale.ceiling):
            return None
        try:
            return self._till.open_lane(
                sale.job,
                signed,
                sale.epoch,
                base=sale.base,
                window=sale.window,
                ceiling=sale.ceiling,
            )
        except JobRefused as refusal:
            if refusal.code not in _STALE or self._has_looked:
                raise
            return None

    def look(self, sale: Sale) -> Effect:
        """Have the channel read from the chain, once. Answer: ChannelFetched of `awaited`."""
        assert self.terms is not None
        self._has_looked = True
        self.awaited = sale.build_stake(self.terms).channel
        return FetchChannel(self.awaited, self.terms)
