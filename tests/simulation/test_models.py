"""The models around the cores: links and gossip; engines: test_engines.py."""

import random
from itertools import pairwise

from p2p_modelex.ids import ChannelId, PeerId, PublicKey
from p2p_modelex.records.envelope import Envelope
from p2p_modelex.records.rows import LoanRow, MemberRow, MembershipRow, SettingRow
from p2p_modelex.simulation.models.gossip import Message as GossipMessage
from p2p_modelex.simulation.models.gossip import Router, Rpc
from p2p_modelex.simulation.models.links import HEADER_BYTES, Cut, LinkModel, Place
from p2p_modelex.simulation.nodes.disk import Disk
from p2p_modelex.simulation.scenario.quantities import ByteRate
from p2p_modelex.simulation.scenario.settings import Gossip, Links
from p2p_modelex.units import Wei

S = 1_000_000


def place(region: str = "london", rate: int = 125_000_000) -> Place:
    return Place(region, ByteRate(rate), ByteRate(rate), False, random.Random(1))


def test_latency_is_half_of_the_published_round_trip_and_bandwidth_adds_to_it() -> None:
    links = LinkModel(Links(jitter=0.0))
    near = links.compute_arrival(place("london"), place("frankfurt"), 0, 0)
    far = links.compute_arrival(place("london"), place("sydney"), 0, 0)
    assert 6_500 <= near < 6_510
    assert 130_500 <= far < 130_510
    slow = links.compute_arrival(
        place(rate=125_000), place(rate=125_000), 125_000 - HEADER_BYTES, 0
    )
    assert 2 * S + 1000 <= slow < 2 * S + 1010


def test_what_is_sent_together_shares_the_link() -> None:
    links, sender = LinkModel(Links(jitter=0.0)), place(rate=1_000_000)
    arrivals = [links.compute_arrival(sender, place(), 100_000 - HEADER_BYTES, 0) for _ in range(3)]
    assert [later - before for before, later in pairwise(arrivals)] == [
        100_000,
        100_000,
    ]


def test_a_loss_is_a_delay() -> None:
    links, sender = LinkModel(Links(jitter=0.0, loss=0.3)), place()
    delays = [links.compute_arrival(sender, place(), 10, at) - at for at in range(0, S, 1000)]
    late = sum(delay > 200_000 for delay in delays)
    assert 0.25 < late / len(delays) < 0.35


def test_a_cut_blocks_what_crosses_it() -> None:
    links = LinkModel(Links())
    links.cuts.append(Cut(100, frozenset({1}), is_symmetric=False))
    assert [links.find_heal(*pair, 50) for pair in ((1, 2), (2, 1), (2, 3))] == [100, 0, 0]
    assert links.find_heal(1, 2, 100) == 0


class Net:
    """Routers that reach each other at once, all connected to all."""

    def __init__(self, many: int, **settings: object) -> None:
        self.routers: dict[PeerId, Router] = {}
        self.delivered: dict[PeerId, list[bytes]] = {}
        self.queue: list[tuple[PeerId, Rpc]] = []
        self.now = 0
        peers = [PeerId(bytes([number])) for number in range(many)]
        for peer in peers:
            self.delivered[peer] = []
            self.routers[peer] = Router(
                Gossip(**settings),  # type: ignore[arg-type]
                random.Random(peer[0]),
                lambda to, rpc: self.queue.append((to, rpc)),
                lambda message, _, peer=peer: self.take(peer, message),  # type: ignore[misc]
                peer,
            )
        for peer, router in self.routers.items():
            for other in peers:
                if other != peer:
                    router.add(other, is_outbound=peer < other)

    def take(self, peer: PeerId, message: GossipMessage) -> bool | None:
        if message.payload == b"bad":
            return None
        self.delivered[peer].append(message.payload)
        return True

    def settle(self) -> None:
        while self.queue:
            to, rpc = self.queue.pop(0)
            self.routers[to].take(rpc, self.now)

    def beat(self, times: int = 1) -> None:
        for _ in range(times):
            self.now += S
            for router in self.routers.values():
                router.heartbeat(self.now)
            self.settle()


def test_meshes_keep_their_degrees_and_both_ends_agree() -> None:
    net = Net(30)
    net.beat(5)
    for peer, router in net.routers.items():
        assert 4 <= len(router.mesh) <= 12
        assert all(peer in net.routers[other].mesh for other in router.mesh)


def test_a_message_reaches_everybody_once() -> None:
    net = Net(30, flood_publish=False)
    net.beat(3)
    first = next(iter(net.routers))
    net.routers[first].publish("topic", b"news", net.now)
    net.settle()
    others = [peer for peer in net.routers if peer != first]
    assert all(net.delivered[peer] == [b"news"] for peer in others)
    assert net.delivered[first] == []


def test_who_missed_a_message_asks_for_it_when_told() -> None:
    net = Net(20, flood_publish=False)
    net.beat(3)
    first, *_, last = net.routers
    for router in net.routers.values():  # nobody has the last one in its mesh
        router.mesh.pop(last, None)
    net.routers[first].publish("topic", b"news", net.now)
    net.settle()
    assert net.delivered[last] == []
    net.beat(1)
    assert net.delivered[last] == [b"news"]
    assert net.routers[last].tally.asked >= 1


def test_who_sends_what_is_invalid_is_pruned_and_then_ignored() -> None:
    net = Net(10)
    net.beat(3)
    liar = next(iter(net.routers))
    for _ in range(4):
        net.routers[liar].publish("topic", b"bad", net.now)
        net.settle()
    net.beat(1)
    assert all(liar not in router.mesh for peer, router in net.routers.items() if peer != liar)


def test_a_core_is_restored_from_all_that_a_node_is() -> None:
    """Of each kind of row that is kept for a restart; advertisements are read apart from these."""
    disk = Disk(b"s" * 32, keeps_records=False)
    channel, peer = ChannelId(b"c" * 32), PeerId(b"p" * 38)
    disk.apply(
        [
            MemberRow(channel, 1, peer),
            LoanRow(channel, peer, Wei(1), Wei(0), 0),
            MembershipRow(PublicKey(b"f" * 32), 1, Envelope(b"f" * 32, b"", b"s" * 64)),
        ]
    )
    assert {type(row) for row in disk.read()} == {MemberRow, LoanRow, MembershipRow, SettingRow}
