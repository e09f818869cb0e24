"""What the journal of a map keeps, and what it says of that."""

from dataclasses import dataclass

from p2p_modelex.ids import JobId
from p2p_modelex.units import Epoch, Wei

ORDERED, CUT, KEPT, EXTRA, FAILED = "ordered", "cut", "kept", "extra", "failed"
"""How a job ended: not yet; with a receipt that a crash kept from being looked at; with the result;
with an answer, or a part of one, that was not needed; without one.
"""


@dataclass(frozen=True, slots=True)
class JobNote:
    """A job that is about to be ordered for a prompt."""

    job: JobId
    number: int
    digest: bytes
    is_extra: bool


@dataclass(frozen=True, slots=True)
class JobEnd:
    """How a job ended. paid: wei in split epoch `epoch`."""

    job: JobId
    outcome: str
    paid: Wei
    epoch: Epoch


@dataclass(frozen=True, slots=True)
class ResultNote:
    """A prompt's result: JSON, as it is said."""

    number: int
    digest: bytes
    is_good: bool
    body: bytes


Note = JobNote | JobEnd | ResultNote


@dataclass(frozen=True, slots=True)
class Known:
    """What is known of a prompt. jobs: those of CUT."""

    digest: bytes
    body: bytes | None = None
    jobs: tuple[JobId, ...] = ()


@dataclass(frozen=True, slots=True)
class Tally:
    """What a map has done. jobs: ordered. extras: of what was under way already. paid_kept,
    paid_extra, paid_failed: wei for results, for answers that were not needed, and for what broke
    off.
    """

    results: int = 0
    failures: int = 0
    jobs: int = 0
    receipts: int = 0
    extras: int = 0
    paid_kept: Wei = Wei(0)  # noqa: RUF009  # an int
    paid_extra: Wei = Wei(0)  # noqa: RUF009
    paid_failed: Wei = Wei(0)  # noqa: RUF009

    @property
    def paid(self) -> Wei:
        """Wei in all."""
        return Wei(self.paid_kept + self.paid_extra + self.paid_failed)
