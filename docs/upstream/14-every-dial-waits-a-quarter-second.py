"""A dial of a peer with one address waits 250 ms for the addresses it does not have."""

import statistics
import sys

import trio
from libp2p import new_host
from libp2p.peer.peerinfo import PeerInfo
from multiaddr import Multiaddr

LISTEN = [Multiaddr("/ip4/127.0.0.1/tcp/0")]


async def main():
    times = []
    for _ in range(5):
        one, other = new_host(), new_host()
        async with one.run(LISTEN), other.run(LISTEN):
            began = trio.current_time()
            await one.connect(PeerInfo(other.get_id(), other.get_addrs()[:1]))
            times.append(trio.current_time() - began)
    print("connecting on loopback took", [f"{1000 * one:.0f} ms" for one in times])
    return 0 if statistics.median(times) >= 0.25 else 1


if __name__ == "__main__":
    sys.exit(trio.run(main))
