"""What an interrupted map left: results, and jobs that a crash cut off."""

from p2p_modelex.core.runs import name_exchange
from p2p_modelex.errors import BadInput
from p2p_modelex.ids import JobId
from p2p_modelex.node.mapping.inputs import Prompt
from p2p_modelex.node.mapping.journal import Journal
from p2p_modelex.node.mapping.notes import (
    CUT,
    EXTRA,
    FAILED,
    KEPT,
    JobEnd,
    Known,
    Note,
    ResultNote,
)
from p2p_modelex.node.mapping.results import encode_answer
from p2p_modelex.records.receipt import Finish
from p2p_modelex.records.rows import ReceiptRow
from p2p_modelex.store.abc import Store
from p2p_modelex.units import Epoch, Wei

EXCHANGES_MAX = 3
"""Exchanges of a run with one provider: the first, one after an old debt, one in a new epoch."""


class Resuming:
    """Looks up what was cut off in the node's own books, where a receipt is durable before the run
    that it ends is said to have ended.
    """

    def __init__(self, store: Store, journal: Journal) -> None:
        self._store = store
        self._journal = journal

    async def find_result(self, prompt: Prompt, known: Known) -> bytes | None:
        """Return a prompt's result if there is one, and put an end to its jobs in the journal.

        Raises BadInput if the prompt is not what it was.
        """
        if known.digest != prompt.digest:
            raise BadInput(
                f"input {prompt.number} is not what it was when it was ordered",
                hint="put template and inputs back as they were, or write to another --output",
            )
        body = known.body
        notes: list[Note] = []
        for job in known.jobs:
            row = await self._find_receipt(job)
            if row is None:  # it is in another home's books
                continue
            receipt = row.receipt.receipt
            is_first = body is None and receipt.finish != Finish.CANCELLED
            outcome = KEPT if is_first else EXTRA
            notes.append(JobEnd(job, outcome, receipt.price, Epoch(receipt.epoch)))
            if is_first:
                body = encode_answer(prompt.number, prompt.name, row)
                notes.append(ResultNote(prompt.number, prompt.digest, True, body))
        if notes:
            await self._journal.note(*notes)
        return body

    async def close_books(self) -> None:
        """Note what the jobs that were cut off have cost; call once, first."""
        cut = await self._journal.find_cut()
        rows = await self._store.jobs(without=("finished", "paid")) if cut else ()
        costs = {row.job: (row.paid, Epoch(row.epoch)) for row in rows if not row.is_provider}
        for job in cut:
            row = await self._find_receipt(job)
            if row is not None:
                receipt = row.receipt.receipt
                end = JobEnd(job, CUT, receipt.price, Epoch(receipt.epoch))
            else:
                end = JobEnd(job, FAILED, *costs.get(job, (Wei(0), Epoch(0))))
            await self._journal.note(end)

    async def _find_receipt(self, run: JobId) -> ReceiptRow | None:
        for order in range(EXCHANGES_MAX):
            for row in await self._store.receipts(job=name_exchange(run, order)):
                if not row.is_provider:
                    return row
        return None
