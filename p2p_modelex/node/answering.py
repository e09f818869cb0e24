"""Answering the oracle: one's own engine runs what is asked of one's account on chain."""

from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass

import structlog
import trio

from p2p_modelex import limits
from p2p_modelex.chain.contracts.oracle import Asked, OracleHub, Status
from p2p_modelex.chain.contracts.prompts import PromptLibrary
from p2p_modelex.chain.contracts.questions import NOTHING, Kind, Terms, fill_template
from p2p_modelex.chain.contracts.token import Token
from p2p_modelex.core.ledger.amount import Amount
from p2p_modelex.engine.abc import Engine, Piece
from p2p_modelex.errors import (
    BadInput,
    ChainUnreachable,
    EngineError,
    TransactionFailed,
    TransactionPending,
)
from p2p_modelex.ids import Digest
from p2p_modelex.node.request import build_request
from p2p_modelex.units import Wei

POLL_S = 2.0
# The newest requests to us that are looked at in one go; of a flood the oldest are left.
TAKEN_MAX = 1_000
# What an answer takes without its prompt and callback: contracts/snapshots has 67,000 to 110,000.
ANSWER_GAS = 150_000
# The most that a transaction pays for a byte (EIP-7623): the ask comes again with its answer.
BYTE_GAS = 40

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Service:
    """What is answered. templates: contents by their SHA-256. least: wei of the current epoch that
    an answer has to bring. max_tokens: of a text. gas_max: that bringing one may take.
    """

    templates: Mapping[Digest, bytes]
    least: Wei
    max_tokens: int
    gas_max: int


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a request. output: the score or text that was brought; None for none, and then
    `reason` says why. is_final: this answer completed the quorum.
    """

    request: Digest
    output: int | str | None
    reason: str = ""
    is_final: bool = False


class Answering:
    """Answers for the hub's account with one engine, a request at a time, oldest first."""

    def __init__(
        self,
        hub: OracleHub,
        engine: Engine,
        service: Service,
        *,
        confirmations: int,
        poll_s: float = POLL_S,
    ) -> None:
        """confirmations: blocks upon a request's before it is run, so that no reorg undoes it.
        poll_s: seconds between two looks at the chain.
        """
        self._hub = hub
        self._library = PromptLibrary(hub.network)
        self._token = Token(hub.network)
        self._engine = engine
        self._service = service
        self._confirmations = confirmations
        self._poll_s = poll_s
        self._next = 0

    async def run(self) -> AsyncGenerator[Outcome, None]:
        """Yield what becomes of each request, for ever; while the chain is away it waits."""
        while True:
            try:
                async with aclosing(self.run_once()) as outcomes:
                    async for outcome in outcomes:
                        yield outcome
            except ChainUnreachable as error:
                log.warning("oracle_unreachable", error=error.message)
            await trio.sleep(self._poll_s)

    async def run_once(self) -> AsyncGenerator[Outcome, None]:
        """Yield what becomes of the open requests that came since the last time; at first, in the
        last LOOKBACK_BLOCKS. After ChainUnreachable the next time begins where this one did.
        """
        first, last = await self._hub.find_range()
        last -= self._confirmations
        first = max(first, self._next)
        us = self._hub.network.account
        found = await self._hub.fetch_asks(TAKEN_MAX, first, last, us) if first <= last else ()
        for asked in await self._find_waiting(found[::-1]):
            yield await self._serve(asked)
        self._next = max(first, last + 1)

    async def _find_waiting(self, found: Sequence[Asked]) -> list[Asked]:
        """Return those of which our answer is awaited."""
        us = self._hub.network.account
        states = await self._hub.fetch_requests([each.id for each in found])
        return [
            asked
            for asked, state in zip(found, states, strict=True)
            if state.status is Status.OPEN and asked.ask.find_provider(us) not in state.answered
        ]

    async def _serve(self, asked: Asked) -> Outcome:
        """Run a request and bring the answer, for our equal share. ChainUnreachable."""
        try:
            self._refuse_dear(asked.ask.terms)
            await self._refuse_poor(asked.ask.share)
            output = await self._complete(asked.ask.terms)
            text = output.encode() if isinstance(output, str) else b""
            answer = text if isinstance(output, str) else output
            signed = await self._hub.sign(asked.id, answer, asked.ask.share)
            sent = await self._hub.answer(asked.ask, [signed], text)
        except (BadInput, EngineError, TransactionFailed, TransactionPending) as error:
            return Outcome(asked.id, None, error.message)
        is_final = any(event.name == "Answered" for event in sent.events)
        return Outcome(asked.id, output, is_final=is_final)

    def _refuse_dear(self, terms: Terms) -> None:
        """Before the model runs: whoever asks chooses the prompt and the callback's gas, and we pay
        for both.
        """
        gas = ANSWER_GAS + BYTE_GAS * len(terms.prompt) + terms.callback_gas
        if gas > self._service.gas_max:
            raise BadInput(f"its answer may take {gas} gas, over {self._service.gas_max}")

    async def _refuse_poor(self, share: Amount) -> None:
        paid = share.rescale(await self._token.fetch_epoch())
        if paid.wei < self._service.least:
            raise BadInput(f"it pays {paid}")

    async def _complete(self, terms: Terms) -> int | str:
        if terms.kind is Kind.TEXT and terms.quorum > 1:
            raise BadInput("a text of several providers is brought by somebody who has all reports")
        prompt, most = await self._read_prompt(terms)
        model = self._engine.info.model
        if terms.kind is Kind.SCORE:
            request = build_request(prompt, model=model, kind="score", max_tokens=1)
        else:
            request = build_request(prompt, model=model, max_tokens=most)
        async with aclosing(self._engine.generate(request)) as outputs:
            text = "".join([each.text async for each in outputs if isinstance(each, Piece)])
        return _read_score(text) if terms.kind is Kind.SCORE else text

    async def _read_prompt(self, terms: Terms) -> tuple[str, int]:
        """Return the prompt, and how many tokens a text may have."""
        if len(terms.prompt) > limits.PROMPT_BYTES:
            raise BadInput(f"its prompt has more than {limits.PROMPT_BYTES} bytes")
        if terms.template == NOTHING:
            return _decode(terms.prompt), self._service.max_tokens
        template = await self._library.fetch_template(terms.template)
        content = self._service.templates.get(template.content)
        if content is None:
            raise BadInput(f"its template 0x{terms.template.hex()} is not here")
        most = min(self._service.max_tokens, template.max_completion_tokens)
        return fill_template(_decode(content), terms.prompt), most


def _decode(text: bytes) -> str:
    try:
        return text.decode()
    except UnicodeDecodeError as error:
        raise BadInput("its prompt is not UTF-8") from error


def _read_score(text: str) -> int:
    try:
        return int(text)
    except ValueError as error:
        raise BadInput(f"the model gave no number: {text[:40]!r}") from error
