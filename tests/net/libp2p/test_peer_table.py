"""The DHT among liars: bounded questions, bounded answers, our own name, nothing kept."""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
import trio
from libp2p.custom_types import TProtocol
from libp2p.kad_dht import common, peer_routing
from libp2p.kad_dht.pb.kademlia_pb2 import Message
from libp2p.peer.id import ID
from libp2p.utils.varint import encode_varint_prefixed, read_varint_prefixed_bytes_limited
from multiaddr import Multiaddr

from p2p_modelex.errors import ProtocolNotSpoken
from p2p_modelex.ids import PeerId
from p2p_modelex.limits import ADDRESSES_MAX
from p2p_modelex.net.libp2p.configuration import Libp2pConfiguration
from p2p_modelex.net.libp2p.mends import unmended
from p2p_modelex.net.libp2p.network import Libp2pNetwork
from p2p_modelex.net.libp2p.peer_table import (
    CLOSER_MAX,
    PROTOCOL,
    QUESTION_BYTES_MAX,
    STREAMS_PER_PEER_MAX,
    trimmed,
)
from tests.net.libp2p.attacker import connect, open_host

PATIENCE_S = 10.0


@asynccontextmanager
async def table() -> AsyncIterator[tuple[Libp2pNetwork, Any]]:
    """A node with its DHT on, and an attacker connected to it."""
    victim = Libp2pNetwork(os.urandom(32), Libp2pConfiguration(dht=True))
    with trio.fail_after(PATIENCE_S):
        async with victim.run(), open_host() as attacker:
            await connect(attacker, victim)
            yield victim, attacker


async def ask(attacker: Any, victim: Libp2pNetwork) -> Any:
    return await attacker.new_stream(ID(victim.peer), [PROTOCOL])


def question(key: bytes = b"k" * 38, kind: Any = Message.FIND_NODE) -> bytes:
    return encode_varint_prefixed(Message(type=kind, key=key).SerializeToString())


async def is_reset(stream: Any) -> bool:
    try:
        while await stream.read(65536):
            pass
    except Exception:
        return True
    return False


@pytest.mark.parametrize(
    "nonsense",
    [
        question(kind=Message.ADD_PROVIDER),
        question(kind=Message.PUT_VALUE),
        question(kind=Message.GET_VALUE),
        question(key=b""),
        question(key=bytes(65)),
        encode_varint_prefixed(bytes(QUESTION_BYTES_MAX + 1)),
        b"\xff\xff\xff\xff\x0f",
        encode_varint_prefixed(b"\xff" * 50),
    ],
)
async def test_all_but_lookups_is_refused(nonsense: bytes) -> None:
    async with table() as (victim, attacker):
        stream = await ask(attacker, victim)
        await stream.write(nonsense)
        assert await is_reset(stream)


async def test_a_lookup_is_answered_as_often_as_it_is_asked() -> None:
    async with table() as (victim, attacker):
        stream = await ask(attacker, victim)
        for _ in range(3):
            await stream.write(question(key=victim.peer))
            answer = Message()
            answer.ParseFromString(await read_varint_prefixed_bytes_limited(stream, 65536))
            assert answer.closerPeers[0].id == victim.peer


async def test_silent_streams_of_one_peer_leave_room_for_others() -> None:
    async with table() as (victim, attacker), open_host() as other:
        silent = [await ask(attacker, victim) for _ in range(STREAMS_PER_PEER_MAX + 1)]
        assert await is_reset(silent[-1])
        await connect(other, victim)
        stream = await ask(other, victim)
        await stream.write(question())
        assert await stream.read(1)


async def test_who_left_is_forgotten() -> None:
    async with table() as (victim, attacker):
        peer = PeerId(attacker.get_id().to_bytes())
        while not await victim.find_peer(peer):
            await trio.sleep(0.01)
        await attacker.get_network().close_peer(ID(victim.peer))
        while victim.connected():
            await trio.sleep(0.01)
        assert await victim.find_peer(peer) == ()


def long_answer() -> Message:
    answer = Message(type=Message.FIND_NODE, senderRecord=bytes(5000))
    for number in range(40):
        peer = answer.closerPeers.add(id=number.to_bytes(38, "big"), signedRecord=bytes(500))
        peer.addrs.extend([Multiaddr(f"/ip4/9.9.9.9/tcp/{n}").to_bytes() for n in range(1, 50)])
    return answer


def test_answers_are_trimmed() -> None:
    answer = trimmed(long_answer())
    assert len(answer.closerPeers) == CLOSER_MAX
    assert all(len(peer.addrs) == ADDRESSES_MAX for peer in answer.closerPeers)
    assert answer.ByteSize() < 10_000


@pytest.mark.parametrize("mended", [True, False], ids=["mended", "unmended"])
async def test_a_long_answer_is_not_kept(mended: bool) -> None:
    raw = encode_varint_prefixed(long_answer().SerializeToString())

    class Wire:
        def __init__(self) -> None:
            self.rest = raw

        async def read(self, n: int) -> bytes:
            chunk, self.rest = self.rest[:n], self.rest[n:]
            return chunk

    with unmended(*([] if mended else ["dht-answers"])):
        read: Any = vars(peer_routing)["read_varint_prefixed_bytes_limited"]
        got = await read(Wire(), 4 * 1024 * 1024)
    answer = Message()
    answer.ParseFromString(got)
    assert (len(answer.closerPeers) <= CLOSER_MAX) is mended


@pytest.mark.parametrize("mended", [True, False], ids=["mended", "unmended"])
async def test_the_public_network_is_another(mended: bool) -> None:
    with unmended(*([] if mended else ["dht-name"])):
        assert (common.PROTOCOL_ID == PROTOCOL) is mended
        victim = Libp2pNetwork(os.urandom(32), Libp2pConfiguration(dht=True))
        other = Libp2pNetwork(os.urandom(32))
        async with victim.run(), other.run():
            await other.dial(victim.peer, victim.addresses)
            if mended:
                with pytest.raises(ProtocolNotSpoken):
                    await other.open_stream(victim.peer, "/ipfs/kad/1.0.0", frame_limit=100)
            name = TProtocol(PROTOCOL if mended else "/ipfs/kad/1.0.0")
            stream = await other.open_stream(victim.peer, name, frame_limit=100)
            await stream.reset()
