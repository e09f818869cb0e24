"""The real store and the memory one tell the same story, whatever is stored in whatever order."""

import tempfile
from pathlib import Path
from typing import Any

import trio
from hypothesis import given, settings
from hypothesis import strategies as st

from p2p_modelex import limits
from p2p_modelex.errors import LocalProtocolError
from p2p_modelex.records.rows import SettingRow
from p2p_modelex.store.abc import Store
from p2p_modelex.store.memory import MemoryStore
from p2p_modelex.store.sqlite import SqliteStore
from p2p_modelex.units import UnixMs
from tests.store import rows

_SMALL = st.integers(0, 3)
_ROWS = st.one_of(
    st.builds(rows.channel, _SMALL, is_payer=st.booleans(), deposit=st.integers(0, 2**128 - 1)),
    st.builds(rows.issued, st.integers(0, 20), lane=_SMALL, epoch=st.integers(0, 2)),
    st.builds(rows.received, st.integers(0, 20), lane=_SMALL, earned=_SMALL),
    st.builds(rows.redeemed, _SMALL, lane=_SMALL),
    st.builds(rows.loan, _SMALL, given=_SMALL, taken=_SMALL),
    st.builds(rows.receipt, _SMALL, finished_at=_SMALL, provider=st.booleans()),
    st.builds(rows.job, _SMALL, state=st.sampled_from(["streaming", "done"]), at=_SMALL),
    st.builds(rows.record, _SMALL, sequence=_SMALL, expires_at=st.integers(0, 2**63 - 1)),
    st.builds(rows.member, _SMALL, index=_SMALL),
    st.builds(rows.deposit, _SMALL, _SMALL),
    st.builds(rows.farm, _SMALL, expires_at=st.integers(0, 2**63 - 1)),
    st.builds(rows.membership, _SMALL, serial=_SMALL),
    st.builds(SettingRow, st.text(max_size=3), st.binary(max_size=3)),
)
_BATCHES = st.lists(_ROWS, max_size=6)
_PRUNE = st.integers(0, 5).map(lambda at: UnixMs(limits.JOBS_KEPT_MS + at))


async def _act(store: Store, step: Any) -> object:
    if isinstance(step, int):
        return await store.prune(UnixMs(step), finished=("done",))
    try:
        await store.apply(step)
    except LocalProtocolError as error:
        return error.message
    return None


async def _tell(store: Store) -> list[object]:
    return [
        await store.channels(),
        await store.issued_vouchers(),
        await store.received_vouchers(),
        await store.redeemed(),
        await store.deposits(),
        await store.loans(),
        await store.receipts(limit=2, offset=1),
        await store.records(UnixMs(1)),
        await store.members(),
        await store.farms(UnixMs(1)),
        await store.memberships(),
        await store.jobs(without=("done",)),
        await store.setting("a"),
    ]


@settings(max_examples=40, deadline=None)
@given(st.lists(st.one_of(_BATCHES, _PRUNE), max_size=8))
def test_both_stores_answer_alike(steps: list[Any]) -> None:
    async def compare() -> None:
        with tempfile.TemporaryDirectory() as folder:
            async with SqliteStore(Path(folder) / "a") as real, MemoryStore() as memory:
                for step in steps:
                    assert await _act(real, step) == await _act(memory, step)
                told = await _tell(memory)
                assert await _tell(real) == told
            async with SqliteStore(Path(folder) / "a") as reopened:
                assert await _tell(reopened) == told

    trio.run(compare)
