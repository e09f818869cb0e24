"""The provider's end of one exchange stream: from the first message to the admitted job.

What happens while the job runs is in `serving.py`.
"""

from p2p_modelex import limits
from p2p_modelex.core.effects import (
    CloseStream,
    CountTokens,
    Effect,
    FetchSplit,
    Generate,
    Penalize,
    ResetStream,
    Send,
    StreamId,
)
from p2p_modelex.core.exchange import parameters, table
from p2p_modelex.core.exchange.deadline import Deadline
from p2p_modelex.core.exchange.first_voucher import FirstVoucher
from p2p_modelex.core.exchange.patience import Patience
from p2p_modelex.core.exchange.ports import Till
from p2p_modelex.core.exchange.refusing import build_refused, refusal_of
from p2p_modelex.core.exchange.sale import (
    Sale,
    Stake,
    build_sale,
    find_ware,
    is_ahead,
    validate_request,
)
from p2p_modelex.core.exchange.serving import Serving
from p2p_modelex.core.exchange.table import State
from p2p_modelex.core.exchange.terms import OpenJobs, Seller
from p2p_modelex.core.inputs import (
    ChannelFetched,
    EngineFailed,
    EngineFinished,
    EngineProduced,
    EngineStarted,
    FrameReceived,
    Input,
    ShutDown,
    SplitFetched,
    StreamEnded,
    TimerFired,
    TokensCounted,
)
from p2p_modelex.errors import JobRefused, RemoteProtocolError
from p2p_modelex.ids import JobId, PeerId
from p2p_modelex.records import codec
from p2p_modelex.records.job import (
    Accept,
    Ask,
    Cancel,
    Order,
    Quoted,
    RequesterMessage,
    Started,
)
from p2p_modelex.units import UnixMs


class ProviderExchange:
    """Serves one job on one stream. Made on StreamOpened, driven by `step`, dropped when `is_over`.

    Inputs it wants: FrameReceived, StreamEnded (its stream), TimerFired `exchange/<stream>/...`,
    TokensCounted, EngineStarted, EngineProduced, EngineFinished, EngineFailed (its `job`),
    ChannelFetched (any, after the till noted it; ignored unless awaited), SplitFetched (any, after
    `sell`; likewise), ShutDown (also right after making it, if the node is shutting down). Others
    are ignored.
    """

    def __init__(
        self, stream: StreamId, peer: PeerId, seller: Seller, till: Till, jobs: OpenJobs
    ) -> None:
        self.stream = stream
        self.peer = peer
        self.job: JobId | None = None
        """The job this stream is about, once it is in hand."""
        self.first_voucher = FirstVoucher(till)
        self._named = b""
        self._seller = seller
        self._till = till
        self._jobs = jobs
        self._state = State.IDLE
        self._deadline = Deadline(stream, "wait")
        self._sale: Sale | None = None
        self._serving: Serving | None = None
        self._is_counting = False
        # An order of a split epoch that we may not have seen yet, until the chain has its say.
        self._early: Order | None = None
        self._patience = Patience()
        self._is_shutting_down = False

    @property
    def is_over(self) -> bool:
        """Whether nothing more will happen here; the node may forget this exchange."""
        return self._state is State.OVER

    @property
    def is_early(self) -> bool:
        """Whether an order waits for what the chain says of the token's split epoch."""
        return self._early is not None

    @property
    def stake(self) -> Stake:
        """What a job that has its first voucher has at stake."""
        assert self._sale is not None
        assert self.first_voucher.terms is not None
        return self._sale.build_stake(self.first_voucher.terms)

    def sell(self, seller: Seller) -> None:
        """Prices are now these; a job that is in hand keeps its own."""
        self._seller = seller

    def start(self, now: UnixMs) -> list[Effect]:
        """Call once, on StreamOpened: sets the first timer."""
        return self._deadline.move(now, parameters.REQUEST_TIMEOUT_MS)

    def step(self, given: Input, now: UnixMs) -> list[Effect]:
        """Take one input; a peer's breach of a rule resets the stream and penalises it."""
        if self.is_over:
            return []
        try:
            effects = self._dispatch(given, now)
        except RemoteProtocolError as error:
            offence = "bad_voucher" if error.rule == "EXC-8" else "protocol"
            effects = self._break_off(offence, str(error), now)
        except JobRefused as refusal:
            effects = self._refuse(refusal, now)
            if refusal.code == "bad_voucher":
                effects.append(Penalize(self.peer, "bad_voucher", refusal.message))
        if self._serving is not None:
            self._state = State.OVER if self._serving.is_over else self._serving.state
        if self.is_over:
            effects += self._deadline.cancel()
            if self.job is not None:
                self._jobs.release(self.job)
        return effects

    def _dispatch(self, given: Input, now: UnixMs) -> list[Effect]:
        match given:
            case FrameReceived(stream, payload) if stream == self.stream:
                return self._on_frame(payload, now)
            case StreamEnded(stream) if stream == self.stream:
                return self._on_ended(given, now)
            case TimerFired(timer) if timer == self._deadline.timer:
                return self._on_deadline(now)
            case ChannelFetched(channel) if channel == self.first_voucher.awaited:
                self.first_voucher.awaited = None
                return self._open(now)
            case SplitFetched() if self._early is not None:
                order, self._early = self._early, None
                return self._count(build_sale(self._seller, order, now), now)
            case ShutDown():
                self._is_shutting_down = True
            case TimerFired() if self._serving is not None:
                return self._serving.on_timer(given.timer, now)
            case TokensCounted(job) if job == self.job and self._is_counting:
                return self._on_counted(given.prompt_tokens, now)
            case EngineFailed(job) if job == self.job:
                return self._on_engine_failed(given, now)
            case EngineStarted(job) if job == self.job:
                return self._on_started(now)
            case EngineProduced(job) | EngineFinished(job) if job == self.job:
                return self._serving.on_engine(given, now) if self._serving is not None else []
        return []

    def _on_frame(self, payload: bytes, now: UnixMs) -> list[Effect]:
        limit = limits.EXCHANGE_FRAME_BYTES  # EXC-1
        message: RequesterMessage = codec.decode(RequesterMessage, payload, limit=limit)
        state = table.on_received(self._state, message)
        if self.job is not None and message.job != self.job:
            raise RemoteProtocolError("EXC-3", "a stream carries one job")
        self._state = state
        self._named = message.job
        match message:
            case Ask(job, request):
                validate_request(request)
                self._claim(JobId(job))
                self._patience.note(now)
                return self._count(Sale(JobId(job), request, find_ware(self._seller, request)), now)
            case Order(job, request):
                validate_request(request)
                self._claim(JobId(job))
                self._patience.note(now, message.deadline_ms)
                self.first_voucher.identify(message)
                if is_ahead(self._seller, message):
                    self._early = message
                    return [FetchSplit(), *self._wait(now)]
                return self._count(build_sale(self._seller, message, now), now)
            case Accept():
                assert self._sale is not None
                self._refuse_leaving()
                self._patience.note(now, message.deadline_ms)
                self.first_voucher.identify(message)
                self._sale.take_accept(message, now)
                return self._open(now)
            case Cancel() if state is State.WITHDRAWN:
                raise JobRefused("withdrawn", "EXC-31: as was asked")
            case _:
                assert self._serving is not None
                return self._serving.on_message(message, now)

    def _wait(self, now: UnixMs) -> list[Effect]:
        """Wait until the start for what leads to it."""
        return self._deadline.move(now, self._patience.compute_left_ms(now))

    def _claim(self, job: JobId) -> None:
        self._refuse_leaving()
        if not self._jobs.claim(job):
            raise JobRefused("busy", "EXC-7: too many jobs, or this one is in hand already")
        self.job = job

    def _refuse_leaving(self) -> None:
        if self._is_shutting_down:
            raise JobRefused("shutting_down", "EXC-7: this node is about to leave")

    def _count(self, sale: Sale, now: UnixMs) -> list[Effect]:
        # Counting a prompt costs the engine time that nobody pays, so what cannot fit is not.
        sale.validate_text()
        self._sale = sale
        self._is_counting = True
        return [CountTokens(sale.job, sale.request), *self._wait(now)]

    def _on_counted(self, prompt_tokens: int, now: UnixMs) -> list[Effect]:
        self._is_counting = False
        assert self._sale is not None
        self._sale.prompt_tokens = prompt_tokens
        self._sale.validate_size()
        if self._sale.signed is not None:
            return self._open(now)
        quoted = Quoted(self._sale.job, self._sale.build_quote(self._seller, now))
        return [self._send(quoted), *self._deadline.move(now, parameters.QUOTE_VALID_MS)]

    def _open(self, now: UnixMs) -> list[Effect]:
        """Judge the first voucher, with a look at the chain if we may know too little (EXC-8)."""
        sale = self._sale
        assert sale is not None
        wait = self._wait(now)
        rows = self.first_voucher.judge(sale)
        if rows is None:
            return [self.first_voucher.look(sale), *wait]
        self._serving = Serving(self.stream, self.peer, self._seller, self._till, sale)
        return [*self._serving.open(rows, now), Generate(sale.job, sale.pinned), *wait]

    def _on_started(self, now: UnixMs) -> list[Effect]:
        sale, serving = self._sale, self._serving
        if sale is None or serving is None or self._state is not State.ORDERED:
            return []
        started = self._send(Started(sale.job, sale.prompt_tokens, sale.window))
        return [started, *self._deadline.cancel(), *serving.start(now)]

    def _on_engine_failed(self, failed: EngineFailed, now: UnixMs) -> list[Effect]:
        if self._serving is not None and self._state is not State.ORDERED:
            return self._serving.on_engine(failed, now)
        return self._refuse(refusal_of(failed), now, failed.retry_after_ms)

    def _on_ended(self, ended: StreamEnded, now: UnixMs) -> list[Effect]:
        if self._serving is not None:
            return self._serving.on_ended(ended, now)
        self._state = State.OVER
        return [ResetStream(self.stream)]

    def _on_deadline(self, now: UnixMs) -> list[Effect]:
        passed, effects = self._deadline.on_fired(now)
        if not passed:
            return effects
        if self._state is State.QUOTED:
            return self._refuse(JobRefused("quote_expired", "EXC-5: ask again"), now)
        if self._state is State.IDLE:
            return self._break_off("stalled", "EXC-14: no request came", now)
        if self._patience.is_over(now):
            return self._refuse(JobRefused("deadline", "EXC-32: nobody waits any more"), now)
        return self._refuse(JobRefused("busy", "EXC-14: the engine or the chain is slow"), now)

    def _refuse(
        self, refusal: JobRefused, now: UnixMs, retry_after_ms: int | None = None
    ) -> list[Effect]:
        """Say why not and close; nothing is owed (EXC-7)."""
        refused = build_refused(self._named, refusal, self._jobs, retry_after_ms)
        effects = self._serving.withdraw(now) if self._serving is not None else []
        self._state = table.on_sent(self._state, refused)
        effects += [Send(self.stream, codec.encode(refused)), CloseStream(self.stream)]
        return effects

    def _break_off(self, offence: str, reason: str, now: UnixMs) -> list[Effect]:
        """The requester broke a rule: stop at once; what was delivered stays owed."""
        effects = self._serving.lose(now) if self._serving is not None else []
        self._state = State.OVER
        effects += [ResetStream(self.stream), Penalize(self.peer, offence, reason)]
        return effects

    def _send(self, message: Quoted | Started) -> Send:
        self._state = table.on_sent(self._state, message)
        return Send(self.stream, codec.encode(message))
