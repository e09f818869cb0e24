"""What of a neighbour's gossip reaches py-libp2p: paced for each neighbour, and cut to size.

py-libp2p starts a task for each message of a frame, keeps every refused message for five minutes
and an entry for each topic name that a stranger invents, answers one IWANT with the same message
four thousand times, and dials whom a PRUNE names. So we read the frames ourselves: one message of a
neighbour at a time, and of its control messages only what an honest neighbour would say.
"""

from collections.abc import Callable, Iterable
from typing import Any

import trio
from google.protobuf.message import DecodeError
from libp2p.peer.id import ID
from libp2p.pubsub.pb import rpc_pb2
from libp2p.pubsub.validators import signature_validator

from p2p_modelex.errors import RemoteProtocolError
from p2p_modelex.limits import GOSSIP_MESSAGE_BYTES
from p2p_modelex.net.libp2p.gossip_frames import FramedPubsub, read_frame
from p2p_modelex.net.libp2p.gossip_mesh import ScoredGossipSub

NEIGHBOUR_RATE = 30.0
NEIGHBOUR_BURST = 300.0
"""What a neighbour may cost us in a second, and at once, in messages (1 to 5 ms CPU each); honest
ones bring a few. Who brings more is read more slowly, and its own send buffer fills.
"""

FRAME_COST, CONTROL_COST, KNOWN_COST = 0.2, 0.2, 0.05
"""A frame; each control entry and message id; a message that was seen before."""

IDS_MAX = 64
"""Message ids taken of one control message: a heartbeat of 500 messages in ten minutes has less."""

CONTROLS_MAX = 4
"""Control messages of one kind taken of one frame: one for each topic is honest."""

BACKOFF_MAX_S = 3600
SEQNO_BYTES = 8
# Origin, key, signature, topic and their tags: a message's identifier is kept for ten minutes.
_AROUND_BYTES = 512


class Pace:
    """A token bucket that makes who overdraws it wait. Times are trio's."""

    def __init__(self, rate: float = NEIGHBOUR_RATE, burst: float = NEIGHBOUR_BURST) -> None:
        self._rate, self._burst = rate, burst
        self._tokens, self._at_s = burst, trio.current_time()

    async def spend(self, cost: float) -> None:
        """Pay, and wait until the debt is paid off."""
        now_s = trio.current_time()
        self._tokens = min(self._burst, self._tokens + (now_s - self._at_s) * self._rate) - cost
        self._at_s = now_s
        if self._tokens < 0:
            await trio.sleep(-self._tokens / self._rate)


class PacedPubsub(FramedPubsub):
    """Pubsub that reads its neighbours' frames by our rules.

    judge: whether a message, whose signature is good, is taken and spreads. blame: told of
    offences that are no accident (names of net/reputation.py).
    """

    router: ScoredGossipSub

    def __init__(
        self,
        *args: Any,
        judge: Callable[[ID, Any], bool],
        blame: Callable[[ID, str], None],
        **options: Any,
    ) -> None:
        super().__init__(*args, **options)
        self._judge = judge
        self._blame = blame

    async def continuously_read_stream(self, stream: Any) -> None:
        """Read a neighbour's frames to the end. Raises what is wrong: its gossip is over then."""
        neighbour, pace = stream.muxed_conn.peer_id, Pace()
        muxed, limit = stream.muxed_stream, self.max_inbound_rpc_size
        try:
            while (raw := await read_frame(muxed, limit=limit)) is not None:
                await self._take_frame(neighbour, rpc_pb2.RPC.FromString(raw), pace)
        except DecodeError:
            self._blame(neighbour, "gossip")
            raise
        except RemoteProtocolError as error:
            self._blame(neighbour, error.rule)
            raise

    async def _take_frame(self, neighbour: ID, frame: Any, pace: Pace) -> None:
        await pace.spend(FRAME_COST)
        for message in frame.publish:
            await self._take_message(neighbour, message, pace)
        for subscription in frame.subscriptions[: self.max_subscriptions_per_rpc]:
            await pace.spend(CONTROL_COST)
            self.handle_subscription(neighbour, subscription)
        if frame.HasField("control"):
            await pace.spend(CONTROL_COST * count_entries(frame.control))
            control = cut_control(frame.control, self.topic_ids)
            await self.router.handle_rpc(rpc_pb2.RPC(control=control), neighbour)

    async def _take_message(self, neighbour: ID, message: Any, pace: Pace) -> None:
        """Take a message. RemoteProtocolError, its rule the offence, if it cannot be honest."""
        if len(message.seqno) != SEQNO_BYTES:
            raise RemoteProtocolError("gossip", "a sequence number of another length")
        if message.ByteSize() > GOSSIP_MESSAGE_BYTES + _AROUND_BYTES:
            raise RemoteProtocolError("gossip", "an oversized message")
        is_known = not self._is_subscribed_to_msg(message) or self._is_msg_seen(message)
        await pace.spend(KNOWN_COST if is_known else 1.0)
        # Another neighbour may have brought it while this one waited; from here nothing waits.
        if is_known or self._is_msg_seen(message):
            return
        if not _is_signed(message):
            raise RemoteProtocolError("bad_signature", "a message that its origin did not sign")
        if self._judge(neighbour, message):
            self._mark_msg_seen(message)
            self.router.on_first(neighbour, message.topicIDs[0])
            await self.router.publish(neighbour, message)


def _is_signed(message: Any) -> bool:
    try:
        return bool(signature_validator(message))
    except Exception:  # a key that is none, of many kinds
        return False


def count_entries(control: Any) -> int:
    """Return how many control messages and message ids there are."""
    with_ids = [*control.ihave, *control.iwant, *control.idontwant]
    bare = len(control.graft) + len(control.prune)
    return bare + sum(1 + len(one.messageIDs) for one in with_ids)


def cut_control(control: Any, topics: Iterable[str]) -> Any:
    """Return what of a control message an honest neighbour would have said.

    Topics that we are in, each message id once and not too many, and no peers to dial.
    """
    ours = set(topics)
    kept = rpc_pb2.ControlMessage()
    for ihave in control.ihave[:CONTROLS_MAX]:
        if ihave.topicID in ours:
            kept.ihave.add(topicID=ihave.topicID, messageIDs=_cut(ihave.messageIDs))
    for iwant in control.iwant[:CONTROLS_MAX]:
        kept.iwant.add(messageIDs=_cut(iwant.messageIDs))
    for graft in control.graft[:CONTROLS_MAX]:
        if graft.topicID in ours:
            kept.graft.add(topicID=graft.topicID)
    for prune in control.prune[:CONTROLS_MAX]:
        if prune.topicID in ours:
            kept.prune.add(topicID=prune.topicID, backoff=min(prune.backoff, BACKOFF_MAX_S))
    for idontwant in control.idontwant[:CONTROLS_MAX]:
        kept.idontwant.add(messageIDs=_cut(idontwant.messageIDs))
    return kept


def _cut(ids: Iterable[Any]) -> list[Any]:
    return list(dict.fromkeys(ids))[:IDS_MAX]
