"""Money is conserved and nobody is ahead by more than the window, whatever happens when.

A rule-based machine runs jobs one after another over one channel, with frames delivered in any
interleaving, streams lost at any point, either node crashing to its persisted rows, the token
splitting and either node learning of it early or late, and checks after each step that
- what the provider delivered and was not paid is at most the window (EXC-9),
- what the requester paid and did not get is at most the window,
- no voucher exceeds the deposit and none ever shrinks in worth (LED-4, LED-6),
- whatever was sent had been persisted before.
"""

import msgspec
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
)

from p2p_modelex.core import effects as fx
from p2p_modelex.core import inputs as given
from p2p_modelex.core.exchange import pricing
from p2p_modelex.core.ledger.payee import PayeeLedger
from p2p_modelex.core.ledger.payer import PayerLedger
from p2p_modelex.errors import PaymentError
from p2p_modelex.records import codec
from p2p_modelex.records.advertisement import move_offer
from p2p_modelex.records.job import RequesterMessage
from p2p_modelex.records.receipt import Finish
from p2p_modelex.records.rows import (
    ChannelRow,
    IssuedVoucherRow,
    ReceivedVoucherRow,
    Row,
)
from p2p_modelex.records.split import SplitState
from p2p_modelex.records.voucher import Voucher
from p2p_modelex.units import Epoch, UnixMs, Wei, rescale
from tests.core.exchange.pair import (
    CHANNEL,
    CHANNELS,
    OFFER,
    OPERATOR,
    P_STREAM,
    PAYER,
    PROVIDER_KEY,
    R_STREAM,
    REQUEST,
    STATE,
    Pair,
    build_payee,
    build_payer,
    build_purchase,
    build_seller,
)

PROMPT_TOKENS = 5
SPLITS = 3


def compute_window(epoch: int) -> int:
    offer = move_offer(OFFER, Epoch(epoch))
    return pricing.compute_window(offer, REQUEST, PROMPT_TOKENS)


def worth(voucher: Voucher) -> int:
    """What it counts in the last epoch of the test."""
    return rescale(voucher.amount, voucher.epoch, SPLITS)


DEPOSIT = rescale(STATE.deposit, STATE.epoch, SPLITS)


class Market(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.payer: PayerLedger = build_payer()
        self.payee: PayeeLedger = build_payee()
        self.pair: Pair | None = None
        self.number = 0
        self.produced = 0
        self.promised: dict[int, int] = {}
        self.lost_jobs = 0
        self.r_rows: list[Row] = [ChannelRow(STATE, is_payer=True, peer=PROVIDER_KEY.peer)]
        self.p_rows: list[Row] = [ChannelRow(STATE, is_payer=False, peer=None)]
        # The token's, and what each end has seen of it.
        self.epoch = self.r_epoch = self.p_epoch = Epoch(0)

    @initialize()
    def begin(self) -> None:
        self.order(is_fast=True, prepay=0)

    def _is_free(self) -> bool:
        return self.pair is None or (self.pair.requester.is_over and self.pair.provider.is_over)

    @precondition(_is_free)
    @rule(is_fast=st.booleans(), prepay=st.sampled_from([0, 30]))
    def order(self, *, is_fast: bool, prepay: int) -> None:
        self._keep()
        self.number += 1
        self.produced = 0
        try:
            self.pair = self._build(self.number, is_fast=is_fast, prepay=prepay)
        except PaymentError:
            self.pair = None
            return
        self.pair.start()

    def _build(self, number: int, *, is_fast: bool = True, prepay: int = 0) -> Pair:
        epoch = self.r_epoch
        purchase = build_purchase(
            number,
            offer=move_offer(OFFER, epoch),
            max_cost=Wei(rescale(700, 0, epoch)),
            max_window=Wei(rescale(1_000, 0, epoch)),
            is_fast=is_fast,
            prepay=Wei(rescale(prepay, 0, epoch)),
        )
        return Pair(
            purchase,
            payer=self.payer,
            payee=self.payee,
            seller=build_seller(move_offer(OFFER, self.p_epoch)),
            prompt_tokens=PROMPT_TOKENS,
        )

    @rule()
    def split(self) -> None:
        self.epoch = Epoch(min(self.epoch + 1, SPLITS))

    @rule(is_requester=st.booleans(), touched=st.booleans())
    def learn(self, *, is_requester: bool, touched: bool) -> None:
        """An end hears of the split, and of its channel as the chain has it if that was touched."""
        deposit = Wei(rescale(STATE.deposit, STATE.epoch, self.epoch))
        state = msgspec.structs.replace(STATE, deposit=deposit, epoch=self.epoch)
        if is_requester:
            self.r_epoch = self.epoch
            self.r_rows += self.payer.note_channel(state, None) if touched else ()
            return
        self.p_epoch = self.epoch
        self.p_rows += self.payee.note_channel(state) if touched else ()
        if self.pair is not None:
            self.pair.provider.sell(build_seller(move_offer(OFFER, self.p_epoch)))
            self.pair.to_provider(given.SplitFetched(SplitState(self.epoch, 1)))

    @rule(to_provider=st.booleans())
    def move(self, *, to_provider: bool) -> None:
        if self.pair is not None:
            self.pair.move(to_provider=to_provider)
            self.pair._count()

    @rule()
    def pump(self) -> None:
        if self.pair is not None:
            self.pair.pump()

    @rule()
    def admit(self) -> None:
        if self.pair is not None and self.pair.has_generate:
            self.pair.to_provider(given.EngineStarted(self.pair.purchase.job, PROMPT_TOKENS))

    @rule(
        text=st.text("xyz ", max_size=300),
        tokens=st.integers(0, 20),
        wait=st.sampled_from([0, 10, 100]),
    )
    def produce(self, text: str, tokens: int, wait: int) -> None:
        if self.pair is not None and self.pair.has_generate:
            self.pair.now = UnixMs(self.pair.now + wait)
            self.produced += tokens
            self.pair.produce(text, tokens)

    @rule(tokens=st.integers(1, 20), ends=st.booleans())
    def serve(self, *, tokens: int, ends: bool) -> None:
        """What mostly happens, so that much happens between two splits."""
        self.pump()
        self.admit()
        self.pump()
        self.produce("text", tokens, 100)
        self.pump()
        if ends:
            self.finish(Finish.STOP, 0)
            self.pump()

    @rule(finish=st.sampled_from(Finish), more=st.integers(0, 2))
    def finish(self, finish: Finish, more: int) -> None:
        if self.pair is not None and self.pair.has_generate:
            self.pair.finish(self.produced + more, Finish(min(finish, 1)))

    @rule()
    def engine_fails(self) -> None:
        if self.pair is not None and self.pair.has_generate:
            self.pair.to_provider(
                given.EngineFailed(self.pair.purchase.job, "engine", "crashed", 0)
            )

    @rule()
    def cancel(self) -> None:
        if self.pair is not None:
            self.pair.to_requester(given.CancelRun(self.pair.purchase.job))

    @rule(index=st.integers(0, 3), is_provider=st.booleans())
    def fire(self, *, index: int, is_provider: bool) -> None:
        if self.pair is None:
            return
        side = self.pair.p if is_provider else self.pair.r
        names = sorted(side.timers)
        if names:
            self.pair.fire(side, names[index % len(names)].split("/")[-1])

    @rule()
    def lose_stream(self) -> None:
        """Frames on the way are lost and each end learns of it."""
        if self.pair is None:
            return
        self.pair.r.inbox.clear()
        self.pair.p.inbox.clear()
        self.pair.to_requester(given.StreamEnded(R_STREAM, clean=False, reason="lost"))
        self.pair.to_provider(given.StreamEnded(P_STREAM, clean=False, reason="lost"))

    def _keep(self) -> None:
        if self.pair is not None:
            self.r_rows += self.pair.r.rows
            self.p_rows += self.pair.p.rows
            self.pair.r.rows, self.pair.p.rows = [], []

    @rule()
    def crash_requester(self) -> None:
        """Only what was persisted is left."""
        self._keep()
        if self.pair is not None:
            self.pair.to_provider(given.StreamEnded(P_STREAM, clean=False, reason="lost"))
            self._keep()
        self.pair = None
        self.payer = PayerLedger(PAYER, CHANNELS)
        self.payer.restore(_newest(self.r_rows))

    @rule()
    def crash_provider(self) -> None:
        self._keep()
        if self.pair is not None:
            self.pair.to_requester(given.StreamEnded(R_STREAM, clean=False, reason="lost"))
            self._keep()
        self.pair = None
        self.payee = PayeeLedger(OPERATOR.address, CHANNELS)
        self.payee.restore(_newest(self.p_rows))

    @invariant()
    def nobody_is_ahead_by_more_than_the_window(self) -> None:
        pair = self.pair
        if pair is None:
            return
        sale = pair.provider._sale
        if sale is not None and pair.provider._serving is not None and not pair.provider.is_over:
            paid = pair.payee.get_paid(pair.purchase.job)
            assert sale.earned - paid <= compute_window(sale.epoch)
        intake = pair.requester._intake
        assert pair.requester._payments.paid - intake.owed <= compute_window(pair.lane.epoch)

    @invariant()
    def vouchers_never_shrink_nor_exceed_the_deposit(self) -> None:
        self._keep()
        for row in self.r_rows:
            if isinstance(row, IssuedVoucherRow):
                assert worth(row.signed.voucher) <= DEPOSIT
        newest = [r for r in _newest(self.r_rows) if isinstance(r, IssuedVoucherRow)]
        for row in newest:
            voucher = row.signed.voucher
            assert worth(voucher) >= self.promised.get(voucher.lane, 0)
            self.promised[voucher.lane] = worth(voucher)
        assert sum(self.promised.values()) <= DEPOSIT
        self._check_sent()
        self._check_held()

    def _check_sent(self) -> None:
        """Whatever was sent had been persisted before."""
        issued = {r.signed for r in self.r_rows if isinstance(r, IssuedVoucherRow)}
        for frame in self.pair.p.inbox if self.pair else ():
            if isinstance(frame, bytes):
                message = codec.decode(RequesterMessage, frame, limit=10**6)
                signed = getattr(message, "voucher", None)
                assert signed is None or signed in issued

    def _check_held(self) -> None:
        """The payee holds no voucher that was not issued."""
        held = [r for r in _newest(self.p_rows) if isinstance(r, ReceivedVoucherRow)]
        for row in held:
            voucher = row.signed.voucher
            assert worth(voucher) <= self.promised.get(voucher.lane, 0)

    def teardown(self) -> None:
        """From any state, honest ends come to an agreement: a new job runs to its receipt."""
        if self.pair is not None:
            self.lose_stream()
        self.pair = None
        self.r_epoch = self.p_epoch = self.epoch
        for number in range(1000, 1004):
            try:
                pair = self._build(number)
            except PaymentError:
                return  # the deposit is spent
            pair.start()
            pair.pump()
            if not pair.has_generate:
                failed = pair.r.events[-1]
                assert isinstance(failed, fx.RunFailed)
                assert failed.code in ("debt", "channel_exhausted"), failed
                continue
            pair.to_provider(given.EngineStarted(pair.purchase.job, PROMPT_TOKENS))
            pair.produce("x", 1)
            pair.finish(1)
            pair.pump()
            assert isinstance(pair.r.events[-1], fx.RunFinished)
            assert pair.payee.get_debt(CHANNEL) == 0
            return
        raise AssertionError("no agreement after four jobs")


def _newest(rows: list[Row]) -> list[Row]:
    """What a store keeps: the newest row of each key."""
    kept: dict[object, Row] = {}
    for row in rows:
        match row:
            case IssuedVoucherRow(signed) | ReceivedVoucherRow(signed):
                key: object = (type(row), signed.voucher.channel, signed.voucher.lane)
            case ChannelRow(state):
                key = (ChannelRow, state.channel)
            case _:
                key = (type(row), getattr(row, "job", None), getattr(row, "is_provider", None))
        kept[key] = row
    return list(kept.values())


TestMarket = Market.TestCase
TestMarket.settings = settings(max_examples=60, stateful_step_count=30)


def test_an_older_debt_than_the_credit_of_a_lost_job_is_found_before_the_next_begins() -> None:
    market = Market()
    market.begin()
    market.pump()
    market.admit()
    market.crash_requester()
    market.order(is_fast=False, prepay=30)
    market.pump()
    market.admit()
    market.teardown()
