"""Advertisements with proofs, and what is read of the registry about them."""

import msgspec

from p2p_modelex.core.anchoring.substance import compute_anchor
from p2p_modelex.ids import Address, Digest, PublicKey
from p2p_modelex.records.advertisement import Advertisement, Section
from p2p_modelex.records.registry import (
    RegistryChange,
    RegistryEntry,
    RegistryEvent,
    RegistrySection,
)
from tests.core.directory.account import Account, proof
from tests.core.directory.worlds import NOW, Key, advertisement

KEY, OTHER = Key(21), Key(22)
PEER = KEY.public_key
OPERATOR, SECOND, STRANGER = (Account(number).address for number in (31, 32, 33))
PUBLIC, LISTED, SUSPENDED = RegistrySection
AD: Advertisement = advertisement(accounts=(proof(KEY, NOW * 2, 31),))
ANCHOR = compute_anchor(AD)


def said(number: int = 31, *more: int) -> Advertisement:
    """An advertisement with proofs of these accounts."""
    return change(AD, accounts=tuple(proof(KEY, NOW * 2, one) for one in (number, *more)))


def change(told: Advertisement, **changes: object) -> Advertisement:
    return msgspec.structs.replace(told, **changes)


def renewed(told: Advertisement) -> Advertisement:
    """The same substance, signed a day later by a newer version of a listed node."""
    accounts = tuple(proof(KEY, NOW * 3, number) for number in (31,))
    return change(
        told,
        sequence=NOW + 86_400_000,
        ttl_ms=1_000_000,
        agent="test/2",
        section=Section.WHITELISTED,
        accounts=accounts,
    )


def entry(
    operator: Address = OPERATOR,
    section: RegistrySection = PUBLIC,
    digest: Digest = ANCHOR,
    sequence: int = NOW,
    peer: PublicKey = PEER,
) -> RegistryEntry:
    return RegistryEntry(peer, operator, digest, sequence, "", section)


def event(what: RegistryChange, block: int = 1, *, undone: bool = False) -> RegistryEvent:
    return RegistryEvent(what, block, undone)
