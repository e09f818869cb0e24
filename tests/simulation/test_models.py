"""The models around the cores: links and gossip; engines: test_engines.py."""

import random
from itertools import pairwise

from p2p_modelex.ids import Address, ChannelId, PeerId, PublicKey
from p2p_modelex.records.envelope import Envelope
from p2p_modelex.records.rows import DepositRow, LoanRow, MemberRow, MembershipRow, SettingRow
from p2p_modelex.simulation.models.links import HEADER_BYTES, Cut, LinkModel, Place
from p2p_modelex.simulation.nodes.disk import Disk
from p2p_modelex.simulation.scenario.quantities import ByteRate
from p2p_modelex.simulation.scenario.settings import Links
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


def test_a_core_is_restored_from_all_that_a_node_is() -> None:
    """Of each kind of row that is kept for a restart; advertisements are read apart from these."""
    disk = Disk(b"s" * 32, keeps_records=False)
    channel, peer = ChannelId(b"c" * 32), PeerId(b"p" * 38)
    disk.apply(
        [
            MemberRow(channel, 1, peer),
            DepositRow(Address(b"a" * 20), channel, Wei(1), 0, (b"",)),
            LoanRow(channel, peer, Wei(1), Wei(0), 0),
            MembershipRow(PublicKey(b"f" * 32), 1, Envelope(b"f" * 32, b"", b"s" * 64)),
        ]
    )
    assert {type(row) for row in disk.read()} == {
        MemberRow,
        DepositRow,
        LoanRow,
        MembershipRow,
        SettingRow,
    }
