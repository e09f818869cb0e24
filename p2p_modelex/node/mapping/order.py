"""One order of a map: a run that is in the journal before it begins, and after it ended."""

import secrets
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import replace

import trio

from p2p_modelex.core.mapping.acts import Act, Begin, GiveUp, Keep, OrderDone, OrderFailed
from p2p_modelex.errors import ModelexError
from p2p_modelex.ids import JobId
from p2p_modelex.node.completion import Completion
from p2p_modelex.node.configuration import Configuration
from p2p_modelex.node.mapping.failures import describe_failure
from p2p_modelex.node.mapping.inputs import Prompt
from p2p_modelex.node.mapping.journal import Journal
from p2p_modelex.node.mapping.notes import EXTRA, FAILED, KEPT, JobEnd, JobNote, ResultNote
from p2p_modelex.node.mapping.results import encode_answer, encode_failure
from p2p_modelex.node.node import Node
from p2p_modelex.node.request import Terms
from p2p_modelex.records.receipt import Finish
from p2p_modelex.units import Epoch, Wei, rescale


class Order:
    """`run` it, then `close` it with what its end has brought."""

    def __init__(
        self,
        node: Node,
        configuration: Configuration,
        journal: Journal,
        begin: Begin,
        prompt: Prompt,
        terms: Terms,
        epoch: Epoch,
    ) -> None:
        """terms: those of any order. epoch: of the amounts in `begin`, and of those told of it."""
        self.begin = begin
        self._node, self._journal, self._prompt, self._epoch = node, journal, prompt, epoch
        self._job = JobId(secrets.token_bytes(16))
        max_cost = Wei(rescale(begin.max_cost, epoch, node.epoch))
        mine = replace(terms, only=(begin.peer,), attempts=1, max_cost=max_cost)
        self._completion = Completion(node, configuration, prompt.request, mine, self._job)
        self._is_cancelled = False

    async def run(self) -> OrderDone | OrderFailed:
        """Order it, durably noted before; return how it ended. Raises StoreError."""
        begin = self.begin
        note = JobNote(self._job, begin.number, self._prompt.digest, begin.is_extra)
        await self._journal.note(note)
        if not self._is_cancelled:
            # What went wrong is in `failed`.
            with suppress(ModelexError):
                await self._completion.wait()
        row, paid = self._completion.row, self._completion.paid
        told = Wei(rescale(paid, self._paid_in, self._epoch))
        if row is not None and row.receipt.receipt.finish != Finish.CANCELLED:
            return OrderDone(begin.order, told)
        return describe_failure(begin.order, self._completion.failed, told)

    def cancel(self, nursery: trio.Nursery) -> None:
        """End it early, in a task of the nursery; `run` returns all the same."""
        self._is_cancelled = True
        nursery.start_soon(self._completion.cancel)

    async def close(self, acts: Iterable[Act]) -> ResultNote | None:
        """Note how it ended, by the machine's answer to that, durably; return the prompt's result
        if this brought it. Raises StoreError.
        """
        number, name, digest = self.begin.number, self._prompt.name, self._prompt.digest
        outcome, result = EXTRA if self._is_cancelled else FAILED, None
        for act in acts:
            if isinstance(act, Keep):
                row = self._completion.row
                assert row is not None
                outcome = KEPT
                result = ResultNote(number, digest, True, encode_answer(number, name, row))
            elif isinstance(act, GiveUp):
                result = ResultNote(number, digest, False, encode_failure(number, name, act))
        end = JobEnd(self._job, outcome, self._completion.paid, self._paid_in)
        await self._journal.note(end, *([] if result is None else [result]))
        return result

    @property
    def _paid_in(self) -> Epoch:
        row = self._completion.row
        return self._node.epoch if row is None else Epoch(row.receipt.receipt.epoch)
