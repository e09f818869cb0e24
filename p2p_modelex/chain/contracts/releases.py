"""ModelReleases (interfaces/IModelReleases.sol): which weights a model's name stands for."""

from dataclasses import dataclass
from typing import Any

from p2p_modelex.chain.contracts.contract import Contract, Sent, check_page
from p2p_modelex.ids import Address, Digest, parse_address


@dataclass(frozen=True, slots=True)
class ReleaseDraft:
    """What is published. weights: SHA-256 of the file. size: its bytes. licence: SPDX."""

    version: str
    weights: Digest
    size: int
    uri: str
    licence: str


@dataclass(frozen=True, slots=True)
class Release:
    """A published version. ordinal: its place among the name's releases, from 0. published_at:
    unix seconds. revoked: nobody should load it.
    """

    draft: ReleaseDraft
    ordinal: int
    published_at: int
    revoked: bool


class ModelReleases(Contract):
    """Releases by name and version; a name belongs to who first published under it."""

    artifact = "ModelReleases"
    key = "releases"

    async def fetch_latest(self, name: str) -> Release:
        """The newest that is not revoked; Reverted NoSuchName or AllRevoked."""
        return _read(await self.ask("latest", name))

    async def fetch_release(self, name: str, version: str) -> Release:
        """One release; Reverted NoSuchName or NoSuchVersion."""
        return _read(await self.ask("releaseOf", name, version))

    async def fetch_publisher(self, name: str) -> Address | None:
        """Who owns the name; None if nobody does."""
        publisher = await self.ask("publisherOf", name)
        return parse_address(publisher) if int(publisher, 16) else None

    async def fetch_releases(self, name: str, offset: int, limit: int) -> tuple[Release, ...]:
        """At most `limit` releases, up to PAGE_ROWS_MAX, from `offset` on, oldest first."""
        check_page(offset, limit)
        found = await self.ask("releases", name, offset, limit)
        return tuple(_read(fields) for fields in found)

    async def fetch_release_count(self, name: str) -> int:
        """How many releases the name has, revoked ones included."""
        return int(await self.ask("releaseCount", name))

    async def fetch_names(self, offset: int, limit: int) -> tuple[str, ...]:
        """At most `limit` names, up to PAGE_ROWS_MAX, from `offset` on, oldest first."""
        check_page(offset, limit)
        return tuple(await self.ask("names", offset, limit))

    async def fetch_name_count(self) -> int:
        """How many names there are."""
        return int(await self.ask("nameCount"))

    async def publish(self, name: str, draft: ReleaseDraft) -> Sent:
        """Publish as our account, which owns the name from its first release on; it supersedes
        all before it.
        """
        fields = (draft.version, draft.weights, draft.size, draft.uri, draft.licence)
        return await self.tell("publish", name, fields)

    async def revoke(self, name: str, version: str, reason: str) -> Sent:
        """As the publisher, say that nobody should load a version."""
        return await self.tell("revoke", name, version, reason)

    async def offer_handover(self, name: str, successor: Address) -> Sent:
        """As the publisher, offer the name; the zero account takes the offer back."""
        return await self.tell("offerHandover", name, successor)

    async def accept_handover(self, name: str) -> Sent:
        """Take over a name that was offered to our account."""
        return await self.tell("acceptHandover", name)


def _read(fields: tuple[Any, ...]) -> Release:
    weights, size, published_at, ordinal, revoked, version, uri, licence = fields
    draft = ReleaseDraft(version, Digest(weights), size, uri, licence)
    return Release(draft, ordinal, published_at, revoked)
