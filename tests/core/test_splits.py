"""The token splits under a running node: its prices, limits and vouchers follow."""

from dataclasses import replace
from typing import Any

import msgspec
import pytest

from p2p_modelex.core import effects as fx
from p2p_modelex.core import inputs as given
from p2p_modelex.core import selling
from p2p_modelex.core.effects import StreamId
from p2p_modelex.core.exchange.terms import Seller, Ware
from p2p_modelex.core.funding import Budget
from p2p_modelex.core.redeeming import SETTLE_TIMER
from p2p_modelex.core.split_watch import (
    LOOK_INTERVAL_MS,
    LOOK_PAUSE_MS,
    NEAR_INTERVAL_MS,
    SPLIT_TIMER,
    SplitWatch,
)
from p2p_modelex.records import codec, voucher
from p2p_modelex.records.advertisement import Offer, move_offer
from p2p_modelex.records.job import Order, ProviderMessage, Refused
from p2p_modelex.records.split import SplitState
from p2p_modelex.records.voucher import Voucher
from p2p_modelex.units import Epoch, UnixMs, Wei
from tests.core.buyer import Buyer, Sale, build_state
from tests.core.exchange.pair import (
    CHANNEL,
    CHANNELS,
    ENGINE,
    NOW,
    OFFER,
    OWNERSHIP,
    PAYER,
    PROVIDER_KEY,
    REQUEST,
    STATE,
    TERMS,
    Pair,
    build_job,
    build_purchase,
    build_seller,
)
from tests.core.test_buying import CEILING
from tests.core.test_node import build, meet, opened, wanted
from tests.core.test_selling import Stall

ONE = Epoch(1)
SPLIT = given.SplitFetched(SplitState(ONE, 7))
OFFER_1 = move_offer(OFFER, ONE)
STATE_1 = msgspec.structs.replace(STATE, deposit=Wei(2 * STATE.deposit), epoch=1)


def order(epoch: int, number: int = 1, **changes: Any) -> Order:
    offer = move_offer(OFFER, Epoch(epoch))
    signed = voucher.sign(Voucher(CHANNEL, 0, Wei(0), epoch), CHANNELS, PAYER)
    prices = offer.prompt_price, offer.completion_price
    made = Order(build_job(number), REQUEST, *prices, Wei(4_000), TERMS.of_payer, signed, Wei(0))
    return msgspec.structs.replace(made, **changes)


def refusal(effects: list[fx.Effect]) -> Refused:
    sent = next(effect for effect in effects if isinstance(effect, fx.Send))
    message: ProviderMessage = codec.decode(ProviderMessage, sent.payload, limit=10**6)
    assert isinstance(message, Refused)
    return message


def test_an_offer_keeps_its_share_of_the_supply() -> None:
    assert move_offer(OFFER, Epoch(0)) is OFFER
    assert move_offer(OFFER_1, Epoch(0)) is OFFER_1
    moved = move_offer(OFFER, Epoch(3))
    assert (moved.prompt_price, moved.completion_price, moved.epoch) == (16, 80, 3)


# The watch.


def test_the_chain_is_asked_at_intervals_and_once_at_a_time() -> None:
    watch = SplitWatch()
    assert watch.start(NOW) == [fx.FetchSplit()]
    assert watch.look(NOW) == []
    again = fx.SetTimer(SPLIT_TIMER, UnixMs(NOW + LOOK_INTERVAL_MS))
    assert watch.step(given.SplitFetched(None), NOW) == [again]
    later = UnixMs(NOW + LOOK_PAUSE_MS)
    assert watch.look(NOW) == [fx.SetTimer(SPLIT_TIMER, later)], "strangers may make us look"
    assert watch.step(given.TimerFired(SPLIT_TIMER), later) == [fx.FetchSplit()]
    assert watch.step(given.ShutDown(), later) == []
    near = fx.SetTimer(SPLIT_TIMER, UnixMs(later + NEAR_INTERVAL_MS))
    assert watch.step(given.SplitFetched(SplitState(Epoch(0), 7, 20, 40)), later) == [near]
    assert watch.paused_until == 0
    watch.step(given.SplitFetched(SplitState(Epoch(0), 19, 20, 40)), later)
    assert watch.paused_until == 40
    watch.step(given.SplitFetched(None), later)
    assert watch.paused_until == 40, "what was known holds while the chain is out of reach"


def test_epochs_only_rise() -> None:
    watch = SplitWatch()
    assert watch.note_epoch(1)
    assert not watch.note_epoch(1)
    assert not watch.note_epoch(0)
    assert watch.epoch == 1


# The node.


def test_a_node_that_begins_after_splits_sells_at_the_prices_of_now() -> None:
    core = build()
    core.begin_in(SplitState(Epoch(2), 7))
    core.begin_in(SplitState(Epoch(2), 8))
    core.advertise(["/memory/1"], [OWNERSHIP], NOW)
    assert find_offers(core) == (move_offer(OFFER, Epoch(2)),)


def find_offers(core: Any) -> tuple[Offer, ...]:
    entry = core.directory.get(PROVIDER_KEY.peer)
    assert entry is not None
    offers: tuple[Offer, ...] = entry.advertisement.offers
    return offers


@pytest.mark.parametrize(
    "news",
    [
        SPLIT,
        given.ChannelFetched(CHANNEL, STATE_1),
        given.ChannelOpened(STATE.payee, STATE_1),  # type: ignore[arg-type]
    ],
    ids=["split", "fetched", "opened"],
)
def test_a_split_is_learned_from_whatever_the_chain_says(news: given.Input) -> None:
    core = build()
    core.advertise(["/memory/1"], [OWNERSHIP], NOW)
    later = UnixMs(NOW + 1)
    effects = core.step(news, later)
    assert fx.SetTimer(SETTLE_TIMER, later) in effects, "what the pause held up is redeemed"
    assert fx.PayOut(core.payee.payees[0]) in effects, "and what it left unpaid is paid out"
    assert find_offers(core) == (OFFER_1,)
    assert core.splits.epoch == 1


def test_a_split_before_anything_is_advertised_is_no_reason_to_advertise() -> None:
    core = build()
    core.step(given.SplitFetched(None), NOW)
    assert core.splits.epoch == 0
    effects = core.step(SPLIT, NOW)
    assert not any(isinstance(effect, fx.OpenStream | fx.Persist) for effect in effects)
    assert core.directory.get(PROVIDER_KEY.peer) is None


def test_a_node_that_leaves_is_not_brought_back_by_a_split() -> None:
    core = build()
    core.advertise(["/memory/1"], [OWNERSHIP], NOW)
    core.withdraw(UnixMs(NOW + 1))
    core.step(SPLIT, UnixMs(NOW + 2))
    assert find_offers(core) == ()


def test_a_clock_that_went_back_does_not_stop_a_node_that_learns_of_a_split() -> None:
    core = build()
    core.advertise(["/memory/1"], [OWNERSHIP], NOW)
    core.step(SPLIT, UnixMs(NOW - 10**6))
    assert find_offers(core) == (OFFER,), "which others read at twice the number"
    assert core.splits.epoch == 1


def test_a_node_that_only_buys_looks_too_and_orders_at_the_prices_of_now() -> None:
    core = build(sells=False)
    meet(core, build())
    later = UnixMs(NOW + 10**6)
    core.step(SPLIT, NOW)
    assert core.step(given.TimerFired(SPLIT_TIMER), later) == [fx.FetchSplit()]
    job = build_job(9)
    effects = core.step(wanted(job), UnixMs(NOW + 2))
    [deposit] = [effect for effect in effects if isinstance(effect, fx.OpenChannel)]
    assert deposit.deposit == max(2 * CEILING, 200)


# The provider.


def test_an_order_of_a_later_epoch_waits_until_the_chain_was_asked() -> None:
    core = build()
    core.payee.note_channel(msgspec.structs.replace(STATE, payee=OWNERSHIP.ownership.operator))
    core.step(given.SplitFetched(None), NOW)
    core.step(opened("/modelex/exchange/1"), NOW)
    now = UnixMs(NOW + 2_000)
    frame = given.FrameReceived(StreamId(1), codec.encode(order(1)))
    assert fx.FetchSplit() in core.step(frame, now)
    effects = core.step(SPLIT, now)
    assert any(isinstance(effect, fx.CountTokens) for effect in effects)


@pytest.mark.parametrize("epoch", [0, 2])
def test_an_order_of_another_epoch_is_refused(epoch: int) -> None:
    """EXC-6: the requester is to look at the chain, and so do we if it may be ahead."""
    core = build()
    core.step(SPLIT, NOW)
    core.step(opened("/modelex/exchange/1"), NOW)
    effects = core.step(given.FrameReceived(StreamId(1), codec.encode(order(epoch))), NOW)
    if epoch:
        effects = core.step(SPLIT, NOW)
    refused = refusal(effects)
    assert (refused.code, refused.reason) == ("wrong_epoch", "EXC-6: prices are in split epoch 1")
    assert refused.retry_after_ms > 0


def test_few_orders_of_a_later_epoch_are_held(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(selling, "EARLY_MAX", 1)
    stall = Stall()
    stream = stall.open()
    assert fx.FetchSplit() in stall.frame(stream, order(9))
    stream = stall.open()
    assert refusal(stall.frame(stream, order(9, 2))).code == "busy"


def test_a_job_ends_in_the_epoch_it_began_in() -> None:
    """LED-3: although the channel was touched in the next one, and others begin in that."""
    pair = Pair()
    pair.begin()
    pair.payee.note_channel(STATE_1)
    pair.payer.note_channel(STATE_1, None)
    pair.provider.sell(build_seller(OFFER_1))
    other = Pair(
        build_purchase(2, offer=OFFER_1),
        payer=pair.payer,
        payee=pair.payee,
        seller=build_seller(OFFER_1),
    )
    other.begin()
    assert (pair.lane.epoch, other.lane.epoch) == (0, 1)
    for one in (pair, other):
        one.produce("x" * 20, 20)
        one.finish(20)
        one.pump()
    done, then = pair.r.events[-1], other.r.events[-1]
    assert isinstance(done, fx.RunFinished)
    assert isinstance(then, fx.RunFinished)
    assert (done.row.receipt.receipt.epoch, then.row.receipt.receipt.epoch) == (0, 1)
    assert then.paid == 2 * done.paid
    assert pair.payee.get_debt(CHANNEL) == 0
    assert pair.payer.get_left(CHANNEL, ONE) == 20_000 - 4 * done.paid


def test_what_a_quote_promised_before_a_split_is_kept() -> None:
    pair = Pair(build_purchase(is_fast=False))
    pair.start()
    for _ in range(2):
        pair.move(to_provider=True)
        pair._count()
    pair.provider.sell(build_seller(OFFER_1))
    pair.payee.note_channel(STATE_1)
    pair.pump()
    assert pair.has_generate


def test_a_quote_of_another_epoch_is_no_offence() -> None:
    """EXC-5."""
    pair = Pair(build_purchase(is_fast=False), seller=build_seller(OFFER_1))
    pair.start()
    pair.pump()
    failed = pair.r.events[-1]
    assert isinstance(failed, fx.RunFailed)
    assert (failed.code, failed.refused) == ("wrong_epoch", True)
    assert pair.r.penalties == []


# The requester.


def test_whoever_is_refused_for_the_epoch_asks_the_chain_and_orders_again() -> None:
    buyer = Buyer(1)
    buyer.request()
    buyer.make()
    buyer.refuse("wrong_epoch")
    assert fx.FetchSplit() in buyer.effects
    assert not buyer.buying.is_idle
    split(buyer)
    vendor = buyer.vendors[0]
    vendor.seller = reprice(vendor.seller, OFFER_1)
    sale = Sale(buyer)
    sale.begin().finish()
    done = buyer.events[-1]
    assert isinstance(done, fx.RunFinished)
    assert done.row.receipt.receipt.epoch == 1
    assert done.paid == 2 * (5 * 2 + 10)
    assert not buyer.circuits.is_open(vendor.key.peer, buyer.now, 0)


def split(buyer: Buyer) -> None:
    """The chain has split, and says so."""
    buyer.splits.step(SPLIT, buyer.now)
    buyer.splits.note_epoch(1)
    buyer.tell(SPLIT)


def reprice(seller: Seller, offer: Offer) -> Seller:
    return replace(seller, wares=(Ware(offer, ENGINE),))


def test_the_chain_is_asked_once_for_each_run() -> None:
    buyer = Buyer(2)
    buyer.request()
    buyer.make()
    buyer.refuse("wrong_epoch")
    buyer.tell(given.SplitFetched(None))
    buyer.answer_probes()
    buyer.refuse("wrong_epoch")
    assert not any(isinstance(effect, fx.FetchSplit) for effect in buyer.effects)
    assert buyer.deposits(), "the next provider"
    buyer.tell(given.ChannelOpenFailed(buyer.vendor().account, "no"))
    assert buyer.ended().code == "no_channel"


def test_who_knows_only_prices_of_a_later_epoch_asks_the_chain_first() -> None:
    """RTE-4."""
    buyer = Buyer(1)
    vendor = buyer.vendors[0]
    said = msgspec.structs.replace(vendor.entry.advertisement, offers=(OFFER_1,))
    vendor.entry = msgspec.structs.replace(vendor.entry, advertisement=said)
    buyer.request(probed=False)
    assert buyer.effects == [fx.FetchSplit()]
    split(buyer)
    assert buyer.deposits()
    other = Buyer(1)
    other.vendors = buyer.vendors
    other.shelf.vendors = buyer.vendors
    other.request(probed=False)
    other.tell(given.SplitFetched(None))
    assert "RTE-4" in other.ended().reason


def test_limits_of_an_earlier_epoch_are_worth_as_much_in_this_one() -> None:
    buyer = Buyer(1)
    split(buyer)
    buyer.request(max_completion_price=Wei(10), max_prompt_price=Wei(2), max_cost=Wei(CEILING))
    assert buyer.deposits()
    other = Buyer(1)
    split(other)
    other.request(epoch=ONE, max_completion_price=Wei(19))
    assert "RTE-13" in other.ended().reason


def test_a_deposit_that_a_split_halved_is_made_up_for() -> None:
    buyer = Buyer(1, Budget(Wei(CEILING), Wei(10**6)))
    buyer.request()
    [first] = buyer.deposits()
    assert isinstance(first, fx.OpenChannel)
    assert first.deposit == CEILING
    split(buyer)
    state = build_state(first.payee, CEILING)
    buyer.tell(given.ChannelOpened(first.payee, msgspec.structs.replace(state, epoch=1)))
    [second] = buyer.deposits()
    assert isinstance(second, fx.TopUpChannel)
    assert second.amount == 2 * CEILING, "at least what is lacking, and the automatic deposit"


def test_in_a_pause_channels_that_are_there_are_used_and_no_deposit_is_asked() -> None:
    buyer = Buyer(3)
    rich = buyer.vendors[2]
    buyer.payer.note_channel(build_state(rich.account, 10_000), None)
    buyer.splits.step(given.SplitFetched(SplitState(Epoch(0), 30, 20, 40)), buyer.now)
    buyer.request(attempts=1)
    assert buyer.opened().peer == rich.key.peer


def test_a_pause_that_a_deposit_met_is_no_attempt_and_is_told() -> None:
    buyer = Buyer(2)
    buyer.request(attempts=1)
    paused = SplitState(Epoch(0), 30, 20, 40)
    buyer.splits.step(given.SplitFetched(paused), buyer.now)
    buyer.tell(given.ChannelOpenFailed(buyer.vendor().account, "TransfersPaused(splitsAt=40)"))
    failed = buyer.ended()
    assert failed.code == "no_channel"
    assert "paused for a split until block 40" in failed.reason


def test_what_was_spent_before_a_split_counts_twice() -> None:
    buyer = Buyer(2)
    buyer.request()
    buyer.make()
    first = Sale(buyer)
    first.step(given.EngineStarted(first.job, 5))
    first.step(given.EngineProduced(first.job, "words " * 10, 10))
    first.step(given.EngineFailed(first.job, "engine", "crashed", 0))
    [second] = buyer.deposits()
    buyer.splits.note_epoch(1)
    vendor = next(one for one in buyer.vendors if one.account == second.payee)
    vendor.seller = reprice(vendor.seller, OFFER_1)
    buyer.make()
    Sale(buyer).begin().finish()
    [restarted] = [event for event in buyer.events if isinstance(event, fx.RunRestarted)]
    done = buyer.events[-1]
    assert restarted.why.paid > 0
    assert isinstance(done, fx.RunFinished)
    assert done.paid == 2 * restarted.why.paid + 2 * (5 * 2 + 10)


def test_a_state_of_a_later_epoch_is_one_the_payee_can_still_sell_on() -> None:
    stall = Stall(STATE_1)
    stall.admit(1)
    assert not stall.selling.is_idle
