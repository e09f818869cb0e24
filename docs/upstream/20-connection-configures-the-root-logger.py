"""A connection logs through the root logger, which gets a handler that nobody asked for."""

import logging
import sys

import trio
from libp2p import new_host
from libp2p.peer.peerinfo import PeerInfo
from multiaddr import Multiaddr

LISTEN = [Multiaddr("/ip4/127.0.0.1/tcp/0")]


async def main():
    before = list(logging.getLogger().handlers)
    one, other = new_host(), new_host()
    async with one.run(LISTEN), other.run(LISTEN):
        await one.connect(PeerInfo(other.get_id(), other.get_addrs()))
        await one.disconnect(other.get_id())
        await trio.sleep(0.5)
    after = list(logging.getLogger().handlers)
    print("handlers of the root logger before and after a connection:", before, after)
    return 0 if after != before else 1


if __name__ == "__main__":
    sys.exit(trio.run(main))
