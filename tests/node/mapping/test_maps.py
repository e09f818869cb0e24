"""Maps over whole nodes in memory: complete, in order, each paid once by the books of both ends."""

import sqlite3
from contextlib import AbstractAsyncContextManager, suppress
from pathlib import Path

import pytest
import trio

from p2p_modelex.engine.memory import Fault, MemoryEngine
from p2p_modelex.errors import BadInput, NoProvider, PaymentError
from p2p_modelex.node.aliases import AliasSettings
from p2p_modelex.node.exchange import Exchange
from p2p_modelex.node.mapping.journal import Journal
from p2p_modelex.node.mapping.maps import Map
from p2p_modelex.node.mapping.notes import KEPT
from p2p_modelex.node.mapping.template import Template
from p2p_modelex.node.request import Terms
from p2p_modelex.records.receipt import Finish
from p2p_modelex.units import Epoch, Wei
from tests.node.mapping.market import (
    COST,
    TEMPLATE,
    buyer,
    check,
    collect,
    headlines,
    market,
    paid_out,
)
from tests.node.world import MODEL


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
    assert {row[0] for row in connection.execute("SELECT outcome FROM job")} == {KEPT}
    connection.close()
