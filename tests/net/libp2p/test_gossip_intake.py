"""Gossip frames that no honest neighbour sends: cut, paced, or the end of its gossip."""

import os
from collections.abc import Callable
from typing import Any

import pytest
import trio
import trio.testing
from libp2p.custom_types import TProtocol
from libp2p.peer.id import ID
from libp2p.pubsub.pb import rpc_pb2
from libp2p.utils import encode_varint_prefixed

from p2p_modelex.net.libp2p import gossip_intake
from p2p_modelex.net.libp2p.gossip import GOSSIPSUB_ID
from p2p_modelex.net.libp2p.gossip_intake import Pace, count_entries, cut_control
from p2p_modelex.net.libp2p.network import Libp2pNetwork
from tests.net.contract import TOPIC, accept, wait_seen, wait_until
from tests.net.libp2p.attacker import connect, open_host


class Victim(Libp2pNetwork):
    """Remembers whom it blamed for what."""

    def __init__(self) -> None:
        super().__init__(os.urandom(32))
        self.subscribe(TOPIC, accept)
        self.offences: list[str] = []

    def penalize(self, peer: Any, offence: str) -> None:
        self.offences.append(offence)


def build_message(**changes: Any) -> Any:
    fields: dict[str, Any] = {"from_id": b"\x12\x20" + bytes(32), "seqno": bytes(8), "data": b"x"}
    fields |= {"topicIDs": [TOPIC], "key": b"garbage", "signature": b"x"}
    return rpc_pb2.Message(**(fields | changes))


async def say(host: Any, victim: Victim, *frames: Any) -> None:
    stream = await host.new_stream(ID(victim.peer), [TProtocol(GOSSIPSUB_ID)])
    for frame in frames:
        await stream.write(encode_varint_prefixed(frame.SerializeToString()))


@pytest.mark.parametrize(
    ("message", "offence"),
    [
        (build_message(), "bad_signature"),
        (build_message(seqno=bytes(100_000)), "gossip"),
        (build_message(data=bytes(100_000)), "gossip"),
    ],
)
async def test_a_message_that_cannot_be_honest_ends_its_neighbours_gossip(
    message: Any, offence: str
) -> None:
    victim, witness = Victim(), Victim()
    async with victim.run(), witness.run(), open_host() as host:
        await witness.dial(victim.peer, victim.addresses)
        await wait_seen(victim, witness.peer, "connected")
        await connect(host, victim)
        await say(host, victim, rpc_pb2.RPC(publish=[message]))
        await wait_until(lambda: victim.offences == [offence])
        await witness.ping(victim.peer)
        assert victim.statistics().restarts == 0


async def test_strangers_topics_are_not_remembered_and_strangers_not_dialled() -> None:
    victim = Victim()
    async with victim.run(), open_host() as host, open_host() as third:
        await connect(host, victim)
        topics = [f"topic {number}" for number in range(100)]
        control = rpc_pb2.ControlMessage()
        for topic in [*topics, TOPIC]:
            control.prune.add(
                topicID=topic, peers=[rpc_pb2.PeerInfo(peerID=third.get_id().to_bytes())]
            )
            control.graft.add(topicID=topic)
            control.ihave.add(topicID=topic, messageIDs=[b"00"])
        bad = build_message(seqno=b"end")
        await say(host, victim, rpc_pb2.RPC(control=control), rpc_pb2.RPC(publish=[bad]))
        await wait_until(lambda: bool(victim.offences))
        assert victim._topics is not None
        router = victim._topics._router
        assert set(router.back_off) <= {TOPIC}
        assert set(router.graft_flood_tracking[host.get_id()]) <= {TOPIC}
        assert set(router.ihave_message_limits[host.get_id()]) <= {TOPIC}
        assert ID(victim.peer) not in third.get_network().connections


def test_control_messages_are_cut_to_what_an_honest_neighbour_says() -> None:
    control = rpc_pb2.ControlMessage()
    control.iwant.add(messageIDs=[b"aa"] * 4000)
    control.ihave.add(topicID="a", messageIDs=[f"{number:04x}".encode() for number in range(1000)])
    control.ihave.add(topicID="b", messageIDs=[b"aa"])
    control.idontwant.add(messageIDs=[b"aa", b"aa", b"bb"])
    for _ in range(20):
        control.graft.add(topicID="a")
        control.prune.add(topicID="a", backoff=2**60, peers=[rpc_pb2.PeerInfo(peerID=b"x")])
    kept = cut_control(control, ["a"])
    assert list(kept.iwant[0].messageIDs) == [b"aa"]
    assert [len(one.messageIDs) for one in kept.ihave] == [gossip_intake.IDS_MAX]
    assert list(kept.idontwant[0].messageIDs) == [b"aa", b"bb"]
    assert len(kept.graft) == len(kept.prune) == gossip_intake.CONTROLS_MAX
    assert not kept.prune[0].peers
    assert kept.prune[0].backoff == gossip_intake.BACKOFF_MAX_S
    assert count_entries(control) == 4001 + 1001 + 2 + 4 + 40


async def test_who_brings_too_much_is_read_more_slowly(
    autojump_clock: trio.testing.MockClock,
) -> None:
    pace = Pace(rate=10, burst=5)
    began = trio.current_time()
    for _ in range(5):
        await pace.spend(1)
    assert trio.current_time() == began
    for _ in range(10):
        await pace.spend(1)
    assert trio.current_time() - began == pytest.approx(1.0)


async def test_a_flood_of_one_neighbour_is_not_anothers(monkeypatch: pytest.MonkeyPatch) -> None:
    """A hundred thousand entries of one cost it minutes, and the other's message comes at once."""
    victim, friend = Victim(), Victim()
    async with victim.run(), friend.run(), open_host() as host:
        await connect(host, victim)
        control = rpc_pb2.ControlMessage()
        control.ihave.add(topicID=TOPIC, messageIDs=[b"00"] * 50_000)
        await say(host, victim, rpc_pb2.RPC(control=control))
        await friend.dial(victim.peer, victim.addresses)
        await wait_until(_subscribed(friend, victim))
        # A busy machine has needed over five seconds for what takes one.
        with trio.fail_after(30):
            await friend.publish(TOPIC, b"hello")
            assert (await victim.gossip()).payload == b"hello"


def _subscribed(one: Victim, other: Victim) -> Callable[[], bool]:
    def is_known() -> bool:
        topics = one._topics._pubsub.peer_topics if one._topics is not None else {}
        return ID(other.peer) in topics.get(TOPIC, set())

    return is_known
