"""An advertisement as a directory keeps it."""

import msgspec

from p2p_modelex.core.directory import rules
from p2p_modelex.ids import PeerId
from p2p_modelex.records.advertisement import Advertisement
from p2p_modelex.records.rows import RecordRow
from p2p_modelex.units import UnixMs


class Entry(msgspec.Struct, frozen=True, gc=False):
    """One peer's newest advertisement. `envelope`: its exact bytes. weight: see `rules.weigh`."""

    peer: PeerId
    advertisement: Advertisement
    envelope: bytes
    received_at: UnixMs
    expires_at: UnixMs
    introducer: PeerId
    """Who handed it to us, for the place in a full directory."""
    weight: int

    @property
    def withdrawn(self) -> bool:
        """Whether the peer took itself out; kept until expiry, so that nothing older returns."""
        return rules.is_withdrawal(self.advertisement)

    @property
    def rank(self) -> int:
        """How dear a place in a full directory is: withdrawn, no offers, offers, owned offers."""
        if self.withdrawn:
            return 0
        if not self.advertisement.offers:
            return 1
        return 3 if self.advertisement.accounts else 2

    def build_row(self) -> RecordRow:
        """Return what to persist."""
        return RecordRow(self.peer, self.advertisement.sequence, self.expires_at, self.envelope)
