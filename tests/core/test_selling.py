"""Selling: streams bounded, load that cannot be faked by silence, vouchers taken to the chain."""

from typing import Any

import msgspec
import pytest

from p2p_modelex.core import effects as fx
from p2p_modelex.core import inputs as given
from p2p_modelex.core import pace, redeeming, selling
from p2p_modelex.core.effects import StreamId
from p2p_modelex.core.ledger.lending import Lending
from p2p_modelex.core.ledger.lines import Lines
from p2p_modelex.core.ledger.payee import PayeeLedger
from p2p_modelex.core.ledger.seat import Seat
from p2p_modelex.core.ledger.settlement import SettlementPolicy
from p2p_modelex.core.redeeming import (
    SETTLE_INTERVAL_MS,
    SETTLE_PAUSE_MAX_MS,
    SETTLE_TIMER,
    WATCH_INTERVAL_MS,
    WATCH_TIMER,
)
from p2p_modelex.core.selling import Selling
from p2p_modelex.core.sharing import Neighbourhood
from p2p_modelex.core.split_watch import SplitWatch
from p2p_modelex.ids import Address, ChannelId, JobId
from p2p_modelex.records import codec, voucher
from p2p_modelex.records.channel import ChannelState, ChannelTerms, compute_id
from p2p_modelex.records.job import Order, Refused
from p2p_modelex.records.receipt import Finish
from p2p_modelex.records.rows import ChannelRow, ReceivedVoucherRow, RedeemedRow
from p2p_modelex.records.voucher import SignedVoucher, Voucher
from p2p_modelex.units import Epoch, UnixMs, Wei
from tests.core.exchange.pair import (
    CHANNEL,
    CHANNELS,
    NOW,
    OFFER,
    OPERATOR,
    OTHER_KEY,
    PAYER,
    PROVIDER_KEY,
    REQUEST,
    REQUESTER_KEY,
    STATE,
    TERMS,
    build_job,
    build_jobs,
    build_seller,
    build_state,
)


class Stall:
    """A selling side; strangers open streams, the test is engine and chain."""

    def __init__(self, *states: ChannelState, **policy: Any) -> None:
        self.ledger = PayeeLedger(OPERATOR.address, CHANNELS, SettlementPolicy(**policy))
        for state in states or (STATE,):
            self.ledger.note_channel(state)
        lending = Lending(self.ledger, Lines(), CHANNELS)
        alone = Neighbourhood(lending, lambda: StreamId(2), lambda _: ())
        self.selling = Selling(build_seller(), self.ledger, 1, {}, SplitWatch(), alone)
        self.now = NOW
        self.streams = 0

    def tell(self, happened: given.Input) -> list[fx.Effect]:
        return self.selling.step(happened, self.now)

    def open(self, peer: Any = REQUESTER_KEY.peer) -> StreamId:
        self.streams += 1
        stream = StreamId(2 * self.streams + 1)
        self.opened = self.tell(given.StreamOpened(stream, peer, "exchange"))
        return stream

    def frame(self, stream: StreamId, message: object) -> list[fx.Effect]:
        return self.selling.step_stream(
            stream, given.FrameReceived(stream, codec.encode(message)), self.now
        )

    def order(self, number: int = 1, *, lane: int = 0, terms: ChannelTerms = TERMS) -> StreamId:
        """Order up to the token count; nothing is answered."""
        stream = self.open()
        signed = promise(0, lane=lane, channel=compute_id(terms, CHANNELS))
        order = Order(
            build_job(number),
            REQUEST,
            OFFER.prompt_price,
            OFFER.completion_price,
            Wei(2_000),
            terms.of_payer,
            signed,
            Wei(0),
            0,
        )
        self.effects = self.frame(stream, order)
        return stream

    def admit(self, number: int = 1, *, lane: int = 0) -> StreamId:
        """Order, count, generate and start."""
        stream = self.order(number, lane=lane)
        self.effects = self.tell(given.TokensCounted(build_job(number), 5))
        self.tell(given.EngineStarted(build_job(number), 5))
        return stream

    def receive(self, amount: int, channel: bytes = CHANNEL, lane: int = 0) -> None:
        """Hold a voucher."""
        signed = promise(amount, lane=lane, channel=channel)
        job = JobId(channel[:15] + bytes([lane]))
        nothing = Wei(0)
        self.ledger.open_lane(
            job, signed, Epoch(OFFER.epoch), base=nothing, window=nothing, ceiling=nothing
        )
        self.ledger.close(job)

    def fire(self, timer: fx.TimerId) -> list[fx.Effect]:
        return self.tell(given.TimerFired(timer))


def promise(amount: int, *, lane: int = 0, channel: bytes = CHANNEL) -> SignedVoucher:
    return voucher.sign(Voucher(channel, lane, Wei(amount), 0), CHANNELS, PAYER)


def build_terms(number: int) -> ChannelTerms:
    """Of another channel of the same accounts."""
    return msgspec.structs.replace(TERMS, salt=bytes([number]) * 32)


OTHER_TERMS = build_terms(99)


def kinds(effects: list[fx.Effect]) -> list[str]:
    return [type(effect).__name__ for effect in effects]


def fetched(effects: list[fx.Effect]) -> list[bytes]:
    return [effect.channel for effect in effects if isinstance(effect, fx.FetchChannel)]


def closing(state: ChannelState = STATE) -> ChannelState:
    return msgspec.structs.replace(state, closes_at=99)


def test_silent_strangers_do_not_make_us_look_busy() -> None:
    stall = Stall()
    for _ in range(5):
        stall.open()
    assert stall.selling.is_idle
    load = stall.selling.get_load()
    assert (load.running, load.waiting, load.slots) == (0, 0, 1)


def test_load_is_what_the_engines_run_and_how_soon_they_began() -> None:
    stall = Stall()
    stall.admit(1)
    stall.admit(2, lane=1)
    load = stall.selling.get_load()
    assert (load.running, load.waiting, load.latency_ms) == (1, 1, 0)
    assert not stall.selling.is_idle
    stall.now = UnixMs(NOW + 40)
    for _ in range(2):
        stall.tell(given.EngineProduced(build_job(1), "one ", 1))
    stall.tell(given.EngineFinished(build_job(1), Finish.STOP, 5, 2))
    load = stall.selling.get_load()
    assert (load.running, load.waiting, load.latency_ms) == (1, 0, 40)


def test_load_says_what_of_a_prompt_that_came_again_was_still_there() -> None:
    """RTE-50."""
    stall = Stall()
    stall.admit(1)
    stall.tell(given.EngineFailed(build_job(1), "engine", "crash", 0))
    for number, cached, told in ((2, 0, 2_500), (3, 80, 8_000)):
        stall.admit(number, lane=number)
        stall.tell(given.EngineFinished(build_job(number), Finish.STOP, 100, 2, cached))
        assert stall.selling.get_load().cached == told


def test_streams_are_bounded_for_each_peer_and_in_all(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(selling, "STREAMS_PER_PEER_MAX", 2)
    monkeypatch.setattr(selling, "STREAMS_MAX", 3)
    stall = Stall()
    first, _, third = stall.open(), stall.open(), stall.open()
    assert kinds(stall.opened) == ["ResetStream", "Penalize"]
    assert not stall.selling.owns(third)
    stall.open(OTHER_KEY.peer)
    assert stall.selling.owns(first)
    fourth = stall.open(PROVIDER_KEY.peer)
    assert kinds(stall.opened) == ["ResetStream", "Penalize"]
    assert not stall.selling.owns(fourth)
    for stream in (first, StreamId(5)):
        stall.selling.step_stream(stream, given.StreamEnded(stream, True, ""), NOW)
    assert stall.selling.owns(stall.open())


def test_a_jobs_name_is_taken_until_its_engine_is_done_with_it() -> None:
    """Else the count or the output of the one would be taken for the other's."""
    stall = Stall()
    stream = stall.order(1)
    stall.selling.step_stream(stream, given.StreamEnded(stream, False, "gone"), NOW)
    assert stall.selling.is_idle
    stall.order(1)
    assert kinds(stall.effects)[:2] == ["Send", "CloseStream"]
    stall.tell(given.TokensCounted(build_job(1), 5))
    stall.order(1)
    assert "CountTokens" in kinds(stall.effects)


def test_a_leaving_node_refuses_what_is_new_and_finishes_what_runs() -> None:
    stall = Stall()
    stall.admit(1)
    stall.tell(given.ShutDown())
    stall.order(2, lane=1)
    assert kinds(stall.effects)[:2] == ["Send", "CloseStream"]
    assert not stall.selling.is_idle


# Admission, as the exchanges meet it; its rules are tested in test_admission.py.


def refusals(effects: list[fx.Effect]) -> list[Refused]:
    frames = [effect.payload for effect in effects if isinstance(effect, fx.Send)]
    return [codec.decode(Refused, frame, limit=10**6) for frame in frames]


def test_silent_streams_make_room_for_new_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("p2p_modelex.core.admission.SILENT_MAX", 2)
    stall = Stall()
    first, second = stall.open(), stall.open()
    third = stall.open(OTHER_KEY.peer)
    assert fx.ResetStream(first) in stall.opened
    assert not stall.selling.owns(first)
    assert stall.selling.owns(second)
    assert stall.selling.owns(third)


def test_a_stranger_that_asks_too_much_is_refused_and_told_when_to_come_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("p2p_modelex.core.admission.STRANGERS_PER_PEER_MAX", 1)
    stall = Stall()
    stall.order(1)
    stall.order(2, lane=1)
    assert "CountTokens" not in kinds(stall.effects)
    (refused,) = refusals(stall.effects)
    assert (refused.code, refused.retry_after_ms) == ("busy", pace.WAIT_FIRST_MS)


def test_a_payer_waits_in_line_and_may_hang_up_there() -> None:
    stall = Stall()
    stall.admit(1)
    waiting = stall.order(2, lane=1)
    effects = stall.tell(given.TokensCounted(build_job(2), 5))
    assert "Generate" not in kinds(effects)
    assert stall.selling.get_load().waiting == 1
    gone = given.StreamEnded(waiting, False, "gone")
    assert "StopGenerating" not in kinds(stall.selling.step_stream(waiting, gone, NOW))
    assert stall.selling.get_load().waiting == 0


def test_who_is_crowded_out_of_the_line_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("p2p_modelex.core.line.WAITING_MAX", 1)
    stall = Stall()
    stall.admit(1)
    for number, lane in ((2, 1), (3, 2)):
        stall.order(number, lane=lane)
        effects = stall.tell(given.TokensCounted(build_job(number), 5))
    (refused,) = refusals(effects)
    assert (refused.job, refused.code) == (build_job(3), "busy")


def test_a_payer_with_a_history_runs_more_at_once() -> None:
    stall = Stall()
    row = ReceivedVoucherRow(promise(10**6, lane=5), Wei(10**6))
    stall.selling.restore((ChannelRow(STATE, is_payer=False, peer=None), row))
    stall.admit(1)
    stall.order(2, lane=1)
    assert "Generate" in kinds(stall.tell(given.TokensCounted(build_job(2), 5)))


# Reading channels.


def test_a_channel_is_read_once_for_all_who_wait_for_it() -> None:
    stall = Stall(build_state(OTHER_TERMS))
    one, other = stall.order(1), stall.order(2, lane=1)
    assert fetched(stall.tell(given.TokensCounted(build_job(1), 5))) == [CHANNEL]
    assert fetched(stall.tell(given.TokensCounted(build_job(2), 5))) == []
    effects = stall.tell(given.ChannelFetched(CHANNEL, STATE))
    assert kinds(effects).count("Persist") == 3
    assert kinds(effects).count("Generate") == 1  # the other is of the same payer, and waits
    assert stall.selling.owns(one)
    assert stall.selling.owns(other)


def test_strangers_cannot_have_us_read_any_number_of_channels(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(redeeming, "FETCHES_MAX", 1)
    stall = Stall()
    for number in (1, 2):
        stall.order(number, terms=build_terms(number))
    [first] = fetched(stall.tell(given.TokensCounted(build_job(1), 5)))
    assert first == compute_id(build_terms(1), CHANNELS)
    assert fetched(stall.tell(given.TokensCounted(build_job(2), 5))) == []
    effects = stall.tell(given.ChannelFetched(ChannelId(first), None))
    assert kinds(effects)[:2] == ["Send", "CloseStream"]


# Redeeming.


def test_vouchers_over_the_threshold_are_redeemed_once_at_a_time() -> None:
    stall = Stall(threshold=Wei(100))
    assert kinds(stall.selling.start(NOW)) == ["PayOut", *3 * ["SetTimer"]]
    stall.receive(99)
    assert kinds(stall.fire(SETTLE_TIMER)) == ["SetTimer"]
    stall.receive(100)
    rearmed, redeem = stall.fire(SETTLE_TIMER)
    assert rearmed == fx.SetTimer(SETTLE_TIMER, UnixMs(NOW + SETTLE_INTERVAL_MS))
    assert isinstance(redeem, fx.Redeem)
    assert kinds(stall.fire(SETTLE_TIMER)) == ["SetTimer"]
    [persist] = stall.tell(given.Redeemed(redeem.claims, (Wei(100),)))
    assert persist == fx.Persist((RedeemedRow(CHANNEL, 0, Wei(100)),))
    assert kinds(stall.fire(SETTLE_TIMER)) == ["SetTimer"]
    assert stall.tell(given.Redeemed((), ())) == []


def test_more_than_a_batch_is_redeemed_batch_by_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("p2p_modelex.limits.REDEMPTION_VOUCHERS_MAX", 1)
    other = build_state(OTHER_TERMS)
    stall = Stall(STATE, other, threshold=Wei(1))
    stall.receive(10)
    stall.receive(10, channel=other.channel)
    _, first = stall.fire(SETTLE_TIMER)
    assert isinstance(first, fx.Redeem)
    effects = stall.tell(given.Redeemed(first.claims, (Wei(10),)))
    assert kinds(effects) == ["Persist", "Redeem"]


def test_a_payee_whose_redeeming_fails_holds_up_no_other() -> None:
    """A transaction pays one account; our own and a farm's take turns."""
    farm = Address(b"\xfa" * 20)
    theirs = build_state(msgspec.structs.replace(TERMS, payee=farm))
    stall = Stall(threshold=Wei(1))
    stall.ledger.take_seats({farm: Seat(1)})
    stall.ledger.note_channel(theirs)
    assert kinds(stall.selling.start(NOW))[:2] == ["PayOut", "PayOut"]
    stall.receive(10)
    stall.receive(10, lane=64, channel=theirs.channel)
    redeemed = []
    for _ in range(3):
        _, redeem = stall.fire(SETTLE_TIMER)
        assert isinstance(redeem, fx.Redeem)
        redeemed.append({claim.terms.payee for claim in redeem.claims})
        stall.tell(given.RedeemFailed(redeem.claims, "no route"))
    assert redeemed[0] == redeemed[2] != redeemed[1]
    assert redeemed[0] | redeemed[1] == {OPERATOR.address, farm}


def test_a_chain_out_of_reach_is_asked_more_and_more_seldom() -> None:
    stall = Stall(threshold=Wei(1))
    stall.receive(10)
    pauses = []
    for _ in range(9):
        _, redeem = stall.fire(SETTLE_TIMER)
        assert isinstance(redeem, fx.Redeem)
        [rearmed] = stall.tell(given.RedeemFailed(redeem.claims, "no route"))
        assert isinstance(rearmed, fx.SetTimer)
        pauses.append(rearmed.at - NOW)
    assert pauses[:2] == [2 * SETTLE_INTERVAL_MS, 4 * SETTLE_INTERVAL_MS]
    assert pauses[-1] == SETTLE_PAUSE_MAX_MS
    _, redeem = stall.fire(SETTLE_TIMER)
    assert isinstance(redeem, fx.Redeem)
    stall.tell(given.Redeemed(redeem.claims, (Wei(10),)))
    assert stall.fire(SETTLE_TIMER) == [fx.SetTimer(SETTLE_TIMER, UnixMs(NOW + SETTLE_INTERVAL_MS))]


def test_a_channel_found_closing_is_redeemed_at_once() -> None:
    stall = Stall(threshold=Wei(1000))
    stall.receive(10)
    rearmed, fetch = stall.fire(WATCH_TIMER)
    assert rearmed == fx.SetTimer(WATCH_TIMER, UnixMs(NOW + WATCH_INTERVAL_MS))
    assert fetch == fx.FetchChannel(CHANNEL, TERMS)
    assert kinds(stall.tell(given.ChannelFetched(CHANNEL, STATE))) == ["Persist"]
    stall.fire(WATCH_TIMER)
    assert kinds(stall.tell(given.ChannelFetched(CHANNEL, closing()))) == ["Persist", "Redeem"]


def test_an_operator_may_choose_not_to_answer_a_closing_channel() -> None:
    stall = Stall(threshold=Wei(1000), answers_closing=False)
    stall.receive(10)
    stall.fire(WATCH_TIMER)
    assert kinds(stall.tell(given.ChannelFetched(CHANNEL, closing()))) == ["Persist"]


def test_while_the_chain_fails_a_closing_channel_waits_for_the_next_try() -> None:
    stall = Stall(threshold=Wei(1))
    stall.receive(10)
    _, redeem = stall.fire(SETTLE_TIMER)
    assert isinstance(redeem, fx.Redeem)
    stall.tell(given.RedeemFailed(redeem.claims, "no route"))
    assert kinds(stall.tell(given.ChannelFetched(CHANNEL, closing()))) == ["Persist"]


def redeemed(stall: Stall) -> fx.Redeem:
    """Have the settling timer redeem, and tell it that the chain did."""
    _, redeem = stall.fire(SETTLE_TIMER)
    assert isinstance(redeem, fx.Redeem)
    stall.tell(given.Redeemed(redeem.claims, tuple(Wei(10) for _ in redeem.claims)))
    return redeem


def test_what_a_reorg_undid_is_redeemed_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """LED-9: the chain is looked at after a while, and has less than was noted."""
    stall = Stall(threshold=Wei(1))
    stall.receive(10)
    first = redeemed(stall)
    assert fetched(stall.fire(WATCH_TIMER)) == []  # too early to tell
    monkeypatch.setattr(redeeming, "PROVEN_MS", 0)
    stall.receive(20)
    redeemed(stall)
    stall.receive(30, lane=1)
    stall.ledger.note_redeemed(promise(30, lane=1).voucher)
    stall.receive(5, lane=2)
    assert fetched(stall.fire(WATCH_TIMER)) == [CHANNEL]
    [persist] = stall.tell(given.ChannelFetched(CHANNEL, STATE))
    assert isinstance(persist, fx.Persist)
    assert [row for row in persist.rows if isinstance(row, RedeemedRow)] == [
        RedeemedRow(CHANNEL, 0, Wei(0)),
        RedeemedRow(CHANNEL, 1, Wei(0)),
    ]
    again = redeemed(stall)
    assert [claim.signed.voucher.amount for claim in again.claims] == [20, 30, 5]
    assert first.claims[0].terms == again.claims[0].terms


@pytest.mark.parametrize(("claimed", "deposit"), [(10, 1000), (15, 1000), (5, 5)])
def test_what_stood_or_cannot_be_had_is_not_redeemed_again(
    claimed: int, deposit: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """LED-9: as much is claimed, or the farm's others claimed more, or nothing is left."""
    monkeypatch.setattr(redeeming, "PROVEN_MS", 0)
    stall = Stall(threshold=Wei(1))
    stall.receive(10)
    redeemed(stall)
    assert fetched(stall.fire(WATCH_TIMER)) == [CHANNEL]
    state = msgspec.structs.replace(STATE, claimed=Wei(claimed), deposit=Wei(deposit))
    [persist] = stall.tell(given.ChannelFetched(CHANNEL, state))
    assert isinstance(persist, fx.Persist)
    assert not any(isinstance(row, RedeemedRow) for row in persist.rows)
    assert fetched(stall.fire(WATCH_TIMER)) == []  # once is enough


def test_who_starts_looks_in_turn_at_what_it_redeemed_before(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """LED-9: those that are out of reach, or gone, do not keep others from it."""
    monkeypatch.setattr(redeeming, "WATCHED_AT_ONCE", 1)
    names = [build_state(build_terms(number)).channel for number in (1, 2)]
    stall = Stall(*(build_state(build_terms(number)) for number in (1, 2)), threshold=Wei(1))
    for name in names:
        stall.receive(10, channel=name)
        stall.ledger.note_redeemed(promise(10, channel=name).voucher)
    stall.selling.start(NOW)
    for name in (*names, names[0]):
        assert fetched(stall.fire(WATCH_TIMER)) == [name]
        assert stall.tell(given.ChannelFetched(ChannelId(name), None)) == []


def test_channels_are_watched_in_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(redeeming, "WATCHED_AT_ONCE", 2)
    states = [build_state(build_terms(number)) for number in (1, 2, 3)]
    names = sorted(state.channel for state in states)
    stall = Stall(*states, threshold=Wei(1000))
    assert fetched(stall.fire(WATCH_TIMER)) == []
    for name in names:
        stall.receive(10, channel=name)
    seen = []
    for _ in range(3):
        channels = fetched(stall.fire(WATCH_TIMER))
        for channel in channels:
            stall.tell(given.ChannelFetched(ChannelId(channel), None))
        seen += channels
    assert seen == [names[0], names[1], names[2], names[0], names[1], names[2]]


def test_what_is_for_others_is_ignored() -> None:
    stall = Stall()
    assert stall.tell(given.PeerConnected(REQUESTER_KEY.peer)) == []
    assert stall.tell(given.EngineProduced(build_job(9), "late", 1)) == []
    assert stall.tell(given.EngineFinished(build_job(9), Finish.STOP, 1, 1)) == []
    assert build_jobs().claim(build_job(9))
