"""Who is out there: the newest advertisement of every peer, judged, indexed and expired."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from p2p_modelex import limits
from p2p_modelex.core.directory.verdict import Verdict
from p2p_modelex.ids import Digest, NetworkId, PeerId
from p2p_modelex.records.advertisement import Advertisement, Kind
from p2p_modelex.records.rows import RecordRow
from p2p_modelex.units import UnixMs


@dataclass(frozen=True, slots=True)
class Entry:
    """One peer's newest advertisement. `envelope`: its exact bytes."""

    peer: PeerId
    advertisement: Advertisement
    envelope: bytes
    received_at: UnixMs
    expires_at: UnixMs


class Directory:
    """The newest advertisement of every known peer, ours among them; bounded."""

    def __init__(
        self,
        network: NetworkId,
        registry_domain: Digest,
        own: PeerId,
        *,
        entries_max: int = limits.DIRECTORY_ENTRIES_MAX,
    ) -> None:
        """`registry_domain`: the EIP-712 domain of the NodeRegistry, for ownership proofs."""
        raise NotImplementedError

    def judge(self, envelope: bytes, now: UnixMs, *, expected: PeerId | None = None) -> Verdict:
        """Judge an advertisement (rules ADV-n) and keep it if it is accepted.

        expected: whose advertisement was asked for. The row to persist is `row_of(peer)`.
        """
        raise NotImplementedError

    def get(self, peer: PeerId) -> Entry | None:
        """Return what is known of a peer; withdrawn ones too, expired ones not after `expire`."""
        raise NotImplementedError

    def row_of(self, peer: PeerId) -> RecordRow:
        """Return what to persist of a known peer."""
        raise NotImplementedError

    def entries(self) -> tuple[Entry, ...]:
        """Every peer that has not withdrawn, ourselves too, in the order of peer ids."""
        raise NotImplementedError

    def find(
        self, *, model: str | None = None, kind: Kind | None = None, features: Sequence[str] = ()
    ) -> tuple[Entry, ...]:
        """Other peers with one offer that has all of it, in the order of peer ids."""
        raise NotImplementedError

    def models(self) -> tuple[str, ...]:
        """Every model name on offer by others, sorted."""
        raise NotImplementedError

    def expire(self, now: UnixMs) -> tuple[PeerId, ...]:
        """Forget what has expired; returns whom."""
        raise NotImplementedError

    def restore(self, rows: Iterable[RecordRow], now: UnixMs) -> int:
        """Judge persisted rows again (another network's or expired ones drop out); returns how many
        were kept.
        """
        raise NotImplementedError
