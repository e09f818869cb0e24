"""Providers that cheat a requester of ours, on real sockets: it ends the job and pays a window.

Every cheat is one provider's whole behaviour. The requester and the provider's node are as they
ship; only the provider's handler of jobs is replaced.
"""

import os
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from itertools import count

import pytest
import trio

from p2p_modelex.chain.abc import Chain
from p2p_modelex.core.exchange import parameters
from p2p_modelex.core.parts import Shop
from p2p_modelex.engine.abc import Engine
from p2p_modelex.errors import ModelexError
from p2p_modelex.ids import format_peer_id
from p2p_modelex.net.abc import Stream, StreamHandler
from p2p_modelex.net.libp2p.configuration import Libp2pConfiguration
from p2p_modelex.net.libp2p.network import Libp2pNetwork
from p2p_modelex.node.configuration import Configuration
from p2p_modelex.node.exchange import Exchange
from p2p_modelex.node.farms import NO_FARMS, Farms
from p2p_modelex.node.node import Node
from p2p_modelex.node.parts import Parts
from p2p_modelex.records import codec
from p2p_modelex.records.envelope import Envelope
from p2p_modelex.records.job import (
    Chunk,
    Failed,
    Finished,
    Order,
    Quoted,
    Refused,
    RequesterMessage,
    Started,
)
from p2p_modelex.records.receipt import Finish, Receipt, SignedReceipt
from p2p_modelex.store.memory import MemoryStore
from p2p_modelex.units import Millis, Wei
from tests.attacks.adversary import pour
from tests.node.world import DEPLOYMENT, MODEL, PRICE, World, make_keys, wait_for_sellers

PROVIDER, BUYER = 1, 2
TOKENS = 200
WINDOW = 64 * PRICE
Cheat = Callable[[Stream, Order], Awaitable[None]]


class CheatingNetwork(Libp2pNetwork):
    """Serves jobs by another handler than the node's."""

    serve: StreamHandler | None = None

    def handle(self, protocol: str, handler: StreamHandler, *, frame_limit: int) -> None:
        cheats = self.serve is not None and protocol == parameters.PROTOCOL
        super().handle(protocol, self.serve if cheats else handler, frame_limit=frame_limit)  # type: ignore[arg-type]


class RealWorld(World):
    """The nodes of `World` on TCP; the provider serves jobs by `serve`."""

    def __init__(self, serve: StreamHandler) -> None:
        super().__init__()
        self.serve = serve
        self.addresses: dict[int, str] = {}

    def _build(
        self,
        number: int,
        configuration: Configuration,
        shop: Shop | None,
        engines: Mapping[str, Engine],
        friends: Sequence[int],
        chain: Chain,
        farms: Farms = NO_FARMS,
    ) -> Node:
        keys = make_keys(number)
        bootstrap = tuple(self.addresses[friend] for friend in friends)
        network = CheatingNetwork(keys.peer_seed, Libp2pConfiguration(bootstrap=bootstrap))
        network.serve = self.serve if number == PROVIDER else None
        store = self.stores.setdefault(number, MemoryStore())
        parts = Parts(network, store, chain, engines, keys, DEPLOYMENT)
        return Node(parts, configuration, shop, farms)


async def say(stream: Stream, *messages: object) -> None:
    for message in messages:
        await stream.send_frame(codec.encode(message))


def started(order: Order, window: int = WINDOW, prompt_tokens: int = 3) -> Started:
    return Started(order.job, prompt_tokens, Wei(window))


async def never_starts(stream: Stream, order: Order) -> None:
    await trio.sleep_forever()


async def freezes_after_started(stream: Stream, order: Order) -> None:
    await say(stream, started(order))
    await trio.sleep_forever()


async def freezes_before_the_receipt(stream: Stream, order: Order) -> None:
    await say(stream, started(order), Chunk(order.job, 0, "x" * 40, 20, ()))
    await trio.sleep_forever()


async def hangs_up_after_a_window(stream: Stream, order: Order) -> None:
    await say(stream, started(order), Chunk(order.job, 0, "x" * 200, 60, ()))
    await stream.reset()


async def talks_garbage(stream: Stream, order: Order) -> None:
    await stream.send_frame(os.urandom(500))
    await trio.sleep_forever()


async def sends_an_oversized_frame(stream: Stream, order: Order) -> None:
    await pour(stream, (2**31).to_bytes(4, "big") + bytes(100_000))
    await trio.sleep_forever()


async def never_ends(stream: Stream, order: Order) -> None:
    await say(stream, started(order))
    for index in count():
        await say(stream, Chunk(order.job, index, "x" * 100, index + 1, ()))


async def drips(stream: Stream, order: Order) -> None:
    await say(stream, started(order))
    for index in count():
        await say(stream, Chunk(order.job, index, "x", 1, ()))


async def bills_nothing(stream: Stream, order: Order) -> None:
    """Tokens, and no text."""
    await say(stream, started(order))
    for index in count():
        await say(stream, Chunk(order.job, index, "" if index else "x", 100 * (index + 1), ()))


async def skips_a_chunk(stream: Stream, order: Order) -> None:
    await say(
        stream, started(order), Chunk(order.job, 0, "x", 1, ()), Chunk(order.job, 2, "y", 2, ())
    )
    await trio.sleep_forever()


async def counts_backwards(stream: Stream, order: Order) -> None:
    await say(
        stream, started(order), Chunk(order.job, 0, "x", 9, ()), Chunk(order.job, 1, "y", 8, ())
    )
    await trio.sleep_forever()


async def claims_a_huge_prompt(stream: Stream, order: Order) -> None:
    await say(stream, started(order, prompt_tokens=100_000))
    await trio.sleep_forever()


async def claims_a_huge_window(stream: Stream, order: Order) -> None:
    await say(stream, started(order, window=10**6 * PRICE))
    await trio.sleep_forever()


async def invents_a_debt(stream: Stream, order: Order) -> None:
    await say(stream, Refused(order.job, "debt", f"earned={2**127}", 0))


async def fails_after_work(stream: Stream, order: Order) -> None:
    await say(
        stream,
        started(order),
        Chunk(order.job, 0, "x" * 90, 60, ()),
        Failed(order.job, "unpaid", ""),
    )


async def quotes_unasked(stream: Stream, order: Order) -> None:
    await say(stream, Quoted(order.job, Envelope(bytes(32), b"", bytes(64))))
    await trio.sleep_forever()


async def answers_for_another_job(stream: Stream, order: Order) -> None:
    await say(stream, Started(bytes(16), 3, Wei(WINDOW)))
    await trio.sleep_forever()


async def forges_a_receipt(stream: Stream, order: Order) -> None:
    made = Receipt(
        order.job, bytes(32), bytes(32), bytes(32), bytes(32), bytes(32), 3, 9, Wei(10**30), 0,
        order.voucher.voucher.channel, 0, 1, Finish.STOP,
    )  # fmt: skip
    receipt = Finished(order.job, SignedReceipt(made, os.urandom(65)), 0)
    await say(stream, started(order), Chunk(order.job, 0, "x" * 20, 9, ()), receipt)
    await trio.sleep_forever()


CHEATS: tuple[Cheat, ...] = (
    never_starts,
    freezes_after_started,
    freezes_before_the_receipt,
    hangs_up_after_a_window,
    talks_garbage,
    sends_an_oversized_frame,
    never_ends,
    drips,
    bills_nothing,
    skips_a_chunk,
    counts_backwards,
    claims_a_huge_prompt,
    claims_a_huge_window,
    invents_a_debt,
    fails_after_work,
    quotes_unasked,
    answers_for_another_job,
    forges_a_receipt,
)


@asynccontextmanager
async def den(cheat: Cheat) -> AsyncGenerator[Exchange, None]:
    """A requester that knows one provider, which cheats."""

    async def serve(stream: Stream) -> None:
        order = codec.decode(RequesterMessage, await stream.receive_frame(), limit=10**6)
        assert isinstance(order, Order)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_listen, stream)
            await cheat(stream, order)
            await trio.sleep(0.5)
            nursery.cancel_scope.cancel()

    world = RealWorld(serve)
    with trio.fail_after(30):
        async with world.provider(PROVIDER) as node:
            network = node.parts.network
            world.addresses[PROVIDER] = f"{network.addresses[0]}/p2p/{format_peer_id(node.peer)}"
            async with world.requester(BUYER, friends=[PROVIDER]) as exchange:
                await wait_for_sellers(exchange, 1)
                yield exchange


async def _listen(stream: Stream) -> None:
    while True:
        await stream.receive_frame()


@pytest.mark.parametrize("cheat", CHEATS, ids=lambda cheat: cheat.__name__)
async def test_a_cheating_provider(cheat: Cheat, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parameters, "START_TIMEOUT_MS", Millis(1_500))
    monkeypatch.setattr(parameters, "IDLE_TIMEOUT_MS", Millis(1_500))
    async with den(cheat) as exchange:
        with pytest.raises(ModelexError):
            await exchange.run("hello", model=MODEL, max_tokens=TOKENS).wait()
        issued = await exchange.node.parts.store.issued_vouchers()
        lost = sum(row.signed.voucher.amount for row in issued)
        if cheat in (never_ends, drips):
            assert lost <= (TOKENS + 3) * PRICE  # text came for all of that
        elif cheat is bills_nothing:
            assert lost <= (parameters.TOKENS_SLACK + 1) * PRICE + WINDOW
        else:
            assert lost <= WINDOW
        assert await exchange.node.wait_synced(5)
