"""Maps whose members die, join, are slow or hang: who answers, and what that costs."""

from itertools import repeat
from pathlib import Path

import pytest
import trio

from p2p_modelex.engine.memory import Fault, MemoryEngine
from p2p_modelex.ids import format_peer_id
from p2p_modelex.node.mapping.results import MapResult
from tests.node.mapping.market import (
    COST,
    TEMPLATE,
    buyer,
    check,
    collect,
    headlines,
    market,
    paid_out,
    read_receipts,
)
from tests.node.world import MODEL, peer_of


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
