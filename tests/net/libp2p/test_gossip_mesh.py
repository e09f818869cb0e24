"""A mesh keeps who brings messages, and whoever is outside of it is told of them."""

from types import SimpleNamespace
from typing import Any

import pytest
from libp2p.peer.id import ID
from libp2p.pubsub.pb import rpc_pb2

from p2p_modelex.net.libp2p.gossip import DEGREE, DEGREE_HIGH, GOSSIPSUB_ID, _build_router
from p2p_modelex.net.libp2p.gossip_mesh import (
    DEGREE_SCORE,
    FIRSTS_MAX,
    LOOK_BEATS,
    LOOK_FIRSTS,
    LOOK_PEERS,
)

TOPIC = "t"


def peers(name: str, many: int) -> list[ID]:
    return [ID(f"{name}{at}".encode()) for at in range(many)]


KEEN, DULL = peers("keen", 4), peers("dull", 60)


@pytest.fixture
def router() -> Any:
    """A router connected to a few that bring messages and to a crowd that does not."""
    made = _build_router()
    made.pubsub = SimpleNamespace(my_id=ID(b"own"), peer_topics={TOPIC: {*KEEN, *DULL}}, peers={})
    made.mesh = {TOPIC: set()}
    made.peer_protocol = dict.fromkeys([*KEEN, *DULL], GOSSIPSUB_ID)
    return made


def bring(router: Any, many: int) -> None:
    for peer in KEEN:
        for _ in range(many):
            router.on_first(peer, TOPIC)


def publish(router: Any) -> None:
    router.mcache.put(rpc_pb2.Message(from_id=b"o", seqno=bytes(8), topicIDs=[TOPIC]))


async def test_a_crowd_that_grafts_does_not_put_out_who_brings_messages(router: Any) -> None:
    router.mesh[TOPIC] = set(KEEN)
    bring(router, 1)
    for peer in DULL:
        await router.handle_graft(rpc_pb2.ControlGraft(topicID=TOPIC), peer)
    assert len(router.mesh[TOPIC]) > DEGREE_HIGH
    _, prunes = router.mesh_heartbeat()
    assert len(router.mesh[TOPIC]) == DEGREE
    assert router.mesh[TOPIC] > set(KEEN)
    assert len(prunes) == len(KEEN) + len(DULL) - DEGREE
    assert len(KEEN) == DEGREE_SCORE


def test_a_mesh_that_brings_nothing_gets_who_does(router: Any) -> None:
    router.mesh[TOPIC] = set(DULL[:DEGREE])
    bring(router, 3)
    for _ in range(LOOK_BEATS - 1):
        assert not router.mesh_heartbeat()[0]
    grafts, _ = router.mesh_heartbeat()
    assert len(grafts) == LOOK_PEERS
    assert set(grafts) == router.mesh[TOPIC] & set(KEEN)


@pytest.mark.parametrize("why", ["brings", "backs off", "nobody is better", "alone"])
def test_a_mesh_is_left_as_it_is(router: Any, why: str) -> None:
    router.mesh[TOPIC] = set(DULL[:DEGREE])
    bring(router, 0 if why == "nobody is better" else 3)
    if why == "brings":
        for peer in DULL[:DEGREE]:
            for _ in range(int(LOOK_FIRSTS) + 2):
                router.on_first(peer, TOPIC)
    if why == "backs off":
        for peer in KEEN:
            router._add_back_off(peer, TOPIC, False)
    if why == "alone":
        router.pubsub.peer_topics = {}
        router.mesh[TOPIC] = set()
    assert not any(router.mesh_heartbeat()[0] for _ in range(LOOK_BEATS))


def test_what_was_brought_is_bounded_and_forgotten(router: Any) -> None:
    for _ in range(int(FIRSTS_MAX) + 9):
        router.on_first(KEEN[0], TOPIC)
    router.on_first(KEEN[1], TOPIC)
    assert router._firsts[TOPIC] == {KEEN[0]: FIRSTS_MAX, KEEN[1]: 1.0}
    router.remove_peer(KEEN[0])
    assert router._firsts[TOPIC] == {KEEN[1]: 1.0}
    for _ in range(600):
        router._decay()
    assert router._firsts[TOPIC] == {}


def test_who_put_us_out_is_told_of_messages_all_the_same(router: Any) -> None:
    router.pubsub.peer_topics = {TOPIC: set(KEEN)}
    router.mesh[TOPIC] = {KEEN[0]}
    for peer in KEEN:
        router._add_back_off(peer, TOPIC, False)
    assert router.gossip_heartbeat() == {}
    publish(router)
    told = router.gossip_heartbeat()
    assert set(told) == set(KEEN[1:])
    assert all(len(topics[TOPIC]) == 1 for topics in told.values())


def test_a_quarter_of_a_crowd_is_told(router: Any) -> None:
    publish(router)
    assert len(router.gossip_heartbeat()) == (len(KEEN) + len(DULL)) // 4
