"""The provider while a job runs: deliver within the window, take vouchers, sign the receipt."""

from p2p_modelex.core.effects import (
    CancelTimer,
    CloseStream,
    Effect,
    Penalize,
    Persist,
    ResetStream,
    Send,
    SetTimer,
    StopGenerating,
    StreamId,
    TimerId,
)
from p2p_modelex.core.exchange import parameters, table
from p2p_modelex.core.exchange.deadline import Deadline, build_timer_id
from p2p_modelex.core.exchange.ports import Till
from p2p_modelex.core.exchange.sale import Sale
from p2p_modelex.core.exchange.table import State
from p2p_modelex.core.exchange.terms import Seller
from p2p_modelex.core.inputs import (
    EngineFailed,
    EngineFinished,
    EngineProduced,
    StreamEnded,
)
from p2p_modelex.errors import JobRefused, RemoteProtocolError
from p2p_modelex.ids import PeerId
from p2p_modelex.records import codec
from p2p_modelex.records.job import Cancel, Chunk, Failed, FailureCode, Finished, Pay
from p2p_modelex.records.receipt import Finish
from p2p_modelex.records.rows import JobRow, ReceiptRow, Row
from p2p_modelex.units import UnixMs, Wei

# Nothing more is delivered; the requester's last Pay may still come.
_ENDED = (State.SETTLING, State.FAILED)


class Serving:
    """An admitted job: holds a lane of the till from `open` until it is over."""

    def __init__(
        self, stream: StreamId, peer: PeerId, seller: Seller, till: Till, sale: Sale
    ) -> None:
        self._stream = stream
        self._peer = peer
        self._seller = seller
        self._till = till
        self._sale = sale
        self._output = sale.output
        self._state = State.ORDERED
        self._deadline = Deadline(stream, "serve")
        self._chunk_timer: TimerId = build_timer_id(stream, "chunk")
        self._is_chunk_timer_set = False
        self._sent_at: UnixMs | None = None
        self._finish: Finish | None = None
        self._cached = 0
        self._is_generating = True
        self._is_unpaid = False
        self._failed: FailureCode | None = None
        self._is_closed = False

    @property
    def is_over(self) -> bool:
        """Whether the lane is free again and the stream done with."""
        return self._is_closed

    @property
    def state(self) -> State:
        """Where the job stands, as the transition table has it."""
        return self._state

    def open(self, rows: tuple[Row, ...], now: UnixMs) -> list[Effect]:
        """The till gave the job a lane, and these rows to keep."""
        return [Persist((*rows, self._build_row("running", now)))]

    def start(self, now: UnixMs) -> list[Effect]:
        """The engine admitted the job and Started was sent: the prompt is earned."""
        self._state = State.RUNNING
        self._till.earn(self._sale.job, self._sale.earned)
        return self._deadline.move(now, parameters.IDLE_TIMEOUT_MS)

    def on_message(self, message: Pay | Cancel, now: UnixMs) -> list[Effect]:
        """Take a message that the table allows now."""
        self._state = table.on_received(self._state, message)
        if isinstance(message, Pay):
            return self._on_pay(message, now)
        if self._state in _ENDED:
            return []
        # EXC-12: what the window still lets out is delivered, the rest is neither sent nor owed.
        effects = self._stop() + self._send_chunks()
        self._output.drop()
        return effects + self._send_receipt(Finish.CANCELLED, now)

    def _on_pay(self, pay: Pay, now: UnixMs) -> list[Effect]:
        try:
            rows = self._till.receive(self._sale.job, pay.voucher)
        except JobRefused as refusal:
            if refusal.code == "channel_exhausted":
                # The payer may have topped up while we could not read the chain: nobody's fault.
                return []
            raise RemoteProtocolError("EXC-8", refusal.message) from refusal
        effects: list[Effect] = [Persist(rows)] if rows else []
        if self._state in _ENDED:
            return effects
        return effects + self._deliver(now, is_due=True)

    def on_engine(
        self, given: EngineProduced | EngineFinished | EngineFailed, now: UnixMs
    ) -> list[Effect]:
        """Take what the engine says, unless the job has no more use for it."""
        if self._state is not State.RUNNING or not self._is_generating:
            return []
        effects: list[Effect] = []
        if not self._is_unpaid:
            effects = self._deadline.move(now, parameters.IDLE_TIMEOUT_MS)
        match given:
            case EngineProduced():
                # What was not asked for would break EXC-21.
                shown = given.logprobs if self._sale.request.logprobs else ()
                self._output.put(given.text, given.tokens, shown)
                return effects + self._deliver_sound(now, is_due=self._is_chunk_due(now))
            case EngineFinished():
                self._is_generating = False
                self._finish = given.finish
                self._cached = min(max(given.cached_tokens, 0), self._sale.prompt_tokens)
                # The engine counts tokens that show no text, such as the one that ends a turn.
                self._output.put("", given.completion_tokens - self._output.put_tokens)
                return effects + self._deliver_sound(now, is_due=True)
            case _:
                self._is_generating = False
                return effects + self._fail("engine", given.reason, now)

    def _deliver_sound(self, now: UnixMs, *, is_due: bool) -> list[Effect]:
        """Deliver, unless the requester would have to take the output for a lie."""
        is_telling = bool(self._sale.request.logprobs)
        broken = self._output.explain_broken(
            is_telling=is_telling, is_whole=self._finish is not None
        )
        if broken:
            return self._fail("engine", broken, now)
        return self._deliver(now, is_due=is_due)

    def _is_chunk_due(self, now: UnixMs) -> bool:
        """EXC-10: the first piece at once, then by time or size."""
        if self._sent_at is None or self._output.held_bytes >= parameters.CHUNK_FLUSH_BYTES:
            return True
        return now - self._sent_at >= parameters.CHUNK_INTERVAL_MS

    def on_timer(self, timer: TimerId, now: UnixMs) -> list[Effect]:
        """One of the timers of this stream fired."""
        if timer == self._chunk_timer:
            self._is_chunk_timer_set = False
            is_running = self._state is State.RUNNING
            return self._deliver(now, is_due=True) if is_running else []
        if timer != self._deadline.timer:
            return []
        passed, effects = self._deadline.on_fired(now)
        if not passed:
            return effects
        if self._state in _ENDED:
            return [*self._close(now), ResetStream(self._stream)]
        if self._is_unpaid:
            return self._fail("unpaid", "EXC-9: no voucher came in time", now)
        return self._fail("timeout", "EXC-14: the engine is silent", now)

    def _deliver(self, now: UnixMs, *, is_due: bool) -> list[Effect]:
        """Send what is due and paid for; hold the rest; finish when nothing is left."""
        if not is_due:
            return self._set_chunk_timer()
        effects = self._send_chunks()
        if effects:
            self._sent_at = now
            # Only progress counts: a voucher too small to let anything out buys no time.
            self._is_unpaid = False
            effects += self._deadline.move(now, parameters.IDLE_TIMEOUT_MS)
        if not self._output.is_empty:
            if not self._is_unpaid:
                self._is_unpaid = True
                effects += self._deadline.move(now, parameters.PAY_TIMEOUT_MS)
        elif self._finish is not None:
            effects += self._send_receipt(self._finish, now)
        return effects

    def _set_chunk_timer(self) -> list[Effect]:
        if self._is_chunk_timer_set or self._output.is_empty or self._sent_at is None:
            return []
        self._is_chunk_timer_set = True
        return [SetTimer(self._chunk_timer, UnixMs(self._sent_at + parameters.CHUNK_INTERVAL_MS))]

    def _send_chunks(self) -> list[Effect]:
        """EXC-9: never let what was delivered and not paid exceed the window."""
        effects: list[Effect] = []
        job = self._sale.job
        while not self._output.is_empty:
            allowance = self._sale.compute_allowance(self._till.get_paid(job))
            taken = self._output.take(allowance)
            if taken is None:
                break
            text, tokens, shown = taken
            self._till.earn(job, self._sale.earned)
            effects.append(self._send(Chunk(job, self._output.chunks - 1, text, tokens, shown)))
        return effects

    def _send_receipt(self, finish: Finish, now: UnixMs) -> list[Effect]:
        """EXC-13: the receipt is durable before it goes out."""
        sale = self._sale
        signed = sale.build_receipt(self._seller, finish, now)
        row = ReceiptRow(
            is_provider=True,
            peer=self._peer,
            receipt=signed,
            request=sale.request,
            completion=self._output.completion,
            ownership=self._seller.ownership,
        )
        kept = self._till.settle(sale.job)
        return [
            Persist((row, *kept, self._build_row("settling", now))),
            self._send(Finished(sale.job, signed, self._cached)),
            *self._cancel_chunk_timer(),
            *self._deadline.move(now, parameters.PAY_TIMEOUT_MS),
        ]

    def on_ended(self, ended: StreamEnded, now: UnixMs) -> list[Effect]:
        """The requester closed its side, or the stream is lost."""
        if self._state in _ENDED:
            last = CloseStream(self._stream) if ended.clean else ResetStream(self._stream)
            return [*self._close(now, is_lost=not ended.clean), last]
        return [*self.lose(now), ResetStream(self._stream)]

    def _close(self, now: UnixMs, *, is_lost: bool = False) -> list[Effect]:
        """The requester has said its last: what is not paid of a receipt by now is a debt.

        is_lost: the stream broke before the requester said so. It may not have heard that the job
        had begun, and was then to drop the stream if it wanted no more: no offence.
        """
        if self._failed is not None:
            self._forgive()
            return self._leave(self._failed, now)
        paid = self._till.get_paid(self._sale.job)
        if paid >= self._sale.earned:
            return self._leave("paid", now)
        if is_lost:
            return self._leave("lost", now)
        unpaid = f"EXC-13: {self._sale.earned - paid} wei of a receipt are unpaid"
        return [*self._leave("unpaid", now), Penalize(self._peer, "unpaid", unpaid)]

    def lose(self, now: UnixMs) -> list[Effect]:
        """The stream is lost or broken off: what was delivered stays owed."""
        return self._stop() + self._leave("lost", now)

    def withdraw(self, now: UnixMs) -> list[Effect]:
        """The job is refused before it started: nothing is owed."""
        return self._stop() + self._leave("failed", now)

    def _fail(self, code: FailureCode, reason: str, now: UnixMs) -> list[Effect]:
        """EXC-15: say so, and go on reading for as long as a Pay may be on its way."""
        self._failed = code
        effects = self._stop()
        if code == "unpaid":
            effects.append(Penalize(self._peer, "unpaid", reason))
        self._forgive()
        kept = self._till.settle(self._sale.job)
        return [
            *effects,
            Persist((*kept, self._build_row(code, now))),
            self._send(Failed(self._sale.job, code, reason[:128])),
            *self._cancel_chunk_timer(),
            *self._deadline.move(now, parameters.PAY_TIMEOUT_MS),
        ]

    def _forgive(self) -> None:
        """EXC-15: only an unpaid job leaves a debt; a failure of ours earns what it was paid."""
        job = self._sale.job
        if self._failed != "unpaid":
            self._till.earn(job, min(self._sale.earned, self._till.get_paid(job)))

    def _leave(self, state: str, now: UnixMs) -> list[Effect]:
        row = self._build_row(state, now)
        rows = self._till.close(self._sale.job)
        self._is_closed = True
        return [Persist((*rows, row)), *self._cancel_chunk_timer(), *self._deadline.cancel()]

    def _stop(self) -> list[Effect]:
        if not self._is_generating:
            return []
        self._is_generating = False
        return [StopGenerating(self._sale.job)]

    def _cancel_chunk_timer(self) -> list[Effect]:
        was_set, self._is_chunk_timer_set = self._is_chunk_timer_set, False
        return [CancelTimer(self._chunk_timer)] if was_set else []

    def _build_row(self, state: str, now: UnixMs) -> JobRow:
        job = self._sale.job
        owed = self._sale.earned if self._state is not State.ORDERED else Wei(0)
        paid, epoch = self._till.get_paid(job), self._sale.epoch
        return JobRow(job, True, self._peer, state, owed, paid, now, epoch)

    def _send(self, message: Chunk | Finished | Failed) -> Send:
        self._state = table.on_sent(self._state, message)
        return Send(self._stream, codec.encode(message))
