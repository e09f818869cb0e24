"""What is equal in every directory of a world, kept once: peers, their advertisements, the ring.

A peer has a number and an advertisement a version, in the order in which they came up, so that a
node keeps numbers of 4 bytes where a real one keeps objects.
"""

from bisect import bisect_left
from collections.abc import Callable

import msgspec

from p2p_modelex.core.directory import fingerprint, reading
from p2p_modelex.core.directory.entry import Entry
from p2p_modelex.core.directory.reading import Reading
from p2p_modelex.core.verdict import ACCEPTED, Verdict
from p2p_modelex.ids import Digest, NetworkId, PeerId, PublicKey, public_key_of
from p2p_modelex.records.rows import RecordRow
from p2p_modelex.simulation.models.cryptography import Notary

BLOCK_KEYS = 128
"""Keys of a block on average: a node keeps a sum for each (core/directory/fingerprint.py)."""
READINGS_MAX = 200_000
"""Envelopes read, at 1 to 2 KiB each; beyond them all are read anew."""


class Version(msgspec.Struct, gc=False):
    """An advertisement that somebody holds. at: which version it is. number: its peer's."""

    at: int
    number: int
    entry: Entry
    row: RecordRow


class Block:
    """The keys of a part of the ring in their order, and their peers' numbers."""

    __slots__ = ("keys", "numbers")

    def __init__(self) -> None:
        self.keys: list[PublicKey] = []
        self.numbers: list[int] = []


class Catalogue:
    """One for a world. It grows with the advertisements made, as the notary's book does."""

    def __init__(self, notary: Notary, nodes: int) -> None:
        self.numbers: dict[PeerId, int] = {}
        self.numbers_of_keys: dict[bytes, int] = {}
        self.peers: list[PeerId] = []
        self.blocks_of: list[int] = []
        """By a peer's number, where it stands on the ring."""
        self.blocks = [Block() for _ in range(max(1, nodes // BLOCK_KEYS))]
        self.versions: list[Version] = []
        self.elements = [0]
        """By version, what it adds to a fingerprint; 0 is that of none."""
        self._notary = notary
        self._versions: dict[bytes, int] = {}
        self._readings: dict[bytes, Reading | Verdict] = {}
        self._good: dict[bytes, None] = {}
        # Taken now: while a world is being run the names lead here.
        self._read: Callable[[bytes], Reading | Verdict] = reading.read
        self._judge = reading.judge

    def read(self, envelope: bytes) -> Reading | Verdict:
        """As core/directory/reading.read."""
        found = self._readings.get(envelope)
        if found is None:
            if len(self._readings) >= READINGS_MAX:
                self._readings.clear()
            found = self._readings[envelope] = self._read(envelope)
        return found

    def judge(self, read: Reading, registry_domain: Digest, network: NetworkId) -> Verdict:
        """As core/directory/reading.judge: what was good once is good, at the same virtual cost."""
        if read.envelope in self._good:
            self._notary.charge_verifying()
            return ACCEPTED
        verdict = self._judge(read, registry_domain, network)
        if verdict is ACCEPTED:
            if len(self._good) >= READINGS_MAX:
                self._good.clear()
            self._good[read.envelope] = None
        return verdict

    def find_version(self, entry: Entry) -> int:
        """Return the number of an entry's advertisement, from 1 on."""
        found = self._versions.get(entry.envelope)
        if found is None:
            found = self._versions[entry.envelope] = self._add_version(entry)
        return found

    def number_of(self, peer: PeerId) -> int:
        """Return a peer's number."""
        found = self.numbers.get(peer)
        return self._add_peer(peer) if found is None else found

    def find_block(self, key: bytes) -> int:
        """Return which block a key, or the beginning of one, is in."""
        return int.from_bytes(key[:2].ljust(2, b"\0"), "big") * len(self.blocks) >> 16

    def _add_version(self, entry: Entry) -> int:
        key = public_key_of(entry.peer)
        self.elements.append(fingerprint.compute_element(key, entry.advertisement.sequence))
        at = len(self.versions) + 1
        self.versions.append(Version(at, self.number_of(entry.peer), entry, entry.build_row()))
        return at

    def _add_peer(self, peer: PeerId) -> int:
        key, number = public_key_of(peer), len(self.peers)
        self.peers.append(peer)
        self.numbers[peer] = self.numbers_of_keys[key] = number
        at = self.find_block(key)
        self.blocks_of.append(at)
        block = self.blocks[at]
        place = bisect_left(block.keys, key)
        block.keys.insert(place, key)
        block.numbers.insert(place, number)
        return number
