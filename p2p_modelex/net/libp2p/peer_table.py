"""The Kademlia DHT cut down to what is used: who lives where. It serves FIND_NODE and nothing else.

py-libp2p's own server keeps providers and values even when told not to, reads messages of 4 MiB,
has twelve places that silent streams can hold, and speaks on the public network's protocol name.
Specification: github.com/libp2p/specs/blob/master/kad-dht/README.md.
"""

from collections import Counter
from collections.abc import Callable
from typing import Any

import trio
from libp2p.custom_types import TProtocol
from libp2p.kad_dht.kad_dht import DHTMode, KadDHT
from libp2p.kad_dht.pb.kademlia_pb2 import Message
from libp2p.peer.id import ID
from libp2p.utils.varint import encode_varint_prefixed, read_varint_prefixed_bytes_limited

from p2p_modelex.limits import ADDRESSES_MAX, KIB

# A DHT of our own: the public one is full of peers that do not speak to us.
DHT_PREFIX = "/modelex"
PROTOCOL = TProtocol(f"{DHT_PREFIX}/kad/1.0.0")

# A question has a key of 38 bytes and its sender's signed addresses; those we do not need.
QUESTION_BYTES_MAX = 4 * KIB
KEY_BYTES_MAX = 64
# An answer: 20 peers of at most 8 addresses, some 40 bytes each, and room for others' ways.
ANSWER_BYTES_MAX = 64 * KIB
CLOSER_MAX = 20
QUESTION_S = 10.0
STREAMS_MAX = 64
STREAMS_PER_PEER_MAX = 4
QUESTIONS_PER_STREAM_MAX = 64

# go-libp2p's bounds against a table filled from one subnet; private addresses are exempt.
_PER_SUBNET_AND_BUCKET, _PER_SUBNET = 2, 3

Blame = Callable[[ID], None]


class PeerTable(KadDHT):
    """A DHT node of peers only. `blame` is told who breaks the protocol."""

    def __init__(self, host: Any, blame: Blame) -> None:
        # Before our parent's constructor, which serves `handle_stream`.
        self._blame = blame
        self._serving: Counter[ID] = Counter()
        super().__init__(
            host,
            DHTMode.SERVER,
            protocol_prefix=TProtocol(DHT_PREFIX),
            enable_providers=False,
            enable_values=False,
            strict_validation=True,
            max_peers_per_subnet=_PER_SUBNET_AND_BUCKET,
            max_peers_per_subnet_table=_PER_SUBNET,
        )

    async def handle_stream(self, stream: Any) -> None:
        """Answer questions until the asker has no more. What it raises resets the stream."""
        peer = stream.muxed_conn.peer_id
        full = self._serving.total() >= STREAMS_MAX
        if full or self._serving[peer] >= STREAMS_PER_PEER_MAX:
            await stream.reset()
            return
        self._serving[peer] += 1
        try:
            await self._serve(stream, peer)
        finally:
            self._serving[peer] -= 1
            self._serving += Counter()  # drops the zeros

    async def _serve(self, stream: Any, peer: ID) -> None:
        await self.add_peer(peer, skip_server_mode_check=True)
        for _ in range(QUESTIONS_PER_STREAM_MAX):
            with trio.fail_after(QUESTION_S):
                raw = await read_varint_prefixed_bytes_limited(stream, QUESTION_BYTES_MAX)
            question = Message()
            try:
                question.ParseFromString(raw)
            except Exception:
                self._blame(peer)
                raise
            if question.type != Message.FIND_NODE or not 0 < len(question.key) <= KEY_BYTES_MAX:
                self._blame(peer)
                await stream.reset()
                return
            with trio.fail_after(QUESTION_S):
                await stream.write(encode_varint_prefixed(self._answer(question.key, peer)))
        await stream.close()

    def _answer(self, key: bytes, asker: ID) -> bytes:
        closest = self.routing_table.find_local_closest_peers(key, CLOSER_MAX)
        target = ID(key)
        if self._knows(target):
            closest = [target, *(peer for peer in closest if peer != target)]
        answer = Message(type=Message.FIND_NODE)
        self._add_closer_peers_to_response(answer, closest, exclude_peer_id=asker)
        return trimmed(answer).SerializeToString()

    def _knows(self, peer: ID) -> bool:
        if peer == self.local_peer_id:
            return True
        try:
            return bool(self.host.get_peerstore().addrs(peer))
        except Exception:  # it raises when it knows nothing
            return False


def trimmed(answer: Message) -> Message:
    """Cut an answer to bounded lists; addresses without signatures, since dialling proves them."""
    del answer.closerPeers[CLOSER_MAX:]
    for peer in answer.closerPeers:
        del peer.addrs[ADDRESSES_MAX:]
        peer.ClearField("signedRecord")
    answer.ClearField("senderRecord")
    return answer


def limit_answers(original: Any) -> Any:
    """For mends.py: read an answer of bounded size and give it on with bounded lists."""

    async def read(stream: Any, _limit: int) -> bytes:
        answer = Message()
        answer.ParseFromString(await original(stream, ANSWER_BYTES_MAX))
        return bytes(trimmed(answer).SerializeToString())

    return read
