"""After max_connections inbound connections in all, however short, a host accepts no more."""

import sys

import trio
from libp2p import new_host
from libp2p.network.config import ConnectionConfig
from libp2p.peer.peerinfo import PeerInfo
from multiaddr import Multiaddr

LISTEN = [Multiaddr("/ip4/127.0.0.1/tcp/0")]
# The default is 250 or so; a lower one shows the same sooner.
MOST = 5


async def main():
    config = ConnectionConfig(
        min_connections=0, low_watermark=0, high_watermark=MOST, max_connections=MOST
    )
    victim, served = new_host(connection_config=config), 0
    async with victim.run(LISTEN):
        for _ in range(3 * MOST):
            guest = new_host()
            async with guest.run(LISTEN):
                try:
                    with trio.fail_after(8):
                        await guest.connect(PeerInfo(victim.get_id(), victim.get_addrs()))
                    served += 1
                except Exception as error:
                    print("refused:", repr(error)[:100])
                    break
                await guest.disconnect(victim.get_id())
            with trio.move_on_after(5):
                while victim.get_connected_peers():
                    await trio.sleep(0.05)
        left = len(victim.get_connected_peers())
    print(f"{served} connections one after the other, {left} open, then none is accepted")
    return 0 if served <= MOST + 1 and left == 0 else 1


if __name__ == "__main__":
    sys.exit(trio.run(main))
