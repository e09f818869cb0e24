"""A completion: one request of a local caller, from its terms to its receipt."""

import re
from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass

from p2p_modelex import limits
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
from p2p_modelex.errors import (
    BadInput,
    JobFailed,
    JobRefused,
    ModelexError,
    NetworkError,
    NoProvider,
    PaymentError,
    RemoteProtocolError,
)
from p2p_modelex.ids import JobId, PeerId
from p2p_modelex.node.configuration import Configuration
from p2p_modelex.node.node import Node, Survey
from p2p_modelex.records import codec
from p2p_modelex.records.advertisement import Kind
from p2p_modelex.records.farm import parse_farm
from p2p_modelex.records.job import Message, Request
from p2p_modelex.records.logprobs import TokenLogprob
from p2p_modelex.records.receipt import Finish
from p2p_modelex.records.registry import SECTIONS, Standing
from p2p_modelex.records.rows import ReceiptRow
from p2p_modelex.units import Wei

ATTEMPTS = 5
"""Providers that a run tries: with half of them thieves, 95 % of runs are served
(simulations/RESULTS.md)."""
TIMEOUT_MAX_S = 86_400
"""A day: no answer takes longer."""
_PATH = re.compile(r" - at `\$\[0\]\[(\d+)\]")
_PAYMENT_CODES = ("no_channel", "channel_exhausted", "debt", "bad_voucher", "over_ceiling")
_FUND = "`modelex balance` shows what there is; [requester] says what may be deposited"
# What to do, by the rule of the filter that took the last candidate, or by code.
_HINTS = {
    "RTE-1": "modelex nodes lists the models",
    "RTE-2": "ask for a kind that is served: --kind",
    "RTE-3": "shorten the prompt, or ask for fewer tokens: --max-tokens",
    "RTE-4": "try again in a moment: $AI has just split, and not everybody has seen it",
    "RTE-5": "raise the ceiling: --max-price, or max_cost in [requester]",
    "RTE-14": "ask for another --section; modelex nodes shows who is in which",
    "RTE-26": "ask for another --farm, or for none",
    "RTE-27": "modelex farm list shows which farms there are",
    "RTE-8": "wait a little, or look with `modelex nodes` who is there",
    "prompt_too_long": "shorten the prompt, or ask for fewer tokens: --max-tokens",
    "over_ceiling": "raise the ceiling: --max-price, or max_cost in [requester]",
    "busy": "try again in a moment",
    "deadline": "allow more time, or ask for fewer tokens; what came is in `text`, and paid",
    "wrong_epoch": "try again in a moment: $AI has just split, and not everybody has seen it",
    "no_channel": _FUND,
    "channel_exhausted": _FUND,
}


@dataclass(frozen=True, slots=True)
class Terms:
    """What one request may cost and who may serve it. None takes the configuration's value.

    max_cost: wei in the token's split epoch as the node knows it when the request begins. section:
    a word of records/registry.py: SECTIONS. farm: the name or id of the farm to buy from; empty
    takes the profile's. hedge: whether a late first text is ordered elsewhere
    too; None takes the profile's. timeout_s: seconds in which the whole answer is wanted, None for
    as long as it takes. may_continue: whether another provider may go on from the text of one that
    failed, where it would else begin again. conversation: a name that keeps requests together,
    where the profile does. explains: whether to keep `routed`.
    """

    max_cost: Wei | None = None
    only: tuple[PeerId, ...] = ()
    denied: tuple[PeerId, ...] = ()
    attempts: int = ATTEMPTS
    is_fast: bool = True
    section: str | None = None
    farm: str = ""
    hedge: bool | None = None
    timeout_s: float | None = None
    may_continue: bool = False
    conversation: str = ""
    explains: bool = False


def build_request(
    prompt: str | Sequence[Message],
    *,
    model: str,
    kind: Kind = "chat",
    max_tokens: int = 128,
    temperature: float = 0.0,
    top_p: float = 1.0,
    top_k: int = 0,
    seed: int = 0,
    stop: Sequence[str] = (),
    grammar: str = "",
    logprobs: int | None = None,
    tools: str = "",
    weights: bytes = bytes(32),
) -> Request:
    """Return a request; a text of kind `chat` becomes one user message.

    logprobs: how many alternatives to tell of for each token, None for no log probabilities.
    tools: of a chat, as `records.tools.encode_tools` writes them.

    Raises BadInput, naming the field, if something is out of its bounds (records/job.py).
    """
    text, messages = "", tuple[Message, ...]()
    if not isinstance(prompt, str):
        messages = tuple(prompt)
    elif kind == "chat":
        messages = (Message("user", prompt),)
    else:
        text = prompt
    request = Request(
        model=model,
        weights=weights,
        kind=kind,
        text=text,
        messages=messages,
        max_tokens=max_tokens,
        temperature=temperature,
        top_p=top_p,
        top_k=top_k,
        seed=seed,
        stop=tuple(stop),
        grammar=grammar,
        logprobs=0 if logprobs is None else 1 + logprobs,
        tools=tools,
    )
    try:
        # A constructor checks nothing; what a peer would refuse is refused here.
        encoded = codec.encode(request)
        checked: Request = codec.decode(Request, encoded, limit=limits.EXCHANGE_FRAME_BYTES)
    except (RemoteProtocolError, BadInput) as error:
        raise BadInput(f"the request is out of bounds: {_name_field(error.message)}") from error
    return checked


def _name_field(message: str) -> str:
    """Say `max_tokens` for `$[0][5]`, the codec's path into a record."""
    path = _PATH.search(message)
    if path is None:
        return message
    return f"{Request.__struct_fields__[int(path[1])]}: {message[: path.start()]}"


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
        self._request = request
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
            case RunStarted(_, peer):
                self.provider = peer
            case RunRestarted():
                self.text, self.logprobs = "", []
            case RunRouted():
                self.routed = event
            case RunText(_, text):
                self.text += text
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


def error_of(failed: RunFailed) -> ModelexError:
    """Return the error that a failed run raises."""
    code, reason = failed.code, failed.reason
    hint = _HINTS.get(code, "")
    if code == "no_provider":
        hint = _HINTS.get(reason.partition(":")[0], "modelex nodes shows who sells what")
        return NoProvider(reason, hint=hint)
    if code in _PAYMENT_CODES:
        return PaymentError(f"{code}: {reason}", hint=hint)
    if code in ("dial", "stream"):
        return NetworkError(reason, hint="modelex nodes shows who is there")
    if failed.refused and code not in ("cancelled", "deadline"):
        return JobRefused(code, reason, hint=hint)
    return JobFailed(f"{code}: {reason}", hint=hint)
