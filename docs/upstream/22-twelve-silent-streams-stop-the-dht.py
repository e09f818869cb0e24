"""Twelve streams that say nothing take a DHT server's places; it answers nobody else."""

import sys

import trio
from libp2p import new_host
from libp2p.kad_dht.kad_dht import DHTMode, KadDHT
from libp2p.kad_dht.pb.kademlia_pb2 import Message
from libp2p.peer.peerinfo import PeerInfo
from libp2p.tools.anyio_service import background_trio_service
from libp2p.utils import encode_varint_prefixed
from multiaddr import Multiaddr

LISTEN = [Multiaddr("/ip4/127.0.0.1/tcp/0")]
KAD = "/ipfs/kad/1.0.0"
PATIENCE_S = 20


async def is_answered(host, server):
    """Ask for the server itself, which it knows."""
    try:
        stream = await host.new_stream(server.get_id(), [KAD])
        ask = Message(type=Message.FIND_NODE, key=server.get_id().to_bytes())
        await stream.write(encode_varint_prefixed(ask.SerializeToString()))
        with trio.fail_after(3):
            return bool(await stream.read(1))
    except Exception as error:
        print("not answered:", repr(error)[:100])
        return False


async def main():
    server, honest, attacker = new_host(), new_host(), new_host()
    dht = KadDHT(server, DHTMode.SERVER)
    async with (
        server.run(LISTEN),
        honest.run(LISTEN),
        attacker.run(LISTEN),
        background_trio_service(dht),
    ):
        for host in (honest, attacker):
            await host.connect(PeerInfo(server.get_id(), server.get_addrs()))
        before = await is_answered(honest, server)
        held = []
        for _ in range(14):
            try:
                held.append(await attacker.new_stream(server.get_id(), [KAD]))
            except Exception as error:
                print("no more streams:", repr(error)[:100])
                break
        await trio.sleep(PATIENCE_S)
        after = await is_answered(honest, server)
    print(f"answered before: {before}; {PATIENCE_S} s into {len(held)} silent streams: {after}")
    return 0 if before and not after else 1


if __name__ == "__main__":
    sys.exit(trio.run(main))
