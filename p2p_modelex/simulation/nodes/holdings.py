"""The holdings of a directory that shares with all others of its world what is equal in them.

They stand in for core/directory/holdings.py and fingerprint.RangeIndex, which a real node has: a
test holds both to the same course of events. An entry takes some 30 bytes here instead of 1,800.
"""

from array import array
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from itertools import chain, compress

from p2p_modelex.core.directory.entry import Entry
from p2p_modelex.core.directory.expiries import Expiries
from p2p_modelex.core.directory.fingerprint import compute_fingerprint
from p2p_modelex.core.directory.holdings import build_capabilities
from p2p_modelex.core.directory.index import CapabilityIndex
from p2p_modelex.ids import PeerId
from p2p_modelex.records.reconciliation import Range
from p2p_modelex.records.rows import RecordRow
from p2p_modelex.simulation.nodes.catalogue import Block, Catalogue, Version
from p2p_modelex.simulation.nodes.life import START_MS
from p2p_modelex.units import UnixMs

_BASE_MS = START_MS - 2 * 86_400_000
"""Times are kept as milliseconds since then, in 4 bytes: no run is longer than 30 days, and nothing
that holds was received over a day before it began.
"""
# Places in the order of coming that nobody has any more, before it is written anew.
_SLACK = 64


class SharedIndex:
    """As fingerprint.RangeIndex, of which a node has a sum and a count for each block."""

    def __init__(self, catalogue: Catalogue, held: "array[int]") -> None:
        self._catalogue = catalogue
        self._held = held
        self._totals = [0] * len(catalogue.blocks)
        self._counts = array("I", bytes(4 * len(catalogue.blocks)))
        self._many = 0

    def __len__(self) -> int:
        return self._many

    def swap(self, before: Version | None, after: Version | None) -> None:
        """Count one version in the place of another."""
        version = before or after
        assert version is not None
        at, elements = self._catalogue.blocks_of[version.number], self._catalogue.elements
        more = (after is not None) - (before is not None)
        self._totals[at] += (elements[after.at] if after else 0) - (
            elements[before.at] if before else 0
        )
        self._counts[at] += more
        self._many += more

    def get(self, key: bytes) -> int | None:
        """Return the sequence held for a key."""
        row = self.find_row(key)
        return None if row is None else row.sequence

    def sequence_of(self, key: bytes) -> int:
        """Return the sequence of a key that is held."""
        at = self._held[self._catalogue.numbers_of_keys[key]]
        return self._catalogue.versions[at - 1].row.sequence

    def find_row(self, key: bytes) -> RecordRow | None:
        """Return what is held of a key."""
        number = self._catalogue.numbers_of_keys.get(key)
        if number is None or number >= len(self._held):
            return None
        at = self._held[number]
        return self._catalogue.versions[at - 1].row if at else None

    def keys(self, lower: bytes = b"", upper: bytes = b"") -> list[bytes]:
        """Return the keys from `lower` to before `upper` (empty: to the end), sorted."""
        return list(self.scan(lower, upper))

    def scan(self, lower: bytes = b"", upper: bytes = b"") -> Iterator[bytes]:
        """Yield what `keys` returns."""
        self._make_room()
        return chain.from_iterable(
            self._scan_block(self._catalogue.blocks[at], lower, upper)
            for at in self._blocks_between(lower, upper)
            if self._counts[at]
        )

    def _scan_block(self, block: Block, lower: bytes, upper: bytes) -> Iterator[bytes]:
        cut = _slice(block.keys, lower, upper)
        return compress(block.keys[cut], map(self._held.__getitem__, block.numbers[cut]))

    def _make_room(self) -> None:
        """Have a place for everybody there is, before they are looked up by their numbers."""
        missing = len(self._catalogue.peers) - len(self._held)
        if missing:
            self._held.frombytes(bytes(4 * missing))

    def describe(self, lower: bytes = b"", upper: bytes = b"") -> Range:
        """Return the count and fingerprint from `lower` to before `upper` (empty: to the end)."""
        self._make_room()
        blocks = self._blocks_between(lower, upper)
        total, count = self._sum(blocks.start, lower, upper)
        if len(blocks) > 1:
            inner = slice(blocks.start + 1, blocks.stop - 1)
            more, many = self._sum(blocks.stop - 1, lower, upper)
            total += sum(self._totals[inner]) + more
            count += sum(self._counts[inner]) + many
        return Range(lower, upper, count, compute_fingerprint(total, count))

    def _sum(self, at: int, lower: bytes, upper: bytes) -> tuple[int, int]:
        """Return sum and count of the part of a block that is between two keys."""
        if not self._counts[at]:
            return 0, 0
        block = self._catalogue.blocks[at]
        cut = _slice(block.keys, lower, upper)
        if cut.stop - cut.start == len(block.keys):
            return self._totals[at], self._counts[at]
        versions = list(map(self._held.__getitem__, block.numbers[cut]))
        total = sum(map(self._catalogue.elements.__getitem__, versions))
        return total, len(versions) - versions.count(0)

    def _blocks_between(self, lower: bytes, upper: bytes) -> range:
        last = self._catalogue.find_block(upper) if upper else len(self._totals) - 1
        return range(self._catalogue.find_block(lower), last + 1)


def _slice(keys: Sequence[bytes], lower: bytes, upper: bytes) -> slice:
    stop = bisect_left(keys, upper) if upper else len(keys)
    return slice(bisect_left(keys, lower), stop)


class SharedHoldings:
    """As core/directory/holdings.Holdings."""

    def __init__(self, catalogue: Catalogue, own: PeerId) -> None:
        self.weight = 0
        self._catalogue = catalogue
        self._own = own
        # By a peer's number: which version is held, 0 for none; when it came, and who brought it.
        self._held = array("I")
        self._received = array("I")
        self._introducers = array("I")
        self._order = array("I")
        self.expiries = Expiries()
        self._capabilities: CapabilityIndex | None = None
        self.index = SharedIndex(catalogue, self._held)

    def __len__(self) -> int:
        return len(self.index)

    def __iter__(self) -> Iterator[Entry]:
        for number in self._list_numbers():
            yield self._build(number)

    def _list_numbers(self) -> list[int]:
        """Return the numbers of those that are there, in the order in which they came last."""
        latest = dict.fromkeys(reversed(self._order))
        return [number for number in reversed(latest) if self._held[number]]

    def _build(self, number: int) -> Entry:
        catalogue = self._catalogue
        entry = catalogue.versions[self._held[number] - 1].entry
        return Entry(
            entry.peer,
            entry.advertisement,
            entry.envelope,
            UnixMs(_BASE_MS + self._received[number]),
            entry.expires_at,
            catalogue.peers[self._introducers[number]],
            entry.weight,
        )

    @property
    def capabilities(self) -> CapabilityIndex:
        """See Holdings."""
        if self._capabilities is None:
            self._capabilities = build_capabilities(self, self._own)
        return self._capabilities

    def _find(self, peer: PeerId) -> int | None:
        """Return the number of a peer that is held."""
        number = self._catalogue.numbers.get(peer)
        if number is None or number >= len(self._held) or not self._held[number]:
            return None
        return number

    def get(self, peer: PeerId) -> Entry | None:
        """See Holdings."""
        number = self._find(peer)
        return None if number is None else self._build(number)

    def get_envelope(self, key: bytes, now: UnixMs) -> bytes | None:
        """See Holdings."""
        row = self.index.find_row(key)
        return row.envelope if row is not None and row.expires_at > now else None

    def get_row(self, peer: PeerId) -> RecordRow:
        """See Holdings."""
        number = self._catalogue.numbers[peer]
        return self._catalogue.versions[self._held[number] - 1].row

    def put(self, entry: Entry) -> None:
        """See Holdings."""
        catalogue = self._catalogue
        at = catalogue.find_version(entry)
        after = catalogue.versions[at - 1]
        number = after.number
        introducer = catalogue.number_of(entry.introducer)
        self._make_room(number)
        known = self._held[number]
        before = catalogue.versions[known - 1] if known else None
        if before is None:
            self._order.append(number)
        self._held[number] = at
        self._received[number] = entry.received_at - _BASE_MS
        self._introducers[number] = introducer
        self._exchange(before, after)
        self.expiries.put(after.row.peer, entry.expires_at)
        if self.expiries.is_loose(len(self)):
            self.expiries.clear()
            for one in self._list_numbers():
                version = catalogue.versions[self._held[one] - 1]
                self.expiries.put(version.row.peer, version.row.expires_at)
        if len(self._order) > 2 * len(self) + _SLACK:
            self._order = array("I", self._list_numbers())

    def _make_room(self, number: int) -> None:
        for one in (self._held, self._received, self._introducers):
            if number >= len(one):
                one.frombytes(bytes(4 * (len(self._catalogue.peers) - len(one))))

    def _exchange(self, before: Version | None, after: Version | None) -> None:
        self.index.swap(before, after)
        version = before or after
        assert version is not None
        self.weight += (after.entry.weight if after else 0) - (before.entry.weight if before else 0)
        if self._capabilities is not None and version.row.peer != self._own:
            self._capabilities.put(
                version.row.peer,
                before.entry.advertisement if before else None,
                after.entry.advertisement if after else None,
            )

    def date(self, peer: PeerId, received_at: UnixMs) -> None:
        """See Holdings."""
        self._received[self._catalogue.numbers[peer]] = received_at - _BASE_MS

    def remove(self, peer: PeerId) -> None:
        """See Holdings."""
        number = self._catalogue.numbers[peer]
        before = self._catalogue.versions[self._held[number] - 1]
        self._held[number] = 0
        self._exchange(before, None)

    def take_expired(self, now: UnixMs) -> tuple[PeerId, ...]:
        """See Holdings."""
        gone = []
        for peer in self.expiries.take(now):
            number = self._find(peer)
            if number is None:
                continue
            if self._catalogue.versions[self._held[number] - 1].row.expires_at <= now:
                self.remove(peer)
                gone.append(peer)
        return tuple(gone)
