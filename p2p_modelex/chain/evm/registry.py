"""The NodeRegistry over JSON-RPC: entries page by page, and what happens to them."""

from collections.abc import AsyncGenerator, Awaitable, Callable
from typing import Any

import trio
from eth_abi.abi import encode
from eth_hash.backends.pysha3 import keccak256 as keccak

from p2p_modelex.chain.abc import REGISTRY_PAGE_MAX, URI_BYTES, RegistryPage
from p2p_modelex.chain.evm.abi import Abi, Event
from p2p_modelex.chain.evm.reader import BlockReader
from p2p_modelex.chain.evm.refusals import ReadContract
from p2p_modelex.chain.evm.rpc import Call, Rpc
from p2p_modelex.chain.evm.wire import read_bytes, to_hex
from p2p_modelex.errors import BadInput, ChainUnreachable
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

_EVENTS = ("NodeRegistered", "Updated", "Deregistered", "HandedOver", "SectionChanged")
_WORD = 32
# Its place in the list, eight words of which one says where the URI is, the URI's length and bytes.
_ENTRY_BYTES = _WORD * (1 + 8 + 1) + URI_BYTES


class Registry:
    """Reads one registry. read: calls a contract at a block."""

    def __init__(self, rpc: Rpc, contract: Address, abi: Abi, read: ReadContract) -> None:
        self._rpc = rpc
        self._contract = contract
        self._abi = abi
        self._read = read

    async def fetch_entry(
        self, peer: PublicKey, operator: Address, block: str
    ) -> RegistryEntry | None:
        payload = self._abi.encode_call("entryOf", peer, format_address(operator))
        answer = await self._read(self._contract, payload, block)
        _refuse_long(answer, entries=1)
        [fields] = self._abi.decode_result("entryOf", answer)
        return _read_entry(fields) if int(fields[1], 16) else None

    async def fetch_page(self, offset: int, limit: int, block: int) -> RegistryPage:
        """Raises BadInput unless limit is 1 to REGISTRY_PAGE_MAX, RpcError, ChainUnreachable."""
        if not 1 <= limit <= REGISTRY_PAGE_MAX:
            raise BadInput(f"a page has 1 to {REGISTRY_PAGE_MAX} entries, not {limit}")
        asked = (
            self._abi.encode_call("count"),
            self._abi.encode_call("entries", offset, limit),
        )
        to = format_address(self._contract)
        calls = [Call("eth_call", ({"to": to, "data": to_hex(one)}, hex(block))) for one in asked]
        counted, listed = map(read_bytes, await self._rpc.batch(calls))
        _refuse_long(listed, entries=limit)
        [total] = self._abi.decode_result("count", counted)
        [entries] = self._abi.decode_result("entries", listed)
        if len(entries) != max(0, min(limit, total - offset)):
            raise ChainUnreachable("the endpoint left out entries of the registry, or added some")
        return RegistryPage(block, total, tuple(map(_read_entry, entries)))

    async def follow(
        self,
        *,
        since_block: int,
        confirmations: int,
        poll_s: float,
        on_reorg: Callable[[], Awaitable[None]],
    ) -> AsyncGenerator[RegistryEvent, None]:
        """Yield events for ever. on_reorg: awaited when blocks were undone, before they are told.

        Raises ChainUnreachable.
        """
        topics = [self._abi.topic(name) for name in _EVENTS]
        reader = BlockReader(
            self._rpc, self._contract, topics, since_block=since_block, confirmations=confirmations
        )
        while True:
            blocks = await reader.poll()
            if any(block.undone for block in blocks):
                await on_reorg()
            for block in blocks:
                for log in block.logs:
                    change = _read_change(self._abi.decode_event(log))
                    if change is not None:
                        yield RegistryEvent(change, block.number, block.undone)
            if not blocks:
                await trio.sleep(poll_s)


def compute_agent(peer: PublicKey, operator: Address) -> int:
    """Return what ERC-8004 knows an entry by (NodeRegistry.agentIdOf)."""
    return int.from_bytes(keccak(encode(["bytes32", "address"], [peer, format_address(operator)])))


def _refuse_long(answer: bytes, *, entries: int) -> None:
    """Before it is decoded: a list may name one text a million times over."""
    if len(answer) > 2 * _WORD + entries * _ENTRY_BYTES:
        raise ChainUnreachable("the endpoint's answer is longer than any honest one")


def _read_entry(fields: tuple[Any, ...]) -> RegistryEntry:
    peer, operator, sequence, section, digest, _, _, uri = fields
    return RegistryEntry(
        PublicKey(peer),
        _read_address(operator),
        Digest(digest),
        sequence,
        uri,
        _read_section(section),
    )


def _read_change(event: Event | None) -> RegistryChange | None:
    """Return the change that an event tells; None for one that was not asked for, or is garbled."""
    if event is None or event.name not in _EVENTS:
        return None
    told = event.arguments
    peer, operator = PublicKey(told["peer"]), _read_address(told["operator"])
    match event.name:
        case "NodeRegistered":
            return Registered(peer, operator, Digest(told["digest"]), told["sequence"])
        case "Updated":
            return Updated(peer, operator, Digest(told["digest"]), told["sequence"])
        case "Deregistered":
            return Deregistered(peer, operator)
        case "HandedOver":
            return HandedOver(peer, operator, _read_address(told["successor"]))
        case _:
            return SectionChanged(peer, operator, _read_section(told["to"]))


def _read_address(text: str) -> Address:
    return Address(bytes.fromhex(text[2:]))


def _read_section(number: int) -> RegistrySection:
    try:
        return RegistrySection(number)
    except ValueError as error:
        raise ChainUnreachable(f"the registry has no section {number}") from error
