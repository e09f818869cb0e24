"""GossipSub's control messages: what our cut leaves of them is bounded and about our topics."""

from contextlib import suppress
from typing import Any

from google.protobuf.message import DecodeError
from libp2p.pubsub.pb import rpc_pb2

from p2p_modelex.net.libp2p import gossip_intake
from p2p_modelex.net.libp2p.gossip_intake import count_entries, cut_control
from tests.fuzz.choices import Choices

_TOPICS = ("ours", "theirs", "", "x" * 300)


def run(content: bytes) -> None:
    choices = Choices(content)
    with suppress(DecodeError):
        control = _draw(choices) if choices.chance(160) else _parse(choices.rest())
        check(control)


def _parse(frame: bytes) -> Any:
    return rpc_pb2.RPC.FromString(frame).control


def _draw(choices: Choices) -> Any:
    control = rpc_pb2.ControlMessage()
    while choices:
        topic = choices.pick(_TOPICS)
        ids = [choices.some() for _ in range(choices.below(4))] * (1 + choices.below(40))
        match choices.below(5):
            case 0:
                control.ihave.add(topicID=topic, messageIDs=ids)
            case 1:
                control.iwant.add(messageIDs=ids)
            case 2:
                control.graft.add(topicID=topic)
            case 3:
                peers = [rpc_pb2.PeerInfo(peerID=choices.some())]
                control.prune.add(topicID=topic, backoff=abs(choices.integer()) >> 1, peers=peers)
            case _:
                control.idontwant.add(messageIDs=ids)
    return control


def check(control: Any) -> None:
    kept = cut_control(control, ["ours"])
    assert count_entries(kept) <= count_entries(control)
    for kind in (kept.ihave, kept.iwant, kept.graft, kept.prune, kept.idontwant):
        assert len(kind) <= gossip_intake.CONTROLS_MAX
    for one in (*kept.ihave, *kept.iwant, *kept.idontwant):
        assert len(one.messageIDs) == len(set(one.messageIDs)) <= gossip_intake.IDS_MAX
    assert all(one.topicID == "ours" for one in (*kept.ihave, *kept.graft, *kept.prune))
    for prune in kept.prune:
        assert not prune.peers, "peers to dial"
        assert prune.backoff <= gossip_intake.BACKOFF_MAX_S
