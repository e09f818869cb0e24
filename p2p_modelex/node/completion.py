"""A completion: one request of a local caller, from its terms to its receipt."""

from collections.abc import AsyncGenerator, Sequence

import msgspec

from p2p_modelex.core.effects import (
    RunContinued,
    RunEvent,
    RunFailed,
    RunFinished,
    RunRestarted,
    RunRouted,
    RunStarted,
    RunText,
)
from p2p_modelex.core.inputs import RunRequested
from p2p_modelex.core.routing.decision import Decision
from p2p_modelex.errors import BadInput
from p2p_modelex.ids import JobId, PeerId
from p2p_modelex.node.aliases import resolve_alias
from p2p_modelex.node.configuration import Configuration
from p2p_modelex.node.node import Node, Survey
from p2p_modelex.node.request import TIMEOUT_MAX_S, Terms
from p2p_modelex.node.run_errors import error_of
from p2p_modelex.records.farm import parse_farm
from p2p_modelex.records.job import Request
from p2p_modelex.records.logprobs import TokenLogprob
from p2p_modelex.records.receipt import Finish
from p2p_modelex.records.registry import SECTIONS, Standing
from p2p_modelex.records.rows import ReceiptRow
from p2p_modelex.units import Wei

CompletionPiece = RunText | RunRestarted | RunContinued


class Completion:
    """One request on its way. Iterate over it once; then `text`, `row` and `paid` are there.

    It begins with the iteration. After a RunRestarted among the pieces, text seen before is void:
    another provider begins anew; after a RunContinued, which comes only if the terms allow it, it
    stands: another goes on from there, and the receipt, whose request ends with it, is of the rest.
    Leaving the iteration early leaves the job running; `cancel` ends
    it. What was received is paid in any case, and `paid` says how much.
    """

    def __init__(
        self,
        node: Node,
        configuration: Configuration,
        request: Request,
        terms: Terms,
        job: JobId | None = None,
    ) -> None:
        """Raises BadInput if the terms name no section of the registry, no possible farm, or no
        time.

        job: its name, for who wants to know it beforehand.
        """
        self._node = node
        self._configuration = configuration
        model = resolve_alias(request.model, configuration.aliases)
        self._request = msgspec.structs.replace(request, model=model)
        self._terms = terms
        self._standings = _read_section(terms.section or configuration.requester.section)
        self._name = job
        self._farm = parse_farm(terms.farm) if terms.farm else ""
        self._deadline_ms = _read_timeout(terms.timeout_s)
        self._job: JobId | None = None
        self._is_begun = self._is_over = self._is_cancelled = False
        self.text = ""
        self.logprobs: list[TokenLogprob] = []
        """Of the text's tokens, where the request asks for them; the provider's word."""
        self.provider: PeerId | None = None
        self.row: ReceiptRow | None = None
        """The verified receipt with what it is about, once finished."""
        self.paid = Wei(0)
        """Wei, in the split epoch of the receipt; without one, in the token's."""
        self.prompt_tokens = 0
        """Of the request as it was asked, by the provider that began its text."""
        self.continued_tokens = 0
        """Tokens of the text by providers before the one that has gone on from it."""
        self._tokens = 0
        self.cached_tokens = 0
        """Prompt tokens that the provider says it need not read anew."""
        self.failed: RunFailed | None = None
        """What ended it, where it did not end well."""
        self.routed: RunRouted | None = None
        """How the provider was chosen, if the terms ask for that."""

    def __aiter__(self) -> AsyncGenerator[CompletionPiece, None]:
        """Begin. Raises BadInput the second time, since a job is ordered and paid once."""
        if self._is_begun:
            raise BadInput(
                "this completion was iterated over already",
                hint="its text is in `text`; ask again for another one",
            )
        self._is_begun = True
        return self._pieces()

    @property
    def is_over(self) -> bool:
        """Whether it ended, well or not."""
        return self._is_over

    async def cancel(self) -> None:
        """End the job early, from any task.

        The iteration goes on to the end: the provider signs a receipt for what it sent (`row`,
        finish CANCELLED), or, where nothing had begun, JobFailed is raised.
        """
        if self._job is not None and not self._is_over:
            self._is_cancelled = True
            await self._node.cancel(self._job)

    async def explain(self) -> Decision:
        """Say whom it would be ordered from, and why, without beginning it."""
        return await self._node.explain(self._build(JobId(bytes(16))))

    async def survey(self, known: Sequence[PeerId]) -> Survey:
        """Say who could serve it now, without beginning it. known: as `Choosing.survey` has it."""
        return await self._node.survey(self._build(JobId(bytes(16))), known)

    async def wait(self) -> str:
        """Run to the end and return the text. Raises as iterating does."""
        async for _ in self:
            pass
        return self.text

    async def _pieces(self) -> AsyncGenerator[CompletionPiece, None]:
        """Raises NoProvider, JobRefused, JobFailed, PaymentError or NetworkError."""
        async with self._node.run(self._begin, self._name) as events:
            async for event in events:
                self._note(event)
                if isinstance(event, CompletionPiece):
                    yield event
        is_cut = self.row is not None and self.row.receipt.receipt.finish is Finish.CANCELLED
        if is_cut and not self._is_cancelled:  # its time was up
            self.failed = self._build_late()
            raise error_of(self.failed)

    def _build_late(self) -> RunFailed:
        assert self._job is not None
        reason = "no whole answer in time"
        peer, paid = self.provider, self.paid
        return RunFailed(self._job, peer, "deadline", reason, False, 0, paid)

    def _note(self, event: RunEvent) -> None:
        match event:
            case RunStarted(_, peer, prompt_tokens):
                self.provider = peer
                if not self.continued_tokens:
                    self.prompt_tokens = prompt_tokens
            case RunRestarted():
                self.text, self.logprobs = "", []
                self._tokens = self.continued_tokens = 0
            case RunContinued():
                self.continued_tokens = self._tokens
            case RunRouted():
                self.routed = event
            case RunText(_, text, tokens):
                self.text += text
                self._tokens = tokens
                self.logprobs += event.logprobs
            case RunFinished():
                self.row, self.paid, self._is_over = event.row, event.paid, True
                self.cached_tokens = event.cached
            case RunFailed():
                self.paid, self.failed, self._is_over = event.paid, event, True
                raise error_of(event)

    def _begin(self, job: JobId) -> RunRequested:
        self._job = job
        return self._build(job)

    def _build(self, job: JobId) -> RunRequested:
        epoch, terms = self._node.epoch, self._terms
        settings = self._configuration.spending_in(epoch)
        return RunRequested(
            job=job,
            request=self._request,
            max_cost=settings.max_cost if terms.max_cost is None else terms.max_cost,
            max_prompt_price=settings.max_prompt_price,
            max_completion_price=settings.max_completion_price,
            max_window=settings.max_window,
            only=terms.only,
            denied=terms.denied,
            attempts=terms.attempts,
            is_fast=terms.is_fast,
            epoch=epoch,
            standings=self._standings,
            farm=self._farm,
            hedge=terms.hedge,
            deadline_ms=self._deadline_ms,
            may_continue=terms.may_continue,
            conversation=terms.conversation,
            explains=terms.explains,
        )


def _read_section(word: str) -> tuple[Standing, ...]:
    standings = SECTIONS.get(word)
    if standings is None:
        raise BadInput(f"no section {word[:80]!r}", hint=f"one of {', '.join(SECTIONS)}")
    return standings


def _read_timeout(timeout_s: float | None) -> int:
    """Return milliseconds, 0 for no limit; BadInput."""
    if timeout_s is None:
        return 0
    if not 0 < timeout_s <= TIMEOUT_MAX_S:
        raise BadInput(f"a timeout is over 0 and at most {TIMEOUT_MAX_S} seconds")
    return max(round(1000 * timeout_s), 1)
