"""What every store promises."""

from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
import trio

from p2p_modelex import limits
from p2p_modelex.errors import LocalProtocolError
from p2p_modelex.ids import JobId
from p2p_modelex.records.rows import IssuedVoucherRow, SettingRow
from p2p_modelex.store.abc import Store
from p2p_modelex.store.memory import MemoryStore
from p2p_modelex.store.sqlite import SqliteStore
from p2p_modelex.units import UnixMs
from tests.store import rows


@pytest.fixture(params=["sqlite", "memory"])
def unopened(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[], Store]:
    kept = MemoryStore()
    return {
        "sqlite": lambda: SqliteStore(tmp_path / "modelex.sqlite"),
        "memory": lambda: kept,
    }[request.param]


@pytest.fixture
async def store(unopened: Callable[[], Store]) -> AsyncIterator[Store]:
    async with unopened() as opened:
        yield opened


async def test_an_empty_store_is_empty(store: Store) -> None:
    assert await store.channels() == ()
    assert await store.receipts() == ()
    assert await store.setting("sequence") is None
    await store.apply(())


async def test_every_row_comes_back_as_it_was(store: Store) -> None:
    account = rows.receipt(1, finished_at=5)
    await store.apply(
        (
            rows.channel(2),
            rows.channel(1, is_payer=False),
            rows.issued(10),
            rows.received(20, earned=25),
            rows.redeemed(15),
            rows.deposit(4),
            rows.deposit(3, signed=(b"one", b"two")),
            rows.loan(2, taken=4),
            rows.loan(1, given=3),
            account,
            rows.job(3),
            rows.record(4),
            rows.member(5),
            rows.member(6, index=2),
            rows.farm(7),
            rows.membership(8, serial=2),
            rows.membership(8),
            SettingRow("sequence", b"\0\1"),
        )
    )
    assert await store.channels() == (rows.channel(1, is_payer=False), rows.channel(2))
    assert await store.issued_vouchers() == (rows.issued(10),)
    assert await store.received_vouchers() == (rows.received(20, earned=25),)
    assert await store.redeemed() == (rows.redeemed(15),)
    assert await store.deposits() == (rows.deposit(3, signed=(b"one", b"two")), rows.deposit(4))
    assert await store.loans() == (rows.loan(1, given=3), rows.loan(2, taken=4))
    assert await store.receipts() == (account,)
    assert await store.jobs() == (rows.job(3),)
    assert await store.records(UnixMs(0)) == (rows.record(4),)
    assert await store.members() == (rows.member(5), rows.member(6, index=2))
    assert await store.farms(UnixMs(999)) == (rows.farm(7),)
    assert await store.farms(UnixMs(1000)) == ()
    assert await store.memberships() == (rows.membership(8), rows.membership(8, serial=2))
    assert await store.setting("sequence") == b"\0\1"


async def test_rows_outlive_the_store_object(unopened: Callable[[], Store]) -> None:
    async with unopened() as store:
        await store.apply((rows.issued(10), rows.channel(1)))
    async with unopened() as store:
        assert await store.issued_vouchers() == (rows.issued(10),)
        assert await store.channels() == (rows.channel(1),)


async def test_a_row_replaces_the_one_with_its_key_only(store: Store) -> None:
    await store.apply((rows.issued(10), rows.issued(5, lane=1), rows.job(1), rows.record(1)))
    await store.apply((rows.issued(12), rows.job(1, state="done"), rows.record(1, sequence=2)))
    assert await store.issued_vouchers() == (rows.issued(12), rows.issued(5, lane=1))
    assert await store.jobs() == (rows.job(1, state="done"),)
    assert await store.records(UnixMs(0)) == (rows.record(1, sequence=2),)


async def test_both_roles_of_a_job_are_kept_apart(store: Store) -> None:
    await store.apply((rows.job(1, provider=True), rows.job(1, provider=False)))
    assert len(await store.jobs()) == 2


async def test_a_lower_voucher_never_replaces_a_higher_one(store: Store) -> None:
    await store.apply((rows.issued(10), rows.received(10, earned=30)))
    with pytest.raises(LocalProtocolError, match=r"9 wei .* cannot replace one of 10 wei"):
        await store.apply((rows.channel(1), rows.issued(9)))
    with pytest.raises(LocalProtocolError):
        await store.apply((rows.received(9, earned=40),))
    assert await store.issued_vouchers() == (rows.issued(10),)
    assert await store.received_vouchers() == (rows.received(10, earned=30),)
    assert await store.channels() == (), "all or none"


async def test_a_lower_voucher_in_the_same_batch_is_refused_too(store: Store) -> None:
    with pytest.raises(LocalProtocolError):
        await store.apply((rows.issued(10), rows.issued(9)))
    assert await store.issued_vouchers() == ()


async def test_an_equal_voucher_may_carry_more_earned(store: Store) -> None:
    await store.apply((rows.received(10, earned=30),))
    await store.apply((rows.received(10, earned=31),))
    assert await store.received_vouchers() == (rows.received(10, earned=31),)


@pytest.mark.parametrize(
    ("amount", "epoch", "kept"), [(19, 1, False), (20, 1, True), (99, 0, True)]
)
async def test_vouchers_are_compared_across_a_split(
    store: Store, amount: int, epoch: int, kept: bool
) -> None:
    await store.apply((rows.issued(10, epoch=0),))
    newer = rows.issued(amount, epoch=epoch)
    if kept:
        await store.apply((newer,))
        assert await store.issued_vouchers() == (newer,)
    else:
        with pytest.raises(LocalProtocolError):
            await store.apply((newer,))


async def test_a_voucher_of_an_older_epoch_is_refused(store: Store) -> None:
    await store.apply((rows.issued(10, epoch=1),))
    with pytest.raises(LocalProtocolError):
        await store.apply((rows.issued(1000, epoch=0),))


async def test_receipts_come_newest_first_by_page_and_by_job(store: Store) -> None:
    await store.apply([rows.receipt(n, finished_at=n) for n in range(1, 6)])
    newest = await store.receipts(limit=2)
    assert [row.receipt.receipt.finished_at for row in newest] == [5, 4]
    rest = await store.receipts(limit=9, offset=2)
    assert [row.receipt.receipt.finished_at for row in rest] == [3, 2, 1]
    assert await store.receipts(job=JobId((3).to_bytes(16, "big"))) == (
        rows.receipt(3, finished_at=3),
    )


async def test_records_expire_and_finished_jobs_can_be_left_out(store: Store) -> None:
    await store.apply((rows.record(1, expires_at=10), rows.record(2, expires_at=11)))
    assert await store.records(UnixMs(10)) == (rows.record(2, expires_at=11),)
    await store.apply((rows.job(1, state="done"), rows.job(2), rows.job(3, state="failed")))
    assert await store.jobs(without=("done", "failed")) == (rows.job(2),)


async def test_pruning_forgets_what_nobody_asks_for(store: Store) -> None:
    now = UnixMs(limits.JOBS_KEPT_MS + 100)
    await store.apply(
        (
            rows.record(1, expires_at=now),
            rows.record(2, expires_at=now + 1),
            rows.job(1, state="done", at=100),
            rows.job(2, state="done", at=101),
            rows.job(3, state="streaming", at=1),
            rows.receipt(1, finished_at=1),
            rows.issued(10),
        )
    )
    assert await store.prune(now, finished=("done",)) == 2
    assert await store.records(UnixMs(0)) == (rows.record(2, expires_at=now + 1),)
    assert [row.job[-1] for row in await store.jobs()] == [2, 3]
    assert len(await store.receipts()) == len(await store.issued_vouchers()) == 1


async def test_concurrent_writers_and_readers_do_not_trip(store: Store) -> None:
    async def write(lane: int) -> None:
        for amount in range(1, 6):
            await store.apply((rows.issued(amount, lane=lane),))
            await store.issued_vouchers()

    async with trio.open_nursery() as nursery:
        for lane in range(8):
            nursery.start_soon(write, lane)
    found = await store.issued_vouchers()
    assert found == tuple(rows.issued(5, lane=lane) for lane in range(8))


async def test_a_cancelled_apply_is_whole_or_absent(store: Store) -> None:
    async def write(lane: int) -> None:
        await store.apply([rows.issued(1, lane=2 * lane), rows.issued(1, lane=2 * lane + 1)])

    with trio.CancelScope() as scope:
        async with trio.open_nursery() as nursery:
            for lane in range(20):
                nursery.start_soon(write, lane)
            scope.cancel()
    kept: tuple[IssuedVoucherRow, ...] = await store.issued_vouchers()
    assert len(kept) % 2 == 0
