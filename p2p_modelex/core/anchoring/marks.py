"""What the registry says of a peer whose advertisement we hold. Rules ANC-5 to ANC-7."""

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType

import msgspec

from p2p_modelex.core.anchoring.registrations import Registration, Registrations
from p2p_modelex.core.anchoring.substance import compute_anchor
from p2p_modelex.ids import Address, Digest, PeerId, public_key_of
from p2p_modelex.records.advertisement import Advertisement
from p2p_modelex.records.registry import RegistrySection, Standing

_STANDINGS: Mapping[RegistrySection, Standing] = MappingProxyType(
    {
        RegistrySection.PUBLIC: Standing.REGISTERED,
        RegistrySection.WHITELISTED: Standing.WHITELISTED,
        RegistrySection.SUSPENDED: Standing.SUSPENDED,
    }
)


NOTHING = Digest(bytes(32))
"""The digest of an entry that anchors no advertisement."""


class Freshness(StrEnum):
    """How the anchored advertisement compares with the one we hold (ANC-7); NONE: none is."""

    NONE = "none"
    CURRENT = "current"
    OLDER = "older"
    NEWER = "newer"


class Mark(msgspec.Struct, frozen=True, gc=False):
    """A peer's standing, its anchor, and the account whose entry says so (None: there is none)."""

    standing: Standing
    anchor: Freshness
    operator: Address | None


UNMARKED = Mark(Standing.UNREGISTERED, Freshness.NONE, None)


def get_standing(
    registrations: Registrations, peer: PeerId, advertisement: Advertisement
) -> Standing:
    """Return a peer's standing. `advertisement`: one whose ownership proofs are good (ADV-11)."""
    found = _find(registrations, peer, advertisement)
    return Standing.UNREGISTERED if found is None else found[0]


def compute_mark(registrations: Registrations, peer: PeerId, advertisement: Advertisement) -> Mark:
    """Return a peer's mark. `advertisement`: as for `get_standing`."""
    found = _find(registrations, peer, advertisement)
    if found is None:
        return UNMARKED
    standing, registration, operator = found
    return Mark(standing, _compare(registration, advertisement), operator)


def _find(
    registrations: Registrations, peer: PeerId, advertisement: Advertisement
) -> tuple[Standing, Registration, Address] | None:
    """ANC-5: only entries of operators that the advertisement proves. ANC-6: the highest of them,
    so that a second account does not hide a suspension.
    """
    key = public_key_of(peer)
    best: tuple[Standing, Registration, Address] | None = None
    for signed in advertisement.accounts:
        operator = Address(signed.ownership.operator)
        registration = registrations.get(key, operator)
        if registration is None:
            continue
        standing = _STANDINGS[registration.section]
        if best is None or standing > best[0]:
            best = standing, registration, operator
    return best


def _compare(registration: Registration, advertisement: Advertisement) -> Freshness:
    if registration.digest == NOTHING:
        return Freshness.NONE
    if registration.digest == compute_anchor(advertisement):
        return Freshness.CURRENT
    is_newer = registration.sequence > advertisement.sequence
    return Freshness.NEWER if is_newer else Freshness.OLDER
