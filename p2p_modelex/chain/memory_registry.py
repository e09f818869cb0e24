"""The registry of a MemoryLedger, with the contract's rules (contracts/src/NodeRegistry.sol)."""

import statistics
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from p2p_modelex.chain.abc import URI_BYTES, RegistryPage
from p2p_modelex.chain.memory_history import History
from p2p_modelex.chain.memory_refusal import revert
from p2p_modelex.errors import ChainUnreachable
from p2p_modelex.ids import Address, Digest, PublicKey, format_address
from p2p_modelex.records.registry import (
    Deregistered,
    HandedOver,
    Registered,
    RegistryChange,
    RegistryEntry,
    RegistryEvent,
    RegistrySection,
    SectionChanged,
    Updated,
)

VERSIONS_MAX = 128
"""States of the registry that can be asked for by their block, as a full node keeps them."""

_ORDER = (RegistrySection.WHITELISTED, RegistrySection.SUSPENDED, RegistrySection.PUBLIC)
_Entries = dict[tuple[PublicKey, Address], RegistryEntry]


class MemoryRegistry:
    """Entries by (peer, operator). Each change is a block of the ledger."""

    def __init__(self, mine: Callable[[], tuple[int, Digest]]) -> None:
        """mine: makes the ledger's next block; its number and its transaction's hash."""
        self._mine = mine
        self._entries: _Entries = {}
        self._versions: deque[tuple[int, _Entries]] = deque([(0, {})], maxlen=VERSIONS_MAX)
        self.history: History[RegistryEvent] = History()
        self._ratings: dict[tuple[PublicKey, Address], dict[Address, int]] = {}

    def get(self, peer: PublicKey, operator: Address) -> RegistryEntry | None:
        return self._entries.get((peer, operator))

    def rate(self, evaluator: Address, peer: PublicKey, operator: Address, rating: int) -> None:
        """Rate a registered node, in hundredths of a per cent: the mean of its scores."""
        if self.get(peer, operator) is None:
            raise revert("NoEntry", **_name(peer, operator))
        self._ratings.setdefault((peer, operator), {})[evaluator] = rating
        self._mine()

    def get_rating(
        self, peer: PublicKey, operator: Address, evaluators: Sequence[Address]
    ) -> int | None:
        """Return the median rating of a node by these evaluators, None if none of them rated it."""
        held = self._ratings.get((peer, operator), {})
        found = [held[one] for one in sorted(set(evaluators)) if one in held]
        return int(statistics.median(found)) if found else None

    def page(self, offset: int, limit: int, block: int) -> RegistryPage:
        """Return entries as of a block; ChainUnreachable if its state is gone."""
        known = [entries for number, entries in self._versions if number <= block]
        if not known:
            raise ChainUnreachable(f"the state of block {block} is gone")
        ordered = sorted(known[-1].values(), key=lambda entry: _ORDER.index(entry.section))
        return RegistryPage(block, len(ordered), tuple(ordered[offset : offset + limit]))

    def save(self) -> tuple[Any, ...]:
        """See MemoryLedger.save."""
        ratings = {node: dict(held) for node, held in self._ratings.items()}
        return dict(self._entries), tuple(self._versions), ratings, self.history.length

    def restore(self, saved: tuple[Any, ...]) -> None:
        """See MemoryLedger.restore."""
        entries, versions, ratings, told = saved
        self._entries = dict(entries)
        self._versions = deque(versions, maxlen=VERSIONS_MAX)
        self._ratings = {node: dict(held) for node, held in ratings.items()}
        self.history.undo_since(told)

    def put(
        self, operator: Address, peer: PublicKey, digest: Digest, sequence: int, uri: str
    ) -> Digest:
        """Register, or update."""
        held = self.get(peer, operator)
        if not any(peer):
            raise revert("InvalidPeer")
        if len(uri.encode()) > URI_BYTES:
            raise revert("UriTooLong", length=len(uri.encode()), limit=URI_BYTES)
        if held is not None and sequence <= held.sequence:
            raise revert("StaleSequence", sequence=sequence, current=held.sequence)
        section = RegistrySection.PUBLIC if held is None else held.section
        entry = RegistryEntry(peer, operator, digest, sequence, uri, section)
        kind = Registered if held is None else Updated
        return self._commit(kind(peer, operator, digest, sequence), entry)

    def deregister(self, operator: Address, peer: PublicKey) -> Digest:
        held = self._require(peer, operator)
        del self._entries[peer, held.operator]
        return self._commit(Deregistered(peer, operator))

    def hand_over(self, operator: Address, peer: PublicKey, successor: Address) -> Digest:
        """Offer and acceptance in one."""
        held = self._require(peer, operator)
        if self.get(peer, successor) is not None:
            raise revert("EntryExists", **_name(peer, successor))
        del self._entries[peer, operator]
        moved = replace(held, operator=successor, section=RegistrySection.PUBLIC)
        return self._commit(HandedOver(peer, operator, successor), moved)

    def admit(self, peer: PublicKey, operator: Address) -> Digest:
        """As an authoriser, like the three below."""
        return self._move(peer, operator, (RegistrySection.PUBLIC,), RegistrySection.WHITELISTED)

    def suspend(self, peer: PublicKey, operator: Address) -> Digest:
        listed = (RegistrySection.WHITELISTED,)
        return self._move(peer, operator, listed, RegistrySection.SUSPENDED)

    def lift(self, peer: PublicKey, operator: Address) -> Digest:
        suspended = (RegistrySection.SUSPENDED,)
        return self._move(peer, operator, suspended, RegistrySection.WHITELISTED)

    def remove(self, peer: PublicKey, operator: Address) -> Digest:
        listed = (RegistrySection.WHITELISTED, RegistrySection.SUSPENDED)
        return self._move(peer, operator, listed, RegistrySection.PUBLIC)

    def _move(
        self,
        peer: PublicKey,
        operator: Address,
        allowed: tuple[RegistrySection, ...],
        to: RegistrySection,
    ) -> Digest:
        held = self._require(peer, operator)
        if held.section not in allowed:
            raise revert("WrongSection", **_name(peer, operator), section=int(held.section))
        return self._commit(SectionChanged(peer, operator, to), replace(held, section=to))

    def _require(self, peer: PublicKey, operator: Address) -> RegistryEntry:
        held = self.get(peer, operator)
        if held is None:
            raise revert("NoEntry", **_name(peer, operator))
        return held

    def _commit(self, change: RegistryChange, entry: RegistryEntry | None = None) -> Digest:
        if entry is not None:
            self._entries[entry.peer, entry.operator] = entry
        block, transaction = self._mine()
        self._versions.append((block, dict(self._entries)))
        self.history.add(RegistryEvent(change, block, undone=False))
        return transaction


def _name(peer: PublicKey, operator: Address) -> dict[str, str]:
    return {"peer": "0x" + peer.hex(), "operator": format_address(operator)}
