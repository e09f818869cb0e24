"""Racing: a second order beside the first, who of the two serves, and what the other costs."""

from dataclasses import replace
from typing import Any

import msgspec
import pytest

from p2p_modelex import limits
from p2p_modelex.core import effects as fx
from p2p_modelex.core import inputs as given
from p2p_modelex.core.effects import TimerId
from p2p_modelex.core.racing import LINE_MS, START_MS
from p2p_modelex.core.routing import delays, retries
from p2p_modelex.core.routing.circuits import FAILURES_TO_OPEN
from p2p_modelex.core.routing.delays import Delays
from p2p_modelex.core.routing.profile import PROFILES
from p2p_modelex.ids import ChannelId, JobId
from p2p_modelex.units import Epoch, UnixMs, Wei
from tests.core.buyer import build_state
from tests.core.exchange.pair import NOW, OFFER, REQUEST
from tests.core.racing import CEILING, HEDGING, MODEL, PROMPT, Fair, debt_of


def test_who_starts_first_serves_and_the_other_place_in_line_costs_nothing() -> None:
    """RTE-40."""
    fair = Fair()
    first, second = fair.race()
    assert first.vendor is not second.vendor
    second.start()
    assert first.exchange.is_over
    assert not first.is_reset
    second.speak().finish()
    (started,) = fair.told(fx.RunStarted)
    assert started.peer == second.vendor.key.peer
    assert fair.paid() == PROMPT + 10
    assert fair.told(fx.RunRestarted) == []
    assert fair.buying.is_idle
    assert debt_of(first) == 0
    past = fair.history.get(first.vendor.key.peer)
    assert past is not None
    assert (past.good, past.bad, past.first_ms) == (0, 0, LINE_MS)


def test_a_second_line_is_entered_only_where_the_first_seemed_full_and_did_not_start() -> None:
    """RTE-40."""
    free = Fair()
    free.request()
    free.stands[-1].ready().start()
    free.fire("line")
    assert len(free.stands) == 1
    soon = Fair().fill()
    soon.request()
    (at,) = soon.timers.values()
    assert at == soon.now + LINE_MS
    soon.stands[-1].ready().start()
    soon.fire("line")
    assert len(soon.stands) == 1
    strict = Fair(profile=replace(PROFILES["default"], binds_late=False)).fill()
    strict.request()
    assert not strict.timers


@pytest.mark.parametrize(
    ("known", "late_ms"), [(delays.KEPT_MIN, 300), (delays.KEPT_MIN - 1, START_MS)]
)
def test_who_seemed_free_and_does_not_start_has_a_rival_too(known: int, late_ms: int) -> None:
    """RTE-40: also for who has not ordered enough to know when others start."""
    fair = Fair()
    for _ in range(known):
        fair.buying._racing._starts.note(MODEL, 300)
    fair.request()
    (at,) = fair.timers.values()
    assert at == fair.now + late_ms
    silent = fair.stands[-1].ready()
    fair.fire("line")
    fair.stands[-1].ready().start().speak().finish()
    assert silent.exchange.is_over
    assert fair.paid() == PROMPT + 10


def test_a_start_that_crosses_a_withdrawal_is_paid_and_counts_against_whoever_does_it() -> None:
    """RTE-42, EXC-31."""
    fair = Fair()
    first, second = fair.race()
    first.held = []
    first.start()
    second.start()
    first.release()
    second.speak().finish()
    assert len(fair.told(fx.RunStarted)) == 1
    assert fair.paid() == PROMPT + PROMPT + 10
    assert debt_of(first) == 0
    past = fair.history.get(first.vendor.key.peer)
    assert past is not None
    assert (past.good, past.bad) == (0, 1)


def test_who_takes_what_is_withdrawn_again_and_again_rests() -> None:
    """RTE-42."""
    fair = Fair()
    for number in range(FAILURES_TO_OPEN):
        first, second = fair.race(number=number + 1, only=())
        liar, other = sorted((first, second), key=lambda one: one.vendor is fair.vendors[1])
        liar.held = []
        liar.start()
        other.start()
        liar.release()
        other.speak().finish()
    assert fair.circuits.is_open(fair.vendors[0].key.peer, fair.now)
    assert not fair.circuits.is_open(fair.vendors[1].key.peer, fair.now)


def test_text_that_is_late_is_ordered_elsewhere_and_who_has_it_first_wins() -> None:
    """RTE-41, RTE-42."""
    fair = Fair(profile=HEDGING)
    first, second = fair.hedge()
    assert fair.now == NOW + 400
    second.start().speak()
    assert first.is_stopped  # cancelled, receipted and paid for what it began
    second.finish()
    assert [event.peer for event in fair.told(fx.RunStarted)] == [
        first.vendor.key.peer,
        second.vendor.key.peer,
    ]
    assert fair.paid() == PROMPT + PROMPT + 10
    assert fair.buying.is_idle
    assert not fair.timers


def test_who_was_late_may_still_win_and_the_hedge_is_withdrawn() -> None:
    """RTE-41, RTE-42."""
    fair = Fair(profile=HEDGING)
    first, second = fair.hedge()
    first.speak().finish()
    assert second.exchange.is_over
    assert fair.paid() == PROMPT + 10
    assert len(fair.told(fx.RunStarted)) == 1


def test_a_start_elsewhere_takes_a_hedge_out_of_line() -> None:
    """RTE-42."""
    fair = Fair(profile=HEDGING).teach()
    fair.request()
    first = fair.stands[-1].ready()
    fair.fire("late")
    second = fair.stands[-1].ready()
    first.start()
    assert second.exchange.is_over
    assert [event.peer for event in fair.told(fx.RunStarted)] == [first.vendor.key.peer]


@pytest.mark.parametrize(("hedge", "is_set"), [(None, False), (True, True), (False, False)])
def test_a_request_says_whether_it_is_hedged(hedge: bool | None, is_set: bool) -> None:
    """RTE-41."""
    fair = Fair().teach()
    fair.request(hedge=hedge)
    assert any(timer.endswith("/late") for timer in fair.timers) is is_set
    untaught = Fair(profile=HEDGING)
    untaught.request()
    assert not untaught.timers


def test_a_hedge_counts_against_the_budget_of_retries(monkeypatch: pytest.MonkeyPatch) -> None:
    """RTE-25, RTE-41."""
    monkeypatch.setattr(retries, "RETRIES_MAX", 0)
    fair = Fair(profile=HEDGING).teach()
    fair.request()
    fair.stands[-1].ready().start()
    fair.fire("late")
    assert len(fair.stands) == 1


@pytest.mark.parametrize(
    "changes", [{"attempts": 1}, {"max_cost": Wei(2 * CEILING - 1)}, {"only": None}]
)
def test_two_orders_are_within_what_one_may_cost_and_try(changes: dict[str, Any]) -> None:
    """RTE-43."""
    fair = Fair().fill()
    if "only" in changes:
        changes = {"only": (fair.vendors[0].key.peer,)}
    fair.request(**changes)
    fair.stands[-1].ready()
    fair.fire("line")
    assert len(fair.stands) == 1


@pytest.mark.parametrize("is_full", [True, False])
def test_no_deposit_is_made_for_a_second_order(is_full: bool) -> None:
    """RTE-43: nor is one ordered where no lane is free."""
    fair = Fair(3)
    for vendor in fair.vendors:
        channel = ChannelId(build_state(vendor.account, 1).channel)
        if is_full:
            for _ in range(limits.LANES_MAX):
                fair.payer.reserve_lane(channel, Wei(1), Epoch(0))
        else:
            fair.payer.note_channel(build_state(vendor.account, 1), None)
    served = fair.vendors[1]
    other = build_state(served.account, 9_000)
    del fair.payer._channels[ChannelId(other.channel)]
    fair.payer.note_channel(other, None)
    served.payee.note_channel(other)
    fair.fill().request()
    if not fair.stands:  # the first has no money: the others' turn
        fair.tell(given.ChannelOpenFailed(fair.vendor().account, "no"))
    while not fair.stands:
        fair.tell(given.ChannelOpenFailed(fair.vendor().account, "no"))
    fair.stands[-1].ready()
    fair.fire("line")
    assert [stand.vendor for stand in fair.stands] == [served]


def test_one_peer_is_not_ordered_at_twice() -> None:
    """RTE-43."""
    fair = Fair(1)
    vendor = fair.vendors[0]
    second = msgspec.structs.replace(OFFER, prompt_price=Wei(3))
    said = msgspec.structs.replace(vendor.entry.advertisement, offers=(OFFER, second))
    vendor.entry = msgspec.structs.replace(vendor.entry, advertisement=said)
    fair.fill().request()
    fair.stands[-1].ready()
    run = next(iter(fair.buying._runs.values()))
    run.order.append(run.attempts[0].candidate)
    fair.fire("line")
    assert len(fair.stands) == 1


def test_while_one_is_at_it_the_failure_of_the_other_is_not_told() -> None:
    """RTE-42."""
    fair = Fair(profile=HEDGING)
    first, second = fair.hedge()
    first.fail()
    second.start().speak().finish()
    assert fair.told(fx.RunRestarted) == []
    assert fair.paid() == PROMPT + 10  # a failure is forgiven what was not paid yet


def test_when_both_fail_the_next_begins() -> None:
    fair = Fair(3, profile=HEDGING)
    first, second = fair.hedge()
    second.start()
    first.fail()
    second.fail()
    third = fair.stands[-1]
    assert third.vendor not in (first.vendor, second.vendor)
    third.ready().start().speak().finish()
    (restarted,) = fair.told(fx.RunRestarted)
    assert restarted.why.peer == second.vendor.key.peer


def test_what_a_lost_order_may_still_cost_is_in_the_sum_and_the_node_waits_for_its_end() -> None:
    """RTE-42."""
    fair = Fair(profile=HEDGING)
    first, second = fair.hedge()
    first.held = []
    second.start().speak().finish()
    assert fair.paid() == PROMPT + 10 + 80  # one window
    assert not fair.buying.is_idle
    first.release()
    assert fair.buying.is_idle


def test_who_fails_in_silence_is_blamed_though_nobody_waits() -> None:
    fair = Fair(profile=HEDGING)
    first, second = fair.hedge()
    first.held = []
    second.start().speak().finish()
    first.lose()
    past = fair.history.get(first.vendor.key.peer)
    assert past is not None
    assert past.bad == 1
    assert fair.buying.is_idle


@pytest.mark.parametrize("has_started", [True, False])
def test_who_cancels_a_race_pays_for_what_has_begun(has_started: bool) -> None:
    fair = Fair(profile=HEDGING if has_started else PROFILES["default"])
    first, second = fair.hedge() if has_started else fair.race()
    for _ in range(2):
        fair.tell(given.CancelRun(JobId((1).to_bytes(16, "big"))))
    if has_started:
        assert fair.paid() == PROMPT
        assert second.exchange.is_over
    else:
        assert fair.ended().code == "cancelled"
        assert (first.is_reset, second.exchange.is_over) == (True, True)


def test_a_deadline_ends_a_run_wherever_it_is() -> None:
    """RTE-44."""
    probing = Fair()
    probing.request(probed=False, deadline_ms=5_000)
    probing.fire("deadline")
    assert (probing.ended().code, probing.ended().refused) == ("deadline", True)
    in_line = Fair()
    in_line.request(deadline_ms=5_000)
    in_line.stands[-1].ready()
    in_line.fire("deadline")
    assert in_line.ended().code == "deadline"
    running = Fair()
    running.request(deadline_ms=5_000)
    stand = running.stands[-1].ready().start().speak()
    running.fire("deadline")
    assert stand.is_stopped
    assert running.paid() == PROMPT + 10
    done = Fair()
    done.request(deadline_ms=5_000)
    done.stands[-1].ready().start().speak().finish()
    assert not done.timers
    assert done.tell(given.TimerFired(TimerId(f"run/{bytes(16).hex()}/deadline"))) == []


def test_an_order_tells_how_long_its_run_has_left() -> None:
    """RTE-44, EXC-32."""
    fair = Fair()
    fair.request(deadline_ms=5_000)
    fair.now = UnixMs(fair.now + 1_000)
    fair.stands[-1].ready()
    until = fair.stands[-1].exchange._patience.until
    assert until == NOW + 5_000


def test_a_failed_attempt_leaves_less_to_spend() -> None:
    """RTE-43."""
    fair = Fair(profile=HEDGING)
    fair.request(max_cost=Wei(CEILING))
    fair.stands[-1].ready().start().speak("four tokens ", 4).fail()
    second = fair.stands[-1].ready()
    assert second.exchange._sale is not None
    assert second.exchange._sale.max_cost == CEILING - PROMPT - 40
    rich = Fair()
    rich.request(max_cost=Wei(CEILING))
    run = next(iter(rich.buying._runs.values()))
    run.spent = CEILING
    rich.stands[-1].ready().start()
    rich.stands[-1].fail()
    assert rich.ended().reason == "what was tried has cost all that the job may cost"


def test_lateness_is_of_the_latest_and_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """RTE-41."""
    monkeypatch.setattr(delays, "MODELS_MAX", 2)
    times = Delays()
    for took_ms in range(1, 101):
        times.note("m", 10 * took_ms)
    assert times.compute_late_ms("m") == 970  # the 61st of the last 64
    for _ in range(delays.KEPT_MIN):
        times.note("quick", 5)
    assert times.compute_late_ms("quick") == delays.FLOOR_MS
    times.note("third", 5)
    assert times.compute_late_ms("m") is None
    assert times.compute_late_ms("third") is None


def test_who_asks_hears_how_the_provider_was_chosen() -> None:
    """RTE-47."""
    fair = Fair(3)
    fair.request(explains=True)
    (routed,) = fair.told(fx.RunRouted)
    assert (routed.profile, routed.picker, len(routed.ranked)) == ("default", "power_of_d", 3)
    assert routed.ranked[0][0] == fair.stands[-1].vendor.key.peer
    assert routed.why.startswith("the highest score")


def test_of_a_family_the_offers_model_is_ordered() -> None:
    """RTE-1."""
    fair = Fair()
    fair.request(request=msgspec.structs.replace(REQUEST, model="family:Tiny"))
    fair.stands[-1].ready().start().speak().finish()
    (finished,) = fair.told(fx.RunFinished)
    assert finished.row.request.model == MODEL
