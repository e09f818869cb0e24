"""NodeRegistry (contracts/src/interfaces/INodeRegistry.sol): who is registered, and where."""

from dataclasses import dataclass
from enum import Enum, IntEnum
from typing import Any, Literal

from eth_hash.backends.pysha3 import keccak256 as keccak

from p2p_modelex.chain.contracts.contract import Contract, Sent, check_page
from p2p_modelex.errors import ChainUnreachable
from p2p_modelex.ids import Address, Digest, PublicKey, parse_address

NOBODY = Address(bytes(20))

Move = Literal["admit", "suspend", "lift", "remove"]
"""Public to whitelisted, whitelisted to suspended, suspended to whitelisted, either to public."""


class RegistrySection(IntEnum):
    """PUBLIC: anyone. WHITELISTED: admitted by an authoriser. SUSPENDED: admitted, and not to be
    trusted more than a public one until that is lifted.
    """

    PUBLIC = 0
    WHITELISTED = 1
    SUSPENDED = 2


class Role(Enum):
    """Who may do what in the whitelisted section. ADMIN gives and takes both."""

    ADMIN = bytes(32)
    AUTHORISER = keccak(b"AUTHORISER")


@dataclass(frozen=True, slots=True)
class Registration:
    """An entry. digest, sequence: of its newest anchored advertisement. Times: unix seconds."""

    peer: PublicKey
    operator: Address
    sequence: int
    section: RegistrySection
    digest: Digest
    registered_at: int
    updated_at: int
    uri: str


class Registry(Contract):
    """Entries, keyed by peer and operator, since anyone may claim any peer under their account."""

    artifact = "NodeRegistry"
    key = "registry"

    async def fetch_entry(self, peer: PublicKey, operator: Address) -> Registration | None:
        """The entry that `operator` made for the peer."""
        entry = _read(await self.ask("entryOf", peer, operator))
        return None if entry.operator == NOBODY else entry

    async def fetch_count(self, section: RegistrySection | None = None) -> int:
        """How many entries there are in a section; None for all."""
        answer = self.ask("count") if section is None else self.ask("countIn", section)
        return int(await answer)

    async def fetch_entries(
        self, offset: int, limit: int, section: RegistrySection | None = None
    ) -> list[Registration]:
        """At most `limit` entries, up to PAGE_ROWS_MAX, from `offset` on: the whitelisted, then the
        suspended, then the public. The order changes when an entry leaves or changes sections.
        """
        check_page(offset, limit)
        if section is None:
            found = await self.ask("entries", offset, limit)
        else:
            found = await self.ask("entriesIn", section, offset, limit)
        return [_read(fields) for fields in found]

    async def register(self, peer: PublicKey, digest: Digest, sequence: int, uri: str = "") -> Sent:
        """Make our entry for the peer, in the public section."""
        return await self.tell("register", peer, digest, sequence, uri)

    async def update(self, peer: PublicKey, digest: Digest, sequence: int, uri: str = "") -> Sent:
        """Anchor an advertisement of a higher sequence in our entry."""
        return await self.tell("update", peer, digest, sequence, uri)

    async def leave(self, peer: PublicKey) -> Sent:
        """Remove our entry."""
        return await self.tell("deregister", peer)

    async def offer_handover(self, peer: PublicKey, successor: Address) -> Sent:
        """Offer our entry to `successor`; NOBODY takes the offer back."""
        return await self.tell("offerHandover", peer, successor)

    async def accept_handover(self, peer: PublicKey, operator: Address) -> Sent:
        """Take over what `operator` offered us; the entry goes to the public section."""
        return await self.tell("acceptHandover", peer, operator)

    async def move(self, move: Move, peer: PublicKey, operator: Address, reason: str) -> Sent:
        """As an authoriser, move an entry to another section, with a reason of 1 to 256 bytes."""
        return await self.tell(move, peer, operator, reason)

    async def has_role(self, role: Role, account: Address) -> bool:
        """Whether an account holds a role. Who does in all is in the contract's events only."""
        return bool(await self.ask("hasRole", role.value, account))

    async def grant_role(self, role: Role, account: Address) -> Sent:
        """As an admin."""
        return await self.tell("grantRole", role.value, account)

    async def revoke_role(self, role: Role, account: Address) -> Sent:
        """As an admin."""
        return await self.tell("revokeRole", role.value, account)

    async def renounce_role(self, role: Role) -> Sent:
        """Give up a role of our account."""
        return await self.tell("renounceRole", role.value, self.network.account)


def _read(fields: tuple[Any, ...]) -> Registration:
    peer, operator, sequence, section, digest, registered_at, updated_at, uri = fields
    return Registration(
        PublicKey(peer),
        parse_address(operator),
        sequence,
        _read_section(section),
        Digest(digest),
        registered_at,
        updated_at,
        uri,
    )


def _read_section(number: int) -> RegistrySection:
    try:
        return RegistrySection(number)
    except ValueError as error:
        raise ChainUnreachable(f"the registry has no section {number}") from error
