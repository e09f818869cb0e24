"""The composition: every input reaches the machine it is for, and nothing else moves."""

import random

import msgspec
import pytest

from p2p_modelex.core import effects as fx
from p2p_modelex.core import inputs as given
from p2p_modelex.core import ratings
from p2p_modelex.core.anchoring.own import AnchoringPolicy
from p2p_modelex.core.directory.sessions import RECONCILE_PROTOCOL
from p2p_modelex.core.effects import StreamId, TimerId
from p2p_modelex.core.exchange import parameters
from p2p_modelex.core.funding import SALT_SEED, Budget, Funding
from p2p_modelex.core.inputs import RunRequested
from p2p_modelex.core.job_states import CUT, FINAL_STATES
from p2p_modelex.core.ledger.payer import PayerLedger
from p2p_modelex.core.ledger.seat import OWN_SEAT
from p2p_modelex.core.members.machine import TELL_TIMER
from p2p_modelex.core.members.parameters import MEMBERS_PROTOCOL, TELL_INTERVAL_MS
from p2p_modelex.core.node import ANNOUNCEMENTS_TOPIC, PROTOCOLS, NodeCore
from p2p_modelex.core.parts import Identity, Policies, Shop
from p2p_modelex.core.routing.probes import PROBE_PROTOCOL
from p2p_modelex.ids import Address, ChannelId, Digest, JobId
from p2p_modelex.records import codec
from p2p_modelex.records.advertisement import Section
from p2p_modelex.records.job import Load, Probe
from p2p_modelex.records.receipt import Finish
from p2p_modelex.records.registry import RegistryEntry, RegistrySection
from p2p_modelex.records.rows import ChannelRow, JobRow, Row, SettingRow
from p2p_modelex.units import Epoch, UnixMs, Wei
from tests.core.exchange.pair import (
    CHANNEL,
    CHANNELS,
    NETWORK,
    NOW,
    OFFER,
    OTHER_KEY,
    OWNERSHIP,
    PAYER,
    PROVIDER_KEY,
    REGISTRY,
    REQUEST,
    REQUESTER_KEY,
    STATE,
    build_seller,
)

THEIRS = StreamId(1)


def build(*, sells: bool = True, registers: bool = False) -> NodeCore:
    key = PROVIDER_KEY if sells else REQUESTER_KEY
    identity = Identity(key.peer, key, PAYER, NETWORK, REGISTRY, CHANNELS)
    budget = Budget(Wei(100), Wei(1000))
    policies = Policies(budget, anchoring=AnchoringPolicy(registers))
    shop = Shop(build_seller(), (OFFER,), 2) if sells else None
    core = NodeCore(identity, policies, shop, random.Random(1), "test/1")
    core.start(NOW)
    return core


def wanted(job: JobId) -> RunRequested:
    most = Wei(10**6)
    return RunRequested(job, REQUEST, most, most, most, most, (), (), 3, True)


def opened(protocol: str) -> given.StreamOpened:
    return given.StreamOpened(THEIRS, OTHER_KEY.peer, protocol)


def row(state: str, *, is_provider: bool, number: int) -> JobRow:
    job = JobId(bytes([number]) * 16)
    return JobRow(job, is_provider, OTHER_KEY.peer, state, Wei(1), Wei(0), NOW)


def test_a_node_that_buys_sells_nothing_and_is_idle() -> None:
    core = build(sells=False)
    assert core.is_idle
    assert core.frame_limits == PROTOCOLS
    assert core.background < PROTOCOLS.keys()
    assert core.step(opened(parameters.PROTOCOL), NOW) == [fx.CloseStream(THEIRS)]
    assert core.step(given.TimerFired(TimerId("selling/settle")), NOW) == []
    assert core.step(given.ChannelFetched(CHANNEL, STATE), NOW) == []
    assert core.step(given.ShutDown(), NOW) == []


def test_what_is_stocked_is_advertised_from_then_on() -> None:
    core = build()
    core.advertise(["/memory/1"], [OWNERSHIP], NOW)
    dearer = msgspec.structs.replace(OFFER, completion_price=Wei(99))
    core.stock(Shop(build_seller(dearer), (dearer,), 2), NOW)
    core.advertise(["/memory/1"], [OWNERSHIP], UnixMs(NOW + 1))
    entry = core.directory.get(core.directory.own)
    assert entry is not None
    assert [offer.completion_price for offer in entry.advertisement.offers] == [99]


@pytest.mark.parametrize("sells", [True, False])
def test_probes_are_answered_with_our_load(sells: bool) -> None:
    core = build(sells=sells)
    core.step(opened(PROBE_PROTOCOL), NOW)
    probe = given.FrameReceived(THEIRS, codec.encode(Probe(7)))
    sent = next(e for e in core.step(probe, NOW) if isinstance(e, fx.Send))
    load: Load = codec.decode(Load, sent.payload, limit=64)
    assert (load.nonce, load.slots) == (7, 2 if sells else 0)


def test_each_protocol_has_its_machine_and_a_deadline_for_silence() -> None:
    for protocol, timer in (
        (parameters.PROTOCOL, "exchange/1/wait"),
        (PROBE_PROTOCOL, "probe/1"),
        (RECONCILE_PROTOCOL, "directory/"),
    ):
        core = build()
        effects = core.step(opened(protocol), NOW)
        [deadline] = [e for e in effects if isinstance(e, fx.SetTimer)]
        assert deadline.timer.startswith(timer)
        late = UnixMs(NOW + 10**7)
        effects = core.step(given.TimerFired(deadline.timer), late)
        assert any(isinstance(e, fx.ResetStream) for e in effects), protocol
        assert core.is_idle


@pytest.mark.parametrize("protocol", sorted(PROTOCOLS.keys() - {MEMBERS_PROTOCOL}))
def test_garbage_costs_the_sender_its_stream_and_us_nothing(protocol: str) -> None:
    core = build()
    core.step(opened(protocol), NOW)
    effects = core.step(given.FrameReceived(THEIRS, b"\xff\x00garbage"), NOW)
    assert fx.ResetStream(THEIRS) in effects
    assert any(isinstance(e, fx.Penalize) for e in effects)
    assert core.step(given.FrameReceived(THEIRS, b"more"), NOW) == []


def test_strangers_are_not_heard_where_members_speak() -> None:
    """MEM-1."""
    assert fx.ResetStream(THEIRS) in build().step(opened(MEMBERS_PROTOCOL), NOW)
    assert build(sells=False).step(opened(MEMBERS_PROTOCOL), NOW) == [fx.CloseStream(THEIRS)]


def test_a_member_tells_its_fellows_now_and_then() -> None:
    core = build()
    effects = core.step(given.TimerFired(TELL_TIMER), NOW)
    assert effects == [fx.SetTimer(TELL_TIMER, UnixMs(NOW + TELL_INTERVAL_MS))], "it has none"


@pytest.mark.parametrize("sells", [True, False])
@pytest.mark.parametrize(
    "happened",
    [
        given.StreamReady(StreamId(88)),
        given.StreamFailed(StreamId(88), "gone"),
        given.FrameReceived(StreamId(88), b"late"),
        given.StreamEnded(StreamId(88), True, ""),
        given.TimerFired(TimerId("exchange/88/wait")),
        given.TimerFired(TimerId("probe/88")),
        given.RatingsRead(()),
        given.TimerFired(TimerId(f"run/{bytes(16).hex()}/line")),
        given.TimerFired(TimerId("nobody/knows")),
        given.TokensCounted(JobId(b"j" * 16), 1),
        given.EngineFinished(JobId(b"j" * 16), Finish.STOP, 1, 1),
        given.CancelRun(JobId(b"j" * 16)),
        given.ChannelOpenFailed(Address(b"p" * 20), "no gas"),
        given.Redeemed((), ()),
    ],
)
def test_what_nobody_waits_for_any_more_is_ignored(happened: given.Input, sells: bool) -> None:
    assert build(sells=sells).step(happened, NOW) == []


def test_a_run_that_finds_nobody_ends_at_once() -> None:
    core = build(sells=False)
    job = JobId(b"j" * 16)
    [emit] = core.step(wanted(job), NOW)
    assert isinstance(emit, fx.Emit)
    assert isinstance(emit.event, fx.RunFailed)
    assert emit.event.code == "no_provider"


def meet(buyer: NodeCore, seller: NodeCore) -> None:
    """Let the buyer know the seller's advertisement."""
    seller.advertise(["/memory/1"], [OWNERSHIP], NOW)
    entry = seller.directory.get(PROVIDER_KEY.peer)
    assert entry is not None
    later = UnixMs(NOW + 1)
    assert buyer.directory.judge(entry.envelope, later).outcome.value == "accept"


def test_a_probe_that_is_not_answered_is_over_in_time() -> None:
    core = build()
    [probe, _] = core._probes.ask([(OTHER_KEY.peer, ("/memory/1",))], NOW)
    assert isinstance(probe, fx.OpenStream)
    assert probe.protocol == PROBE_PROTOCOL
    core.step(given.StreamReady(probe.stream), NOW)
    assert core.step(given.TimerFired(TimerId(f"probe/{probe.stream}")), NOW)


def test_a_run_goes_over_channel_and_stream_to_the_seller() -> None:
    buyer = build(sells=False)
    meet(buyer, build())
    job = JobId(b"j" * 16)
    effects = buyer.step(wanted(job), NOW)
    assert not buyer.is_idle
    deposit = next(e for e in effects if isinstance(e, fx.OpenChannel))
    effects = buyer.step(given.ChannelOpened(deposit.payee, STATE), NOW)
    order = next(e for e in effects if isinstance(e, fx.OpenStream))
    effects = buyer.step(given.StreamReady(order.stream), NOW)
    assert any(isinstance(e, fx.Send) for e in effects)
    buyer.step(given.CancelRun(job), NOW)
    assert buyer.is_idle


def test_a_seller_that_leaves_withdraws_its_advertisement() -> None:
    core = build()
    core.advertise(["/memory/1"], [OWNERSHIP], NOW)
    entry = core.directory.get(PROVIDER_KEY.peer)
    assert entry is not None
    assert entry.advertisement.offers == (OFFER,)
    core.withdraw(UnixMs(NOW + 1))
    entry = core.directory.get(PROVIDER_KEY.peer)
    assert entry is not None
    assert entry.withdrawn


def own_entry(section: RegistrySection) -> RegistryEntry:
    digest = Digest(b"d" * 32)
    return RegistryEntry(PROVIDER_KEY.public_key, PAYER.address, digest, 1, "", section)


def read(core: NodeCore, *entries: RegistryEntry) -> list[fx.Effect]:
    return core.step(given.RegistryRead(entries, is_first=True, is_last=True), NOW)


def test_what_the_registry_says_of_us_changes_what_we_say() -> None:
    """ANC-11."""
    core = build()
    core.advertise(["/memory/1"], [OWNERSHIP], NOW)
    said = []
    for section in RegistrySection:
        read(core, own_entry(section))
        entry = core.directory.get(PROVIDER_KEY.peer)
        assert entry is not None
        said.append(entry.advertisement.section)
    assert said == [Section.PUBLIC, Section.WHITELISTED, Section.PUBLIC]
    core.withdraw(UnixMs(NOW + 5))
    read(core)
    entry = core.directory.get(PROVIDER_KEY.peer)
    assert entry is not None
    assert entry.withdrawn


def test_a_node_that_registers_anchors_what_it_advertises() -> None:
    core = build(registers=True)
    core.advertise(["/memory/1"], [OWNERSHIP], NOW)
    [anchor] = [effect for effect in read(core) if isinstance(effect, fx.PutAnchor)]
    assert anchor.sequence == core.directory.own_sequence
    failed = core.step(given.AnchorFailed(), NOW)
    [timer] = [effect for effect in failed if isinstance(effect, fx.SetTimer)]
    again = core.step(given.TimerFired(timer.timer), timer.at)
    assert anchor in again


def test_who_is_suspended_is_not_bought_from() -> None:
    """RTE-14."""
    buyer = build(sells=False)
    meet(buyer, build())
    entry = RegistryEntry(
        PROVIDER_KEY.public_key,
        Address(OWNERSHIP.ownership.operator),
        Digest(bytes(32)),
        1,
        "",
        RegistrySection.SUSPENDED,
    )
    read(buyer, entry)
    [emit] = buyer.step(wanted(JobId(b"j" * 16)), NOW)
    assert isinstance(emit, fx.Emit)
    assert isinstance(emit.event, fx.RunFailed)
    assert emit.event.reason.startswith("RTE-14: ")


def test_gossip_and_the_mesh_are_the_directorys() -> None:
    core = build()
    verdict = core.gossip[ANNOUNCEMENTS_TOPIC](OTHER_KEY.peer, b"garbage", NOW)
    assert verdict.outcome.value == "reject"
    effects = core.step(given.PeerConnected(OTHER_KEY.peer), NOW)
    streams = [e for e in effects if isinstance(e, fx.OpenStream)]
    assert [one.protocol for one in streams] == [RECONCILE_PROTOCOL]
    assert any(isinstance(e, fx.Send) for e in core.step(given.StreamReady(streams[0].stream), NOW))


def test_jobs_that_a_crash_cut_off_are_closed_and_doubts_are_kept() -> None:
    rows: list[Row] = [
        row("running", is_provider=True, number=1),
        row("settling", is_provider=True, number=2),
        row("lost", is_provider=True, number=3),
        row("paid", is_provider=True, number=4),
        row("running", is_provider=False, number=5),
        SettingRow("x", b""),
    ]
    cut = build().restore(rows)
    assert [one.state for one in cut if isinstance(one, JobRow)] == [CUT] * 3
    assert CUT in FINAL_STATES
    assert "lost" not in FINAL_STATES


def test_a_restart_looks_at_its_channels_and_names_no_new_one_twice() -> None:
    seed = SettingRow(SALT_SEED, b"seed")
    buyer = build(sells=False)
    buyer.restore([seed, ChannelRow(STATE, is_payer=True, peer=None)])
    looked = [e for e in buyer.start(NOW) if isinstance(e, fx.FetchChannel)]
    assert looked == [fx.FetchChannel(ChannelId(STATE.channel), STATE.terms)]
    salts = [make_salt([seed]), make_salt([seed]), make_salt([])]
    salts.append(make_salt([seed, ChannelRow(STATE, is_payer=True, peer=None)]))
    assert salts[0] == salts[1]
    assert len(set(salts)) == 3


def make_salt(rows: list[Row]) -> bytes:
    """The salt of the channel that a node with these rows would open to STATE's payee."""
    payer = PayerLedger(PAYER, CHANNELS)
    funding = Funding(payer, Budget(Wei(1), Wei(10)))
    funding.restore(rows)
    [opening] = funding.ask(JobId(bytes(16)), Address(STATE.payee), Wei(1), Epoch(0), OWN_SEAT, NOW)
    assert isinstance(opening, fx.OpenChannel)
    return opening.salt


def test_a_choice_is_explained_without_an_order() -> None:
    core = build(sells=False)
    look, effects = core.look(wanted(JobId(bytes(16))), NOW)
    assert effects == ()
    assert core.choosing.is_ready(look)
    decision = core.choosing.explain(look, NOW)
    assert (decision.profile, decision.picker) == ("default", "power_of_d")
    assert decision.why == "no other peer offers anything yet"
    assert core.is_idle


def test_a_survey_without_peers_says_so_and_asks_nobody() -> None:
    core = build(sells=False)
    found, why, effects = core.survey(wanted(JobId(bytes(16))), (), NOW)
    assert (found, effects) == ((), ())
    assert why == "no other peer offers anything yet"
    assert not core.choosing.is_waiting([PROVIDER_KEY.peer])
    assert core.choosing.router.loads.get(PROVIDER_KEY.peer, NOW) is None


def test_ratings_are_asked_for_at_intervals() -> None:
    core = build()
    again = fx.SetTimer(ratings.READ_TIMER, UnixMs(NOW + ratings.AGAIN_MS))
    assert core.step(given.TimerFired(ratings.READ_TIMER), NOW) == [again]
