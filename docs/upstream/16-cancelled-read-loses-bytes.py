"""Cancelling a read (a timeout) loses what had arrived."""

import sys

import trio
from libp2p import new_host
from libp2p.peer.peerinfo import PeerInfo
from multiaddr import Multiaddr

LISTEN = [Multiaddr("/ip4/127.0.0.1/tcp/0")]
RAW, TIMES, PIECE = "/raw/1", 400, b"0123456789"


async def drip(stream):
    for _ in range(TIMES):
        await stream.write(PIECE)
        await trio.sleep(0.0005)
    await stream.close()


async def main():
    one, other = new_host(), new_host()
    other.set_stream_handler(RAW, drip)
    received = b""
    async with one.run(LISTEN), other.run(LISTEN):
        await one.connect(PeerInfo(other.get_id(), other.get_addrs()))
        stream = await one.new_stream(other.get_id(), [RAW])
        with trio.move_on_after(15):
            try:
                while True:
                    with trio.move_on_after(0.0003):
                        received += await stream.read(100)
            except Exception as error:
                print("the stream ended with", repr(error)[:100])
    print(f"{TIMES * len(PIECE)} bytes were sent, {len(received)} received")
    return 0 if received != TIMES * PIECE else 1


if __name__ == "__main__":
    sys.exit(trio.run(main))
