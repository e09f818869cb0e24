"""A store that fails, or takes its node with it, at a chosen write."""

from collections.abc import Callable, Collection, Sequence
from typing import Literal, Self

import trio

from p2p_modelex.errors import StoreError
from p2p_modelex.ids import JobId
from p2p_modelex.records.rows import (
    ChannelRow,
    DepositRow,
    FarmRow,
    IssuedVoucherRow,
    JobRow,
    LoanRow,
    MemberRow,
    MembershipRow,
    ReceiptRow,
    ReceivedVoucherRow,
    RecordRow,
    RedeemedRow,
    Row,
)
from p2p_modelex.store.abc import Store
from p2p_modelex.units import UnixMs

Mode = Literal["dies before", "dies after", "fails"]


class FailingStore(Store):
    """Another store, with a fault at the `at`-th write of rows (from 1; 0: none).

    `dies before` and `dies after`: the node's process ends just before or after the commit;
    `on_death` is called, and no further write gets through. `fails`: this write and all after it
    raise StoreError and store nothing, as on a full disk.
    """

    def __init__(self, inner: Store) -> None:
        self.inner = inner
        self.writes = 0
        self._at = 0
        self._mode: Mode = "fails"
        self._on_death: Callable[[], None] = lambda: None
        self.is_struck = False
        self.was_struck = False

    def arm(self, mode: Mode, at: int, on_death: Callable[[], None]) -> None:
        """Count from now on, and strike at the `at`-th write."""
        self.writes, self._at, self._mode, self._on_death = 0, at, mode, on_death
        self.was_struck = False

    def disarm(self) -> None:
        """Let the disk be good, for the node's next life."""
        self._at, self.is_struck = 0, False

    async def apply(self, rows: Sequence[Row]) -> None:
        self.writes += 1
        if self._at and self.writes >= self._at:
            if self._mode == "dies after" and not self.is_struck:
                await self.inner.apply(rows)
            self.is_struck = self.was_struck = True
            if self._mode == "fails":
                raise StoreError("the disk is full", hint="free space there")
            self._on_death()
            await trio.sleep_forever()
        await self.inner.apply(rows)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc: object) -> None:
        pass

    async def channels(self) -> tuple[ChannelRow, ...]:
        return await self.inner.channels()

    async def issued_vouchers(self) -> tuple[IssuedVoucherRow, ...]:
        return await self.inner.issued_vouchers()

    async def received_vouchers(self) -> tuple[ReceivedVoucherRow, ...]:
        return await self.inner.received_vouchers()

    async def redeemed(self) -> tuple[RedeemedRow, ...]:
        return await self.inner.redeemed()

    async def deposits(self) -> tuple[DepositRow, ...]:
        return await self.inner.deposits()

    async def loans(self) -> tuple[LoanRow, ...]:
        return await self.inner.loans()

    async def receipts(
        self, *, limit: int = 50, offset: int = 0, job: JobId | None = None
    ) -> tuple[ReceiptRow, ...]:
        return await self.inner.receipts(limit=limit, offset=offset, job=job)

    async def records(self, now: UnixMs) -> tuple[RecordRow, ...]:
        return await self.inner.records(now)

    async def members(self) -> tuple[MemberRow, ...]:
        return await self.inner.members()

    async def farms(self, now: UnixMs) -> tuple[FarmRow, ...]:
        return await self.inner.farms(now)

    async def memberships(self) -> tuple[MembershipRow, ...]:
        return await self.inner.memberships()

    async def jobs(self, *, without: Collection[str] = ()) -> tuple[JobRow, ...]:
        return await self.inner.jobs(without=without)

    async def setting(self, name: str) -> bytes | None:
        return await self.inner.setting(name)

    async def prune(self, now: UnixMs, *, finished: Collection[str]) -> int:
        return await self.inner.prune(now, finished=finished)
