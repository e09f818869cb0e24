"""Lending of our lines: the `Books` of what members share (core.members.ports)."""

from collections.abc import Sequence

from p2p_modelex.core.ledger.amount import Amount
from p2p_modelex.core.ledger.lines import Lines
from p2p_modelex.core.ledger.payee import PayeeLedger
from p2p_modelex.core.ledger.seat import WHOLE
from p2p_modelex.ids import Address, ChannelId, Digest, PeerId
from p2p_modelex.records.channel import ChannelTerms, compute_id
from p2p_modelex.records.rows import Row
from p2p_modelex.units import Epoch, Wei


class Lending:
    """What our line on a channel has to spare, and who gets it. domain: that of PaymentChannels."""

    def __init__(self, ledger: PayeeLedger, lines: Lines, domain: Digest) -> None:
        self._ledger = ledger
        self._lines = lines
        self._domain = domain

    def get_id(self, terms: ChannelTerms) -> ChannelId:
        """The channel that these terms name."""
        return compute_id(terms, self._domain)

    def is_known(self, channel: ChannelId) -> bool:
        """Whether we have it as the chain has it."""
        return self._ledger.get_channel(channel) is not None

    def get_part(self, channel: ChannelId, weight: int) -> Amount:
        """What so many basis points of a deposit are; nothing of a channel that is not known."""
        state = self._ledger.get_channel(channel)
        if state is None:
            return Amount(Wei(0), Epoch(0))
        return Amount(Wei(state.deposit * weight // WHOLE), Epoch(state.epoch))

    def get_spares(self, payee: Address, limit: int) -> Sequence[tuple[ChannelId, Amount]]:
        """What we can do without on the channels to a payee that were used last."""
        recent = self._ledger.get_recent(payee)[:limit]
        return [(channel, self._ledger.compute_spare(channel)) for channel in recent]

    def get_taken(self, channel: ChannelId, peer: PeerId) -> Amount:
        """What a member ever gave us, as far as we know."""
        return self._lines.get_taken(channel, peer)

    def lend(
        self, channel: ChannelId, peer: PeerId, have: Amount, want: Amount
    ) -> tuple[Amount, tuple[Row, ...]]:
        """Give a member more of our line; returns all it was ever given, and rows to persist."""
        spare = self._ledger.compute_spare(channel)
        return self._lines.lend(channel, peer, have, want, spare)

    def take(self, channel: ChannelId, peer: PeerId, given: Amount) -> tuple[Row, ...]:
        """Take over what a member gave us in all; returns rows to persist."""
        return self._lines.take(channel, peer, given)
