"""The registry as the port reads it: in memory, on anvil and on py-evm alike."""

from collections.abc import Sequence

import pytest
import trio

from p2p_modelex.chain.abc import REGISTRY_PAGE_MAX, Chain, Deployment, RegistryPage
from p2p_modelex.chain.evm.artifacts import load_contracts
from p2p_modelex.chain.evm.port import EvmChain
from p2p_modelex.errors import BadInput, ChainError, ChainUnreachable, TransactionFailed
from p2p_modelex.ids import Address, Digest, PublicKey
from p2p_modelex.records.registry import (
    Deregistered,
    HandedOver,
    Registered,
    RegistryEntry,
    RegistryEvent,
    RegistrySection,
    SectionChanged,
    Updated,
)
from p2p_modelex.records.signers import EvmSigner
from tests.chain.endpoint import fake_endpoint, result
from tests.chain.worlds import EvmWorld, World, new_key

ONE, TWO = Digest(b"\1" * 32), Digest(b"\2" * 32)


def peer_of(key: EvmSigner) -> PublicKey:
    return PublicKey(key.address.ljust(32, b"\1"))


async def read_all(port: Chain, size: int) -> list[RegistryEntry]:
    """Every entry, in pages of one block (ANC-9)."""
    page = await port.fetch_registry(0, size)
    found = list(page.entries)
    while len(found) < page.total:
        page = await port.fetch_registry(len(found), size, page.block)
        found += page.entries
    return found


async def collect(port: Chain, peers: Sequence[PublicKey], count: int) -> list[RegistryEvent]:
    """The first events about these peers, of all that others' tests have made."""
    found: list[RegistryEvent] = []
    events = port.registry_events(0)
    with trio.fail_after(20):
        async for event in events:
            if event.change.peer in peers:
                found.append(event)
            if len(found) == count:
                break
    await events.aclose()
    return found


async def test_pages_have_every_entry_once_the_listed_ones_first(world: World) -> None:
    mine: dict[PublicKey, RegistrySection] = {}
    for number in range(5):
        key, port = await world.new_account()
        peer = peer_of(key)
        await port.register(peer, ONE, 7 + number, f"https://example.org/{number}")
        mine[peer] = RegistrySection.PUBLIC
        if number in {2, 3}:
            await world.authorise("admit", peer, key.address)
            mine[peer] = RegistrySection.WHITELISTED
        if number == 3:
            await world.authorise("suspend", peer, key.address)
            mine[peer] = RegistrySection.SUSPENDED
    for size in (3, REGISTRY_PAGE_MAX):
        entries = await read_all(port, size)
        assert len({(entry.peer, entry.operator) for entry in entries}) == len(entries)
        assert {e.peer: e.section for e in entries if e.peer in mine} == mine
        order = [(1, 2, 0).index(entry.section) for entry in entries]
        assert order == sorted(order)
    last = next(entry for entry in entries if entry.peer == peer)
    assert last == await port.fetch_registration(peer)
    assert (last.digest, last.sequence, last.uri) == (ONE, 11, "https://example.org/4")
    for peer in list(mine)[2:4]:  # the world is shared
        operator = next(entry.operator for entry in entries if entry.peer == peer)
        await world.authorise("remove", peer, operator)


async def test_pages_are_of_the_block_that_was_asked_for(world: World) -> None:
    key, port = await world.new_account()
    before = await port.fetch_registry(0, 1)
    await port.register(peer_of(key), ONE, 1, "")
    assert (await port.fetch_registry(0, 1)).total == before.total + 1
    again = await port.fetch_registry(0, 1, before.block)
    assert again == before
    assert await port.fetch_registry(before.total + 5, 9, before.block) == RegistryPage(
        before.block, before.total, ()
    )


@pytest.mark.parametrize("size", [0, REGISTRY_PAGE_MAX + 1])
async def test_a_page_is_bounded(world: World, size: int) -> None:
    _, port = await world.new_account()
    with pytest.raises(BadInput, match="a page has 1 to"):
        await port.fetch_registry(0, size)


async def test_a_block_that_is_not_there_is_an_error_of_the_chain(world: World) -> None:
    _, port = await world.new_account()
    with pytest.raises(ChainError):
        await port.fetch_registry(0, 1, 10**9)


async def test_what_happens_to_an_entry_is_told_in_order(world: World) -> None:
    key, port = await world.new_account()
    heir, _ = await world.new_account()
    peer, operator = peer_of(key), key.address
    await port.register(peer, ONE, 10, "")
    await world.authorise("admit", peer, operator)
    await port.register(peer, TWO, 11, "")
    await world.authorise("suspend", peer, operator)
    await world.authorise("lift", peer, operator)
    await world.authorise("remove", peer, operator)
    await world.hand_over(key, peer, heir)
    await world.leave_registry(heir, peer)
    events = await collect(port, [peer], 8)
    assert [event.change for event in events] == [
        Registered(peer, operator, ONE, 10),
        SectionChanged(peer, operator, RegistrySection.WHITELISTED),
        Updated(peer, operator, TWO, 11),
        SectionChanged(peer, operator, RegistrySection.SUSPENDED),
        SectionChanged(peer, operator, RegistrySection.WHITELISTED),
        SectionChanged(peer, operator, RegistrySection.PUBLIC),
        HandedOver(peer, operator, heir.address),
        Deregistered(peer, heir.address),
    ]
    blocks = [event.block for event in events]
    assert blocks == sorted(blocks)
    assert not any(event.undone for event in events)
    later = port.registry_events(blocks[-1])
    with trio.fail_after(10):
        assert await anext(later) == events[-1]
    await later.aclose()


async def test_an_update_keeps_the_section_and_a_handover_does_not(world: World) -> None:
    key, port = await world.new_account()
    heir, _ = await world.new_account()
    peer = peer_of(key)
    await port.register(peer, ONE, 1, "here")
    await world.authorise("admit", peer, key.address)
    await port.register(peer, TWO, 2, "here")
    held = await port.fetch_registration(peer)
    assert held is not None
    assert held.section is RegistrySection.WHITELISTED
    await world.hand_over(key, peer, heir)
    assert await port.fetch_registration(peer) is None
    theirs = await port.fetch_registration(peer, heir.address)
    public = RegistrySection.PUBLIC
    assert theirs == RegistryEntry(peer, heir.address, TWO, 2, "here", public)


async def test_the_authorisers_acts_are_refused_where_they_do_not_fit(world: World) -> None:
    key, port = await world.new_account()
    other, theirs = await world.new_account()
    peer = peer_of(key)
    with pytest.raises(TransactionFailed, match="NoEntry"):
        await world.authorise("admit", peer, key.address)
    await port.register(peer, ONE, 1, "")
    for act in ("suspend", "lift", "remove"):
        with pytest.raises(TransactionFailed, match="WrongSection"):
            await world.authorise(act, peer, key.address)
    with pytest.raises(TransactionFailed, match="NoEntry"):
        await world.leave_registry(other, peer)
    await theirs.register(peer, ONE, 1, "")
    with pytest.raises(TransactionFailed, match="EntryExists"):
        await world.hand_over(key, peer, other)


async def test_events_come_while_one_waits_for_them(world: World) -> None:
    key, port = await world.new_account()
    seen: list[RegistryEvent] = []

    async def watch() -> None:
        seen.extend(await collect(port, [peer_of(key)], 1))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(watch)
        for _ in range(5):
            await trio.lowlevel.checkpoint()  # let it begin to wait, where waiting is possible
        await port.register(peer_of(key), ONE, 1, "")
    assert [event.change for event in seen] == [Registered(peer_of(key), key.address, ONE, 1)]


async def test_a_uri_that_is_no_text_makes_no_page_unreadable(evm: EvmWorld) -> None:
    """Solidity does not look into a string, so anybody may put any bytes there."""
    key, port = await evm.new_account()
    peer = peer_of(key)
    raw = b"\xff\x00\xfex"
    await evm.register_raw(key, peer, raw)
    entry = next(e for e in await read_all(port, 50) if e.peer == peer)
    assert entry.uri == raw.decode("utf-8", "replace")
    assert [e.change for e in await collect(port, [peer], 1)] == [
        Registered(peer, key.address, Digest(bytes(32)), 1)
    ]


async def test_a_reorg_undoes_what_happened_to_an_entry(on_anvil: EvmWorld) -> None:
    key, port = await on_anvil.new_account()
    peer = peer_of(key)
    changes: list[tuple[str, bool]] = []
    start = (await port.fetch_registry(0, 1)).block + 1
    await port.register(peer, ONE, 1, "")
    events = port.registry_events(start)
    with trio.fail_after(20):
        async for event in events:
            changes.append((type(event.change).__name__, event.undone))
            if len(changes) == 1:
                await on_anvil.reorg(1)
                assert await port.fetch_registration(peer) is None
            if len(changes) == 3:
                break
    await events.aclose()
    # The watcher had the sender repeat what the reorg dropped.
    assert changes == [("Registered", False), ("Registered", True), ("Registered", False)]
    assert await port.fetch_registration(peer) is not None


async def test_an_answer_longer_than_an_honest_one_is_not_decoded(evm: EvmWorld) -> None:
    _, port = await evm.new_account()

    async def read(*_: object) -> bytes:
        return bytes(32 * 12 + 256 + 1)

    port._registry._read = read
    with pytest.raises(ChainUnreachable, match="longer than any honest one"):
        await port.fetch_registration(PublicKey(b"\1" * 32))


async def test_events_that_were_not_asked_for_are_passed_over() -> None:
    deployment = Deployment("x", 31337, *(Address(bytes([i]) * 20) for i in (1, 2, 3)))
    abi = load_contracts().registry
    role = {
        "address": "0x" + "02" * 20,
        "topics": ["0x" + abi.topic("RoleGranted").hex(), *["0x" + "00" * 32] * 3],
        "data": "0x",
        "blockNumber": "0x1",
    }
    topics = [abi.topic("Deregistered"), ONE, b"\0" * 12 + b"\3" * 20]
    left = role | {"topics": ["0x" + topic.hex() for topic in topics]}
    header = {"number": "0x1", "hash": "0x" + "01" * 32, "parentHash": "0x" + "02" * 32}
    answers = {
        "eth_blockNumber": "0x1",
        "eth_getBlockByNumber": header | {"timestamp": "0x5"},
        "eth_getLogs": [role, left],
    }

    async with (
        fake_endpoint(lambda asked: result(asked, answers[asked["method"]])) as fake,
        EvmChain(fake.url, deployment, new_key()) as port,
    ):
        events = port.registry_events(1)
        with trio.fail_after(5):
            event = await anext(events)
        await events.aclose()
    assert event.change == Deregistered(PublicKey(ONE), Address(b"\3" * 20))
