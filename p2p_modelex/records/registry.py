"""The NodeRegistry as nodes read it: its entries, what happens to them, and what a peer is by them.

Rules: protocols/anchoring (ANC-1 ...). The contract's own words: contracts/src/interfaces.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum
from types import MappingProxyType

from p2p_modelex.ids import Address, Digest, PublicKey


class RegistrySection(IntEnum):
    """Where an entry is: INodeRegistry.Section.

    PUBLIC: anyone's. WHITELISTED: admitted by an authoriser. SUSPENDED: admitted, and not to be
    trusted more than a public one until that is lifted.
    """

    PUBLIC = 0
    WHITELISTED = 1
    SUSPENDED = 2


class Standing(IntEnum):
    """What the registry makes of a peer (ANC-6). Of several entries the highest counts."""

    UNREGISTERED = 0
    REGISTERED = 1
    WHITELISTED = 2
    SUSPENDED = 3


UNSUSPENDED = (Standing.UNREGISTERED, Standing.REGISTERED, Standing.WHITELISTED)

SECTIONS: Mapping[str, tuple[Standing, ...]] = MappingProxyType(
    {
        "any": UNSUSPENDED,
        "registered": (Standing.REGISTERED, Standing.WHITELISTED),
        "whitelisted": (Standing.WHITELISTED,),
        "all": tuple(Standing),
    }
)
"""Whom a requester may want to buy from, by the word it says so with (RTE-14)."""


@dataclass(frozen=True, slots=True)
class RegistryEntry:
    """A node as the registry has it. peer: Ed25519 key. digest: ANC-1, of its newest anchor."""

    peer: PublicKey
    operator: Address
    digest: Digest
    sequence: int
    uri: str
    section: RegistrySection


@dataclass(frozen=True, slots=True)
class Registered:
    """The operator made an entry for the peer, in the public section."""

    peer: PublicKey
    operator: Address
    digest: Digest
    sequence: int


@dataclass(frozen=True, slots=True)
class Updated:
    """The entry anchors a newer advertisement."""

    peer: PublicKey
    operator: Address
    digest: Digest
    sequence: int


@dataclass(frozen=True, slots=True)
class Deregistered:
    """The entry is gone."""

    peer: PublicKey
    operator: Address


@dataclass(frozen=True, slots=True)
class HandedOver:
    """The operator's entry is now the successor's, in the public section."""

    peer: PublicKey
    operator: Address
    successor: Address


@dataclass(frozen=True, slots=True)
class SectionChanged:
    """An authoriser moved the entry to `section`."""

    peer: PublicKey
    operator: Address
    section: RegistrySection


RegistryChange = Registered | Updated | Deregistered | HandedOver | SectionChanged


@dataclass(frozen=True, slots=True)
class RegistryEvent:
    """A change at a confirmed block; told again with `undone` when that block left the chain."""

    change: RegistryChange
    block: int
    undone: bool
