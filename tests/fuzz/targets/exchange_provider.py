"""A provider against a requester that says anything, and signs vouchers with the payer's key.

It ends; what it has streamed is never over a window ahead of the vouchers it holds; a voucher is
durable before anything is sent that relies on it; its lane is free again at the end.
"""

import hashlib

import msgspec

from p2p_modelex.core import effects as fx
from p2p_modelex.core import inputs as given
from p2p_modelex.records import codec
from p2p_modelex.records.job import (
    Ask,
    Cancel,
    Chunk,
    Finished,
    Pay,
    ProviderMessage,
    Quoted,
    RequesterMessage,
    Started,
)
from p2p_modelex.records.receipt import Finish
from p2p_modelex.records.rows import ReceivedVoucherRow
from p2p_modelex.records.voucher import SignedVoucher
from p2p_modelex.units import UnixMs, Wei
from tests.core.exchange import cases
from tests.core.exchange.pair import (
    CHANNEL,
    CHAT,
    OFFER,
    P_STREAM,
    PAYER,
    REQUEST,
    STATE,
    STRANGER,
    WEIGHTS,
    Pair,
    build_jobs,
    build_payee,
)
from tests.fuzz import trees
from tests.fuzz.choices import Choices

_LIKE: tuple[object, ...] = (
    cases.JOB,
    cases.OTHER_JOB,
    CHANNEL,
    WEIGHTS,
    *(value.to_bytes(16, "big") for value in (0, 1, 2, 10, 80, 2_000, 10_000, 2**128 - 1)),
    *range(4),
    63,
    64,
    65,
    1024,
    0.0,
    float("nan"),
)
_AMOUNTS = (0, 1, 10, 40, 80, 90, 100, 650, 2_000, 9_999, 10_000, 10_001, 2**128 - 1)
_TIMERS_MAX = 100
_FRAMES_PER_STEP = 2_000


class Watch:
    """Looks at every effect of the provider and holds it to its promises."""

    def __init__(self) -> None:
        self.quote = bytes(32)
        self.window = 0
        self.earned = 0
        self.kept = 0
        self.prompt_tokens = 0

    def look(self, effects: list[fx.Effect]) -> None:
        assert len(effects) < _FRAMES_PER_STEP
        for effect in effects:
            match effect:
                case fx.Persist(rows):
                    for row in rows:
                        codec.encode(row)
                        if isinstance(row, ReceivedVoucherRow):
                            self.kept = max(self.kept, row.signed.voucher.amount)
                case fx.Send(_, payload):
                    self._on_sent(codec.decode(ProviderMessage, payload, limit=1 << 20))

    def _on_sent(self, message: msgspec.Struct) -> None:
        match message:
            case Quoted():
                self.quote = hashlib.sha256(message.quote.payload).digest()
            case Started():
                self.window, self.prompt_tokens = message.window, message.prompt_tokens
                self.earned = self.prompt_tokens * OFFER.prompt_price
            case Chunk():
                cost = message.tokens * OFFER.completion_price
                self.earned = self.prompt_tokens * OFFER.prompt_price + cost
            case Finished():
                assert message.receipt.receipt.price == self.earned
        assert self.earned <= self.kept + self.window, "worked ahead of the vouchers"


def run(content: bytes) -> None:
    choices = Choices(content)
    jobs = build_jobs()
    pair, watch = Pair(payee=build_payee(STATE), jobs=jobs), Watch()
    watch.look(_carry(pair, pair.provider.start(pair.now)))
    while choices and not pair.provider.is_over:
        watch.look(_act(pair, choices, watch))
    _finish(pair, watch)
    assert not jobs._jobs, "a job is still in hand"
    account = pair.payee._channels[CHANNEL]
    assert all(lane.holder is None for lane in account.lanes.values()), "a lane is still held"
    assert len(account.lanes) <= 64
    assert watch.kept <= STATE.deposit, "a promise that nothing stands behind"


def _carry(pair: Pair, effects: list[fx.Effect]) -> list[fx.Effect]:
    pair.carry(pair.p, pair.r, effects)
    return effects


def _act(pair: Pair, choices: Choices, watch: Watch) -> list[fx.Effect]:
    job = cases.JOB
    match choices.below(16):
        case 0:
            return pair.to_provider(given.StreamEnded(P_STREAM, choices.chance(128), ""))
        case 1 | 2:
            tokens = choices.pick((5, 0, 100, 4096, 2**32 - 1))
            return pair.to_provider(given.TokensCounted(job, tokens))
        case 3 | 4:
            return pair.to_provider(given.EngineStarted(job, 5))
        case 5 | 6 | 7:
            text = choices.pick(("a", "", "word " * 60, "é" * 10_000))
            return pair.to_provider(given.EngineProduced(job, text, choices.pick((1, 0, 8, 100))))
        case 8:
            finish = choices.pick(tuple(Finish))
            return pair.to_provider(given.EngineFinished(job, finish, 5, choices.below(70)))
        case 9:
            code = choices.pick(("busy", "prompt_too_long", "unsupported", "engine"))
            return pair.to_provider(given.EngineFailed(job, code, "x", 2**40))
        case 10:
            pair.now = UnixMs(pair.now + choices.pick((1, 30, 16_000, 61_000)))
            name = choices.pick(("wait", "serve", "chunk", "x"))
            return pair.to_provider(given.TimerFired(fx.TimerId(f"exchange/{P_STREAM}/{name}")))
        case 11:
            told: tuple[given.Input, ...] = (
                given.ChannelFetched(CHANNEL, None),
                given.SplitFetched(None),
            )
            return pair.to_provider(choices.pick(told))
    return pair.to_provider(given.FrameReceived(P_STREAM, _draw(choices, watch)))


def _draw_voucher(choices: Choices) -> SignedVoucher:
    return cases.build_voucher(
        choices.pick(_AMOUNTS),
        lane=choices.pick((0, 0, 0, 1, 63, 64, 2**32 - 1)),
        epoch=choices.pick((0, 0, 0, 0, 1, 2**16 - 1)),
        channel=choices.pick((CHANNEL, CHANNEL, CHANNEL, bytes(32))),
        signer=choices.pick((PAYER, PAYER, PAYER, STRANGER)),
    )


def _draw(choices: Choices, watch: Watch) -> bytes:
    match choices.below(8):
        case 0:
            return choices.some()
        case 1:
            return trees.pack(trees.draw(RequesterMessage, choices, [cases.JOB]))
        case 2:
            message: msgspec.Struct = Ask(cases.JOB, choices.pick((REQUEST, CHAT)))
        case 3 | 4:
            order = cases.build_order(choices.pick((REQUEST, CHAT)))
            message = msgspec.structs.replace(order, voucher=_draw_voucher(choices))
        case 5:
            base = Wei(choices.pick((0, 0, 1, 2**128 - 1)))
            changes = {"quote": watch.quote, "voucher": _draw_voucher(choices), "base": base}
            message = msgspec.structs.replace(cases.build_accept(), **changes)
        case 6:
            message = Pay(cases.JOB, _draw_voucher(choices))
        case _:
            message = Cancel(cases.JOB)
    if choices.chance(40):
        return trees.pack(trees.bend(trees.to_plain(message), choices, _LIKE))
    return codec.encode(message)


def _finish(pair: Pair, watch: Watch) -> None:
    """A silent requester, engine and chain end it at last."""
    for _ in range(_TIMERS_MAX):
        if pair.provider.is_over or not pair.p.timers:
            break
        timer, at = min(pair.p.timers.items(), key=lambda one: one[1])
        del pair.p.timers[timer]
        pair.now = UnixMs(max(pair.now, at))
        watch.look(pair.to_provider(given.TimerFired(timer)))
    assert pair.provider.is_over, "nothing ends it"
