"""A KadDHT with a protocol prefix of its own serves the public network's protocol all the same."""

import sys

import trio
from libp2p import new_host
from libp2p.kad_dht.kad_dht import DHTMode, KadDHT
from libp2p.peer.peerinfo import PeerInfo
from libp2p.tools.anyio_service import background_trio_service
from multiaddr import Multiaddr

LISTEN = [Multiaddr("/ip4/127.0.0.1/tcp/0")]
PUBLIC, PRIVATE = "/ipfs/kad/1.0.0", "/mine/kad/1.0.0"


async def main():
    one, other, spoken = new_host(), new_host(), []
    dht = KadDHT(
        other, DHTMode.SERVER, protocol_prefix="/mine", enable_providers=False, enable_values=False
    )
    async with one.run(LISTEN), other.run(LISTEN), background_trio_service(dht):
        await one.connect(PeerInfo(other.get_id(), other.get_addrs()))
        for name in (PUBLIC, PRIVATE):
            try:
                stream = await one.new_stream(other.get_id(), [name])
                spoken.append(name)
                await stream.reset()
            except Exception as error:
                print(name, "is refused:", repr(error)[:100])
    print("a DHT with the prefix /mine speaks", spoken)
    return 0 if spoken == [PUBLIC] else 1


if __name__ == "__main__":
    sys.exit(trio.run(main))
