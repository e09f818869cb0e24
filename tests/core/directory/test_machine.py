"""The whole machine among others: joining, announcing, fetching, renewing, withdrawing."""

import pytest

from p2p_modelex import limits
from p2p_modelex.core import effects as fx
from p2p_modelex.core import inputs as inp
from p2p_modelex.core.buckets import TokenBuckets
from p2p_modelex.core.directory.announcements import PENDING_MAX, SOURCES_MAX, PendingFetches
from p2p_modelex.core.directory.machine import ANNOUNCEMENTS_TOPIC
from p2p_modelex.core.directory.own import OwnAdvertisement
from p2p_modelex.core.directory.settings import DirectorySettings
from p2p_modelex.core.effects import StreamId, TimerId
from p2p_modelex.errors import LocalProtocolError
from p2p_modelex.ids import PeerId
from p2p_modelex.records import codec
from p2p_modelex.records.advertisement import Announcement, Announcements, Change
from p2p_modelex.records.reconciliation import Pulled
from p2p_modelex.units import UnixMs
from tests.core.directory.make_vectors import announcements
from tests.core.directory.worlds import (
    NOW,
    Key,
    Node,
    World,
    advertisement,
    directory,
    offer,
    sealed,
)

ADDRESSES = ("/ip4/127.0.0.1/tcp/1",)
# Long pauses keep what is not under test out of the way.
QUIET = DirectorySettings(reconcile_interval_ms=10**9, joining_retry_ms=10**9)


def offers_of(node: Node, peer: PeerId) -> list[str]:
    entry = node.directory.get(peer)
    return [one.model for one in entry.advertisement.offers] if entry else []


def advertise(world: World, node: Node, *models: str) -> None:
    offers = [offer(model) for model in models]
    effects = node.machine.set_own(offers, ADDRESSES, (), world.now, agent="test/1")
    world.do(node, effects)


def start(world: World) -> None:
    for node in world.nodes.values():
        world.do(node, node.machine.start(world.now))


def test_joining_reconciles_with_the_first_neighbours() -> None:
    hub, new = Node(1), Node(2)
    others = [Node(number) for number in range(3, 7)]
    world = World(hub, new, *others)
    start(world)
    for at, node in enumerate(others):
        advertise(world, node, f"m{at}")
        world.connect(hub, node)
    assert not new.machine.knows_enough(world.now)
    world.connect(new, hub)
    assert new.machine.knows_enough(world.now)
    assert new.directory.models() == ("m0", "m1", "m2", "m3")
    assert new.machine.completed == 1
    for node in others:
        world.connect(new, node)
    assert new.machine.completed == 1 + len(others)  # they brought nothing that it lacked
    assert new.machine.knows_enough(world.now)
    rows = [row for effect in new.of(fx.Persist) for row in effect.rows]  # type: ignore[union-attr]
    assert len(rows) == 4
    assert not new.of(fx.Penalize)


def test_neighbours_that_have_nothing_do_not_end_joining() -> None:
    """Who hides everybody says so; the one that does not is asked as it connects."""
    settings = DirectorySettings(reconcile_interval_ms=10**9, joining_most=6)
    hiders = [Node(number, settings) for number in range(1, 6)]
    hub, late, new = Node(7, settings), Node(8, settings), Node(9, settings)
    world = World(*hiders, hub, late, new)
    for node in (hub, late):
        advertise(world, node, "m")
    for node in (*hiders, hub, late):
        world.tell(new, inp.PeerConnected(node.peer))
    assert new.directory.get(hub.peer) is not None
    assert new.machine.completed == 6
    assert new.directory.get(late.peer) is None  # six are enough, whatever they brought


def test_a_failed_join_is_tried_again_soon() -> None:
    hub, new = Node(1), Node(2)
    world = World(hub, new)
    start(world)
    advertise(world, hub, "m")
    world.unreachable.add(hub.peer)
    world.tell(new, inp.PeerConnected(hub.peer))
    assert new.machine.completed == 0
    world.unreachable.clear()
    world.advance(3_000)
    assert new.directory.models() == ("m",)
    assert new.machine.completed >= 1


def test_changes_travel_by_push_announcement_and_fetch() -> None:
    nodes = [Node(number, QUIET) for number in range(1, 8)]
    world = World(*nodes)
    start(world)
    first, second, *rest = nodes
    world.tell(first, inp.PeerConnected(second.peer))
    advertise(world, first, "m")
    assert offers_of(second, first.peer) == ["m"]  # pushed
    assert not any(node.directory.get(first.peer) for node in rest)
    world.advance(2_000)
    assert all(offers_of(node, first.peer) == ["m"] for node in nodes)  # announced, fetched
    assert [len(node.of(fx.Publish)) for node in nodes] == [1, 0, 0, 0, 0, 0, 0]
    advertise(world, first, "m")  # says nothing new
    assert len(first.of(fx.Persist)) == 1
    for model in ("a", "b", "c"):
        world.advance(200)
        advertise(world, first, model)
    world.advance(limits.CLOCK_SKEW_MS)
    assert all(offers_of(node, first.peer) == ["c"] for node in nodes)
    published = first.of(fx.Publish)
    assert len(published) == 2  # ANN-6: three changes, one message
    changes = [
        codec.decode(Announcements, one.payload, limit=10_000).items[0].change  # type: ignore[union-attr]
        for one in published
    ]
    assert changes == [Change.NEW, Change.CHANGED]


def test_a_withdrawal_reaches_everybody_and_nothing_older_returns() -> None:
    nodes = [Node(number, QUIET) for number in range(1, 6)]
    world = World(*nodes)
    first, second, *_ = nodes
    assert first.machine.withdraw(world.now) == ()
    world.tell(first, inp.PeerConnected(second.peer))
    advertise(world, first, "m")
    world.advance(5_000)
    old = first.directory.row_of(first.peer).envelope
    advertise(world, first, "n")
    world.advance(2_000)
    world.forwarders[first.peer] = second.peer
    world.do(first, first.machine.withdraw(world.now))
    assert first.machine.withdraw(world.now) == ()
    world.unreachable.add(first.peer)  # it has left
    world.advance(5_000)
    for node in nodes:
        entry = node.directory.get(first.peer)
        assert entry is not None
        assert entry.withdrawn
        # ADV-16: it outlives what it replaces.
        assert entry.expires_at >= world.now + limits.TTL_MAX_MS - 10_000
        assert node.directory.judge(old, world.now).rule == "ADV-7"
    world.unreachable.clear()
    advertise(world, first, "m")
    world.advance(12_000)
    assert all(offers_of(node, first.peer) == ["m"] for node in nodes)
    payload = first.of(fx.Publish)[-1].payload  # type: ignore[union-attr]
    assert codec.decode(Announcements, payload, limit=10_000).items[0].change is Change.NEW


def test_renewal_moves_by_reconciliation_and_the_dead_expire() -> None:
    settings = DirectorySettings(ttl_ms=60_000, reconcile_interval_ms=5_000)
    one, other, dead = Node(1, settings), Node(2, settings), Node(3, settings)
    world = World(one, other, dead)
    start(world)
    for node in (one, other, dead):
        advertise(world, node, f"m{node.number}")
    world.connect(one, other)
    world.connect(one, dead)
    world.advance(10_000)
    assert other.directory.models() == ("m1", "m3")
    world.unreachable.add(dead.peer)
    world.tell(one, inp.PeerDisconnected(dead.peer))
    world.tell(one, inp.PeerDisconnected(dead.peer))
    world.timers = {key: at for key, at in world.timers.items() if key[0] != dead.peer}
    world.advance(120_000)
    assert other.directory.models() == ("m1",)
    assert one.directory.models() == ("m2",)
    assert len(one.of(fx.Publish)) == 1  # ANN-6: renewals are not announced


def test_an_announcement_is_fetched_from_forwarder_then_origin_then_peer() -> None:
    asker = Node(1, QUIET)
    forwarder, origin, target = Key(20), Key(21), Key(22)
    world = World(asker)
    payload = announcements((target, NOW), (Key(1), NOW + 5))
    gossip = inp.GossipArrived(ANNOUNCEMENTS_TOPIC, origin.peer, forwarder.peer, payload)
    world.tell(asker, gossip)
    world.tell(asker, gossip)
    world.advance(60_000)
    opened = [one.peer for one in asker.of(fx.OpenStream)]  # type: ignore[union-attr]
    assert opened == [forwarder.peer, origin.peer, target.peer]
    assert not [key for key in world.timers if key[1] == TimerId("directory/fetch")]


def test_what_came_meanwhile_is_not_fetched() -> None:
    asker, target = Node(1, QUIET), Key(22)
    world = World(asker)
    payload = announcements((target, NOW))
    gossip = inp.GossipArrived(ANNOUNCEMENTS_TOPIC, target.peer, Key(20).peer, payload)
    world.tell(asker, gossip)
    assert asker.directory.judge(sealed(target), NOW).accepted
    world.tell(asker, gossip)
    world.advance(60_000)
    assert asker.of(fx.OpenStream) == []


def test_gossip_that_nobody_judged_is_dropped_quietly() -> None:
    node = Node(1, QUIET)
    for topic, payload in ((ANNOUNCEMENTS_TOPIC, b"\xc1"), ("other", announcements((Key(2), NOW)))):
        gossip = inp.GossipArrived(topic, Key(2).peer, Key(3).peer, payload)
        assert node.machine.step(gossip, NOW) == ()


def test_pending_fetches_are_bounded_and_raised() -> None:
    pending = PendingFetches(3, 0)
    for number in range(PENDING_MAX + 1):
        pending.add(number.to_bytes(32, "big"), 5, (Key(2).peer,), NOW)
    assert len(pending) == PENDING_MAX
    pending.add(bytes(32), 4, (), NOW)
    pending.add(bytes(32), 6, (), UnixMs(NOW + 1))
    due = pending.take_due(NOW, lambda _key: 5, UnixMs(NOW + 9))
    assert due == {}
    assert len(pending) == 1
    assert pending.next_due() == NOW + 1


def test_what_is_announced_twice_at_once_is_fetched_once() -> None:
    """Else whom we ask answers twice, and REC-6 blames it."""
    pending = PendingFetches(3, 0)
    for sequence in (5, 6):
        pending.add(bytes(32), sequence, (Key(2).peer,), NOW)
    assert pending.take_due(NOW, lambda _key: None, UnixMs(NOW + 9)) == {Key(2).peer: [bytes(32)]}
    again = pending.take_due(UnixMs(NOW + 9), lambda _key: None, UnixMs(NOW + 18))
    assert len(again) == 1
    assert Key(2).peer not in again


def test_a_source_is_asked_once_in_a_while_then_for_all_that_waits() -> None:
    """Else a flood of announcements uses up the sessions that a peer allows us (REC-10)."""
    pending, ask, other = PendingFetches(1, 5_000), Key(2).peer, Key(3).peer
    asked = []
    for second in range(11):
        now = UnixMs(NOW + 1000 * second)
        pending.add(second.to_bytes(32, "big"), 5, (ask,), now)
        due = pending.take_due(now, lambda _key: None, UnixMs(now + 60_000))
        asked.append(len(due.get(ask, ())))
    assert asked == [1, 0, 0, 0, 0, 5, 0, 0, 0, 0, 5]
    pending.add(b"o" * 32, 5, (other,), NOW)
    due = pending.take_due(UnixMs(NOW + 10_000), lambda _key: None, UnixMs(NOW + 60_000))
    assert due == {other: [b"o" * 32]}


def test_sources_asked_longest_ago_are_forgotten() -> None:
    pending = PendingFetches(1, 5_000)
    for number in range(SOURCES_MAX + 1):
        source, key = PeerId(number.to_bytes(8, "big")), number.to_bytes(32, "big")
        pending.add(key, 5, (source,), NOW)
        assert pending.take_due(NOW, lambda _key: None, UnixMs(NOW + 60_000))
    assert len(pending._free_at) == SOURCES_MAX


def test_one_neighbours_announcements_do_not_crowd_out_anothers() -> None:
    pending = PendingFetches(3, 0)
    for number in range(PENDING_MAX):
        pending.add(number.to_bytes(32, "big"), 5, (Key(2).peer,), NOW)
    honest = b"h" * 32
    pending.add(honest, 5, (Key(3).peer,), NOW)
    assert len(pending) == PENDING_MAX
    due = pending.take_due(NOW, lambda _key: None, UnixMs(NOW + 9))
    assert due[Key(3).peer] == [honest]


def test_gossip_makes_us_dial_few_strangers() -> None:
    """Announced peers may be anybody's addresses; who is connected is asked all the same."""
    node = Node(1)
    world = World(node)
    world.tell(node, inp.PeerConnected(Key(9).peer))
    strangers = [Key(20 + number) for number in range(10)]
    for key in strangers:
        item = Announcement(key.public_key, NOW, Change.NEW)
        payload = codec.encode(Announcements((item,)))
        origin, forwarder = key.peer, Key(9).peer
        world.tell(node, inp.GossipArrived(ANNOUNCEMENTS_TOPIC, origin, forwarder, payload))
    node.effects.clear()
    world.advance(12_000)
    opened = [effect.peer for effect in node.effects if isinstance(effect, fx.OpenStream)]
    assert Key(9).peer in opened
    dialled = [peer for peer in opened if peer != Key(9).peer]
    assert 1 <= len(dialled) <= 6


def test_another_holder_of_our_key_is_outdone() -> None:
    one, other = Node(1, QUIET), Node(2, QUIET)
    world = World(one, other)
    advertise(world, one, "m")
    elsewhere = sealed(Key(1), advertisement(NOW + 30_000, offers=(offer("old"),)))
    assert other.directory.judge(elsewhere, world.now).accepted
    world.connect(one, other)
    assert offers_of(one, one.peer) == ["old"]
    world.advance(15_000)
    assert offers_of(one, one.peer) == ["m"]
    assert one.directory.own_sequence == NOW + 30_001  # ADV-15


def test_a_restart_advertises_above_what_was_known() -> None:
    node = Node(1, QUIET)
    world = World(node)
    advertise(world, node, "m")
    row = node.directory.row_of(node.peer)
    again = Node(1, QUIET)
    again.directory.restore([row], UnixMs(NOW - 10))
    world = World(again)
    world.now = UnixMs(NOW - 10)
    advertise(world, again, "m")
    assert again.directory.own_sequence == row.sequence + 1


def test_a_clock_that_went_back_does_not_stop_the_node() -> None:
    node = Node(1, DirectorySettings(ttl_ms=60_000))
    world = World(node)
    advertise(world, node, "m")
    fired = inp.TimerFired(TimerId("directory/refresh"))
    effects = node.machine.step(fired, UnixMs(NOW - limits.CLOCK_SKEW_MS - 1000))
    assert [type(effect) for effect in effects] == [fx.SetTimer]
    assert node.machine.step(inp.TimerFired(TimerId("directory/none")), NOW) == ()


def test_an_advertisement_that_others_would_reject_is_refused() -> None:
    node = Node(1, QUIET)
    with pytest.raises(LocalProtocolError, match="ADV-9"):
        node.machine.set_own([offer()], ["localhost:1"], (), NOW, agent="test/1")
    many = [offer(f"{n}" * 60, features=tuple(c * 60 for c in "abcdefgh")) for n in range(9)]
    with pytest.raises(LocalProtocolError, match="ADV-1"):
        node.machine.set_own(many, ADDRESSES, (), NOW, agent="test/1")
    assert node.directory.get(node.peer) is None
    advertise(World(node), node, "m")


def test_a_change_before_the_first_announcement_is_still_new() -> None:
    node = Node(1, QUIET)
    world = World(node)
    world.tell(node, inp.PeerConnected(Key(2).peer))
    advertise(world, node, "m")
    advertise(world, node, "n")
    world.advance(1_000)
    (published,) = node.of(fx.Publish)
    assert isinstance(published, fx.Publish)
    (item,) = codec.decode(Announcements, published.payload, limit=1000).items
    assert (item.change, item.sequence) == (Change.NEW, NOW + 1)
    assert node.machine.step(inp.TimerFired(TimerId("directory/announce")), NOW) == ()


def test_who_is_alone_announces_itself_when_somebody_connects() -> None:
    """A dial across the world takes longer than the first announcement waits."""
    node = Node(1, QUIET)
    world = World(node)
    advertise(world, node, "m")
    world.advance(5_000)
    assert node.of(fx.Publish) == []
    world.tell(node, inp.PeerConnected(Key(2).peer))
    assert node.of(fx.Publish) == []  # its side of the mesh is not up yet
    world.advance(1_000)
    assert len(node.of(fx.Publish)) == 1
    world.tell(node, inp.PeerConnected(Key(3).peer))
    world.advance(5_000)
    assert len(node.of(fx.Publish)) == 1


def test_who_has_nothing_to_say_says_nothing() -> None:
    node = Node(1, QUIET)
    assert node.machine.set_own([], [], (), NOW, agent="test/1") == ()
    assert node.directory.get(node.peer) is None


def test_nothing_is_announced_before_anything_is_said() -> None:
    own = OwnAdvertisement(directory(), Key(1))
    assert own.take_announcements() == ()
    assert own.withdrawal() is None
    assert own.is_current()


def test_a_session_that_stalls_or_drags_on_is_reset() -> None:
    node = Node(1)
    machine = node.machine
    (opening, timer, *_) = machine.step(inp.PeerConnected(Key(2).peer), NOW)
    assert isinstance(opening, fx.OpenStream)
    assert isinstance(timer, fx.SetTimer)
    assert timer.at == NOW + 15_000
    assert machine.owns(opening.stream)
    late = UnixMs(NOW + 299_999)
    machine.step(inp.StreamReady(opening.stream), late)
    # There is always more to pull: the session as a whole has an end.
    frame = codec.encode(Pulled((sealed(Key(5)),), b"\xff" * 32))
    effects = machine.step(inp.FrameReceived(opening.stream, frame), late)
    assert fx.SetTimer(timer.timer, UnixMs(NOW + 300_000)) in effects
    reset = machine.step(inp.TimerFired(timer.timer), UnixMs(NOW + 300_000))
    assert reset == (fx.ResetStream(opening.stream),)
    assert not machine.owns(opening.stream)
    assert machine.step(inp.TimerFired(timer.timer), NOW) == ()
    assert machine.step(inp.FrameReceived(opening.stream, frame), NOW) == ()


def test_other_inputs_are_not_ours() -> None:
    machine = Node(1).machine
    for other in (
        inp.StreamOpened(StreamId(1), Key(2).peer, "/other/1"),
        inp.StreamReady(StreamId(1)),
        inp.TimerFired(TimerId("exchange/1")),
        inp.ShutDown(),
    ):
        assert machine.step(other, NOW) == ()


def test_many_announced_records_are_fetched_in_one_session() -> None:
    asker = Node(1, QUIET)
    world = World(asker)
    for at in range(0, 130, 65):
        keys = [Key(100 + at + n) for n in range(64)]
        payload = announcements(*((key, NOW) for key in keys))
        gossip = inp.GossipArrived(ANNOUNCEMENTS_TOPIC, Key(2).peer, Key(2).peer, payload)
        world.tell(asker, gossip)
    world.unreachable.add(Key(2).peer)
    effects = asker.machine.step(inp.TimerFired(TimerId("directory/fetch")), UnixMs(NOW + 600))
    assert sum(isinstance(effect, fx.OpenStream) for effect in effects) == 1


def test_buckets_forget_the_longest_unseen() -> None:
    buckets = TokenBuckets(1, 1000, 2)
    a, b, c = (Key(number).peer for number in (2, 3, 4))
    assert buckets.take(a, NOW)
    assert not buckets.take(a, NOW)
    assert buckets.take(b, NOW)
    assert buckets.take(c, NOW)
    assert buckets.take(a, NOW)  # forgotten
    assert buckets.take(c, UnixMs(NOW + 1000))


def test_the_same_seed_gives_the_same_effects() -> None:
    def effects(seed: int) -> list[fx.Effect]:
        nodes = [Node(number, seed=seed) for number in range(1, 5)]
        world = World(*nodes)
        start(world)
        advertise(world, nodes[0], "m")
        for node in nodes[1:]:
            world.connect(nodes[0], node)
        world.advance(100_000)
        return nodes[0].effects

    assert effects(1) == effects(1)
    assert effects(1) != effects(2)
