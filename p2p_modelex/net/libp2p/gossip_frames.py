"""Gossip frames in and out of the muxed streams, in place of py-libp2p's queues and copies.

The wire format is GossipSub's: a varint length and an RPC in protobuf
(github.com/libp2p/specs/blob/master/pubsub/README.md).
"""

from collections.abc import Iterable
from contextlib import suppress
from typing import Any

from libp2p.peer.id import ID
from libp2p.pubsub.gossipsub import GossipSub
from libp2p.pubsub.pubsub import Pubsub
from libp2p.stream_muxer.exceptions import MuxedStreamEOF, MuxedStreamError

from p2p_modelex.errors import RemoteProtocolError
from p2p_modelex.net.libp2p.muxed_stream import MuxedStream, YamuxViolation

# A frame of 256 KiB has a length of three bytes; longer ones are over any limit of ours.
_LENGTH_BYTES_MAX = 4


async def read_frame(stream: MuxedStream, *, limit: int) -> bytes | None:
    """Read the next frame; None at the end.

    Raises RemoteProtocolError, its rule the offence, over `limit` bytes or in a frame that is
    cut off; MuxedStreamError.
    """
    try:
        size = shift = 0
        for _ in range(_LENGTH_BYTES_MAX):
            byte = (stream.take(1) or await stream.read(1))[0]
            size |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                break
        else:
            raise RemoteProtocolError("gossip", "a gossip frame with an endless length")
    except MuxedStreamEOF:
        return None
    if size > limit:
        raise RemoteProtocolError("gossip", f"a gossip frame of {size} bytes, limit {limit}")
    frame = stream.take(size)
    if len(frame) == size:
        return frame
    pieces = bytearray(frame)
    try:
        while len(pieces) < size:
            pieces += await stream.read(size - len(pieces))
    except MuxedStreamEOF as error:
        raise RemoteProtocolError("gossip", "the stream ended in a gossip frame") from error
    return bytes(pieces)


def encode_frame(rpc: Any) -> bytes:
    """Return an RPC as it travels.

    The record of our addresses that py-libp2p adds to each stays behind: identify has told it,
    only py-libp2p reads it, and it is as long as a message.
    """
    if rpc.senderRecord:
        bare = type(rpc)()
        bare.CopyFrom(rpc)
        bare.ClearField("senderRecord")
        rpc = bare
    payload: bytes = rpc.SerializeToString()
    size = len(payload)
    prefix = bytearray()
    while size > 0x7F:
        prefix.append(size & 0x7F | 0x80)
        size >>= 7
    prefix.append(size)
    return bytes(prefix) + payload


class FramedPubsub(Pubsub):
    """Pubsub that writes its frames to the muxed stream itself."""

    async def write_msg(self, stream: Any, rpc_msg: Any) -> bool:
        """Write one RPC; False, and the neighbour's gossip is over, if the stream has ended."""
        try:
            await stream.muxed_stream.write(encode_frame(rpc_msg))
        except (MuxedStreamError, YamuxViolation):
            self._handle_dead_peer(stream.muxed_conn.peer_id)
            return False
        return True


class FramedGossipSub(GossipSub):
    """GossipSub that makes one frame of a message for all its neighbours, and sends it at once.

    Where a neighbour's stream has no room, or something waits in its queue, py-libp2p's queue and
    its task take over, with their bounds.
    """

    _rpc: Any = None
    _frame: bytes = b""

    def _get_peers_to_send(
        self,
        topic_ids: Iterable[str],
        msg_forwarder: ID,
        origin: ID,
        msg_id: bytes | None = None,
    ) -> Iterable[ID]:
        """Whom a message goes to: one of our own to every neighbour in its topics.

        That is flood publishing of GossipSub 1.1, which py-libp2p leaves out. It fills its mesh
        with whoever comes first, so the near find each other, and what leaves a node by its mesh
        alone goes round (simulations/RESULTS.md has the figures).
        """
        pubsub: Any = self.pubsub
        if msg_forwarder != pubsub.my_id:
            return super()._get_peers_to_send(topic_ids, msg_forwarder, origin, msg_id)
        neighbours = (peer for topic in topic_ids for peer in pubsub.peer_topics.get(topic, ()))
        return dict.fromkeys(neighbours)

    def send_rpc(self, peer_id: ID, rpc: Any, priority: bool = False) -> None:
        """Send `rpc` to a neighbour, now or through its queue."""
        pubsub: Any = self.pubsub
        stream: Any = None if pubsub is None else pubsub.peers.get(peer_id)
        if (
            stream is None
            or peer_id in self._pending_control
            or not isinstance(stream.muxed_stream, MuxedStream)
            or not self._send_now(stream.muxed_stream, pubsub.peer_queues.get(peer_id), rpc)
        ):
            super().send_rpc(peer_id, rpc, priority)

    def _send_now(self, muxed: MuxedStream, queue: Any, rpc: Any) -> bool:
        if queue is None or len(queue):
            return False
        if rpc is not self._rpc:
            # publish() sends the same object to every neighbour, and never changes it.
            self._rpc, self._frame = rpc, encode_frame(rpc)
        if len(self._frame) > queue.max_message_size:
            return False
        with suppress(MuxedStreamError, YamuxViolation):
            return muxed.try_write(self._frame)
        return False
