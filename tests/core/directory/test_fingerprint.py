"""The range index against the plainest possible model."""

import hashlib

from hypothesis import given, settings
from hypothesis import strategies as st

from p2p_modelex.core.directory.fingerprint import (
    RangeIndex,
    compute_element,
    compute_fingerprint,
)
from p2p_modelex.records.reconciliation import Range


def key(number: int) -> bytes:
    return hashlib.sha256(number.to_bytes(4, "big")).digest()


def model(pairs: dict[bytes, int], lower: bytes, upper: bytes) -> Range:
    inside = {k: s for k, s in pairs.items() if k >= lower and (not upper or k < upper)}
    total = sum(compute_element(k, s) for k, s in inside.items())
    return Range(lower, upper, len(inside), compute_fingerprint(total, len(inside)))


def test_the_fingerprint_is_the_one_specified() -> None:
    prefix = b"modelex/reconcile/1\0"
    element = hashlib.shake_256(prefix + bytes(32) + (5).to_bytes(8, "big")).digest(256)
    assert compute_element(bytes(32), 5) == int.from_bytes(element, "big")
    digest = hashlib.sha256(prefix + element + (1).to_bytes(8, "big")).digest()
    index = RangeIndex()
    index.put(bytes(32), 5)
    assert index.describe() == Range(b"", b"", 1, digest[:16])


bounds = st.one_of(st.just(b""), st.binary(max_size=3), st.integers(0, 300).map(key))


@settings(max_examples=40)
@given(
    st.lists(st.tuples(st.integers(0, 300), st.integers(0, 3), st.booleans()), max_size=400),
    st.lists(st.tuples(bounds, bounds), max_size=5),
)
def test_any_range_after_any_changes(
    changes: list[tuple[int, int, bool]], ranges: list[tuple[bytes, bytes]]
) -> None:
    index, pairs = RangeIndex(), dict[bytes, int]()
    for number, sequence, stays in changes:
        if stays:
            index.put(key(number), sequence)
            pairs[key(number)] = sequence
        elif key(number) in pairs:
            index.remove(key(number))
            del pairs[key(number)]
    assert len(index) == len(pairs)
    assert index.keys() == sorted(pairs)
    for one, other in [*ranges, (b"", b"")]:
        lower, upper = (one, other) if not other or one < other else (other, one)
        if lower == upper != b"":
            continue
        assert index.describe(lower, upper) == model(pairs, lower, upper)
        expected = [k for k in sorted(pairs) if k >= lower and (not upper or k < upper)]
        assert index.keys(lower, upper) == expected


def test_many_blocks_split_and_vanish() -> None:
    index = RangeIndex()
    pairs = {key(number): number for number in range(1000)}
    for k, number in pairs.items():
        index.put(k, number)
    for k in sorted(pairs)[100:900]:
        index.remove(k)
        del pairs[k]
    assert index.describe() == model(pairs, b"", b"")
    assert index.get(key(5000)) is None
    for k in sorted(pairs):
        assert index.get(k) == index.sequence_of(k) == pairs[k]
        index.remove(k)
    assert index.describe().count == len(index) == 0


def test_a_key_that_is_put_again_counts_once() -> None:
    index = RangeIndex()
    index.put(key(1), 1)
    index.put(key(1), 2)
    assert index.describe() == model({key(1): 2}, b"", b"")
