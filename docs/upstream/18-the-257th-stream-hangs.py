"""The 257th stream of a connection neither opens nor fails: new_stream waits without a word."""

import sys

import trio
from libp2p import new_host
from libp2p.peer.peerinfo import PeerInfo
from multiaddr import Multiaddr

LISTEN = [Multiaddr("/ip4/127.0.0.1/tcp/0")]
RAW, STREAMS = "/raw/1", 300


async def hold(_stream):
    await trio.sleep_forever()


async def main():
    one, other, opened, hangs = new_host(), new_host(), 0, False
    other.set_stream_handler(RAW, hold)
    async with one.run(LISTEN), other.run(LISTEN):
        await one.connect(PeerInfo(other.get_id(), other.get_addrs()))
        for _ in range(STREAMS):
            with trio.move_on_after(3) as patience:
                try:
                    await one.new_stream(other.get_id(), [RAW])
                    opened += 1
                except Exception as error:
                    print("refused:", repr(error)[:150])
                    break
            if patience.cancelled_caught:
                hangs = True
                break
    print(f"{opened} streams opened; the next one {'hangs' if hangs else 'does not hang'}")
    return 0 if hangs else 1


if __name__ == "__main__":
    sys.exit(trio.run(main))
