"""The registry's entries, folded from what is read of it and what happens to it. Rule ANC-8."""

from collections import deque

import msgspec

from p2p_modelex import limits
from p2p_modelex.ids import Address, Digest, PublicKey
from p2p_modelex.records.registry import (
    Deregistered,
    HandedOver,
    Registered,
    RegistryChange,
    RegistryEntry,
    RegistryEvent,
    RegistrySection,
    Updated,
)

JOURNAL_MAX = 4096
"""Changes that can be undone: 25 blocks of 30 million gas with nothing but registrations."""

Key = tuple[PublicKey, Address]


class Registration(msgspec.Struct, frozen=True, gc=False):
    """What is kept of an entry."""

    digest: Digest
    sequence: int
    section: RegistrySection


# What we know of an entry that found no place when it was made, and is changed later.
_UNSEEN = Registration(Digest(bytes(32)), 0, RegistrySection.PUBLIC)

_Before = tuple[tuple[Key, Registration | None], ...]


class Registrations:
    """Entries by (peer, operator); bounded, the listed ones (not public) apart from the public.

    Anyone may make public entries, so they cannot crowd out a suspension, nor those kept before
    them (ANC-10). `own` always has a place.
    """

    def __init__(self, own: Key, *, entries_max: int = limits.REGISTRY_ENTRIES_MAX) -> None:
        self._own = own
        self._entries_max = entries_max
        self._public: dict[Key, Registration] = {}
        self._listed: dict[Key, Registration] = {}
        self._journal: deque[tuple[RegistryChange, int, _Before]] = deque(maxlen=JOURNAL_MAX)

    def __len__(self) -> int:
        return len(self._public) + len(self._listed)

    def get(self, peer: PublicKey, operator: Address) -> Registration | None:
        """Return the entry that `operator` has for `peer`, if it is known."""
        key = peer, operator
        return self._listed.get(key) or self._public.get(key)

    def note(self, entry: RegistryEntry) -> None:
        """Take over an entry that was read."""
        held = Registration(entry.digest, entry.sequence, entry.section)
        self._set((entry.peer, entry.operator), held)

    def fold(self, event: RegistryEvent) -> bool:
        """Take over a change, or restore what was before it.

        False if what is to be undone is not the last change that is remembered: then the registry
        has to be read anew.
        """
        if not event.undone:
            after = self._compute_after(event.change)
            before = tuple((key, self.get(*key)) for key, _ in after)
            self._journal.append((event.change, event.block, before))
            self._set_all(after)
            return True
        if not self._journal or self._journal[-1][:2] != (event.change, event.block):
            return False
        # The last first: what was given a place may have it from what was taken out before.
        self._set_all(self._journal.pop()[2][::-1])
        return True

    def _compute_after(self, change: RegistryChange) -> _Before:
        key = change.peer, change.operator
        held = self.get(*key) or _UNSEEN
        match change:
            case Registered(digest=digest, sequence=sequence):
                return ((key, Registration(digest, sequence, RegistrySection.PUBLIC)),)
            case Updated(digest=digest, sequence=sequence):
                return ((key, Registration(digest, sequence, held.section)),)
            case Deregistered():
                return ((key, None),)
            case HandedOver(successor=successor):
                moved = msgspec.structs.replace(held, section=RegistrySection.PUBLIC)
                return ((key, None), ((change.peer, successor), moved))
        return ((key, msgspec.structs.replace(held, section=change.section)),)

    def _set_all(self, registrations: _Before) -> None:
        for key, registration in registrations:
            self._set(key, registration)

    def _set(self, key: Key, registration: Registration | None) -> None:
        self._public.pop(key, None)
        self._listed.pop(key, None)
        if registration is None:
            return
        is_public = registration.section is RegistrySection.PUBLIC
        table = self._public if is_public else self._listed
        if len(table) < self._entries_max or key == self._own:
            table[key] = registration
