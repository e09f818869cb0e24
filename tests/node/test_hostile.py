"""Whole nodes among attackers: alive, honest jobs served, nothing lost beyond a window."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from itertools import count

import msgspec
import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from p2p_modelex.core.directory.sessions import RECONCILE_PROTOCOL
from p2p_modelex.core.exchange import parameters, pricing
from p2p_modelex.core.node import ANNOUNCEMENTS_TOPIC, PROTOCOLS
from p2p_modelex.core.routing.probes import PROBE_PROTOCOL
from p2p_modelex.core.selling import STREAMS_PER_PEER_MAX
from p2p_modelex.errors import ModelexError, NetworkError
from p2p_modelex.ids import Address, JobId
from p2p_modelex.net.abc import Stream, Verdict
from p2p_modelex.net.memory import MemoryNetwork
from p2p_modelex.node.exchange import Exchange, build_request
from p2p_modelex.node.node import Node
from p2p_modelex.records import codec, voucher
from p2p_modelex.records.channel import PAYER_SIGNS, ChannelTerms
from p2p_modelex.records.job import (
    Ask,
    Chunk,
    Finished,
    Order,
    Pay,
    ProviderMessage,
    Refused,
    Request,
    RequesterMessage,
    Started,
)
from p2p_modelex.records.voucher import SignedVoucher, Voucher
from p2p_modelex.units import Wei
from tests.node.world import (
    DEPLOYMENT,
    MODEL,
    PRICE,
    World,
    make_keys,
    peer_of,
    wait_for_sellers,
)

ATTACKER, PROVIDER, BUYER = 66, 1, 2
REQUEST = build_request("hello", model=MODEL, max_tokens=16)
GARBAGE = (
    b"",
    b"\x00",
    b"\xff" * 64,
    b"\xc1",
    bytes(4096),
    b"\x93\x01\x02",
    b"\xdd\xff\xff\xff\xff",
)


class Attacker:
    """A raw network of our own, with a funded account."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.keys = make_keys(ATTACKER)
        self.network = MemoryNetwork(world.mesh, self.keys.peer.peer)
        self.network.subscribe(ANNOUNCEMENTS_TOPIC, lambda origin, payload: Verdict.ACCEPT)
        payee = make_keys(PROVIDER).account.address
        self.terms = ChannelTerms(self.keys.account.address, payee, PAYER_SIGNS, bytes(32))

    def fund(self, deposit: int) -> None:
        account, payee = Address(self.terms.payer), Address(self.terms.payee)
        self.world.ledger.mint(account, Wei(deposit))
        self.terms = self.world.ledger.open_channel(account, payee, Wei(deposit), PAYER_SIGNS).terms

    async def open(self, protocol: str) -> Stream:
        target = self.world.mesh.find(peer_of(PROVIDER))
        assert target is not None
        await self.network.dial(target.peer, target.addresses)
        return await self.network.open_stream(target.peer, protocol, frame_limit=10**6)

    def promise(self, amount: int) -> SignedVoucher:
        promise = Voucher(DEPLOYMENT.channel_id(self.terms), 0, Wei(amount), 0)
        return voucher.sign(promise, DEPLOYMENT.channels_domain, self.keys.account)

    def build_order(
        self, job: JobId, first: SignedVoucher, base: int, request: Request = REQUEST
    ) -> Order:
        most, terms = Wei(1000 * PRICE), self.terms.of_payer
        return Order(job, request, PRICE, PRICE, most, terms, first, Wei(base), 0)

    async def order(self, number: int = 1, amount: int = 0) -> tuple[Stream, JobId]:
        stream, job = await self.open(parameters.PROTOCOL), JobId(bytes([number]) * 16)
        order = self.build_order(job, self.promise(amount), amount)
        await stream.send_frame(codec.encode(order))
        return stream, job


async def receive(stream: Stream) -> ProviderMessage:
    with trio.fail_after(5):
        payload = await stream.receive_frame()
    message: ProviderMessage = codec.decode(ProviderMessage, payload, limit=10**6)
    return message


@asynccontextmanager
async def siege() -> AsyncGenerator[tuple[Node, Attacker], None]:
    """A provider and an attacker; afterwards an honest buyer is served and pays."""
    world = World()
    attacker = Attacker(world)
    with trio.fail_after(20):
        async with world.provider(PROVIDER) as node, attacker.network.run():
            yield node, attacker
            async with world.requester(BUYER, friends=[PROVIDER]) as exchange:
                await assert_served(exchange)


async def assert_served(exchange: Exchange) -> None:
    await wait_for_sellers(exchange, 1)
    completion = exchange.run("hello", model=MODEL, max_tokens=8)
    assert await completion.wait()
    assert completion.row is not None
    assert completion.paid == completion.row.receipt.receipt.price


@pytest.mark.parametrize("protocol", sorted(PROTOCOLS))
async def test_garbage_on_any_protocol_costs_its_sender_the_stream(protocol: str) -> None:
    async with siege() as (_, attacker):
        for frame in GARBAGE:
            stream = await attacker.open(protocol)
            await stream.send_frame(frame)
            with pytest.raises(NetworkError), trio.fail_after(5):
                while True:
                    await stream.receive_frame()


async def test_garbage_gossip_is_not_passed_on() -> None:
    async with siege() as (node, attacker):
        await attacker.open(PROBE_PROTOCOL)
        for frame in GARBAGE:
            await attacker.network.publish(ANNOUNCEMENTS_TOPIC, frame)
        assert node.parts.network.statistics().gossip_in == 0


async def test_silent_streams_are_bounded_and_do_not_make_a_node_look_busy() -> None:
    async with siege() as (node, attacker):
        streams = [await attacker.open(parameters.PROTOCOL) for _ in range(150)]
        await wait_all_tasks_blocked()
        assert node.core.is_idle
        open_now = node.parts.network.statistics().streams
        assert STREAMS_PER_PEER_MAX <= open_now <= STREAMS_PER_PEER_MAX + 5
        del streams


async def test_a_requester_that_stalls_after_asking_or_ordering_holds_one_lane() -> None:
    async with siege() as (_, attacker):
        attacker.fund(1000 * PRICE)
        stream = await attacker.open(parameters.PROTOCOL)
        await stream.send_frame(codec.encode(Ask(JobId(b"a" * 16), REQUEST)))
        await receive(stream)
        stalled, _ = await attacker.order(1)
        assert isinstance(await receive(stalled), Started)


async def test_a_requester_that_never_pays_gets_one_window() -> None:
    async with siege() as (node, attacker):
        attacker.fund(1000 * PRICE)
        settings = build_request("hello", model=MODEL, max_tokens=200)
        stream = await attacker.open(parameters.PROTOCOL)
        order = attacker.build_order(JobId(b"j" * 16), attacker.promise(0), 0, settings)
        await stream.send_frame(codec.encode(order))
        started = await receive(stream)
        assert isinstance(started, Started)
        cost = started.prompt_tokens * PRICE
        with trio.move_on_after(0.3):
            while True:
                message = await receive(stream)
                if not isinstance(message, Chunk):
                    break
                cost = (started.prompt_tokens + message.tokens) * PRICE
        offer = node.core.directory.entries()[0].advertisement.offers[0]
        assert cost <= pricing.compute_window(offer, settings, started.prompt_tokens)
        await stream.reset()
        again, _ = await attacker.order(2)
        refused = await receive(again)
        assert isinstance(refused, Refused)
        assert refused.code == "debt"
        assert refused.reason == f"earned={cost}"


async def test_vouchers_that_shrink_end_the_job_and_too_big_ones_pay_nothing() -> None:
    async with siege() as (node, attacker):
        attacker.fund(1000 * PRICE)
        stream, job = await attacker.order(1, 400 * PRICE)
        await receive(stream)
        await stream.send_frame(codec.encode(Pay(job, attacker.promise(400 * PRICE - 1))))
        with pytest.raises(NetworkError), trio.fail_after(5):
            while True:
                await stream.receive_frame()
        stream, job = await attacker.order(2, 800 * PRICE)
        await receive(stream)
        # The deposit may have grown while the chain could not be read: no offence.
        await stream.send_frame(codec.encode(Pay(job, attacker.promise(2800 * PRICE))))
        while not isinstance(await receive(stream), Finished):
            pass
        await stream.aclose()
        forged = msgspec.structs.replace(attacker.promise(900 * PRICE), signature=bytes(65))
        stream = await attacker.open(parameters.PROTOCOL)
        order = attacker.build_order(JobId(b"f" * 16), forged, 900 * PRICE)
        await stream.send_frame(codec.encode(order))
        refused = await receive(stream)
        assert isinstance(refused, Refused)
        assert refused.code == "bad_voucher"
        held = max(row.signed.voucher.amount for row in await node.parts.store.received_vouchers())
        assert held == 800 * PRICE


async def test_many_orders_on_channels_that_do_not_exist_are_refused() -> None:
    async with siege() as (_, attacker):
        for number in range(1, 40):
            attacker.terms = msgspec.structs.replace(attacker.terms, salt=bytes([number]) * 32)
            stream, _ = await attacker.order(number)
            refused = await receive(stream)
            assert isinstance(refused, Refused)
            assert refused.code == "no_channel"
            await stream.aclose()


async def test_reconciling_with_a_peer_that_floods_ends() -> None:
    async with siege() as (_, attacker):
        stream = await attacker.open(RECONCILE_PROTOCOL)
        with trio.move_on_after(2), pytest.raises(NetworkError):
            for number in count():
                await stream.send_frame(bytes([number % 256]) * 1000)


# The other way round: a provider that is an attacker.


@asynccontextmanager
async def trap(*, endless: bool) -> AsyncGenerator[tuple[Exchange, list[Order]], None]:
    """A provider whose exchange is replaced by one that streams without end, or stalls."""
    world = World()
    orders: list[Order] = []

    async def cheat(stream: Stream) -> None:
        order = codec.decode(RequesterMessage, await stream.receive_frame(), limit=10**6)
        assert isinstance(order, Order)
        orders.append(order)
        await stream.send_frame(codec.encode(Started(order.job, 3, Wei(16 * PRICE))))
        for index in count():
            text = "x" * 100
            await stream.send_frame(codec.encode(Chunk(order.job, index, text, index + 1, ())))
            if not endless:
                await trio.sleep_forever()

    with trio.fail_after(20):
        async with world.provider(PROVIDER) as node:
            limit = PROTOCOLS[parameters.PROTOCOL]
            node.parts.network.handle(parameters.PROTOCOL, cheat, frame_limit=limit)
            async with world.requester(BUYER, friends=[PROVIDER]) as exchange:
                await wait_for_sellers(exchange, 1)
                yield exchange, orders


async def test_a_provider_that_streams_without_end_is_cut_at_what_was_ordered() -> None:
    async with trap(endless=True) as (exchange, orders):
        with pytest.raises(ModelexError, match="EXC-11"):
            await exchange.run("hello", model=MODEL, max_tokens=16).wait()
        issued = await exchange.node.parts.store.issued_vouchers()
        assert max(row.signed.voucher.amount for row in issued) <= orders[0].max_cost


async def test_a_provider_that_stalls_can_be_left_and_is_paid_for_what_came() -> None:
    async with trap(endless=False) as (exchange, _):
        completion = exchange.run("hello", model=MODEL, max_tokens=16)
        pieces = completion.__aiter__()
        await pieces.__anext__()
        await pieces.aclose()
        issued = await exchange.node.parts.store.issued_vouchers()
        assert max(row.signed.voucher.amount for row in issued) <= 16 * PRICE


# Advertisements.


async def test_tampered_replayed_and_expired_advertisements_are_not_taken() -> None:
    world = World()
    async with (
        world.provider(PROVIDER) as node,
        world.requester(BUYER, friends=[PROVIDER]) as exchange,
    ):
        await wait_for_sellers(exchange, 1)
        entry = exchange.nodes()[0]
        directory = exchange.node.core.directory
        now = entry.received_at
        for at in range(0, len(entry.envelope), 7):
            bent = bytearray(entry.envelope)
            bent[at] ^= 1
            assert directory.judge(bytes(bent), now).outcome.value != "accept"
        assert directory.judge(entry.envelope, now).outcome.value == "ignore"
        fresh = type(directory)(directory.network, DEPLOYMENT.registry_domain, directory.own)
        assert fresh.judge(entry.envelope, entry.expires_at).outcome.value != "accept"
        assert exchange.nodes()[0] == entry
        await assert_served(exchange)
        assert node.core.directory.get(peer_of(PROVIDER)) is not None
