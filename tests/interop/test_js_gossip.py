"""GossipSub: a JavaScript peer between two of ours hands on what is good, and nothing else."""

import time

import pytest
import trio

from p2p_modelex.core.directory.machine import ANNOUNCEMENTS_TOPIC
from p2p_modelex.ids import PeerId
from p2p_modelex.net.abc import GossipMessage, Verdict
from p2p_modelex.net.libp2p.network import Libp2pNetwork
from p2p_modelex.records import codec
from p2p_modelex.records.advertisement import Announcement, Announcements, Change
from tests.interop.conftest import Figure
from tests.interop.jspeer import JsPeer
from tests.interop.trials import open_trials

pytestmark = pytest.mark.interop

PATIENCE_S = 60.0
BURST = 16


def accept(_origin: PeerId, _payload: bytes) -> Verdict:
    return Verdict.ACCEPT


def announce(number: int) -> bytes:
    item = Announcement(number.to_bytes(32, "big"), time.time_ns() // 10**6, Change.CHANGED)
    return codec.encode(Announcements((item,)))


async def hear(network: Libp2pNetwork) -> GossipMessage:
    with trio.fail_after(PATIENCE_S):
        return await network.gossip()


async def warm_up(one: Libp2pNetwork, other: Libp2pNetwork) -> None:
    """Publish until it arrives, then a little longer: the mesh stands."""
    heard = False
    number = 1000
    while not heard:
        await one.publish(ANNOUNCEMENTS_TOPIC, announce(number := number + 1))
        with trio.move_on_after(1.0):
            await other.gossip()
            heard = True


async def test_a_line_through_javascript(js: JsPeer, figure: Figure) -> None:
    """GossipSub through a JavaScript peer: good messages pass both ways, others do not"""
    topics = {ANNOUNCEMENTS_TOPIC: accept}
    async with open_trials(topics) as left, open_trials(topics) as right:
        for ours in (left, right):
            await js.do("dial", address=ours.address)
        one, two = left.network, right.network
        await warm_up(one, two)
        await warm_up(two, one)
        for origin, receiver in ((one, two), (two, one)):
            await origin.publish(ANNOUNCEMENTS_TOPIC, b"\xc1")  # no announcement: ANN-2
            good = announce(1)
            await origin.publish(ANNOUNCEMENTS_TOPIC, good)
            while (message := await hear(receiver)).payload != good:
                assert message.payload != b"\xc1"
            assert (message.origin, message.forwarder) == (origin.peer, js.peer)
        faults = (await js.do("status"))["faults"]
        assert "ANN-2" in faults
        for number in range(3 * BURST):
            await one.publish(ANNOUNCEMENTS_TOPIC, announce(2000 + number))
        passed = 0
        with trio.move_on_after(2.0):
            while True:
                await two.gossip()
                passed += 1
        figure("passed of a flood of 48", passed)
        # GOSSIP_ORIGIN_BURST, and one for each second since.
        assert passed <= BURST + 8
        assert "ANN-4" in (await js.do("status"))["faults"]
