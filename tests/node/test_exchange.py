"""The library: errors by their class, cancellation, restarts, a completion's one life."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
import trio

from p2p_modelex.core.effects import RunContinued, RunRestarted, RunText
from p2p_modelex.engine.memory import Fault, MemoryEngine
from p2p_modelex.errors import BadInput, JobFailed, ModelexError, NetworkError, NoProvider
from p2p_modelex.node.exchange import Terms, build_request, parse_peer
from p2p_modelex.node.failures import flattened
from p2p_modelex.records.receipt import Finish
from p2p_modelex.units import Wei
from tests.node.world import MODEL, PRICE, World, make_keys, wait_for_sellers


async def test_a_completion_is_iterated_over_once() -> None:
    world = World()
    async with world.provider(1), world.requester(2, friends=[1]) as exchange:
        await wait_for_sellers(exchange, 1)
        completion = exchange.run("hello", model=MODEL, max_tokens=4)
        text = await completion.wait()
        with pytest.raises(BadInput, match="iterated over already"):
            await completion.wait()
        assert completion.text == text
        assert completion.is_over


async def test_cancelling_from_another_task_ends_with_a_receipt_for_what_came() -> None:
    world = World()
    slow = MemoryEngine(MODEL, delay_s=0.01)
    async with world.provider(1, slow) as provider, world.requester(2, friends=[1]) as exchange:
        await wait_for_sellers(exchange, 1)
        completion = exchange.run("hello", model=MODEL, max_tokens=256)
        pieces = 0
        async for piece in completion:
            assert isinstance(piece, RunText)
            pieces += 1
            if pieces == 3:
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(completion.cancel)
        assert completion.row is not None
        receipt = completion.row.receipt.receipt
        assert receipt.finish == Finish.CANCELLED
        assert 0 < receipt.completion_tokens < 256
        assert completion.paid == receipt.price
        with trio.fail_after(5):
            await provider.wait_until(lambda: provider.core.is_idle)
        held = await provider.parts.store.received_vouchers()
        assert [row.signed.voucher.amount for row in held] == [completion.paid]
        await completion.cancel()  # over already: nothing happens


async def test_an_embedding_is_bought_for_its_prompt() -> None:
    world = World()
    engine = MemoryEngine(MODEL, kinds=("embedding",))
    async with world.provider(1, engine), world.requester(2, friends=[1]) as exchange:
        await wait_for_sellers(exchange, 1)
        one = await exchange.embed("a quick fox", model=MODEL)
        assert len(one) == 8
        assert all(-1 <= value < 1 for value in one)
        assert one == await exchange.embed("a quick fox", model=MODEL)
        assert one != await exchange.embed("a slow fox", model=MODEL)
        row = (await exchange.node.parts.store.receipts())[0]
        receipt = row.receipt.receipt
        assert (receipt.prompt_tokens, receipt.completion_tokens) == (3, 0)
        assert receipt.price == 3 * PRICE


async def test_cancelling_before_anything_came_fails_the_job() -> None:
    world = World()
    slow = MemoryEngine(MODEL, fault=Fault("hang", after_pieces=0))
    async with world.provider(1, slow), world.requester(2, friends=[1]) as exchange:
        await wait_for_sellers(exchange, 1)
        completion = exchange.run("hello", model=MODEL)

        async with trio.open_nursery() as nursery:

            @nursery.start_soon
            async def cancel_soon() -> None:
                await exchange.node.wait_until(lambda: not exchange.node.core.is_idle)
                await exchange.cancel_all()

            with trio.fail_after(5), pytest.raises(JobFailed, match="cancelled"):
                await completion.wait()
        assert completion.row is None


async def test_a_restart_voids_the_text_before() -> None:
    world = World()
    brittle = MemoryEngine(MODEL, fault=Fault("crash", after_pieces=3))
    async with (
        world.provider(1, brittle, price=Wei(PRICE // 100)),
        world.provider(2),
        world.requester(3, friends=[1, 2]) as exchange,
    ):
        await wait_for_sellers(exchange, 2)
        for _ in range(8):  # routing is a draw: the brittle one is met sooner or later
            completion = exchange.run("hello", model=MODEL, max_tokens=16)
            seen, restarts = "", 0
            async for piece in completion:
                if isinstance(piece, RunRestarted):
                    seen, restarts = "", restarts + 1
                elif isinstance(piece, RunText):
                    seen += piece.text
            assert completion.row is not None
            assert completion.text == seen == completion.row.completion
            if restarts:
                break
        assert restarts == 1


async def test_another_provider_goes_on_where_that_is_allowed() -> None:
    """RTE-45: a chat that was broken off is what it would have been."""
    world = World()
    brittle = MemoryEngine(MODEL, fault=Fault("crash", after_pieces=3), delay_s=0.05)
    async with (
        world.provider(1, brittle, price=Wei(PRICE // 100)),
        world.provider(2),
        world.requester(3, friends=[1, 2]) as exchange,
    ):
        await wait_for_sellers(exchange, 2)
        pieces: list[object] = []
        while not any(isinstance(piece, RunContinued) for piece in pieces):
            terms = Terms(may_continue=True)
            completion = exchange.run("hello", model=MODEL, max_tokens=16, terms=terms)
            pieces = [piece async for piece in completion]
        whole = await exchange.run("hello", model=MODEL, max_tokens=16).wait()
        assert completion.text == whole
        assert completion.row is not None
        *_, last = completion.row.request.messages
        assert (last.role, last.content + completion.row.completion) == ("assistant", whole)


async def test_a_deadline_cuts_an_answer_off_and_pays_what_came() -> None:
    """RTE-44."""
    world = World()
    slow = MemoryEngine(MODEL, delay_s=0.05)
    async with world.provider(1, slow), world.requester(2, friends=[1]) as exchange:
        await wait_for_sellers(exchange, 1)
        terms = Terms(timeout_s=0.4)
        completion = exchange.run("hello", model=MODEL, max_tokens=256, terms=terms)
        with trio.fail_after(5), pytest.raises(JobFailed, match="deadline"):
            await completion.wait()
        assert completion.row is not None
        assert completion.text == completion.row.completion
        assert completion.failed is not None
        assert (completion.failed.code, completion.paid > 0) == ("deadline", True)
        with pytest.raises(JobFailed, match="deadline"):
            await exchange.run("hello", model=MODEL, terms=Terms(timeout_s=0.0001)).wait()
        for timeout_s in (0, 100_000):
            with pytest.raises(BadInput, match="a timeout is"):
                exchange.run("hello", model=MODEL, terms=Terms(timeout_s=timeout_s))


async def test_all_providers_down_is_an_error_of_the_network() -> None:
    world, gone = World(), trio.CancelScope()

    async def sell(task_status: Any = trio.TASK_STATUS_IGNORED) -> None:
        with gone:
            async with world.provider(1):
                task_status.started()
                await trio.sleep_forever()

    async with trio.open_nursery() as nursery:
        await nursery.start(sell)
        async with world.requester(2, friends=[1]) as exchange:
            await wait_for_sellers(exchange, 1)
            entry = exchange.nodes()[0]
            assert await exchange.measure(entry) is not None
            gone.cancel()
            with trio.fail_after(30), pytest.raises(NetworkError) as caught:
                await exchange.run("hello", model=MODEL).wait()
            assert caught.value.hint
            assert await exchange.measure(entry) is None


@pytest.mark.parametrize(
    ("options", "field"),
    [
        ({"max_tokens": 0}, "max_tokens"),
        ({"temperature": 3.0}, "temperature"),
        ({"top_p": 0.0}, "top_p"),
        ({"seed": -1}, "seed"),
        ({"stop": [""]}, "stop"),
        ({"kind": "poem"}, "kind"),
        ({"model": "no such name"}, "model"),
        ({"grammar": "x" * 10_000}, "grammar"),
    ],
)
def test_a_request_out_of_bounds_names_the_field(options: dict[str, object], field: str) -> None:
    with pytest.raises(BadInput, match=field):
        build_request("hello", **{"model": MODEL, **options})  # type: ignore[arg-type]


def test_a_prompt_that_is_no_text_is_refused() -> None:
    with pytest.raises(BadInput, match="out of bounds"):
        build_request("\ud800", model=MODEL)


async def test_an_unknown_model_and_a_denied_peer_are_no_provider() -> None:
    world = World()
    async with world.provider(1), world.requester(2, friends=[1]) as exchange:
        await wait_for_sellers(exchange, 1)
        with pytest.raises(NoProvider) as caught:
            await exchange.run("hello", model="memori").wait()
        assert "modelex nodes" in caught.value.hint
        terms = Terms(denied=(make_keys(1).peer.peer,))
        with pytest.raises(NoProvider, match="denied"):
            await exchange.run("hello", model=MODEL, terms=terms).wait()


def test_peers_are_named_by_multiaddr_or_id() -> None:
    from p2p_modelex.ids import format_peer_id

    peer = make_keys(1).peer.peer
    text = format_peer_id(peer)
    assert parse_peer(text) == (peer, None)
    assert parse_peer(f"/ip4/127.0.0.1/tcp/4701/p2p/{text}") == (peer, "/ip4/127.0.0.1/tcp/4701")


class TestFlattened:
    def test_one_error_of_several_tasks_is_raised_as_itself(self) -> None:
        async def fail(error: Exception) -> None:
            raise error

        async def main(*errors: Exception) -> None:
            with flattened():
                async with trio.open_nursery() as nursery:
                    async with trio.open_nursery() as inner:
                        for error in errors:
                            inner.start_soon(fail, error)
                    nursery.start_soon(trio.sleep_forever)

        with pytest.raises(NoProvider):
            trio.run(main, NoProvider("a"))
        with pytest.raises(ModelexError):
            trio.run(main, NoProvider("a"), BadInput("b"))
        with pytest.raises(KeyError):
            trio.run(main, NoProvider("a"), KeyError("bug"))
        with pytest.raises(ExceptionGroup):
            trio.run(main, ValueError("one"), KeyError("two"))

    async def test_being_cancelled_passes_through(self) -> None:
        async def stream() -> AsyncIterator[int]:
            with flattened():
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(trio.sleep_forever)
                    await trio.sleep_forever()
            yield 1

        with trio.move_on_after(0.01) as scope:
            async for _ in stream():
                pass
        assert scope.cancelled_caught
