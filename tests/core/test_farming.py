"""Nodes of a farm, their records and certificates: chosen, paid, revoked, expired."""

from typing import Any

import msgspec
import pytest

from p2p_modelex.core import effects as fx
from p2p_modelex.core import inputs as given
from p2p_modelex.core.farm.machine import FARM_PROTOCOL, FARMS_TOPIC
from p2p_modelex.core.farming import SEATS_TIMER
from p2p_modelex.core.node import NodeCore
from p2p_modelex.errors import JobRefused
from p2p_modelex.ids import Address, ChannelId, JobId, format_peer_id
from p2p_modelex.records import codec
from p2p_modelex.records.channel import PAYER_SIGNS, ChannelTerms
from p2p_modelex.records.envelope import Envelope
from p2p_modelex.records.farm import FarmAnswer
from p2p_modelex.records.rows import ChannelRow, MembershipRow, ReceivedVoucherRow
from p2p_modelex.units import UnixMs, Wei
from tests.core.exchange.cases import build_voucher
from tests.core.exchange.pair import (
    NOW,
    OPERATOR,
    OTHER_KEY,
    OWNERSHIP,
    PAYER,
    PROVIDER_KEY,
    build_state,
)
from tests.core.farm.farms import DAY, FARM, PAYEE
from tests.core.test_node import build, meet, wanted

JOB = JobId(b"j" * 16)
TERMS = ChannelTerms(PAYER.address, Address(PAYEE), PAYER_SIGNS, b"F" * 32)
STATE = build_state(TERMS)
AT = UnixMs(NOW)
TTL = 30 * 60_000


def admit(**changes: Any) -> Envelope:
    return FARM.admit(PROVIDER_KEY.public_key, weight=10_000, **changes)


def build_member(*certificates: Envelope, records: tuple[bytes, ...] = ()) -> NodeCore:
    """A seller that is a member by these certificates, and advertises it."""
    core = build()
    core.advertise(["/memory/1"], [OWNERSHIP], AT)
    core.farming.join(certificates, [], records, UnixMs(NOW + 1))
    return core


def shown(core: NodeCore) -> tuple[Envelope, ...]:
    own = core.directory.get(core.directory.own)
    assert own is not None
    return own.advertisement.farms


def request(buyer: NodeCore, farm: str = "harvest") -> list[fx.Effect]:
    return buyer.step(msgspec.structs.replace(wanted(JOB), farm=farm), AT)


def find_farm_stream(effects: list[fx.Effect]) -> fx.OpenStream:
    return next(
        one for one in effects if isinstance(one, fx.OpenStream) and one.protocol == FARM_PROTOCOL
    )


def answer(buyer: NodeCore, effects: list[fx.Effect], record: bytes) -> list[fx.Effect]:
    """What the buyer does when the member that it asks has this record."""
    stream = find_farm_stream(effects).stream
    return buyer.step(given.FrameReceived(stream, codec.encode(FarmAnswer(record))), AT)


def test_an_order_through_a_farm_waits_for_its_record_and_pays_its_account() -> None:
    buyer = build(sells=False)
    meet(buyer, build_member(admit()))
    effects = request(buyer)
    assert not any(isinstance(one, fx.OpenChannel) for one in effects)
    effects = answer(buyer, effects, FARM.record())
    [deposit] = [one for one in effects if isinstance(one, fx.OpenChannel)]
    assert deposit.payee == PAYEE
    effects = buyer.step(given.ChannelOpened(deposit.payee, STATE), AT)
    [order] = [one for one in effects if isinstance(one, fx.OpenStream)]
    assert order.peer == PROVIDER_KEY.peer
    sent = buyer.step(given.StreamReady(order.stream), AT)
    assert any(isinstance(one, fx.Send) for one in sent)
    assert buyer.payer.get_left(ChannelId(STATE.channel), wanted(JOB).epoch) < STATE.deposit


def test_who_was_revoked_is_not_chosen_even_if_it_was_looked_at_before() -> None:
    """RTE-26: the record comes while the run waits for it."""
    buyer = build(sells=False)
    meet(buyer, build_member(admit()))
    effects = answer(buyer, request(buyer), FARM.record(revoked=(1,)))
    [emit] = [one for one in effects if isinstance(one, fx.Emit)]
    assert isinstance(emit.event, fx.RunFailed)
    assert emit.event.reason == (
        f"RTE-26: 1 offer is of peers that are not, or no more, of farm {format_peer_id(FARM.peer)}"
    )
    assert buyer.is_idle


def test_who_is_revoked_while_a_deposit_is_made_is_not_ordered_from() -> None:
    """FRM-13: the record comes by gossip, between the choice and the order."""
    buyer = build(sells=False)
    meet(buyer, build_member(admit()))
    effects = answer(buyer, request(buyer), FARM.record())
    [deposit] = [one for one in effects if isinstance(one, fx.OpenChannel)]
    record, later = FARM.record(NOW + 1, revoked=(1,)), UnixMs(NOW + 5_000)
    assert buyer.gossip[FARMS_TOPIC](OTHER_KEY.peer, record, later).accepted
    effects = buyer.step(given.ChannelOpened(deposit.payee, STATE), later)
    assert not any(isinstance(one, fx.OpenStream) for one in effects)
    [emit] = [one for one in effects if isinstance(one, fx.Emit)]
    assert isinstance(emit.event, fx.RunFailed)
    assert emit.event.reason == "FRM-13: it is no member of the farm any more"


def test_a_record_that_does_not_come_leaves_the_certificates_standing() -> None:
    buyer = build(sells=False)
    meet(buyer, build_member(admit()))
    stream = find_farm_stream(request(buyer)).stream
    effects = buyer.step(given.StreamFailed(stream, "unreachable"), AT)
    assert any(isinstance(one, fx.OpenChannel) for one in effects)


def test_an_explanation_says_who_is_left_of_the_farm() -> None:
    buyer = build(sells=False)
    meet(buyer, build_member(admit()))
    look, effects = buyer.look(msgspec.structs.replace(wanted(JOB), farm="harvest"), AT)
    assert not buyer.choosing.is_ready(look)
    assert len(buyer.choosing.explain(look, AT).ranked) == 1
    answer(buyer, list(effects), FARM.record(revoked=(1,)))
    assert buyer.choosing.is_ready(look)
    assert buyer.choosing.explain(look, AT).why.startswith("RTE-26")


def test_a_record_by_gossip_ends_a_membership_of_ours() -> None:
    """The certificate is shown no more, and new jobs are refused."""
    core = build_member(admit())
    assert shown(core) == (admit(),)
    core.payee.note_channel(STATE)
    record = FARM.record(revoked=(1,))
    assert core.gossip[FARMS_TOPIC](OTHER_KEY.peer, record, AT).accepted
    later = UnixMs(NOW + 5_000)
    heard = given.GossipArrived(FARMS_TOPIC, OTHER_KEY.peer, OTHER_KEY.peer, record)
    effects = core.step(heard, later)
    assert any(isinstance(one, fx.Persist) for one in effects)
    assert shown(core) == ()
    with pytest.raises(JobRefused, match="LED-13"):
        core.payee.open_lane(
            JOB,
            build_voucher(5, 64, channel=STATE.channel),
            wanted(JOB).epoch,
            base=Wei(0),
            window=Wei(1),
            ceiling=Wei(5),
        )


def test_time_ends_a_membership_of_ours() -> None:
    end = NOW + DAY
    core = build_member(admit(not_after=end))
    before = UnixMs(end - TTL - 60_000 + 1)
    effects = core.step(given.TimerFired(SEATS_TIMER), before)
    assert shown(core) == ()
    assert fx.SetTimer(SEATS_TIMER, UnixMs(end + 1)) in effects
    assert core.payee.note_channel(STATE)
    assert core.step(given.TimerFired(SEATS_TIMER), UnixMs(end + 1)) == []


def test_a_certificate_is_shown_when_it_comes_and_when_its_time_has_come() -> None:
    core = build_member(admit(not_before=NOW + DAY, not_after=NOW + 9 * DAY))
    assert shown(core) == ()
    core.step(given.TimerFired(SEATS_TIMER), UnixMs(NOW + DAY))
    assert len(shown(core)) == 1
    core.farming.join([], [], [], UnixMs(NOW + DAY + 1))
    assert shown(core) == ()


def test_what_is_kept_is_told_to_the_ledger_at_a_restart() -> None:
    """A farm that was left is none of ours, and what it owes us is."""
    first = build_member()
    effects = first.farming.join([admit()], [], [FARM.record()], AT)
    rows = [row for one in effects if isinstance(one, fx.Persist) for row in one.rows]
    assert [row for row in rows if isinstance(row, MembershipRow)] == [
        MembershipRow(FARM.public_key, 1, admit())
    ]
    again = build()
    again.restore(
        [
            *rows,
            ChannelRow(STATE, is_payer=False, peer=None),
            ReceivedVoucherRow(build_voucher(70, 64, channel=STATE.channel), Wei(70)),
        ]
    )
    assert again.payee.payees == (OPERATOR.address, PAYEE)
    [claim] = again.payee.claims_to_redeem(AT, is_forced=True)
    assert claim.terms == TERMS
    assert again.farming.get_shown(AT) == ()


def test_members_answer_who_asks_for_the_record() -> None:
    core = build_member(admit(), records=(FARM.record(),))
    other = build(sells=False)
    meet(other, core)
    stream = find_farm_stream(request(other))
    [question] = other.step(given.StreamReady(stream.stream), AT)
    assert isinstance(question, fx.Send)
    theirs = fx.StreamId(99)
    core.step(given.StreamOpened(theirs, OTHER_KEY.peer, FARM_PROTOCOL), AT)
    sent = core.step(given.FrameReceived(theirs, question.payload), AT)
    assert fx.Send(theirs, codec.encode(FarmAnswer(FARM.record()))) in sent


def test_what_cannot_be_said_now_stops_nobody() -> None:
    """The clock went back: what was said holds, and who comes through the farm is served."""
    core = build_member()
    before = UnixMs(NOW - 120_000)
    core.farming.join([admit()], [], [], before)
    assert shown(core) == ()
    assert core.payee.payees == (OPERATOR.address, PAYEE)
    core.step(given.TimerFired(SEATS_TIMER), UnixMs(NOW + 2))
    assert shown(core) == (admit(),), "said as soon as it can be"
