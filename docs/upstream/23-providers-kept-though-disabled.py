"""A KadDHT with enable_providers=False keeps the providers that strangers send."""

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
KAD, KEY = "/ipfs/kad/1.0.0", b"k" * 32


async def main():
    server, attacker, kept = new_host(), new_host(), []
    dht = KadDHT(
        server, DHTMode.SERVER, protocol_prefix="/mine", enable_providers=False, enable_values=False
    )
    provider = Message.Peer(id=attacker.get_id().to_bytes())
    provider.addrs.append(Multiaddr("/ip4/1.2.3.4/tcp/1").to_bytes())
    message = Message(type=Message.ADD_PROVIDER, key=KEY, providerPeers=[provider])
    async with server.run(LISTEN), attacker.run(LISTEN), background_trio_service(dht):
        await attacker.connect(PeerInfo(server.get_id(), server.get_addrs()))
        stream = await attacker.new_stream(server.get_id(), [KAD])
        await stream.write(encode_varint_prefixed(message.SerializeToString()))
        with trio.move_on_after(10):
            while not kept:
                await trio.sleep(0.1)
                kept = dht.provider_store.get_providers(KEY)
    print(f"a DHT without providers keeps {len(kept)}: {kept}")
    return 0 if kept else 1


if __name__ == "__main__":
    sys.exit(trio.run(main))
