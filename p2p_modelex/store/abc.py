"""The store port: what a node must not forget. Implementations: `sqlite.py` and `memory.py`.

Both pass the same contract tests. Rows and their keys: records/rows.py. Use as
`async with store:`; one task may read while another writes.
"""

from abc import ABC, abstractmethod
from collections.abc import Collection, Sequence
from typing import Self

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
from p2p_modelex.units import UnixMs


class Store(ABC):
    """One node's rows. Every method raises StoreError if the disk or the file fails it."""

    @abstractmethod
    async def __aenter__(self) -> Self:
        """Open, check, migrate. StoreError if corrupt, of a newer version or another network."""

    @abstractmethod
    async def __aexit__(self, *exc: object) -> None: ...

    @abstractmethod
    async def apply(self, rows: Sequence[Row]) -> None:
        """Store rows, all or none; when this returns they survive a crash and a power cut.

        A row replaces the older one with its key. Once begun it is finished even if the caller is
        cancelled. Raises LocalProtocolError, storing nothing, if a voucher is lower than the one
        held on its channel and lane; StoreError, storing nothing, if the disk is full or fails.
        """

    @abstractmethod
    async def channels(self) -> tuple[ChannelRow, ...]:
        """Every channel, ordered by id."""

    @abstractmethod
    async def issued_vouchers(self) -> tuple[IssuedVoucherRow, ...]:
        """The newest voucher we signed on each lane, ordered by channel and lane."""

    @abstractmethod
    async def received_vouchers(self) -> tuple[ReceivedVoucherRow, ...]:
        """The newest voucher we hold on each lane, ordered by channel and lane."""

    @abstractmethod
    async def redeemed(self) -> tuple[RedeemedRow, ...]:
        """What the chain has credited, ordered by channel and lane."""

    @abstractmethod
    async def deposits(self) -> tuple[DepositRow, ...]:
        """The last deposit signed for each payee, ordered by payee."""

    @abstractmethod
    async def loans(self) -> tuple[LoanRow, ...]:
        """What members of our farms and we gave each other, ordered by channel and peer."""

    @abstractmethod
    async def receipts(
        self, *, limit: int = 50, offset: int = 0, job: JobId | None = None
    ) -> tuple[ReceiptRow, ...]:
        """Receipts, the newest (`finished_at`) first; with `job` only those of that job."""

    @abstractmethod
    async def records(self, now: UnixMs) -> tuple[RecordRow, ...]:
        """Advertisements that have not expired at `now`, ordered by peer."""

    @abstractmethod
    async def members(self) -> tuple[MemberRow, ...]:
        """Whose the lanes are on channels to farms, ordered by channel and index."""

    @abstractmethod
    async def farms(self, now: UnixMs) -> tuple[FarmRow, ...]:
        """Records of farms that have not expired at `now`, ordered by farm."""

    @abstractmethod
    async def memberships(self) -> tuple[MembershipRow, ...]:
        """Every certificate we had, ordered by farm and serial."""

    @abstractmethod
    async def jobs(self, *, without: Collection[str] = ()) -> tuple[JobRow, ...]:
        """Jobs whose state is not in `without` (give it the final states for the unfinished)."""

    @abstractmethod
    async def setting(self, name: str) -> bytes | None:
        """A setting's value, None if it was never set."""

    @abstractmethod
    async def prune(self, now: UnixMs, *, finished: Collection[str]) -> int:
        """Forget expired advertisements and records of farms, and jobs in the states `finished`
        that have not changed for `limits.JOBS_KEPT_MS`. Vouchers, channels and receipts are kept.
        Returns how many.
        """
