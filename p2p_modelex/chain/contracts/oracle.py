"""OracleHub (interfaces/IOracleHub.sol): paid prompts, and answers signed by providers."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Any

from eth_hash.backends.pysha3 import keccak256 as keccak

from p2p_modelex.chain.contracts.contract import Sent, read_enum
from p2p_modelex.chain.contracts.credits import Credits
from p2p_modelex.chain.contracts.network import LogsRefused
from p2p_modelex.chain.contracts.questions import Ask, Terms, read_ask
from p2p_modelex.chain.evm.abi import Event
from p2p_modelex.core.ledger.amount import Amount
from p2p_modelex.errors import BadInput, ChainUnreachable
from p2p_modelex.ids import Address, Digest
from p2p_modelex.records.eip712 import compute_domain
from p2p_modelex.records.report import NO_COMPLETION, Report, SignedReport, sign

LOOKBACK_BLOCKS = 100_000
"""How far back a request is searched by default: two weeks of 12 s blocks."""
RANGE_BLOCKS = 1_000
"""The most blocks that every endpoint searches at once."""


class Status(IntEnum):
    """ANSWERED and REFUNDED are final."""

    NONE = 0
    OPEN = 1
    ANSWERED = 2
    REFUNDED = 3


@dataclass(frozen=True, slots=True)
class Request:
    """The state of a request. answered: the providers, by number, whose report was taken. score,
    answered_at (unix seconds), completion (Keccak-256 of a text): of the final answer.
    """

    status: Status
    answered: tuple[int, ...]
    score: int
    answered_at: int
    completion: Digest


@dataclass(frozen=True, slots=True)
class Asked:
    """A request as the chain's log has it. block: in which it was paid for."""

    id: Digest
    ask: Ask
    block: int


class OracleHub(Credits):
    """Asking, answering, refunds, and checking reports that nobody asked for."""

    artifact = "OracleHub"
    key = "oracle"

    @property
    def domain(self) -> Digest:
        """The EIP-712 domain of reports."""
        return compute_domain(self.network.deployment.chain_id, self.address)

    async def request(self, terms: Terms, payment: Amount) -> Sent:
        """Ask and pay: the template's fee first, the rest is for the providers. The event
        Requested has the id and the ask.
        """
        return await self.pay(payment, terms.encode())

    async def fetch_request(self, request: Digest) -> Request:
        """The state of a request; Status.NONE if nobody asked."""
        [found] = await self.fetch_requests([request])
        return found

    async def fetch_requests(self, requests: Sequence[Digest]) -> tuple[Request, ...]:
        """The states of several."""
        functions = ("requestOf", "completionOf")
        questions = [(function, each) for each in requests for function in functions]
        values = (await self.ask_all(*questions)).values
        return tuple(map(_read_request, values[::2], values[1::2]))

    async def find_ask(self, request: Digest, block: int | None = None) -> Asked:
        """Find what was asked, in one block or the last LOOKBACK_BLOCKS; BadInput if it is not
        there.
        """
        first, last = await self.find_range() if block is None else (block, block)
        topics = [self.abi.topic("Requested"), request]
        events = await self._search(topics, 1, first, last)
        if not events:
            raise BadInput(
                f"nobody asked 0x{request.hex()} in the blocks that were searched",
                hint="name the block of the request, which asking printed: --block",
            )
        [asked] = map(self._read_asked, events)
        if asked.id != request:
            raise ChainUnreachable("the endpoint sent an event that is not of this request")
        return asked

    async def find_output(self, asked: Asked) -> bytes | None:
        """Find the text that answered a request, in the last LOOKBACK_BLOCKS; None if it is not
        there.
        """
        first, last = await self.find_range()
        topics = [self.abi.topic("Answered"), asked.id]
        events = await self._search(topics, 1, max(first, asked.block), last)
        return events[0].arguments["output"] if events else None

    async def fetch_asks(
        self, limit: int, first: int, last: int, provider: Address | None = None
    ) -> tuple[Asked, ...]:
        """The newest requests of blocks `first` to `last`, at most `limit`, newest first; those to
        one provider, if it is named, however many to others there are.
        """

        def is_wanted(event: Event) -> bool:
            if provider is None:
                return True
            return read_ask(event.arguments["ask"]).find_provider(provider) is not None

        events = await self._search([self.abi.topic("Requested")], limit, first, last, is_wanted)
        return tuple(map(self._read_asked, events))

    async def answer(self, ask: Ask, reports: Sequence[SignedReport], output: bytes = b"") -> Sent:
        """Bring reports of the ask's providers; output: the text of a text answer. BadInput for a
        report by somebody who is not asked.
        """
        signed = [
            (report_fields(each.report), ask.find_place(each.signer), each.signature)
            for each in reports
        ]
        return await self.tell("answer", ask.fields(), signed, output)

    async def refund(self, ask: Ask) -> Sent:
        """After the deadline, give the requester everything back; anyone may."""
        return await self.tell("refund", ask.fields())

    async def sign(self, subject: Digest, output: int | bytes, price: Amount) -> SignedReport:
        """Sign a score or a text, as of the newest block, with our key; nothing is sent.

        subject: a request, or `questions.compute_subject`. BadInput for a score over 128 bits.
        """
        report = Report(
            subject=subject,
            score=output if isinstance(output, int) else 0,
            completion=NO_COMPLETION if isinstance(output, int) else Digest(keccak(output)),
            price=price.wei,
            epoch=price.epoch,
            observed_at=(await self.network.fetch_head()).timestamp,
        )
        return sign(report, self.domain, self.network.signer)

    async def verify(self, signed: SignedReport) -> bool:
        """Whether its signer, a key or a contract, signed a report."""
        fields = report_fields(signed.report)
        return bool(await self.ask("verify", fields, signed.signer, signed.signature))

    async def find_range(self) -> tuple[int, int]:
        """Return the first and last of the newest LOOKBACK_BLOCKS."""
        last = (await self.network.fetch_head()).number
        return max(0, last - LOOKBACK_BLOCKS), last

    def _read_asked(self, event: Event) -> Asked:
        """The id is what our report will be about, so the ask makes it, and no endpoint."""
        ask = read_ask(event.arguments["ask"])
        found = ask.compute_id(self.network.deployment.chain_id, self.address)
        if found != event.arguments["id"]:
            raise ChainUnreachable("the endpoint sent a request under another's name")
        return Asked(found, ask, event.block)

    async def _search(
        self,
        topics: Sequence[bytes],
        limit: int,
        first: int,
        last: int,
        is_wanted: Callable[[Event], bool] = lambda _: True,
    ) -> list[Event]:
        """Return the newest events, newest first: range by range until there are enough. A range
        that the endpoint does not give is halved, as strangers can fill the log.
        """
        await self.network.check(self.artifact, self.address)
        found: list[Event] = []
        bottoms = range(first, last + 1, RANGE_BLOCKS)
        ranges = [(bottom, min(last, bottom + RANGE_BLOCKS - 1)) for bottom in bottoms]
        while ranges and len(found) < limit:
            bottom, top = ranges.pop()
            try:
                logs = await self.network.fetch_logs(self.address, topics, bottom, top)
            except LogsRefused:
                if bottom == top:
                    raise
                middle = (bottom + top) // 2
                ranges += [(bottom, middle), (middle + 1, top)]
                continue
            asked_for = [log for log in logs if log.topics[: len(topics)] == tuple(topics)]
            events = (self.abi.decode_event(log) for log in reversed(asked_for))
            found += [event for event in events if event is not None and is_wanted(event)]
        return found[:limit]


def _read_request(fields: tuple[Any, ...], completion: bytes) -> Request:
    status, bits, score, answered_at = fields
    answered = tuple(place for place in range(bits.bit_length()) if bits >> place & 1)
    return Request(read_enum(Status, status), answered, score, answered_at, Digest(completion))


def report_fields(report: Report) -> tuple[Any, ...]:
    """The fields of a report in the contracts' order."""
    return (
        report.subject,
        report.score,
        report.completion,
        int(report.price),
        report.epoch,
        report.observed_at,
    )
