"""Strangers: peers of the directory that a node dials now and then: a mesh grows together again."""

from dataclasses import replace

import msgspec

from p2p_modelex.core import effects as fx
from p2p_modelex.core import inputs as inp
from p2p_modelex.core.directory.announcements import PendingFetches
from p2p_modelex.core.directory.settings import DirectorySettings
from p2p_modelex.ids import PeerId
from p2p_modelex.units import UnixMs
from tests.core.directory.test_machine import advertise, offers_of
from tests.core.directory.worlds import NOW, Key, Node, World, advertisement, sealed

MEETING = DirectorySettings(
    reconcile_interval_ms=5_000, joining_retry_ms=5_000, stranger_share=1.0, strangers_below=2
)


def opened(node: Node) -> list[PeerId]:
    return [one.peer for one in node.effects if isinstance(one, fx.OpenStream)]


def test_halves_that_a_partition_made_find_each_other() -> None:
    """No connection leads from one to the other, but each knows the other's peers from before."""
    nodes = [Node(number, MEETING) for number in (1, 2, 3, 4)]
    world = World(*nodes)
    for node in nodes:
        world.do(node, node.machine.start(NOW))
        advertise(world, node, "m")
        for other in nodes:
            node.directory.judge(sealed(other.key, advertisement(NOW - 1)), NOW)
    world.connect(nodes[0], nodes[1])
    world.connect(nodes[2], nodes[3])
    advertise(world, nodes[0], "news")
    world.advance(60_000)
    assert all(offers_of(node, nodes[0].peer) == ["news"] for node in nodes[1:])


def test_who_has_neighbours_enough_or_knows_nobody_meets_no_strangers() -> None:
    node, known = Node(1, MEETING), Key(9)
    world = World(node)
    world.do(node, node.machine.start(NOW))
    world.advance(30_000)  # it knows nobody
    advertise(world, node, "m")
    world.advance(30_000)  # and now itself
    assert opened(node) == []
    node.directory.judge(sealed(known, advertisement(world.now)), world.now)
    for number in (20, 21):
        world.tell(node, inp.PeerConnected(Key(number).peer))
    world.advance(30_000)
    assert known.peer not in opened(node)
    world.tell(node, inp.PeerDisconnected(Key(20).peer))
    world.advance(30_000)
    assert known.peer in opened(node)


def test_who_has_withdrawn_is_not_met() -> None:
    node, gone = Node(1, MEETING), Key(9)
    world = World(node)
    world.do(node, node.machine.start(NOW))
    withdrawal = msgspec.structs.replace(advertisement(NOW), addresses=(), offers=())
    assert node.directory.judge(sealed(gone, withdrawal), NOW).accepted
    world.advance(30_000)
    assert opened(node) == []


def test_no_stranger_is_met_where_that_is_off() -> None:
    settings = replace(MEETING, stranger_share=0.0)
    node, known = Node(1, settings), Key(9)
    world = World(node)
    world.do(node, node.machine.start(NOW))
    assert node.directory.judge(sealed(known, advertisement(NOW)), NOW).accepted
    world.advance(30_000)
    assert opened(node) == []


def test_what_waits_to_be_fetched_stays_small_however_often_it_is_announced() -> None:
    pending = PendingFetches(3, 0)
    key, source = bytes(32), Key(2).peer
    for sequence in range(1000):
        pending.add(key, sequence, [source], UnixMs(NOW + sequence))
    assert len(pending) == 1
    assert len(pending._heap) < 100
    assert pending.next_due() == NOW + 999
    assert pending.take_due(UnixMs(NOW + 999), lambda _: None, UnixMs(NOW + 5000)) == {
        source: [key]
    }
    assert pending.next_due() == NOW + 5000
