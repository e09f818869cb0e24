"""Maps over whole nodes in memory: complete, in order, each paid once by the books of both ends."""

import sqlite3
from collections.abc import AsyncGenerator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from itertools import repeat
from pathlib import Path
from typing import Any

import pytest
import trio

from p2p_modelex.engine.abc import Engine
from p2p_modelex.engine.memory import Fault, MemoryEngine
from p2p_modelex.errors import BadInput, NoProvider, PaymentError
from p2p_modelex.ids import format_peer_id
from p2p_modelex.node.aliases import AliasSettings
from p2p_modelex.node.exchange import Exchange
from p2p_modelex.node.mapping import journal as books
from p2p_modelex.node.mapping.journal import Journal
from p2p_modelex.node.mapping.maps import Map
from p2p_modelex.node.mapping.results import MapResult
from p2p_modelex.node.mapping.template import Template
from p2p_modelex.node.node import Node
from p2p_modelex.node.request import Terms
from p2p_modelex.records.receipt import Finish, Receipt
from p2p_modelex.units import Epoch, Wei
from tests.node.world import MODEL, PRICE, World, peer_of, wait_for_sellers

BUYER = 99
TEMPLATE = Template(model=MODEL, text="Rate {headline}", max_tokens=4)
COST = Wei(PRICE * (2 + 2 + 4))
"""Two words and two tokens of the chat's form, and four to answer."""


def headlines(many: int) -> list[dict[str, object]]:
    return [{"headline": f"h{number}", "id": f"n{number}"} for number in range(many)]


class Cast:
    """Providers that may come and go while others work."""

    def __init__(self, world: World, nursery: trio.Nursery) -> None:
        self._world = world
        self._nursery = nursery
        self._scopes: dict[int, trio.CancelScope] = {}
        self.nodes: dict[int, Node] = {}

    async def join(self, number: int, engine: Engine | None = None) -> None:
        quick = MemoryEngine(MODEL, slots=2, delay_s=0.002)
        await self._nursery.start(self._live, number, engine or quick)

    async def _live(self, number: int, engine: Engine, *, task_status: Any) -> None:
        friends = [other for other in self._scopes if other != number][:1]
        with trio.CancelScope() as self._scopes[number]:
            async with self._world.provider(number, engine, friends=friends) as node:
                self.nodes[number] = node
                task_status.started()
                await trio.sleep_forever()

    def kill(self, number: int) -> None:
        """End it in the midst of whatever it does."""
        self._scopes[number].cancel()

    async def wait_paid(self, number: int, amount: int) -> None:
        """Wait until its vouchers are worth that much, the last of which may be on the way."""
        with trio.fail_after(5):
            while await self._count_paid(number) != amount:
                await trio.sleep(0.02)

    async def _count_paid(self, number: int) -> int:
        rows = await self._world.stores[number].received_vouchers()
        return sum(row.signed.voucher.amount for row in rows)


@asynccontextmanager
async def market(*numbers: int) -> AsyncGenerator[tuple[World, Cast], None]:
    """A world with these providers in it."""
    world = World()
    async with trio.open_nursery() as nursery:
        cast = Cast(world, nursery)
        for number in numbers:
            await cast.join(number)
        yield world, cast
        nursery.cancel_scope.cancel()


@asynccontextmanager
async def buyer(world: World, *friends: int, **limits: Any) -> AsyncGenerator[Exchange, None]:
    async with world.requester(BUYER, friends=friends, **limits) as exchange:
        await wait_for_sellers(exchange, len(friends))
        yield exchange


async def collect(results: Map) -> list[MapResult]:
    return [result async for result in results]


async def read_receipts(world: World, seller: int) -> list[Receipt]:
    """The receipts that a provider has signed."""
    rows = await world.stores[seller].receipts(limit=10_000)
    return [row.receipt.receipt for row in rows if row.is_provider]


async def paid_out(world: World) -> int:
    """What the buyer's vouchers promise, all of it."""
    rows = await world.stores[BUYER].issued_vouchers()
    return sum(row.signed.voucher.amount for row in rows)


def check(results: list[MapResult], many: int) -> None:
    """They are whole, in order, and each other's answer is not its own."""
    assert [result.index for result in results] == list(range(many))
    assert [result.id for result in results] == [f"n{number}" for number in range(many)]
    assert all(result.error is None and result.text for result in results)
    assert len({result.receipt for result in results}) == many


@pytest.mark.slow
async def test_a_member_killed_and_one_joining_change_nothing_but_who_answers(
    tmp_path: Path,
) -> None:
    many = 1_000
    async with market(1, 2, 3, 4) as (world, cast), buyer(world, 1, 2, 3, 4) as exchange:
        async with exchange.map(TEMPLATE, headlines(many), journal=tmp_path / "j") as results:
            got: list[MapResult] = []
            async for result in results:
                got.append(result)
                if len(got) == 200:
                    cast.kill(2)
                if len(got) == 400:
                    await cast.join(5)
            tally = await results.tally()
        check(got, many)
        assert (tally.results, tally.receipts) == (many, many)
        # The books of both ends: the receipts that were kept, one for each prompt, and for what
        # the dead one had in hand a window at most.
        assert tally.paid_kept == many * COST
        assert tally.jobs - many <= 4 + tally.extras
        assert tally.paid_failed <= 4 * 8 * COST
        assert await paid_out(world) == tally.paid
        sold: set[bytes] = set()
        for number in (1, 3, 4, 5):
            receipts = await read_receipts(world, number)
            assert receipts
            await cast.wait_paid(number, sum(receipt.price for receipt in receipts))
            sold |= {receipt.job for receipt in receipts}
        # Every result is of one receipt, and those of the dead one are its own.
        rest = {bytes.fromhex(result.receipt or "") for result in got} - sold
        dead = {bytes(receipt.job) for receipt in await read_receipts(world, 2)}
        assert rest <= dead


@pytest.mark.slow
async def test_a_dead_member_costs_nothing_more_when_its_circuit_allows_a_trial(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("p2p_modelex.core.routing.circuits.REST_MS", 10)
    monkeypatch.setattr("p2p_modelex.core.routing.loads.FRESH_MS", 200)
    monkeypatch.setattr("p2p_modelex.core.mapping.members.FAULT_PAUSE_MS", 400)
    monkeypatch.setattr("p2p_modelex.node.mapping.spreading.SURVEY_S", 0.02)
    async with market(1, 2) as (world, cast), buyer(world, 1, 2) as exchange:
        async with exchange.map(TEMPLATE, repeat({"headline": "h"})) as results:
            assert await results.take() is not None
            cast.kill(2)
            with trio.move_on_after(1.5):
                while await results.take() is not None:
                    pass
            results.leave()
            await collect(results)
            tally = await results.tally()
        assert tally.jobs - tally.results <= 4 + tally.extras


@pytest.mark.slow
async def test_slow_members_get_less_and_hung_ones_are_overtaken() -> None:
    many = 60
    async with market() as (world, cast):
        await cast.join(1, MemoryEngine(MODEL, slots=2, delay_s=0.05))
        await cast.join(2, MemoryEngine(MODEL, slots=2, delay_s=0.15))
        await cast.join(3, MemoryEngine(MODEL, slots=2, fault=Fault("hang", 0, jobs=10**6)))
        async with buyer(world, 1, 2, 3) as exchange:
            async with exchange.map(TEMPLATE, headlines(many)) as results:
                with trio.fail_after(30):
                    got = await collect(results)
                tally = await results.tally()
            check(got, many)
            by = {n: sum(r.provider == format_peer_id(peer_of(n)) for r in got) for n in (1, 2, 3)}
            assert by[1] > 1.5 * by[2] > 0
            assert by[3] == 0
            assert 4 <= tally.extras <= 11
            # What never began to be answered costs no more than its prompt.
            assert tally.paid_extra + tally.paid_failed <= 6 * COST


async def test_an_interrupted_map_goes_on_where_it_was(tmp_path: Path) -> None:
    many, journal = 60, tmp_path / "journal"
    async with market(1, 2) as (world, _):
        async with buyer(world, 1, 2) as exchange:
            async with exchange.map(TEMPLATE, headlines(many), journal=journal) as results:
                first = []
                async for result in results:
                    first.append(result)
                    if len(first) == 10:
                        results.leave()
            assert 10 <= len(first) < many
        async with buyer(world, 1, 2) as exchange:
            async with exchange.map(TEMPLATE, headlines(many), journal=journal) as results:
                got = await collect(results)
                tally = await results.tally()
            check(got, many)
            assert got[: len(first)] == first
            assert (tally.jobs, tally.receipts, tally.paid) == (many, many, many * COST)
            assert await paid_out(world) == many * COST
            # And once more: nothing is left to be done.
            async with exchange.map(TEMPLATE, headlines(many), journal=journal) as results:
                assert await collect(results) == got
                assert (await results.tally()).jobs == many
                assert results.progress.done == many


async def test_what_was_paid_when_a_crash_came_is_not_paid_again(tmp_path: Path) -> None:
    """The node has the receipt, and the journal does not know of it."""
    journal = tmp_path / "journal"
    async with market(1) as (world, _), buyer(world, 1) as exchange:
        async with exchange.map(TEMPLATE, headlines(5), journal=journal) as results:
            got = await collect(results)
        connection = sqlite3.connect(journal)
        with connection:
            connection.execute("DELETE FROM result WHERE number IN (1, 3)")
            connection.execute(
                "UPDATE job SET outcome = 'ordered', paid = '0' WHERE number IN (1, 3)"
            )
            # A job of which the node knows nothing was never ordered.
            row = (bytes(16), 4, b"", 0, "ordered", "0", 0)
            connection.execute("INSERT INTO job VALUES (?, ?, ?, ?, ?, ?, ?)", row)
        connection.close()
        async with exchange.map(TEMPLATE, headlines(5), journal=journal) as results:
            assert await collect(results) == got
            assert results.progress.done == 5
            tally = await results.tally()
        assert (tally.jobs, tally.receipts, tally.paid) == (6, 5, 5 * COST)
        assert await paid_out(world) == 5 * COST


@pytest.mark.parametrize("name", ["mini", "any", f"family:{MODEL}"])
async def test_a_template_may_name_an_alias_or_a_family(name: str) -> None:
    aliases = (AliasSettings("mini", MODEL), AliasSettings("any", f"family:{MODEL}"))
    async with market(1) as (world, _), buyer(world, 1, aliases=aliases) as exchange:
        template = Template(model=name, text="Rate {headline}", max_tokens=4)
        async with exchange.map(template, headlines(3)) as results:
            check(await collect(results), 3)


async def test_a_receipt_in_another_home_s_books_is_none(tmp_path: Path) -> None:
    """The journal went on where it was interrupted from one home, and then from another."""
    journal = tmp_path / "journal"
    async with market(1) as (world, _), buyer(world, 1) as exchange:
        async with exchange.map(TEMPLATE, headlines(3), journal=journal) as results:
            got = await collect(results)
        connection = sqlite3.connect(journal)
        with connection:
            connection.execute("DELETE FROM result WHERE number = 1")
            connection.execute(
                "UPDATE job SET outcome = 'cut', job = zeroblob(16) WHERE number = 1"
            )
        connection.close()
        async with exchange.map(TEMPLATE, headlines(3), journal=journal) as results:
            assert [one.text for one in await collect(results)] == [one.text for one in got]
            assert (await results.tally()).receipts == 3


class Halting(MemoryEngine):
    """Says a word of each answer, and the rest when it is told to go on."""

    def __init__(self, model: str, *, slots: int) -> None:
        super().__init__(model, slots=slots)
        self.goes_on = trio.Event()

    async def _step(self, fault: Fault | None, pieces: int) -> None:
        if pieces:
            await self.goes_on.wait()


async def test_a_job_cut_off_without_an_answer_is_run_again(tmp_path: Path) -> None:
    """A buyer that is killed in the midst of jobs pays no more than was on the way."""
    journal = tmp_path / "journal"
    async with market() as (world, cast):
        engine = Halting(MODEL, slots=2)
        await cast.join(1, engine)
        with trio.CancelScope() as killed:
            async with buyer(world, 1) as exchange:
                async with trio.open_nursery() as nursery:

                    @nursery.start_soon
                    async def kill_soon() -> None:
                        while not await paid_out(world):
                            await trio.sleep(0.005)
                        killed.cancel()

                    with suppress(trio.Cancelled):
                        async with exchange.map(TEMPLATE, headlines(6), journal=journal) as results:
                            await collect(results)
        engine.goes_on.set()
        async with buyer(world, 1) as exchange:
            async with exchange.map(TEMPLATE, headlines(6), journal=journal) as results:
                check(await collect(results), 6)
                tally = await results.tally()
            assert tally.receipts == 6
            assert tally.paid_kept == 6 * COST
            # What the seller did of the four that were cut off is its due, and later orders pay it.
            assert 0 <= await paid_out(world) - tally.paid <= 4 * COST


async def test_a_map_may_be_left_while_it_is_cancelled() -> None:
    """Nothing of it runs any more, and the task that would say so has yet to go on."""
    async with market(1) as (world, _), buyer(world, 1) as exchange:
        for _ in range(20):  # in each the scheduler may let that one go first
            with trio.CancelScope() as cut_off:
                async with exchange.map(TEMPLATE, headlines(6)) as results:
                    while not results.progress.in_hand:
                        await trio.sleep(0.001)
                    cut_off.cancel()
                    nursery = results._spreading._nursery
                    with trio.CancelScope(shield=True):
                        while nursery is not None and nursery.child_tasks:
                            await trio.lowlevel.checkpoint()


@pytest.mark.parametrize(
    ("inputs", "template", "why"),
    [
        (headlines(3), "Grade {headline}", "another template"),
        ([{"headline": "new"}, *headlines(3)[1:]], "Rate {headline}", "input 0 is not what it was"),
        (headlines(2), "Rate {headline}", "there are 2 inputs, and the journal has more"),
    ],
)
async def test_a_journal_is_of_one_template_and_its_inputs(
    inputs: list[dict[str, object]], template: str, why: str, tmp_path: Path
) -> None:
    other = Template(model=MODEL, text=template, max_tokens=4)
    async with market(1) as (world, _), buyer(world, 1) as exchange:
        async with exchange.map(TEMPLATE, headlines(3), journal=tmp_path / "j") as results:
            await collect(results)
        with pytest.raises(BadInput, match=why):
            async with exchange.map(other, inputs, journal=tmp_path / "j") as results:
                await collect(results)
        assert await paid_out(world) == 3 * COST
        # More of them is another matter.
        async with exchange.map(TEMPLATE, headlines(4), journal=tmp_path / "j") as results:
            check(await collect(results), 4)


async def test_without_inputs_there_is_nothing_to_do() -> None:
    async with (
        market(1) as (world, _),
        buyer(world, 1) as exchange,
        exchange.map(TEMPLATE, []) as results,
    ):
        assert await collect(results) == []
        results.leave(at_once=True)  # it is over: nothing happens


async def test_a_bad_input_ends_the_map_after_those_before_it() -> None:
    async with market(1) as (world, _), buyer(world, 1) as exchange:
        async with exchange.map(TEMPLATE, [*headlines(3), {}, *headlines(3)]) as results:
            got = [result for _ in range(3) if (result := await anext(results))]
            with pytest.raises(BadInput, match="input 3: it has no field 'headline'"):
                await anext(results)
        check(got, 3)


async def test_what_nobody_can_answer_says_why() -> None:
    async with market() as (world, cast):
        await cast.join(1, MemoryEngine(MODEL, slots=1, context_length=12))
        inputs = [{"headline": "x"}, {"headline": "x " * 12}, {"headline": "y"}]
        async with buyer(world, 1) as exchange, exchange.map(TEMPLATE, inputs) as results:
            first, long, last = await collect(results)
            tally = await results.tally()
        assert (first.index, last.index) == (0, 2)
        assert first.text
        assert last.text
        assert long.text is None
        assert long.error is not None
        assert long.error.code in ("no_provider", "prompt_too_long")
        assert (tally.results, tally.failures) == (2, 1)


async def test_a_budget_stops_the_map_and_a_bigger_one_goes_on(tmp_path: Path) -> None:
    journal, budget = tmp_path / "journal", Wei(30 * COST)

    def begin(exchange: Exchange, most: Wei | None) -> AbstractAsyncContextManager[Map]:
        return exchange.map(TEMPLATE, headlines(40), max_cost=most, journal=journal)

    async with market(1) as (world, _), buyer(world, 1) as exchange:
        async with begin(exchange, budget) as results:
            with pytest.raises(PaymentError, match="budget is used up"):
                await collect(results)
            assert 1 <= results.taken < 40
        spent = await paid_out(world)
        assert 0 < spent <= 30 * COST
        async with begin(exchange, budget) as results:
            with pytest.raises(PaymentError):
                await collect(results)
        assert await paid_out(world) <= 30 * COST
        async with begin(exchange, None) as results:
            check(await collect(results), 40)
        assert await paid_out(world) == 40 * COST


async def test_without_providers_or_money_a_map_stops_and_says_so() -> None:
    async with market(1) as (world, _), buyer(world, 1) as exchange:
        other = Template(model="other", text="x")
        async with exchange.map(other, headlines(1)) as results:
            with pytest.raises(NoProvider, match="RTE-1"):
                await collect(results)
        async with exchange.map(TEMPLATE, headlines(1), terms=Terms(farm="none")) as results:
            with pytest.raises(NoProvider, match="farm"):
                await collect(results)
        with pytest.raises(BadInput, match="at_once is 1 to"):
            async with exchange.map(TEMPLATE, [], at_once=0):
                pass
    async with (
        market(1) as (world, _),
        buyer(world, 1, money=Wei(1)) as exchange,
        exchange.map(TEMPLATE, headlines(1)) as results,
    ):
        with pytest.raises(PaymentError, match="nobody can be paid"):
            await collect(results)


async def test_leaving_the_block_cancels_and_pays_what_is_in_hand() -> None:
    async with market() as (world, cast):
        await cast.join(1, MemoryEngine(MODEL, slots=2, delay_s=0.02))
        long = Template(model=MODEL, text="Rate {headline}", max_tokens=100)
        async with buyer(world, 1) as exchange:
            async with exchange.map(long, headlines(9)) as results:
                while not await paid_out(world):
                    await trio.sleep(0.005)
                assert results.progress.in_hand == 4
            receipts = await exchange.node.parts.store.receipts()
        assert {row.receipt.receipt.finish for row in receipts} == {Finish.CANCELLED}
        assert 1 <= len(receipts) <= 4


async def test_embeddings_are_vectors_and_fields_may_be_numbers() -> None:
    async with market() as (world, cast):
        await cast.join(1, MemoryEngine(MODEL, kinds=("embedding",)))
        template = Template(model=MODEL, text="{a} {b}", kind="embedding")
        async with (
            buyer(world, 1) as exchange,
            exchange.map(template, [{"a": 1, "b": None, "id": 7}]) as results,
        ):
            [one] = await collect(results)
        assert one.id == 7
        assert one.vector is not None
        assert len(one.vector) == 8


async def test_a_reader_that_stops_reading_stops_the_map(monkeypatch: pytest.MonkeyPatch) -> None:
    """Results wait in memory, so no more are ordered than may wait."""
    monkeypatch.setattr("p2p_modelex.node.mapping.spreading.AHEAD_MAX", 8)
    async with (
        market(1) as (world, _),
        buyer(world, 1) as exchange,
        exchange.map(TEMPLATE, headlines(50)) as results,
    ):
        assert await results.take() is not None
        while results.progress.done < 9:
            await trio.sleep(0.005)
        await trio.sleep(0.05)
        assert results.progress.done == 9
        assert len(await collect(results)) == 49


async def test_the_journal_knows_how_each_job_ended(tmp_path: Path) -> None:
    async with (
        market(1) as (world, _),
        buyer(world, 1) as exchange,
        exchange.map(TEMPLATE, headlines(3), journal=tmp_path / "j") as results,
    ):
        await collect(results)
    async with Journal(tmp_path / "j") as journal:
        assert await journal.find_cut() == ()
        assert (await journal.tally(Epoch(1))).paid_kept == 6 * COST
    connection = sqlite3.connect(tmp_path / "j")
    assert {row[0] for row in connection.execute("SELECT outcome FROM job")} == {books.KEPT}
    connection.close()
