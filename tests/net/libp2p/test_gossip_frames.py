"""Gossip frames: cut from a stream, written to it at once, never torn."""

import os
from types import SimpleNamespace
from typing import Any

import pytest
import trio
import trio.testing
from libp2p.peer.id import ID
from libp2p.pubsub.pb import rpc_pb2
from libp2p.utils import encode_varint_prefixed

from p2p_modelex.errors import RemoteProtocolError
from p2p_modelex.net.libp2p.gossip_frames import FramedGossipSub, encode_frame, read_frame
from p2p_modelex.net.libp2p.muxed_stream import WINDOW_BYTES, MuxedStream
from tests.net.libp2p.test_negotiation import running

LIMIT = 100_000


def make_rpc(size: int = 100) -> Any:
    message = rpc_pb2.Message(from_id=b"o", seqno=bytes(8), data=os.urandom(size), topicIDs=["t"])
    return rpc_pb2.RPC(publish=[message])


@pytest.mark.parametrize("size", [0, 10, 200, 20_000, 90_000])
async def test_frames_are_cut_as_py_libp2p_writes_them(size: int) -> None:
    rpc = make_rpc(size)
    payload = rpc.SerializeToString()
    assert encode_frame(rpc) == encode_varint_prefixed(payload)
    async with running() as (one, other), trio.open_nursery() as nursery:
        stream = await one.open_stream()
        nursery.start_soon(stream.write, encode_frame(rpc) * 2)
        there = await other.accept_stream()
        assert [await read_frame(there, limit=LIMIT) for _ in range(2)] == [payload] * 2
        await stream.close()
        assert await read_frame(there, limit=LIMIT) is None


def test_the_record_of_our_addresses_stays_behind() -> None:
    rpc = make_rpc()
    bare = encode_frame(rpc)
    rpc.senderRecord = b"record"
    assert encode_frame(rpc) == bare
    assert rpc.senderRecord == b"record"


@pytest.mark.parametrize(
    "said",
    [b"\xff\xff\xff\xff\x01", b"\xa1\x8d\x06", b"\x05abc", b"\x80\x80\x80\x80"],
    ids=["endless-length", "over-the-limit", "cut", "never-ending-zeros"],
)
async def test_a_hostile_frame_is_the_neighbours_fault(said: bytes) -> None:
    async with running() as (one, other):
        one.open_stream_nowait(said).finish()
        with pytest.raises(RemoteProtocolError):
            await read_frame(await other.accept_stream(), limit=LIMIT)


class Queue:
    """A neighbour's outbound queue in py-libp2p, of which only the length is asked."""

    max_message_size = 1 << 20

    def __init__(self, length: int = 0) -> None:
        self._length = length

    def __len__(self) -> int:
        return self._length


def send_now(stream: MuxedStream, queue: Any, rpc: Any) -> bool:
    return FramedGossipSub._send_now(SimpleNamespace(_rpc=None, _frame=b""), stream, queue, rpc)  # type: ignore[arg-type]


async def test_a_frame_is_sent_at_once_or_left_to_the_queue() -> None:
    async with running() as (one, other):
        stream = await one.open_stream()
        there = await other.accept_stream()
        assert send_now(stream, Queue(), make_rpc())
        assert await read_frame(there, limit=LIMIT)
        assert not send_now(stream, None, make_rpc())
        assert not send_now(stream, Queue(1), make_rpc())
        assert not send_now(stream, Queue(), make_rpc(WINDOW_BYTES))
        await stream.close()
        assert not send_now(stream, Queue(), make_rpc())


async def test_a_frame_never_comes_between_the_pieces_of_another() -> None:
    async with running() as (one, other), trio.open_nursery() as nursery:
        stream = await one.open_stream()
        there = await other.accept_stream()
        large = make_rpc(2 * WINDOW_BYTES)
        nursery.start_soon(stream.write, encode_frame(large))
        await trio.testing.wait_all_tasks_blocked()
        # As soon as there is room again, the rest of the large one goes first.
        assert not send_now(stream, Queue(), make_rpc())
        while not stream._may_send():
            await there.read(1000)
            await trio.lowlevel.checkpoint()
        assert not send_now(stream, Queue(), make_rpc())
        while await there.read():
            if not stream._writing.locked():
                break
        assert send_now(stream, Queue(), make_rpc())


def test_what_a_node_says_itself_goes_to_every_neighbour_and_what_it_forwards_to_its_mesh() -> None:
    router: Any = FramedGossipSub([], 2, 1, 3)
    own, near, far, other = (ID(name) for name in (b"own", b"near", b"far", b"other"))
    router.scorer = None
    router.pubsub = SimpleNamespace(my_id=own, peer_topics={"t": {near, far}, "u": {other}})
    router.mesh = {"t": {near}}
    assert set(router._get_peers_to_send(["t"], own, own)) == {near, far}
    assert set(router._get_peers_to_send(["t"], other, other)) == {near}
    assert set(router._get_peers_to_send(["t"], near, other)) == set()
    assert list(router._get_peers_to_send(["none"], own, own)) == []
