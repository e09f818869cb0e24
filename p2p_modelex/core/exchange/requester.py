"""The requester's end of one exchange stream: what it sends, and how a job ends.

What it believes of what it receives is in `intake.py`, what it pays for that in `payments.py`.
"""

import re

from p2p_modelex import limits
from p2p_modelex.core.effects import (
    CloseStream,
    Effect,
    Emit,
    Penalize,
    Persist,
    ResetStream,
    RunFailed,
    RunFinished,
    RunStarted,
    RunText,
    Send,
    StreamId,
)
from p2p_modelex.core.exchange import parameters, table
from p2p_modelex.core.exchange.deadline import Deadline
from p2p_modelex.core.exchange.intake import Intake
from p2p_modelex.core.exchange.payments import Payments
from p2p_modelex.core.exchange.ports import Purse
from p2p_modelex.core.exchange.table import State
from p2p_modelex.core.exchange.terms import Purchase
from p2p_modelex.core.inputs import CancelRun, FrameReceived, Input, StreamEnded, TimerFired
from p2p_modelex.errors import BadInput, JobRefused, RemoteProtocolError
from p2p_modelex.ids import PeerId
from p2p_modelex.records import codec
from p2p_modelex.records.job import (
    Accept,
    Ask,
    Cancel,
    Chunk,
    Finished,
    Order,
    Pay,
    ProviderMessage,
    Quoted,
    Refused,
    Started,
)
from p2p_modelex.records.rows import ReceiptRow
from p2p_modelex.units import UINT128_MAX, UnixMs, Wei

_NOTHING = Wei(0)
_DEBT = re.compile(r"earned=([0-9]{1,39})")


class RequesterExchange:
    """Buys one job on one stream. Ends with exactly one RunFinished or RunFailed.

    Inputs it wants: FrameReceived, StreamEnded (its stream), TimerFired `exchange/<stream>/...`,
    CancelRun (its job). Others are ignored. ShutDown is ignored too: a running job finishes.
    """

    def __init__(self, stream: StreamId, peer: PeerId, purchase: Purchase, purse: Purse) -> None:
        if purse.epoch != purchase.offer.epoch:
            raise BadInput("the lane is reserved in another split epoch than the prices")
        self.stream = stream
        self.peer = peer
        self.job = purchase.job
        self._purchase = purchase
        self._purse = purse
        self._intake = Intake(peer, purchase, purse.channel, purse.lane)
        self._payments = Payments(peer, purchase, purse, self._intake)
        self._deadline = Deadline(stream, "wait")
        self._due_tokens = 0
        self._state = State.IDLE

    @property
    def is_over(self) -> bool:
        """Whether nothing more will happen here; the purse is closed by then."""
        return self._state is State.OVER

    @property
    def at_stake(self) -> Wei:
        """The most that may still come to be paid, in all, of a job that we cancelled."""
        return _NOTHING if self.is_over else self._payments.doubt

    def start(self, now: UnixMs) -> list[Effect]:
        """Call once, on StreamReady: persists the first voucher and sends Order, or sends Ask."""
        purchase = self._purchase
        too_much = self._intake.explain_over_limit()
        if too_much:
            ending = [ResetStream(self.stream)]
            return ending + self._fail("over_ceiling", too_much, now, refused=True)
        wait = self._deadline.move(now, parameters.START_TIMEOUT_MS)
        if not self._intake.may_order_fast:
            return [self._send(Ask(self.job, purchase.request)), *wait]
        offer = purchase.offer
        rows, voucher = self._payments.promise(purchase.prepay, now)
        order = Order(
            self.job,
            purchase.request,
            offer.prompt_price,
            offer.completion_price,
            purchase.max_cost,
            self._purse.terms,
            voucher,
            self._purse.base,
            purchase.compute_left_ms(now),
        )
        return [Persist(rows), self._send(order), *wait]

    def abandon(self, code: str, reason: str, now: UnixMs) -> list[Effect]:
        """Call instead of `start` when there is no stream (StreamFailed): code `dial`."""
        return self._fail(code, reason, now, refused=True)

    def step(self, given: Input, now: UnixMs) -> list[Effect]:
        """Take one input; a peer's breach of a rule resets the stream and penalises it."""
        if self.is_over:
            return []
        match given:
            case FrameReceived(stream, payload) if stream == self.stream:
                try:
                    return self._on_frame(payload, now)
                except RemoteProtocolError as error:
                    return self._break_off(error, now)
            case StreamEnded(stream) if stream == self.stream:
                reason = given.reason or "the provider closed it"
                reason += f" (tokens received: {self._intake.tokens})"
                return self._lose("stream", reason, now)
            case TimerFired(timer) if timer == self._deadline.timer:
                return self._on_deadline(now)
            case CancelRun(job) if job == self.job:
                return self._cancel(now)
        return []

    def _on_frame(self, payload: bytes, now: UnixMs) -> list[Effect]:
        limit = limits.EXCHANGE_FRAME_BYTES  # EXC-1
        message: ProviderMessage = codec.decode(ProviderMessage, payload, limit=limit)
        state = table.on_received(self._state, message)
        if message.job != self.job:
            raise RemoteProtocolError("EXC-3", "a stream carries one job")
        match message:
            case Quoted():
                return self._on_quoted(message, state, now)
            case Started():
                self._intake.take_started(message)
                self._state = state
                if state is State.CANCELLED:  # it crossed our Cancel
                    self._payments.limit()
                begun = Emit(RunStarted(self.job, self.peer, message.prompt_tokens))
                return [begun, *self._go_on(now)]
            case Chunk():
                self._intake.take_chunk(message)
                self._state = state
                text = Emit(RunText(self.job, message.text, message.tokens, message.logprobs))
                is_shown = message.text or message.logprobs
                return [*([text] if is_shown else []), *self._go_on(now)]
            case Finished():
                return self._on_finished(message, now)
            case Refused():
                self._state = state
                return self._on_refused(message, now)
            case _:
                # EXC-15: only an unpaid job stays owed.
                owed = self._payments.owed
                if message.code != "unpaid":
                    owed = min(owed, self._payments.paid)
                closing: list[Effect] = [CloseStream(self.stream)]
                return closing + self._fail(message.code, message.reason, now, owed=owed)

    def _on_quoted(self, quoted: Quoted, state: State, now: UnixMs) -> list[Effect]:
        ending: list[Effect] = [ResetStream(self.stream)]
        try:
            digest = self._intake.take_quote(quoted, now)
        except JobRefused as refusal:
            return ending + self._fail(refusal.code, refusal.message, now, refused=True)
        too_much = self._intake.explain_quote_over_limit()
        if too_much:
            return ending + self._fail("over_ceiling", too_much, now, refused=True)
        self._state = state
        rows, voucher = self._payments.promise(self._purchase.prepay, now)
        left_ms = self._purchase.compute_left_ms(now)
        accept = Accept(self.job, digest, self._purse.terms, voucher, self._purse.base, left_ms)
        wait = self._deadline.move(now, parameters.START_TIMEOUT_MS)
        return [Persist(rows), self._send(accept), *wait]

    def _go_on(self, now: UnixMs) -> list[Effect]:
        """EXC-9: pay what was earned once it is half the window, and wait for more (EXC-14)."""
        wait: list[Effect] = []
        if self._intake.tokens >= self._due_tokens:
            # The first alone may take as long: a prompt is read before it.
            self._due_tokens = self._intake.tokens + parameters.PACE_TOKENS
            if not self._intake.tokens:
                self._due_tokens = 1
            wait = self._deadline.move(now, parameters.IDLE_TIMEOUT_MS)
        if not self._payments.is_due:
            return wait
        rows, voucher = self._payments.promise(self._payments.owed, now)
        return [Persist(rows), self._send(Pay(self.job, voucher)), *wait]

    def _on_finished(self, finished: Finished, now: UnixMs) -> list[Effect]:
        """EXC-16: believe the receipt or pay no more. EXC-13: it is durable before it is told."""
        is_cancelled = self._state is State.CANCELLED
        completion = self._intake.take_receipt(finished, now, is_cancelled=is_cancelled)
        self._state = table.on_received(self._state, finished)
        purchase = self._purchase
        row = ReceiptRow(
            is_provider=False,
            peer=self.peer,
            receipt=finished.receipt,
            request=purchase.request,
            completion=completion,
            ownership=purchase.ownership,
        )
        issued, voucher = self._payments.pay_rest()
        paying = [] if voucher is None else [self._send(Pay(self.job, voucher))]
        last = self._payments.finish(now)
        self._state = State.OVER
        finish = finished.receipt.receipt.finish
        done = RunFinished(self.job, row, finish, self._payments.paid, finished.cached)
        ending = [CloseStream(self.stream), *self._deadline.cancel(), Emit(done)]
        return [Persist((row, *issued, last)), *paying, *ending]

    def _on_refused(self, refused: Refused, now: UnixMs) -> list[Effect]:
        """Nothing is owed. A debt's amount is in the reason: EXC-7."""
        debt = _DEBT.fullmatch(refused.reason) if refused.code == "debt" else None
        if debt is not None:
            self._purse.note_debt(Wei(min(int(debt[1]), UINT128_MAX)))
        elif refused.code == "channel_exhausted":
            self._purse.note_exhausted()
        closing: list[Effect] = [CloseStream(self.stream)]
        return closing + self._fail(
            refused.code, refused.reason, now, refused=True, retry_after_ms=refused.retry_after_ms
        )

    def _cancel(self, now: UnixMs) -> list[Effect]:
        """EXC-12: a running job is cancelled and receipted; before that the stream is dropped."""
        if self._state is State.RUNNING:
            self._payments.limit()
            return self._send_cancel(now)
        if self._state is State.CANCELLED:
            return []
        return self._lose("cancelled", "by the caller", now)

    def withdraw(self, now: UnixMs) -> list[Effect]:
        """Another provider serves the caller. As CancelRun, but of an order that has not started
        the provider is heard once more (EXC-31): so nothing is left in doubt.
        """
        if self._state is State.ORDERED:
            return self._send_cancel(now)
        return [] if self._state is State.WITHDRAWN or self.is_over else self._cancel(now)

    def _send_cancel(self, now: UnixMs) -> list[Effect]:
        sent = self._send(Cancel(self.job))
        return [sent, *self._deadline.move(now, parameters.PAY_TIMEOUT_MS)]

    def _on_deadline(self, now: UnixMs) -> list[Effect]:
        passed, effects = self._deadline.on_fired(now)
        if not passed:
            return effects
        stalled = Penalize(self.peer, "stalled", f"EXC-14: silent when {self._state.value}")
        return [*self._lose("timeout", "the provider is silent", now), stalled]

    def _lose(self, code: str, reason: str, now: UnixMs) -> list[Effect]:
        """There will be no agreement on what was delivered: pay for what we got, next time."""
        ending: list[Effect] = [ResetStream(self.stream)]
        is_begun = self._state not in (State.IDLE, State.ASKED, State.QUOTED)
        doubt = self._payments.doubt if is_begun else _NOTHING
        return ending + self._fail(
            code, reason, now, owed=self._payments.owed, doubt=doubt, refused=not is_begun
        )

    def _break_off(self, error: RemoteProtocolError, now: UnixMs) -> list[Effect]:
        """The provider broke a rule: it gets no more."""
        offence = "bad_receipt" if error.rule == "EXC-16" else "protocol"
        ending: list[Effect] = [
            ResetStream(self.stream),
            Penalize(self.peer, offence, str(error)),
        ]
        return ending + self._fail("protocol", str(error), now, owed=self._payments.paid)

    def _fail(
        self,
        code: str,
        reason: str,
        now: UnixMs,
        *,
        owed: Wei = _NOTHING,
        doubt: Wei = _NOTHING,
        refused: bool = False,
        retry_after_ms: int = 0,
    ) -> list[Effect]:
        last = self._payments.fail(owed, doubt, now)
        self._state = State.OVER
        paid = self._payments.paid
        failed = RunFailed(self.job, self.peer, code, reason, refused, retry_after_ms, paid)
        kept: list[Effect] = [Persist((last,))] if self._payments.has_promised else []
        return [*kept, *self._deadline.cancel(), Emit(failed)]

    def _send(self, message: Ask | Order | Accept | Pay | Cancel) -> Send:
        self._state = table.on_sent(self._state, message)
        return Send(self.stream, codec.encode(message))
