"""What fellow members of our farms are, and what each told last."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from p2p_modelex.core.ledger.amount import Amount
from p2p_modelex.core.members.parameters import FELLOWS_MAX, FRESH_MS
from p2p_modelex.ids import Address, ChannelId, PeerId, PublicKey
from p2p_modelex.records.members import Told
from p2p_modelex.units import Epoch, UnixMs


@dataclass(frozen=True, slots=True)
class Fellow:
    """Another member of a farm of ours. payee: the account that the farm's orders pay. weight:
    basis points of the farm.
    """

    farm: PublicKey
    payee: Address
    peer: PeerId
    addresses: tuple[str, ...]
    weight: int


def choose_neighbours(own: PeerId, members: Sequence[Fellow]) -> list[Fellow]:
    """Return the FELLOWS_MAX members of one farm nearest to us in the ring of peer ids (MEM-2)."""
    ring = sorted(members, key=lambda member: (member.peer < own, member.peer))
    if len(ring) <= FELLOWS_MAX:
        return ring
    half = FELLOWS_MAX // 2
    return ring[:half] + ring[-half:]


class Hearsay:
    """The last word of each fellow, as long as it is fresh."""

    def __init__(self) -> None:
        self._told: dict[tuple[PublicKey, PeerId], tuple[UnixMs, Told]] = {}

    def put(self, fellow: Fellow, told: Told, now: UnixMs) -> None:
        """Take what a fellow tells."""
        self._told[fellow.farm, fellow.peer] = now, told

    def keep(self, fellows: Iterable[Fellow]) -> None:
        """Forget what others than these told."""
        names = {(fellow.farm, fellow.peer) for fellow in fellows}
        self._told = {name: kept for name, kept in self._told.items() if name in names}

    def get_least_wait_ms(self, farm: PublicKey, now: UnixMs) -> int | None:
        """When the first of a farm's other members expects to have room, if any told."""
        waits = [
            told.wait_ms
            for (where, _), (at, told) in self._told.items()
            if where == farm and now - at <= FRESH_MS
        ]
        return min(waits, default=None)

    def get_spare(self, fellow: Fellow, channel: ChannelId, now: UnixMs) -> Amount | None:
        """What a fellow could do without on a channel, if it told."""
        known = self._told.get((fellow.farm, fellow.peer))
        if known is None or now - known[0] > FRESH_MS:
            return None
        for line in known[1].spares:
            if line.channel == channel:
                return Amount(line.spare, Epoch(line.epoch))
        return None
