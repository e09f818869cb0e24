"""What a directory holds, and every way to find it: by peer, key, capability and expiry."""

from collections.abc import Iterable, Iterator

import msgspec

from p2p_modelex.core.directory.entry import Entry
from p2p_modelex.core.directory.expiries import Expiries
from p2p_modelex.core.directory.fingerprint import RangeIndex
from p2p_modelex.core.directory.index import CapabilityIndex
from p2p_modelex.ids import PeerId, PublicKey, peer_id_of, public_key_of
from p2p_modelex.records.rows import RecordRow
from p2p_modelex.units import UnixMs


def build_capabilities(entries: Iterable[Entry], own: PeerId) -> CapabilityIndex:
    """Return who offers what of these, but for ourselves."""
    index = CapabilityIndex()
    for entry in entries:
        if entry.peer != own:
            index.put(entry.peer, None, entry.advertisement)
    return index


class Holdings:
    """One entry a peer. No rules: what is put in is kept. Our own has no capabilities for us."""

    def __init__(self, own: PeerId) -> None:
        self.index = RangeIndex()
        self.weight = 0
        """The sum of the entries' weights."""
        self._own = own
        self._entries: dict[PeerId, Entry] = {}
        self.expiries = Expiries()
        self._capabilities: CapabilityIndex | None = None

    def __len__(self) -> int:
        return len(self._entries)

    def __iter__(self) -> Iterator[Entry]:
        """Yield every entry, in the order in which the peers came."""
        return iter(self._entries.values())

    @property
    def capabilities(self) -> CapabilityIndex:
        """Who offers what. It is made when somebody asks first: most nodes of a mesh never do."""
        if self._capabilities is None:
            self._capabilities = build_capabilities(self, self._own)
        return self._capabilities

    def get(self, peer: PeerId) -> Entry | None:
        """Return a peer's entry."""
        return self._entries.get(peer)

    def get_envelope(self, key: bytes, now: UnixMs) -> bytes | None:
        """Return the envelope of the peer with this Ed25519 key, unless it has expired."""
        entry = self._entries.get(peer_id_of(PublicKey(key)))
        return entry.envelope if entry is not None and entry.expires_at > now else None

    def get_row(self, peer: PeerId) -> RecordRow:
        """Return what to persist of a peer that is held."""
        return self._entries[peer].build_row()

    def put(self, entry: Entry) -> None:
        """Keep an entry, in the place of the peer's last one."""
        peer = entry.peer
        known = self._entries.get(peer)
        self._entries[peer] = entry
        self.weight += entry.weight - (known.weight if known is not None else 0)
        self.index.put(public_key_of(peer), entry.advertisement.sequence)
        if peer != self._own and self._capabilities is not None:
            before = known.advertisement if known is not None else None
            self._capabilities.put(peer, before, entry.advertisement)
        self.expiries.put(peer, entry.expires_at)
        if self.expiries.is_loose(len(self._entries)):
            self.expiries.clear()
            for held in self._entries.values():
                self.expiries.put(held.peer, held.expires_at)

    def date(self, peer: PeerId, received_at: UnixMs) -> None:
        """Say when the entry of a peer that is held was received."""
        self._entries[peer] = msgspec.structs.replace(self._entries[peer], received_at=received_at)

    def remove(self, peer: PeerId) -> None:
        """Take out the entry of a peer that is held."""
        entry = self._entries.pop(peer)
        self.weight -= entry.weight
        self.index.remove(public_key_of(peer))
        if peer != self._own and self._capabilities is not None:
            self._capabilities.put(peer, entry.advertisement, None)

    def take_expired(self, now: UnixMs) -> tuple[PeerId, ...]:
        """Take out what has expired, up to a second late; returns whose."""
        gone = []
        for peer in self.expiries.take(now):
            entry = self._entries.get(peer)
            if entry is not None and entry.expires_at <= now:
                self.remove(peer)
                gone.append(peer)
        return tuple(gone)
