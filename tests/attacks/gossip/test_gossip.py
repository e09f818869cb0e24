"""Neighbours that flood, replay, forge and misuse GossipSub, frame by frame."""

import os
from itertools import count
from typing import Any

from libp2p.pubsub.pb import rpc_pb2
from libp2p.pubsub.validators import PUBSUB_SIGNING_PREFIX
from libp2p.utils import encode_varint_prefixed
from nacl.signing import SigningKey

from p2p_modelex.core.node import ANNOUNCEMENTS_TOPIC
from p2p_modelex.ids import PublicKey, peer_id_of
from p2p_modelex.net.libp2p.gossip import GOSSIPSUB_ID
from p2p_modelex.records import codec
from p2p_modelex.records.advertisement import Announcement, Announcements, Change
from tests.attacks.adversary import Adversary, adversaries, drain, keep_on, pour
from tests.attacks.directory.test_records import now_ms
from tests.attacks.harness import Siege

SECTION = "Attacks on gossip and the directory"
_numbers = count(1)


def build_message(payload: bytes, *, forge: bool = False, topic: str = ANNOUNCEMENTS_TOPIC) -> Any:
    """A message of a new origin, signed as it must be, or by nobody."""
    key = SigningKey(os.urandom(32))
    message = rpc_pb2.Message(
        data=payload,
        topicIDs=[topic],
        from_id=peer_id_of(PublicKey(bytes(key.verify_key))),
        seqno=next(_numbers).to_bytes(8, "big"),
    )
    signed = PUBSUB_SIGNING_PREFIX.encode() + message.SerializeToString()
    message.signature = os.urandom(64) if forge else bytes(key.sign(signed).signature)
    return message


def announce(items: int = 64) -> bytes:
    """A good payload about peers that nobody knows."""
    return codec.encode(
        Announcements(
            tuple(Announcement(os.urandom(32), now_ms(), Change.NEW) for _ in range(items))
        )
    )


async def utter(one: Adversary, *frames: Any) -> None:
    """Say frames on a gossip stream of its own, and wait for nothing."""
    stream = await one.network.open_stream(one.victim, GOSSIPSUB_ID, frame_limit=1)
    for frame in frames:
        await pour(stream, encode_varint_prefixed(frame.SerializeToString()))
    await stream.reset()


def wrap(*messages: Any) -> Any:
    return rpc_pb2.RPC(publish=messages)


async def test_many_origins(siege: Siege) -> None:
    """Each message is good and of another origin, so no bound for one origin holds them."""
    frames = [wrap(build_message(announce())) for _ in range(1_500)]

    async def flood(one: Adversary) -> None:
        await one.connect()
        await utter(one, *frames[:100])

    async with (
        siege.attack(
            "Gossip of many origins", "4 neighbours, 400 valid messages at a time"
        ) as attack,
        adversaries(siege, 4) as band,
    ):
        await keep_on(band, flood)
    attack.assert_held(rss_mib=40, joined=0.9)


async def test_junk(siege: Siege) -> None:
    frames = [wrap(build_message(os.urandom(500))) for _ in range(50)]

    async def flood(one: Adversary) -> None:
        await one.connect()
        await utter(one, *frames)

    async with (
        siege.attack("Gossip of junk", "4 neighbours send signed junk") as attack,
        adversaries(siege, 4) as band,
    ):
        done = await keep_on(band, flood)
    attack.note = f"{done} floods"
    attack.assert_held(rss_mib=24, joined=0.9)


async def test_forged(siege: Siege) -> None:
    frame = wrap(*[build_message(announce(), forge=True) for _ in range(60)])

    async def flood(one: Adversary) -> None:
        await one.connect()
        await utter(one, frame)

    async with (
        siege.attack("Forged gossip", "6 neighbours, 60 bad signatures in a frame") as attack,
        adversaries(siege, 6) as band,
    ):
        await keep_on(band, flood)
    attack.assert_held(rss_mib=24, joined=0.9)


async def test_oversized(siege: Siege) -> None:
    big = [wrap(build_message(os.urandom(size))) for size in (20_000, 200_000)]
    long_seqno = build_message(announce())
    long_seqno.seqno = bytes(200_000)
    bigger = [*big, wrap(long_seqno)]

    async def flood(one: Adversary) -> None:
        await one.connect()
        for frame in bigger:
            await utter(one, frame)
        stream = await one.network.open_stream(one.victim, GOSSIPSUB_ID, frame_limit=1)
        await pour(stream, b"\xff\xff\xff\xff\x0f" + bytes(100_000))
        await drain(stream)

    async with (
        siege.attack(
            "Oversized gossip", "messages, sequence numbers and frames over any limit"
        ) as attack,
        adversaries(siege, 6) as band,
    ):
        await keep_on(band, flood)
    attack.assert_held(rss_mib=32, joined=0.9)


async def test_replayed(siege: Siege) -> None:
    frames = [wrap(*[build_message(announce(1)) for _ in range(20)])] * 200

    async def flood(one: Adversary) -> None:
        await one.connect()
        await utter(one, *frames)

    async with (
        siege.attack("Replayed gossip", "4 neighbours repeat the same 20 messages") as attack,
        adversaries(siege, 4) as band,
    ):
        await keep_on(band, flood)
    attack.assert_held(rss_mib=24, joined=0.9)


def build_control() -> Any:
    control = rpc_pb2.ControlMessage()
    for _ in range(200):
        topic = os.urandom(8).hex()
        control.graft.add(topicID=topic)
        control.prune.add(topicID=topic, backoff=2**40)
        control.ihave.add(topicID=topic, messageIDs=[os.urandom(20).hex().encode()] * 5)
    control.graft.add(topicID=ANNOUNCEMENTS_TOPIC)
    ids = [os.urandom(20).hex().encode() for _ in range(1_000)]
    control.ihave.add(topicID=ANNOUNCEMENTS_TOPIC, messageIDs=ids)
    control.iwant.add(messageIDs=ids[:1] * 1_000)
    control.idontwant.add(messageIDs=ids)
    return rpc_pb2.RPC(control=control)


async def test_control_floods(siege: Siege) -> None:
    frame = build_control()

    async def flood(one: Adversary) -> None:
        await one.connect()
        await utter(one, frame)

    async with (
        siege.attack(
            "GRAFT, PRUNE, IHAVE, IWANT", "6 neighbours, 200 invented topics and 3,000 ids a frame"
        ) as attack,
        adversaries(siege, 6) as band,
    ):
        await keep_on(band, flood, each=2)
    attack.assert_held(rss_mib=32, joined=0.9)
