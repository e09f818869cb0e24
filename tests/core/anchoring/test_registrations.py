"""What is kept of the registry: bounded, and as it was when a reorg undoes a change."""

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from p2p_modelex.core.anchoring import registrations as module
from p2p_modelex.core.anchoring.registrations import Registration, Registrations
from p2p_modelex.ids import Address, Digest, PublicKey
from p2p_modelex.records.registry import (
    Deregistered,
    HandedOver,
    Registered,
    RegistryChange,
    RegistrySection,
    SectionChanged,
    Updated,
)
from tests.core.anchoring.cases import (
    ANCHOR,
    LISTED,
    OPERATOR,
    PEER,
    PUBLIC,
    SECOND,
    SUSPENDED,
    entry,
    event,
)
from tests.core.directory.worlds import NOW

OWN = (PEER, OPERATOR)


def peer(number: int) -> PublicKey:
    return PublicKey(number.to_bytes(32, "big"))


def test_public_entries_crowd_out_neither_the_listed_nor_those_before_them() -> None:
    """ANC-10."""
    held = Registrations(OWN, entries_max=2)
    for number in range(1, 4):
        held.note(entry(SECOND, peer=peer(number)))
        held.note(entry(SECOND, SUSPENDED, peer=peer(10 + number)))
    assert [held.get(peer(n), SECOND) is None for n in (1, 2, 3)] == [False, False, True]
    assert [held.get(peer(10 + n), SECOND) is None for n in (1, 2, 3)] == [False, False, True]
    held.note(entry())
    assert held.get(*OWN) is not None
    assert len(held) == 5
    assert held.fold(event(Deregistered(peer(1), SECOND)))
    assert held.fold(event(Deregistered(peer(2), SECOND)))
    assert held.fold(event(Registered(peer(3), SECOND, ANCHOR, 1)))
    assert held.get(peer(3), SECOND) == Registration(ANCHOR, 1, PUBLIC)


def test_an_entry_that_found_no_place_is_known_once_it_is_listed() -> None:
    held = Registrations(OWN, entries_max=0)
    held.note(entry(SECOND))
    assert held.get(PEER, SECOND) is None
    roomy = Registrations(OWN, entries_max=1)
    assert roomy.fold(event(SectionChanged(PEER, SECOND, LISTED)))
    assert roomy.get(PEER, SECOND) == Registration(Digest(bytes(32)), 0, LISTED)
    assert roomy.fold(event(HandedOver(PEER, Address(b"x" * 20), Address(b"y" * 20))))
    assert roomy.get(PEER, Address(b"y" * 20)) == Registration(Digest(bytes(32)), 0, PUBLIC)


def test_what_is_not_the_last_change_is_not_undone(monkeypatch: pytest.MonkeyPatch) -> None:
    """ANC-8."""
    held = Registrations(OWN)
    one, two = Registered(PEER, OPERATOR, ANCHOR, 1), Deregistered(PEER, OPERATOR)
    assert not held.fold(event(one, undone=True))
    assert held.fold(event(one, 1))
    assert held.fold(event(two, 2))
    assert not held.fold(event(one, 1, undone=True))
    assert not held.fold(event(two, 1, undone=True))
    assert held.fold(event(two, 2, undone=True))
    assert held.get(*OWN) == Registration(ANCHOR, 1, PUBLIC)
    monkeypatch.setattr(module, "JOURNAL_MAX", 1)
    forgetful = Registrations(OWN)
    assert forgetful.fold(event(one, 1))
    assert forgetful.fold(event(two, 2))
    assert forgetful.fold(event(two, 2, undone=True))
    assert not forgetful.fold(event(one, 1, undone=True))


_names = st.tuples(st.integers(1, 3).map(peer), st.sampled_from([OPERATOR, SECOND]))
_sections = st.sampled_from(list(RegistrySection))
_changes = st.one_of(
    st.builds(lambda n, s: Registered(n[0], n[1], ANCHOR, s), _names, st.integers(0, 9)),
    st.builds(lambda n, s: Updated(n[0], n[1], ANCHOR, s), _names, st.integers(0, 9)),
    st.builds(lambda n: Deregistered(*n), _names),
    st.builds(
        lambda n, to: HandedOver(n[0], n[1], to), _names, st.sampled_from([OPERATOR, SECOND])
    ),
    st.builds(lambda n, s: SectionChanged(n[0], n[1], s), _names, _sections),
)


@given(
    st.lists(_names, max_size=6),
    st.lists(_changes, max_size=12),
    st.lists(_changes, max_size=12),
    st.integers(0, 6),
)
def test_undoing_restores_what_was_before_whatever_happened(
    names: Sequence[tuple[PublicKey, Address]],
    kept: Sequence[RegistryChange],
    undone: Sequence[RegistryChange],
    entries_max: int,
) -> None:
    held = Registrations(OWN, entries_max=entries_max)
    for who, operator in names:
        held.note(entry(operator, peer=who, sequence=NOW))
    for block, change in enumerate(kept):
        held.fold(event(change, block))
    before = snapshot(held)
    for block, change in enumerate(undone):
        held.fold(event(change, block))
    assert len(held) <= 2 * entries_max + 1
    for block, change in reversed(list(enumerate(undone))):
        assert held.fold(event(change, block, undone=True))
    assert snapshot(held) == before


def snapshot(held: Registrations) -> list[Registration | None]:
    return [held.get(peer(n), operator) for n in (1, 2, 3) for operator in (OPERATOR, SECOND)]
