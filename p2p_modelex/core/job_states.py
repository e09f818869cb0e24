"""What becomes of job rows: which states are final, and what a start makes of the others."""

from collections.abc import Iterable

import msgspec

from p2p_modelex.core.ledger.lanes import CONCEDED
from p2p_modelex.records.rows import JobRow, Row

CUT = "cut"
"""The state of a job that we served and lost, once the node has started again."""

FINAL_STATES = (
    *("finished", "failed", CONCEDED),
    *("paid", "unpaid", "engine", "timeout", "internal", "shutting_down", CUT),
)
"""States of job rows that matter no more: a requester's, then a provider's. A `lost` or `running`
row of a job we bought is kept: the provider may yet ask for what it delivered (LED-11).
"""


def cut_jobs(rows: Iterable[Row]) -> tuple[JobRow, ...]:
    """Return the rows of jobs that we served when the node stopped, as what they are now."""
    return tuple(
        msgspec.structs.replace(row, state=CUT)
        for row in rows
        if isinstance(row, JobRow) and row.is_provider and row.state not in FINAL_STATES
    )
