"""Buying: how a run finds a provider, is paid for, begun again, cancelled."""

from typing import Any

import msgspec
import pytest

from p2p_modelex.core import buying as module
from p2p_modelex.core import effects as fx
from p2p_modelex.core import inputs as given
from p2p_modelex.core.funding import Budget
from p2p_modelex.core.routing import retries
from p2p_modelex.core.routing.circuits import FAILURES_TO_OPEN
from p2p_modelex.core.routing.scorers import FUNDED
from p2p_modelex.ids import ChannelId, JobId, PeerId
from p2p_modelex.records.channel import compute_id
from p2p_modelex.units import Epoch, UnixMs, Wei
from tests.core.buyer import Buyer, Sale, build_state, opening
from tests.core.exchange.pair import CHANNELS, REQUEST, REQUESTER_KEY, STRANGER
from tests.core.routing.scene import load

# A request's ceiling at OFFER's prices: (16 + 80) prompt tokens at 2, 64 tokens at 10.
CEILING = 800


def ordering(vendors: int = 2, **changes: Any) -> Buyer:
    """A buyer whose first order is on its way."""
    buyer = Buyer(vendors)
    buyer.request(**changes)
    buyer.make()
    return buyer


def test_a_run_is_probed_funded_ordered_paid_and_finished() -> None:
    buyer = Buyer()
    buyer.request()
    assert buyer.deposits() == [opening(buyer.vendor().account, 10_000)]
    buyer.make()
    Sale(buyer).begin().finish()
    started, text, finished = buyer.events
    assert isinstance(started, fx.RunStarted)
    assert isinstance(text, fx.RunText)
    assert isinstance(finished, fx.RunFinished)
    assert finished.paid == 5 * 2 + 10
    assert buyer.buying.is_idle
    stream = fx.StreamId(100)
    assert not buyer.buying.owns(stream)


def test_a_second_run_uses_the_channel_there_is() -> None:
    buyer = ordering(1)
    Sale(buyer).begin().finish()
    buyer.request(2)
    assert buyer.opened().peer == buyer.vendors[0].key.peer


def test_who_can_be_paid_is_ordered_from_again_where_deposits_take_their_time() -> None:
    """RTE-10 and RTE-52: once there are three of five."""
    buyer = Buyer(5)
    served: set[PeerId] = set()
    for number in range(1, 30):
        for one in buyer.vendors:
            running = 4 if one.key.peer in served else 0
            buyer.book.put(one.key.peer, load(running), buyer.now)
        buyer.request(number, denied=tuple(served) if len(served) < FUNDED else ())
        served.add(buyer.vendor().key.peer)
        if buyer.deposits():
            buyer.now = UnixMs(buyer.now + 12_000)
            buyer.make()
        Sale(buyer).begin().finish()
    assert buyer.history.deposit_ms == 12_000
    assert len(served) == FUNDED


def test_a_clock_set_back_while_a_deposit_is_made_counts_as_no_time() -> None:
    buyer = Buyer()
    buyer.request()
    buyer.now = UnixMs(buyer.now - 60_000)
    buyer.make()
    assert buyer.history.deposit_ms == 0
    assert buyer.opened()


def test_who_fails_is_followed_by_the_next_and_the_caller_is_told() -> None:
    buyer = ordering()
    first = buyer.opened().peer
    Sale(buyer).fail()
    buyer.make()
    assert buyer.opened().peer != first
    Sale(buyer).begin().finish()
    restarted = buyer.events[2]
    assert isinstance(restarted, fx.RunRestarted)
    assert restarted.why.code == "engine"
    finished = buyer.events[-1]
    assert isinstance(finished, fx.RunFinished)
    assert finished.row.receipt.receipt.job != JobId((1).to_bytes(16, "big"))
    assert finished.job == JobId((1).to_bytes(16, "big"))


def test_attempts_are_providers_tried_and_what_was_spent_is_said() -> None:
    buyer = ordering(3, attempts=2)
    Sale(buyer).fail()
    buyer.make()
    Sale(buyer).fail()
    assert buyer.ended().code == "engine"
    orders = [event for event in buyer.events if isinstance(event, fx.RunStarted)]
    assert len(orders) == 2


def test_when_everything_fails_trying_again_is_rationed(monkeypatch: pytest.MonkeyPatch) -> None:
    """RTE-25."""
    monkeypatch.setattr(retries, "RETRIES_MAX", 1)
    buyer = ordering(3)
    first = buyer.opened()
    buyer.on_stream(given.StreamFailed(first.stream, "gone"), first.stream)
    buyer.make()
    second = buyer.opened()
    assert second.peer != first.peer
    buyer.on_stream(given.StreamFailed(second.stream, "gone too"), second.stream)
    assert (buyer.ended().code, buyer.ended().reason) == ("dial", "gone too")  # a third is left
    budget = retries.RetryBudget()
    spent = [budget.spend() for _ in range(2)]
    for _ in range(retries.RUNS_PER_RETRY):
        budget.on_run()
    assert [*spent, budget.spend(), budget.spend()] == [True, False, True, False]


def test_when_nobody_is_left_the_last_failure_is_the_answer() -> None:
    buyer = ordering(1)
    buyer.on_stream(given.StreamFailed(buyer.opened().stream, "gone"), buyer.opened().stream)
    assert (buyer.ended().code, buyer.ended().reason) == ("dial", "gone")


def test_no_attempts_are_no_provider() -> None:
    buyer = Buyer()
    buyer.request(attempts=0)
    assert buyer.ended().code == "no_provider"


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"denied": None}, "RTE-7"),
        ({"max_completion_price": Wei(9)}, "RTE-13"),
        ({"max_prompt_price": Wei(1)}, "RTE-13"),
        ({"max_cost": Wei(1)}, "RTE-5"),
    ],
)
def test_a_run_that_nobody_may_serve_says_why(changes: dict[str, Any], why: str) -> None:
    buyer = Buyer(1)
    if "denied" in changes:
        changes = {"denied": (buyer.vendors[0].key.peer,)}
    buyer.request(**changes)
    assert buyer.ended().code == "no_provider"
    assert buyer.ended().reason.startswith(why)


def test_an_unknown_model_names_what_there_is_and_we_are_no_candidate_ourselves() -> None:
    buyer = Buyer(1)
    buyer.request(request=msgspec.structs.replace(REQUEST, model="small"))
    assert buyer.ended().reason == "RTE-1: nobody offers small; on offer: tiny"
    vendor = buyer.vendors[0]
    vendor.entry = msgspec.structs.replace(vendor.entry, peer=REQUESTER_KEY.peer)
    buyer.request(2)
    assert buyer.ended().reason == "no other peer offers anything yet"


def test_too_many_runs_and_the_same_run_twice_are_busy(monkeypatch: pytest.MonkeyPatch) -> None:
    buyer = ordering(1)
    buyer.request(1)
    assert buyer.events[-1] == msgspec.structs.replace(busy(), job=JobId((1).to_bytes(16, "big")))
    monkeypatch.setattr(module, "RUNS_MAX", 1)
    buyer.request(2)
    assert buyer.events[-1] == busy()
    assert not buyer.buying.is_idle


def busy() -> fx.RunFailed:
    job = JobId((2).to_bytes(16, "big"))
    return fx.RunFailed(job, None, "busy", "too many runs at once", True, 0, Wei(0))


# Whose fault it was.


@pytest.mark.parametrize(
    ("code", "counts"), [("busy", False), ("price_changed", True), ("unknown_model", True)]
)
def test_a_refusal_counts_only_if_it_takes_back_what_was_advertised(
    code: str, counts: bool
) -> None:
    buyer = Buyer(1)
    for number in range(FAILURES_TO_OPEN):
        buyer.request(number + 1)
        if buyer.deposits():
            buyer.make()
        buyer.refuse(code)
    assert buyer.circuits.is_open(buyer.vendors[0].key.peer, buyer.now) is counts


def test_a_provider_that_is_not_there_rests_after_three_dials() -> None:
    buyer = Buyer(1)
    for number in range(FAILURES_TO_OPEN):
        buyer.request(number + 1)
        if buyer.deposits():
            buyer.make()
        stream = buyer.opened().stream
        buyer.on_stream(given.StreamFailed(stream, "gone"), stream)
    assert buyer.circuits.is_open(buyer.vendors[0].key.peer, buyer.now)


def test_who_is_cancelled_has_done_nothing_wrong() -> None:
    buyer = Buyer(1)
    for number in range(FAILURES_TO_OPEN):
        job = buyer.request(number + 1)
        if buyer.deposits():
            buyer.make()
        stream = buyer.opened().stream
        buyer.on_stream(given.StreamReady(stream), stream)
        buyer.tell(given.CancelRun(job))
        assert buyer.ended().code == "cancelled"
    assert not buyer.circuits.is_open(buyer.vendors[0].key.peer, buyer.now)


# Debts and stale channels.


def test_a_refused_debt_is_ordered_again_at_the_same_provider_once() -> None:
    buyer = ordering(2, attempts=1)
    first = buyer.opened().peer
    buyer.refuse("debt", "earned=50")
    assert buyer.opened().peer == first
    assert buyer.events == []
    buyer.refuse("debt", "earned=50")
    assert buyer.ended().code == "debt"


def test_who_keeps_refusing_a_debt_that_was_offered_rests() -> None:
    buyer = ordering(1, attempts=1)
    for number in range(FAILURES_TO_OPEN):
        assert not buyer.circuits.is_open(buyer.vendors[0].key.peer, buyer.now)
        if number:
            buyer.request(number + 1, attempts=1)
        buyer.refuse("debt", "earned=50")
        buyer.refuse("debt", "earned=50")
    assert buyer.circuits.is_open(buyer.vendors[0].key.peer, buyer.now)


def test_a_debt_that_we_owe_is_paid_with_the_next_order() -> None:
    """A job that broke in mid-stream leaves a doubt; the refusal names it, the retry pays it."""
    buyer = ordering(1)
    sale = Sale(buyer).begin()
    peer = buyer.vendors[0].key.peer
    sale.exchange.step(given.StreamEnded(fx.StreamId(1), False, "cut"), buyer.now)
    buyer.on_stream(given.StreamEnded(sale.stream, False, "cut"), sale.stream)
    assert buyer.ended().code == "stream"
    buyer.request(2)
    buyer.refuse("debt", "earned=60")
    assert buyer.opened().peer == peer
    Sale(buyer).begin().finish()
    finished = buyer.events[-1]
    assert isinstance(finished, fx.RunFinished)
    debt = buyer.vendors[0].payee.get_debt(buyer.vendors[0].payee.get_channels()[0].channel)  # type: ignore[arg-type]
    assert debt == 0


def test_a_channel_that_is_refused_is_read_again_and_left_if_it_closes() -> None:
    buyer = ordering(1)
    vendor = buyer.vendors[0]
    buyer.refuse("no_channel")
    [fetch] = [e for e in buyer.effects if isinstance(e, fx.FetchChannel)]
    closing = build_state(vendor.account, 10_000, closes_at=99)
    buyer.tell(given.ChannelFetched(fetch.channel, closing))
    assert buyer.payer.get_channels() == ()
    buyer.request(2)
    assert buyer.deposits() == [opening(vendor.account, 10_000, number=1)]


def test_what_the_chain_says_of_other_channels_is_nothing_to_us() -> None:
    buyer = ordering(1)
    [state] = buyer.payer.get_channels()
    channel = ChannelId(state.channel)
    other = msgspec.structs.replace(state, channel=b"?" * 32)
    assert buyer.tell(given.ChannelFetched(ChannelId(other.channel), other)) == []
    assert buyer.tell(given.ChannelFetched(channel, None)) == []
    assert buyer.tell(given.ShutDown()) == []


# Deposits.


def test_an_exhausted_channel_is_topped_up() -> None:
    buyer = Buyer(1)
    buyer.request(1)
    buyer.make(CEILING)
    Sale(buyer).begin().finish()
    buyer.request(2)
    [top_up] = buyer.deposits()
    assert isinstance(top_up, fx.TopUpChannel)
    assert top_up.amount == 10_000
    buyer.make(CEILING + 10_000)
    assert buyer.opened()


def test_a_top_up_that_fails_has_the_channel_read() -> None:
    buyer = Buyer(1)
    buyer.request(1)
    buyer.make(CEILING)
    Sale(buyer).begin().finish()
    buyer.request(2)
    [top_up] = buyer.deposits()
    assert isinstance(top_up, fx.TopUpChannel)
    buyer.tell(given.ChannelOpenFailed(top_up.payee, "it is closing"))
    assert fx.FetchChannel(compute_id(top_up.terms, CHANNELS), top_up.terms) in buyer.effects
    assert (buyer.ended().code, buyer.ended().reason) == ("no_channel", "it is closing")


def test_a_deposit_that_fails_leads_to_the_next_provider() -> None:
    buyer = Buyer(2)
    buyer.request()
    first = buyer.vendor()
    buyer.tell(given.ChannelOpenFailed(first.account, "no gas"))
    assert buyer.vendor() is not first
    buyer.make()
    assert isinstance(buyer.events[-1], fx.RunRestarted)


@pytest.mark.parametrize(
    ("budget", "why"),
    [
        (Budget(Wei(0), Wei(10**6)), "automatic deposits are off"),
        (Budget(Wei(10_000), Wei(CEILING - 1)), "max_deposits"),
    ],
)
def test_a_budget_that_forbids_a_deposit_is_said(budget: Budget, why: str) -> None:
    buyer = Buyer(3, budget)
    buyer.request(attempts=1)
    assert buyer.ended().code == "no_channel"
    assert why in buyer.ended().reason


def test_deposits_under_way_count_and_the_last_one_takes_what_is_left() -> None:
    buyer = Buyer(2, Budget(Wei(10_000), Wei(10_000 + CEILING)))
    one, other = (vendor.key.peer for vendor in buyer.vendors)
    buyer.request(1, only=(one,))
    assert buyer.deposits()[0] == opening(buyer.vendors[0].account, 10_000)
    buyer.request(2, only=(other,))
    assert buyer.deposits() == [opening(buyer.vendors[1].account, CEILING)]


def test_spent_money_makes_room_in_the_budget() -> None:
    buyer = Buyer(1, Budget(Wei(CEILING), Wei(CEILING)))
    buyer.request(1)
    buyer.make(CEILING)
    sale = Sale(buyer).begin()
    buyer.request(2)
    failed = buyer.events[-1]
    assert isinstance(failed, fx.RunFailed)
    assert "max_deposits" in failed.reason
    sale.finish()
    buyer.request(3)
    [top_up] = buyer.deposits()
    assert isinstance(top_up, fx.TopUpChannel)
    assert top_up.amount == 20


def test_two_runs_wait_for_one_deposit_and_the_second_has_its_own_if_it_must() -> None:
    buyer = Buyer(1)
    buyer.request(1)
    payee = buyer.vendor().account
    buyer.request(2)
    assert buyer.deposits() == []
    state = build_state(payee, CEILING)
    buyer.tell(given.ChannelOpened(payee, state))
    assert buyer.opened()
    assert buyer.deposits() == [fx.TopUpChannel(payee, state.terms, Wei(10_000))]
    buyer.tell(given.ChannelOpened(payee, build_state(payee, 10_000)))
    assert buyer.opened()


def test_a_deposit_that_does_not_help_its_asker_is_not_repeated() -> None:
    buyer = Buyer(1)
    buyer.request()
    buyer.make(CEILING - 1)
    assert "too little left" in buyer.ended().reason


def test_a_chain_that_opens_a_channel_for_another_signer_is_not_believed() -> None:
    buyer = Buyer(1)
    buyer.request()
    payee = buyer.vendor().account
    state = build_state(payee, 10_000)
    lie = msgspec.structs.replace(state, signer=STRANGER.address)
    buyer.tell(given.ChannelOpened(payee, lie))
    assert "signed by another key" in buyer.ended().reason


def test_a_channel_that_nobody_waits_for_is_kept_for_later() -> None:
    buyer = Buyer(1)
    payee = buyer.vendors[0].account
    state = build_state(payee, 10_000)
    assert [type(e) for e in buyer.tell(given.ChannelOpened(payee, state))] == [fx.Persist]
    buyer.request()
    assert buyer.opened()


@pytest.mark.parametrize("deposit", [2 * CEILING - 1, 2 * CEILING])
def test_a_channel_that_the_chain_wrote_in_a_later_epoch_holds_half_the_number(
    deposit: int,
) -> None:
    buyer = Buyer(1)
    state = build_state(buyer.vendors[0].account, deposit)
    buyer.payer.note_channel(msgspec.structs.replace(state, epoch=1), None)
    buyer.request()
    assert bool(buyer.deposits()) is (deposit < 2 * CEILING)


def test_a_channel_with_vouchers_of_a_later_epoch_is_not_topped_up_in_vain() -> None:
    buyer = Buyer(1)
    state = build_state(buyer.vendors[0].account, 10_000)
    buyer.payer.note_channel(state, None)
    buyer.payer.reserve_lane(ChannelId(state.channel), Wei(1), Epoch(1))
    buyer.request()
    assert "split epoch 0" in buyer.ended().reason


def test_a_channel_with_all_lanes_in_use_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("p2p_modelex.limits.LANES_MAX", 1)
    buyer = ordering(1)
    buyer.request(2)
    failed = buyer.events[-1]
    assert isinstance(failed, fx.RunFailed)
    assert "every lane" in failed.reason


def test_who_has_no_rival_is_not_probed() -> None:
    """RTE-12."""
    buyer = Buyer(1)
    buyer.request(probed=False)
    assert buyer.deposits()


# Cancelling.


def test_cancelling_while_probing_waiting_and_dialling_ends_the_run_at_once() -> None:
    buyer = Buyer(2)
    job = buyer.request(1, probed=False)
    buyer.tell(given.CancelRun(job))
    assert buyer.ended().code == "cancelled"
    buyer.answer_probes()
    assert buyer.effects == []
    job = buyer.request(2)
    vendor = buyer.vendor()
    payee = vendor.account
    buyer.tell(given.CancelRun(job))
    assert buyer.ended().code == "cancelled"
    state = build_state(payee, 10_000)
    buyer.tell(given.ChannelOpened(payee, state))
    assert [type(effect) for effect in buyer.effects] == [fx.Persist]
    job = buyer.request(3, only=(vendor.key.peer,))
    stream = buyer.opened().stream
    buyer.tell(given.CancelRun(job))
    assert fx.ResetStream(stream) in buyer.effects
    assert buyer.ended().code == "cancelled"
    assert buyer.tell(given.CancelRun(job)) == []


def test_a_waiting_run_is_not_failed_by_a_small_deposit_for_one_that_was_cancelled() -> None:
    buyer = Buyer(1)
    asker = buyer.request(1)
    payee = buyer.vendor().account
    buyer.request(2)
    buyer.tell(given.CancelRun(asker))
    state = build_state(payee, 1)
    buyer.tell(given.ChannelOpened(payee, state))
    assert buyer.deposits() == [fx.TopUpChannel(payee, state.terms, Wei(10_000))]


def test_a_cancelled_run_is_receipted() -> None:
    buyer = ordering(1)
    sale = Sale(buyer).begin()
    sale.to_provider(buyer.tell(given.CancelRun(JobId((1).to_bytes(16, "big")))))
    assert isinstance(buyer.events[-1], fx.RunFinished)


def test_a_cancelled_run_does_not_begin_again_when_its_provider_goes() -> None:
    buyer = ordering(2)
    sale = Sale(buyer).begin()
    buyer.tell(given.CancelRun(JobId((1).to_bytes(16, "big"))))
    buyer.on_stream(given.StreamEnded(sale.stream, False, "gone"), sale.stream)
    assert buyer.ended().code == "stream"
