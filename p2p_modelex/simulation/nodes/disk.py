"""A node's disk: it outlives the process. What a crash interrupts before it is durable is lost."""

from collections.abc import Coroutine, Sequence
from typing import Any, TypeVar

from p2p_modelex.core.anchoring.own import SENT
from p2p_modelex.core.funding import SALT_SEED
from p2p_modelex.core.job_states import FINAL_STATES
from p2p_modelex.ids import PeerId
from p2p_modelex.records.rows import FarmRow, RecordRow, Row, SettingRow
from p2p_modelex.store.memory import MemoryStore
from p2p_modelex.units import UnixMs

R = TypeVar("R")


def _complete(work: Coroutine[Any, Any, R]) -> R:
    """Run a coroutine of the store in memory, which never waits for anything."""
    try:
        work.send(None)
    except StopIteration as done:
        result: R = done.value
        return result
    raise AssertionError("the store in memory waited")


class Disk:
    """The shipped store in memory, read and written at once; advertisements apart from it."""

    def __init__(self, seed: bytes, *, keeps_records: bool) -> None:
        """keeps_records: False where nobody reads them again, to save memory in large worlds."""
        self._store = MemoryStore()
        self._keeps_records = keeps_records
        self.records: dict[PeerId, RecordRow] = {}
        _complete(self._store.apply([SettingRow(SALT_SEED, seed)]))

    def apply(self, rows: Sequence[Row]) -> None:
        """Make rows durable. LocalProtocolError if a voucher is below the one it replaces."""
        others = [row for row in rows if not isinstance(row, RecordRow)]
        if others:
            _complete(self._store.apply(others))
        if self._keeps_records:
            self.records.update((row.peer, row) for row in rows if isinstance(row, RecordRow))

    def read_farms(self, now: UnixMs) -> Sequence[FarmRow]:
        """Return the farms' records that hold."""
        return _complete(self._store.farms(now))

    def read(self) -> list[Row]:
        """Return what a core is restored from, as `node/restoring.py` reads it."""
        store = self._store
        rows: list[Row] = [
            *_complete(store.channels()),
            *_complete(store.members()),
            *_complete(store.memberships()),
            *_complete(store.issued_vouchers()),
            *_complete(store.received_vouchers()),
            *_complete(store.redeemed()),
            *_complete(store.deposits()),
            *_complete(store.loans()),
            *_complete(store.jobs(without=FINAL_STATES)),
        ]
        for name in (SALT_SEED, SENT):
            value = _complete(store.setting(name))
            if value is not None:
                rows.append(SettingRow(name, value))
        return rows
