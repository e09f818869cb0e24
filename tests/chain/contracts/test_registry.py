import secrets

import pytest

from p2p_modelex.chain.contracts.network import Network
from p2p_modelex.chain.contracts.registry import Move, Registry, Role
from p2p_modelex.errors import BadInput, ConfigurationError
from p2p_modelex.ids import Digest, PublicKey
from p2p_modelex.records.registry import RegistrySection
from tests.chain.contracts.conftest import Place, refused
from tests.chain.worlds import new_key

DIGEST = Digest(b"\5" * 32)
PUBLIC, WHITELISTED, SUSPENDED = RegistrySection


def new_peer() -> PublicKey:
    return PublicKey(secrets.token_bytes(32))


async def register(network: Network) -> PublicKey:
    peer = new_peer()
    await Registry(network).register(peer, DIGEST, 7, "https://example.org/node.json")
    return peer


async def test_an_entry_from_registration_to_leaving(place: Place) -> None:
    node = await place.newcomer()
    registry, peer = Registry(node), new_peer()
    assert await registry.fetch_entry(peer, node.account) is None
    sent = await registry.register(peer, DIGEST, 7, "https://example.org/node.json")
    assert sent.event("NodeRegistered")["sequence"] == 7
    entry = await registry.fetch_entry(peer, node.account)
    assert entry is not None
    assert (entry.peer, entry.operator, entry.digest) == (peer, node.account, DIGEST)
    assert (entry.sequence, entry.section) == (7, PUBLIC)
    assert entry.uri == "https://example.org/node.json"
    assert 0 < entry.registered_at == entry.updated_at

    await registry.update(peer, Digest(b"\6" * 32), 8)
    updated = await registry.fetch_entry(peer, node.account)
    assert updated is not None
    assert (updated.sequence, updated.digest, updated.uri) == (8, b"\6" * 32, entry.uri)
    await registry.set_uri(peer, node.account, "")
    updated = await registry.fetch_entry(peer, node.account)
    assert updated is not None
    assert updated.uri == ""
    await registry.leave(peer)
    assert await registry.fetch_entry(peer, node.account) is None


async def test_an_entry_is_handed_over_in_two_steps(place: Place) -> None:
    old, new = await place.newcomer(), await place.newcomer()
    peer = await register(old)
    error = await refused("NotOffered", Registry(new).accept_handover(peer, old.account))
    assert error.hint.startswith(f"0x{old.account.hex()} offers it first")
    await Registry(old).offer_handover(peer, new.account)
    await Registry(new).accept_handover(peer, old.account)
    assert await Registry(new).fetch_entry(peer, old.account) is None
    assert await Registry(new).fetch_entry(peer, new.account) is not None


async def test_an_authoriser_moves_entries_between_sections(place: Place) -> None:
    node, authoriser = await place.newcomer(), Registry(await place.owner())
    peer = await register(node)
    before = {section: await authoriser.fetch_count(section) for section in RegistrySection}
    moves: list[tuple[Move, RegistrySection]] = [
        ("admit", WHITELISTED),
        ("suspend", SUSPENDED),
        ("lift", WHITELISTED),
        ("remove", PUBLIC),
    ]
    for move, section in moves:
        sent = await authoriser.move(move, peer, node.account, "we looked")
        assert sent.event("SectionChanged")["to"] == section
        entry = await authoriser.fetch_entry(peer, node.account)
        assert entry is not None
        assert entry.section is section
        assert await authoriser.fetch_count(section) == before[section] + (section is not PUBLIC)
    await refused("WrongSection", authoriser.move("lift", peer, node.account, "again"))
    await refused("InvalidReason", authoriser.move("admit", peer, node.account, ""))
    error = await refused(
        "AccessControlUnauthorizedAccount", Registry(node).move("admit", peer, node.account, "me")
    )
    assert error.arguments["neededRole"] == Role.AUTHORISER.value


async def test_lists_come_in_pages(place: Place) -> None:
    node = await place.newcomer()
    registry = Registry(node)
    peers = [await register(node) for _ in range(3)]
    total = await registry.fetch_count()
    found = await registry.fetch_entries(total - 3, 50)
    assert [entry.peer for entry in found] == peers
    public = await registry.fetch_count(PUBLIC)
    [last] = await registry.fetch_entries(public - 1, 50, PUBLIC)
    assert last.peer == peers[-1]
    assert await registry.fetch_entries(total, 50) == []
    for offset, limit in ((-1, 1), (0, 0), (0, 51)):
        with pytest.raises(BadInput, match="1 to 50 entries"):
            await registry.fetch_entries(offset, limit)


async def test_roles_are_given_and_taken(place: Place) -> None:
    admin, other = Registry(await place.owner()), await place.newcomer()
    council = Registry(other)
    assert await admin.has_role(Role.ADMIN, admin.network.account)
    assert not await admin.has_role(Role.AUTHORISER, other.account)
    await admin.grant_role(Role.AUTHORISER, other.account)
    assert await admin.has_role(Role.AUTHORISER, other.account)
    await admin.revoke_role(Role.AUTHORISER, other.account)
    await admin.grant_role(Role.AUTHORISER, other.account)
    await council.renounce_role(Role.AUTHORISER)
    assert not await admin.has_role(Role.AUTHORISER, other.account)


async def test_refusals_name_what_is_wrong(place: Place) -> None:
    node = await place.newcomer()
    registry, peer = Registry(node), await register(node)
    await refused("EntryExists", registry.register(peer, DIGEST, 8))
    error = await refused("StaleSequence", registry.update(peer, DIGEST, 7))
    assert (error.arguments, error.hint) == (
        {"sequence": 7, "current": 7},
        "anchor an advertisement of a sequence over 7",
    )
    await refused("UriTooLong", registry.set_uri(peer, node.account, "x" * 257))
    error = await refused("NoEntry", registry.leave(new_peer()))
    assert f"0x{node.account.hex()} has no entry" in error.hint


async def test_a_reader_cannot_send(place: Place) -> None:
    reader = await place.reader()
    with pytest.raises(ConfigurationError, match="without a key the contracts can only be read"):
        await Registry(reader).leave(new_peer())
    with pytest.raises(ConfigurationError, match="without a key the contracts can only be read"):
        _ = reader.signer
    assert await Registry(reader).fetch_entry(new_peer(), new_key().address) is None
