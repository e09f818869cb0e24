"""A sorted set of (key, sequence) pairs with fingerprints of arbitrary ranges.

Range-based set reconciliation (A. Meyer, "Range-Based Set Reconciliation", SRDS 2023). The hash of
a set is AdHash (Bellare and Micciancio, Eurocrypt 1997): the sum of a hash of each element. It is
incremental, so a range costs additions and no hashing. protocols/directory says why 2048 bits.
"""

import hashlib
from bisect import bisect_left, bisect_right
from collections.abc import Iterator
from itertools import chain

from p2p_modelex.records.reconciliation import Range

_ELEMENT_BYTES = 256
_MODULUS_MASK = (1 << 8 * _ELEMENT_BYTES) - 1
_PREFIX = b"modelex/reconcile/1\x00"
# A range ends inside two blocks at most, so its cost is their size plus the number of blocks.
_BLOCK_MAX = 64


def compute_element(key: bytes, sequence: int) -> int:
    """Return the 2048-bit hash of one pair: SHAKE-256(prefix | key | uint64 sequence)."""
    data = _PREFIX + key + sequence.to_bytes(8, "big")
    return int.from_bytes(hashlib.shake_256(data).digest(_ELEMENT_BYTES), "big")


def compute_fingerprint(total: int, count: int) -> bytes:
    """Return 16 bytes of SHA-256 over the sum (mod 2^2048) and number of elements (REC-11)."""
    data = (total & _MODULUS_MASK).to_bytes(_ELEMENT_BYTES, "big") + count.to_bytes(8, "big")
    return hashlib.sha256(_PREFIX + data).digest()[:16]


class _Block:
    __slots__ = ("keys", "total")

    def __init__(self, keys: list[bytes], total: int) -> None:
        self.keys = keys
        self.total = total


class RangeIndex:
    """Pairs sorted by key, one sequence a key. Blocks of sorted keys, each with its sum."""

    def __init__(self) -> None:
        self._pairs: dict[bytes, tuple[int, int]] = {}
        self._blocks: list[_Block] = []
        self._firsts: list[bytes] = []  # the first key of each block, for bisection

    def __len__(self) -> int:
        return len(self._pairs)

    def get(self, key: bytes) -> int | None:
        """Return the sequence held for a key."""
        pair = self._pairs.get(key)
        return None if pair is None else pair[0]

    def sequence_of(self, key: bytes) -> int:
        """Return the sequence of a key that is held."""
        return self._pairs[key][0]

    def put(self, key: bytes, sequence: int) -> None:
        """Insert a pair or replace the sequence of its key. O(block + number of blocks)."""
        element = compute_element(key, sequence)
        known = self._pairs.get(key)
        self._pairs[key] = (sequence, element)
        if not self._blocks:
            self._blocks.append(_Block([key], element))
            self._firsts.append(key)
            return
        at = max(bisect_right(self._firsts, key) - 1, 0)
        block = self._blocks[at]
        block.total += element
        if known is not None:
            block.total -= known[1]
            return
        block.keys.insert(bisect_left(block.keys, key), key)
        self._firsts[at] = block.keys[0]
        if len(block.keys) > _BLOCK_MAX:
            self._split(at)

    def remove(self, key: bytes) -> None:
        """Remove a key that is held."""
        _, element = self._pairs.pop(key)
        at = bisect_right(self._firsts, key) - 1
        block = self._blocks[at]
        block.total -= element
        del block.keys[bisect_left(block.keys, key)]
        if block.keys:
            self._firsts[at] = block.keys[0]
        else:
            del self._blocks[at], self._firsts[at]

    def keys(self, lower: bytes = b"", upper: bytes = b"") -> list[bytes]:
        """Return the keys from `lower` to before `upper` (empty: to the end), sorted."""
        return list(self.scan(lower, upper))

    def scan(self, lower: bytes = b"", upper: bytes = b"") -> Iterator[bytes]:
        """Yield what `keys` returns: whoever stops early does not pay for the rest."""
        return chain.from_iterable(self._parts(lower, upper))

    def _parts(self, lower: bytes, upper: bytes) -> Iterator[list[bytes]]:
        for at in range(max(bisect_right(self._firsts, lower) - 1, 0), len(self._blocks)):
            block = self._blocks[at]
            if upper and block.keys[0] >= upper:
                break
            yield block.keys[self._slice(block, lower, upper)]

    def describe(self, lower: bytes = b"", upper: bytes = b"") -> Range:
        """Return the count and fingerprint from `lower` to before `upper` (empty: to the end)."""
        total = count = 0
        at = max(bisect_right(self._firsts, lower) - 1, 0)
        for block in self._blocks[at:]:
            if upper and block.keys[0] >= upper:
                break
            cut = self._slice(block, lower, upper)
            if cut.stop - cut.start == len(block.keys):
                total += block.total
            else:
                total += sum(self._pairs[key][1] for key in block.keys[cut])
            count += cut.stop - cut.start
        return Range(lower, upper, count, compute_fingerprint(total, count))

    @staticmethod
    def _slice(block: _Block, lower: bytes, upper: bytes) -> slice:
        stop = bisect_left(block.keys, upper) if upper else len(block.keys)
        return slice(bisect_left(block.keys, lower), stop)

    def _split(self, at: int) -> None:
        block = self._blocks[at]
        half = len(block.keys) // 2
        upper = block.keys[half:]
        total = sum(self._pairs[key][1] for key in upper)
        block.keys = block.keys[:half]
        block.total -= total
        self._blocks.insert(at + 1, _Block(upper, total))
        self._firsts.insert(at + 1, upper[0])
