"""A requester against a provider that says anything, and signs what it says with its own keys.

It ends with exactly one result, pays for no more than it received and its prepayment, never over
its ceiling, and makes every voucher durable before it is sent.
"""

from contextlib import suppress

import msgspec

from p2p_modelex.core import effects as fx
from p2p_modelex.core import inputs as given
from p2p_modelex.core.exchange.sale import compute_request_digest
from p2p_modelex.core.exchange.verification import verify_receipt_row
from p2p_modelex.errors import RemoteProtocolError
from p2p_modelex.records import codec, envelope
from p2p_modelex.records.job import (
    Chunk,
    Failed,
    Order,
    Pay,
    ProviderMessage,
    Refused,
    Request,
    RequesterMessage,
    Started,
)
from p2p_modelex.records.receipt import Finish
from p2p_modelex.records.rows import IssuedVoucherRow, Row
from p2p_modelex.records.tools import split_calls
from p2p_modelex.units import UnixMs, Wei
from tests.core.exchange import cases
from tests.core.exchange.pair import (
    CHANNEL,
    NOW,
    OFFER,
    R_STREAM,
    REGISTRY,
    REQUEST,
    STATE,
    WEIGHTS,
    Pair,
    build_purchase,
)
from tests.fuzz import trees
from tests.fuzz.choices import Choices

_LIKE: tuple[object, ...] = (
    cases.JOB,
    cases.OTHER_JOB,
    CHANNEL,
    WEIGHTS,
    compute_request_digest(REQUEST),
    *(value.to_bytes(16, "big") for value in (0, 1, 80, 81, 2_000, 10_000, 2**128 - 1)),
    *range(12),
    64,
    65,
    NOW,
    "debt",
    "earned=1",
    "earned=1000",
    "earned=" + "9" * 39,
    "unpaid",
)
_PREPAY = Wei(100)
# Timers that a machine sets again and again without an end would never let a job go.
_TIMERS_MAX = 100


class Provider:
    """What the hostile end knows: how much it has streamed, so that it can seem honest."""

    def __init__(self, request: Request) -> None:
        self.request = request
        self.chunks = 0
        self.tokens = 0
        self.prompt_tokens = 0
        self.text = ""
        self.claimed_prompt = self.claimed_tokens = 0

    def say(self, choices: Choices) -> bytes:
        """A frame, and note what it claims to have delivered: all that may be paid for."""
        frame = self.draw(choices)
        with suppress(RemoteProtocolError):
            message = codec.decode(ProviderMessage, frame, limit=1 << 20)
            if isinstance(message, Started):
                self.claimed_prompt = max(self.claimed_prompt, message.prompt_tokens)
            elif isinstance(message, Chunk):
                self.claimed_tokens = max(self.claimed_tokens, message.tokens)
        return frame

    @property
    def claimed(self) -> int:
        """What the provider can have earned at the most, in wei."""
        completion = self.claimed_tokens * OFFER.completion_price
        return self.claimed_prompt * OFFER.prompt_price + completion

    def draw(self, choices: Choices) -> bytes:
        match choices.below(8):
            case 0:
                return choices.some()
            case 1:
                return trees.pack(trees.draw(ProviderMessage, choices, [cases.JOB]))
            case 2:
                self.prompt_tokens = choices.pick((5, 0, 80, 81, 2**32 - 1))
                message: msgspec.Struct = Started(
                    cases.JOB, self.prompt_tokens, Wei(choices.pick((80, 0, 1, 20, 81, 2**100)))
                )
            case 3 | 4:
                message = self._draw_chunk(choices)
            case 5:
                message = self._draw_finished(choices)
            case 6:
                message = cases.build_quote(prompt_tokens=choices.pick((5, 0, 80, 81)))
            case _:
                reason = choices.pick(("", "earned=1", "earned=60", "earned=" + "9" * 39, "x"))
                message = choices.pick(
                    (
                        Failed(cases.JOB, choices.pick(("engine", "unpaid")), reason),
                        Refused(cases.JOB, choices.pick(("busy", "debt")), reason, 2**32 - 1),
                    )
                )
        if choices.chance(40):
            return trees.pack(trees.bend(trees.to_plain(message), choices, _LIKE))
        return codec.encode(message)

    def _draw_chunk(self, choices: Choices) -> Chunk:
        text = choices.pick(("a", "", "word ", "é" * 2000, "\x00", cases.CALL, "\x1e", "{}\n"))
        self.tokens = min(2**32 - 1, self.tokens + choices.pick((1, 2, 0, 8, 64, 2**31)))
        self.text += text
        self.chunks += 1
        told = choices.pick(((), (cases.tell(b"a", 1, 2),), (cases.tell(b"a", 2, 1, 3),) * 3))
        return Chunk(cases.JOB, self.chunks - 1, text, self.tokens, told)

    def _draw_finished(self, choices: Choices) -> msgspec.Struct:
        cost = self.prompt_tokens * OFFER.prompt_price + self.tokens * OFFER.completion_price
        return cases.build_finished(
            request=compute_request_digest(self.request),
            finish=choices.pick((Finish.STOP, Finish.LENGTH, Finish.CANCELLED, Finish.TOOL_CALLS)),
            completion=envelope.digest(self.text.encode()),
            prompt_tokens=self.prompt_tokens,
            completion_tokens=self.tokens,
            price=Wei(cost + choices.pick((0, 0, 0, 1, 2**64))),
            lane=choices.pick((0, 0, 1)),
        )


class Watch:
    """Looks at every effect of the requester and holds it to its promises."""

    def __init__(self, request: Request) -> None:
        self.request = request
        self.ends = 0
        self.promised = 0
        self._durable: dict[bytes, None] = {}

    def look(self, effects: list[fx.Effect]) -> None:
        for effect in effects:
            late = isinstance(effect, fx.Send | fx.Emit | fx.Persist | fx.SetTimer)
            assert not (self.ends and late), "a word after the end"
            match effect:
                case fx.Persist(rows):
                    self._keep(rows)
                case fx.Send(_, payload):
                    self._on_sent(payload)
                case fx.Emit(fx.RunText() as piece):
                    assert piece.tokens <= REQUEST.max_tokens
                    assert all(len(one.top) < self.request.logprobs for one in piece.logprobs)
                case fx.Emit(fx.RunFinished() as done):
                    self.ends += 1
                    verify_receipt_row(done.row, REGISTRY, UnixMs(NOW * 2))
                    if self.request.tools and done.finish is not Finish.CANCELLED:
                        split_calls(done.row.completion)
                case fx.Emit(fx.RunFailed()):
                    self.ends += 1

    def _keep(self, rows: tuple[Row, ...]) -> None:
        for row in rows:
            codec.encode(row)
            if isinstance(row, IssuedVoucherRow):
                self._durable[codec.encode(row.signed)] = None

    def _on_sent(self, payload: bytes) -> None:
        message = codec.decode(RequesterMessage, payload, limit=1 << 20)
        if isinstance(message, Order | Pay):
            assert codec.encode(message.voucher) in self._durable, "sent before it was kept"
            amount = message.voucher.voucher.amount
            assert amount >= self.promised, "a voucher shrank"
            self.promised = amount


def run(content: bytes) -> None:
    choices = Choices(content)
    is_fast = choices.chance(160)
    prepay = choices.pick((Wei(0), _PREPAY))
    request = choices.pick((REQUEST, cases.TELLING, cases.EQUIPPED))
    purchase = build_purchase(request=request, is_fast=is_fast, prepay=prepay)
    pair, provider, watch = Pair(purchase), Provider(request), Watch(request)
    first = pair.requester.start(NOW)
    pair.carry(pair.r, pair.p, first)
    watch.look(first)
    while choices and not pair.requester.is_over:
        watch.look(_act(pair, provider, choices))
        assert watch.promised <= max(provider.claimed, prepay), "paid for more than came"
        assert watch.promised <= purchase.max_cost, "paid over the ceiling"
    finish(pair, watch)


def _act(pair: Pair, provider: Provider, choices: Choices) -> list[fx.Effect]:
    match choices.below(16):
        case 0:
            happened: given.Input = given.StreamEnded(R_STREAM, choices.chance(128), "")
        case 1:
            happened = given.CancelRun(cases.JOB)
        case 2:
            pair.now = UnixMs(pair.now + choices.pick((1, 20_000, 61_000)))
            happened = given.TimerFired(fx.TimerId(f"exchange/{R_STREAM}/wait"))
        case _:
            happened = given.FrameReceived(R_STREAM, provider.say(choices))
    return pair.to_requester(happened)


def finish(pair: Pair, watch: Watch) -> None:
    """A silent provider ends it at last, and the lane's books are within the deposit."""
    for _ in range(_TIMERS_MAX):
        if pair.requester.is_over or not pair.r.timers:
            break
        timer, at = min(pair.r.timers.items(), key=lambda one: one[1])
        del pair.r.timers[timer]
        pair.now = UnixMs(max(pair.now, at))
        watch.look(pair.to_requester(given.TimerFired(timer)))
    assert pair.requester.is_over, "nothing ends it"
    assert watch.ends == 1, f"{watch.ends} results"
    assert not pair.to_requester(given.FrameReceived(R_STREAM, b""))
    assert pair.payer.get_left(CHANNEL, pair.lane.epoch) <= STATE.deposit
