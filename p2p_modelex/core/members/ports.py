"""What sharing needs of the rest of a node, whose classes satisfy these by shape."""

from collections.abc import Mapping, Sequence
from typing import Protocol

from p2p_modelex.core.ledger.amount import Amount
from p2p_modelex.ids import Address, ChannelId, PeerId
from p2p_modelex.records.channel import ChannelTerms
from p2p_modelex.records.rows import Row


class Books(Protocol):
    """The money: `core.ledger.payee.PayeeLedger`. Rows are to be persisted before anything is sent
    that relies on them.
    """

    def get_id(self, terms: ChannelTerms) -> ChannelId:
        """The channel that these terms name."""
        ...

    def is_known(self, channel: ChannelId) -> bool:
        """Whether we have it as the chain has it."""
        ...

    def get_part(self, channel: ChannelId, weight: int) -> Amount:
        """What so many basis points of a known channel's deposit are."""
        ...

    def get_spares(self, payee: Address, limit: int) -> Sequence[tuple[ChannelId, Amount]]:
        """What we can do without on the channels to a payee that were used last."""
        ...

    def get_taken(self, channel: ChannelId, peer: PeerId) -> Amount:
        """What a member ever gave us, as far as we know."""
        ...

    def lend(
        self, channel: ChannelId, peer: PeerId, have: Amount, want: Amount
    ) -> tuple[Amount, tuple[Row, ...]]:
        """Give a member more of our line; returns all it was ever given."""
        ...

    def take(self, channel: ChannelId, peer: PeerId, given: Amount) -> tuple[Row, ...]:
        """Take over what a member gave us in all."""
        ...


class Desk(Protocol):
    """The lines before the engines: `core.admission.Admission`."""

    def compute_wait_ms(self) -> int:
        """When a new job would begin here."""
        ...

    def take_served(self, payee: Address) -> Mapping[Address, int]:
        """Tokens by payer of the jobs paid to `payee` that began since this was last asked."""
        ...

    def charge(self, served: Mapping[Address, int]) -> None:
        """Count tokens that payers had of other members."""
        ...

    def fade(self) -> None:
        """Forgive a part of what payers had too much."""
        ...
