"""Nodes and the registry: who anchors itself, what others make of it, and what that changes."""

from itertools import count

import pytest
import trio

from p2p_modelex.chain.memory import MemoryChain
from p2p_modelex.core import ratings
from p2p_modelex.core.anchoring import machine
from p2p_modelex.core.anchoring.marks import Freshness, Mark
from p2p_modelex.core.anchoring.substance import compute_anchor
from p2p_modelex.errors import BadInput, NoProvider, Reverted, TransactionFailed
from p2p_modelex.ids import Address, Digest, PublicKey, format_address
from p2p_modelex.node.configuration import RegistrySettings
from p2p_modelex.node.exchange import Exchange, Terms
from p2p_modelex.node.node import Node
from p2p_modelex.records.advertisement import Section
from p2p_modelex.records.registry import Registered, Standing, Updated
from p2p_modelex.units import Wei
from tests.node.world import MODEL, PRICE, World, make_keys, peer_of, wait_for_sellers

KEEPS = RegistrySettings(register=True, update_every_s=1)
SELLER, BUYER, SQUATTER = 1, 2, 3


def names(number: int) -> tuple[PublicKey, Address]:
    """A node's entry in the registry."""
    keys = make_keys(number)
    return keys.peer.public_key, keys.account.address


async def wait_mark(exchange: Exchange, standing: Standing, anchor: Freshness) -> Mark:
    """Wait until the seller has this mark, as the buyer sees it."""

    def get_mark() -> Mark | None:
        entry = exchange.node.core.directory.get(peer_of(SELLER))
        return None if entry is None else exchange.mark(entry)

    def is_there() -> bool:
        mark = get_mark()
        return mark is not None and (mark.standing, mark.anchor) == (standing, anchor)

    with trio.fail_after(5):
        await exchange.node.wait_until(is_there)
    mark = get_mark()
    assert mark is not None
    return mark


async def wait_entry(node: Node, world: World) -> None:
    """Wait until the node's entry is of what it advertises."""
    with trio.fail_after(10):
        await node.wait_until(lambda: is_anchored(node, world))


def is_anchored(node: Node, world: World) -> bool:
    own = node.core.directory.get(node.peer)
    entry = world.ledger.registry.get(*names(SELLER))
    assert own is not None
    return entry is not None and entry.digest == compute_anchor(own.advertisement)


async def run_once(exchange: Exchange, section: str | None = None) -> str:
    terms = Terms(section=section)
    return await exchange.run("hello", model=MODEL, max_tokens=4, terms=terms).wait()


async def test_a_node_is_anonymous_unless_it_is_told_to_register() -> None:
    world = World()
    async with world.provider(SELLER) as node, world.requester(BUYER, friends=[1]) as exchange:
        await wait_for_sellers(exchange, 1)
        assert await node.wait_registry(5)
        assert await exchange.node.wait_registry(5)
        await wait_mark(exchange, Standing.UNREGISTERED, Freshness.NONE)
        with pytest.raises(NoProvider, match="RTE-14: nobody is registered or whitelisted"):
            await run_once(exchange, "registered")
        assert await run_once(exchange)
    assert world.ledger.registry.history.since(0) == []


async def test_a_node_registers_itself_and_others_see_it() -> None:
    world = World()
    async with (
        world.provider(SELLER, registry=KEEPS) as node,
        world.requester(BUYER, friends=[1], section="registered") as exchange,
    ):
        mark = await wait_mark(exchange, Standing.REGISTERED, Freshness.CURRENT)
        assert mark.operator == make_keys(SELLER).account.address
        entry = world.ledger.registry.get(*names(SELLER))
        own = node.core.directory.get(node.peer)
        assert own is not None
        assert entry is not None
        assert entry.digest == compute_anchor(own.advertisement)
        assert entry.sequence <= own.advertisement.sequence
        assert await run_once(exchange)
        with trio.fail_after(5):
            await exchange.node.wait_until(lambda: claim_of(exchange) is Section.PUBLIC)


def claim_of(exchange: Exchange) -> Section:
    entry = exchange.node.core.directory.get(peer_of(SELLER))
    assert entry is not None
    return Section(entry.advertisement.section)


async def test_a_section_that_is_none_is_refused_at_once() -> None:
    world = World()
    async with world.requester(BUYER, friends=[]) as exchange:
        with pytest.raises(BadInput, match="no section 'best'"):
            exchange.run("hello", model=MODEL, terms=Terms(section="best"))


async def test_anybodys_entry_for_a_peer_counts_for_nothing() -> None:
    """ANC-5."""
    world = World()
    squatter = make_keys(SQUATTER).account.address
    peer, _ = names(SELLER)
    world.ledger.registry.put(squatter, peer, Digest(bytes(32)), 1, "")
    world.ledger.registry.admit(peer, squatter)
    async with world.provider(SELLER), world.requester(BUYER, friends=[1]) as exchange:
        await wait_for_sellers(exchange, 1)
        assert await exchange.node.wait_registry(5)
        await wait_mark(exchange, Standing.UNREGISTERED, Freshness.NONE)
        world.ledger.registry.suspend(peer, squatter)
        assert await run_once(exchange)


async def test_who_is_admitted_is_chosen_and_who_is_suspended_is_not() -> None:
    world = World()
    registry = world.ledger.registry
    async with (
        world.provider(SELLER, registry=KEEPS),
        world.requester(BUYER, friends=[1]) as exchange,
    ):
        await wait_mark(exchange, Standing.REGISTERED, Freshness.CURRENT)
        with pytest.raises(NoProvider, match="nobody is whitelisted; there are: registered"):
            await run_once(exchange, "whitelisted")
        registry.admit(*names(SELLER))
        await wait_mark(exchange, Standing.WHITELISTED, Freshness.CURRENT)
        assert await run_once(exchange, "whitelisted")
        registry.suspend(*names(SELLER))
        await wait_mark(exchange, Standing.SUSPENDED, Freshness.CURRENT)
        with pytest.raises(NoProvider, match="there are: suspended") as caught:
            await run_once(exchange)
        assert "--section" in caught.value.hint
        assert await run_once(exchange, "all")
        registry.lift(*names(SELLER))
        await wait_mark(exchange, Standing.WHITELISTED, Freshness.CURRENT)
        assert await run_once(exchange)


async def test_a_new_price_is_anchored_once_and_a_restart_anchors_nothing() -> None:
    """ANC-2, ANC-3."""
    world = World()
    for price in (PRICE, PRICE, Wei(2 * PRICE), Wei(2 * PRICE)):
        # Its own addresses in memory are new at each start.
        place = ("/memory/7",)
        async with world.provider(SELLER, registry=KEEPS, price=price, announce=place) as node:
            await wait_entry(node, world)
            assert await node.wait_registry(5)
    kinds = [type(event.change) for event in world.ledger.registry.history.since(0)]
    assert kinds == [Registered, Updated]


async def test_the_first_advertisement_after_a_restart_claims_the_right_section() -> None:
    world = World()
    registry = world.ledger.registry
    async with world.provider(SELLER, registry=KEEPS) as node:
        await wait_entry(node, world)
    registry.admit(*names(SELLER))
    async with world.provider(SELLER) as node:
        own = node.core.directory.get(node.peer)
        assert own is not None
        assert own.advertisement.section is Section.WHITELISTED


async def test_the_operators_uri_stays_and_so_does_the_section() -> None:
    world = World()
    registry = world.ledger.registry
    peer, operator = names(SELLER)
    registry.put(operator, peer, Digest(bytes(32)), 1, "https://example.org/agent.json")
    registry.admit(peer, operator)
    async with world.provider(SELLER, registry=KEEPS) as node:
        await wait_entry(node, world)
    entry = registry.get(peer, operator)
    assert entry is not None
    assert entry.uri == "https://example.org/agent.json"
    assert [type(event.change) for event in registry.history.since(2)] == [Updated]


async def test_an_entry_that_was_taken_away_stays_away() -> None:
    """ANC-4."""
    world = World()
    registry = world.ledger.registry
    peer, operator = names(SELLER)
    async with (
        world.provider(SELLER, registry=KEEPS) as node,
        world.requester(BUYER, friends=[1]) as exchange,
    ):
        await wait_mark(exchange, Standing.REGISTERED, Freshness.CURRENT)
        registry.deregister(operator, peer)
        await wait_mark(exchange, Standing.UNREGISTERED, Freshness.NONE)
        with trio.fail_after(5):
            await node.wait_until(lambda: node.core.anchoring.claim is Section.UNREGISTERED)
        assert registry.get(peer, operator) is None


async def test_a_chain_that_goes_away_costs_news_and_nothing_else(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(machine, "READ_RETRY_MS", 10)
    world = World()
    registry = world.ledger.registry
    async with (
        world.provider(SELLER, registry=KEEPS),
        world.requester(BUYER, friends=[1]) as exchange,
    ):
        await wait_mark(exchange, Standing.REGISTERED, Freshness.CURRENT)
        world.ledger.unreachable = True
        registry.admit(*names(SELLER))  # the watchers wake, and find nobody
        with trio.move_on_after(0.1):
            await wait_mark(exchange, Standing.WHITELISTED, Freshness.CURRENT)
            pytest.fail("nobody could tell")
        await wait_mark(exchange, Standing.REGISTERED, Freshness.CURRENT)
        world.ledger.unreachable = False
        await wait_mark(exchange, Standing.WHITELISTED, Freshness.CURRENT)


async def test_an_anchor_that_fails_is_told_and_tried_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("p2p_modelex.core.anchoring.own.RETRY_MS", 10)
    world = World()
    failures = 0

    async def register(self: MemoryChain, *arguments: object) -> Digest:
        nonlocal failures
        if failures < 2:
            failures += 1
            raise TransactionFailed("the account cannot pay for gas")
        return await real(self, *arguments)  # type: ignore[arg-type]

    real = MemoryChain.register
    monkeypatch.setattr(MemoryChain, "register", register)
    async with world.provider(SELLER, registry=KEEPS) as node:
        await wait_entry(node, world)
    assert failures == 2


async def test_a_big_registry_is_read_in_pages() -> None:
    world = World()
    for number in range(250):
        peer = PublicKey(number.to_bytes(31, "big") + b"\1")
        world.ledger.registry.put(
            make_keys(SQUATTER).account.address, peer, Digest(bytes(32)), 1, ""
        )
    peer, operator = names(SELLER)
    world.ledger.registry.put(operator, peer, Digest(bytes(32)), 1, "")
    async with world.provider(SELLER), world.requester(BUYER, friends=[1]) as exchange:
        await wait_mark(exchange, Standing.REGISTERED, Freshness.NONE)
        assert len(exchange.node.core.anchoring._registrations) == 251


async def test_the_ratings_of_those_believed_are_read(monkeypatch: pytest.MonkeyPatch) -> None:
    """RTE-49."""
    monkeypatch.setattr(ratings, "FIRST_MS", 50)
    monkeypatch.setattr(ratings, "AGAIN_MS", 50)
    world, evaluator = World(), make_keys(7).account.address
    believed = (format_address(evaluator),)
    async with (
        world.provider(SELLER, registry=KEEPS) as node,
        world.requester(BUYER, friends=[1], evaluators=believed) as exchange,
    ):
        await wait_entry(node, world)
        world.ledger.registry.rate(evaluator, *names(SELLER), 8_000)
        world.ledger.registry.rate(make_keys(8).account.address, *names(SELLER), 100)
        book = exchange.node.core._ratings._book
        with trio.fail_after(5):
            await exchange.node.wait_until(lambda: book.get(peer_of(SELLER)) == 8_000)
            world.ledger.unreachable = True
            steps = count()
            await exchange.node.wait_until(lambda: next(steps) > 4)
        assert book.get(peer_of(SELLER)) == 8_000
    with pytest.raises(Reverted, match="NoEntry"):
        world.ledger.registry.rate(evaluator, PublicKey(b"\7" * 32), evaluator, 1)
